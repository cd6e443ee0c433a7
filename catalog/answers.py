"""Answer records: one row per answered question. A record lasts no longer than the files that the answer drew on."""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.database import Database
from catalog.errors import NotFound
from catalog.models import AnswerRecord, File

# Records that are looked at in one transaction.
_PAGE: Final = 200


def save(session: Session, record: AnswerRecord) -> None:
    """Keep a record, unless a file that it draws on was deleted while the answer was being written."""
    if not _orphans(session, {record.id: record.trace}):
        session.add(record)


def get(session: Session, project_id: str, response_id: str) -> AnswerRecord:
    """Raises NotFound, also for another project's answer and for one that draws on a file which is gone."""
    record = _own(session, project_id, response_id)
    if _orphans(session, {record.id: record.trace}):
        raise NotFound(f"Response {response_id!r} drew on a file that was deleted.", param="response_id")
    return record


def delete(session: Session, project_id: str, response_id: str) -> None:
    """Raises NotFound, also for another project's answer."""
    session.delete(_own(session, project_id, response_id))


def remove_orphans(database: Database) -> int:
    """Delete the records that draw on files which are gone, since they may quote them; return how many."""
    removed, last = 0, ""
    while True:
        query = select(AnswerRecord.id, AnswerRecord.trace).where(AnswerRecord.id > last)
        with database.read() as session:
            page = {row.id: row.trace for row in session.execute(query.order_by(AnswerRecord.id).limit(_PAGE))}
            orphans = _orphans(session, page)
        if orphans:
            with database.write() as session:
                session.execute(sqlalchemy.delete(AnswerRecord).where(AnswerRecord.id.in_(orphans)))
        if not page:
            return removed
        removed, last = removed + len(orphans), next(reversed(page))


def _own(session: Session, project_id: str, response_id: str) -> AnswerRecord:
    record = session.get(AnswerRecord, response_id)
    if record is None or record.project_id != project_id:
        raise NotFound(f"No response with id {response_id!r}.", param="response_id")
    return record


def _orphans(session: Session, traces: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return those of the records, given by id with their traces, that draw on a file which is gone."""
    drawn_on = {record_id: _files_of(trace) for record_id, trace in traces.items()}
    wanted = {file_id for file_ids in drawn_on.values() for file_id in file_ids}
    existing = set(session.scalars(select(File.id).where(File.id.in_(wanted))))
    return [record_id for record_id, file_ids in drawn_on.items() if not file_ids <= existing]


def _files_of(trace: Mapping[str, Any]) -> set[str]:
    """Return the files of the candidates: every quote, footnote and search result of the answer is from one of them."""
    return {str(candidate.get("file_id")) for candidate in trace.get("candidates", ())}

"""Answer records: one row per answered question. A record lasts no longer than the files that the answer drew on."""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy
from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from catalog.database import Database
from catalog.errors import InvalidRequest, NotFound, PreviousResponseNotFound
from catalog.models import AnswerRecord, AnswerStatus, File

# Records that are looked at in one transaction.
_PAGE: Final = 200

# An item of input or output, as OpenAI's JSON object.
Item = dict[str, Any]


def save(session: Session, record: AnswerRecord) -> bool:
    """Keep a record, unless a file that it draws on was deleted while the answer was being written: False."""
    is_sound = not is_orphan(session, record)
    if is_sound:
        session.add(record)
    return is_sound


def get(session: Session, project_id: str, response_id: str) -> AnswerRecord:
    """Raises NotFound, also for another project's answer and for one that draws on a file which is gone."""
    record = own(session, project_id, response_id)
    if is_orphan(session, record):
        raise NotFound(f"Response {response_id!r} drew on a file that was deleted.", param="response_id")
    return record


def own(session: Session, project_id: str, response_id: str) -> AnswerRecord:
    """Return a record whatever became of its files. Raises NotFound, also for another project's answer."""
    record = session.get(AnswerRecord, response_id)
    if record is None or record.project_id != project_id:
        raise NotFound(f"No response with id {response_id!r}.", param="response_id")
    return record


def delete(session: Session, project_id: str, response_id: str) -> None:
    """Raises NotFound, also for another project's answer."""
    session.delete(own(session, project_id, response_id))


def history(session: Session, project_id: str, response_id: str) -> list[Item]:
    """Return what an answer leaves to the next one: its items and those of the answers before it, oldest first.

    The chain ends where an answer is gone, also for the sake of a deleted file. Raises PreviousResponseNotFound when
    the first one is gone, another project's or was never kept, and InvalidRequest when it is still being written.
    """
    record = session.get(AnswerRecord, response_id)
    if record is None or record.project_id != project_id or is_orphan(session, record):
        raise PreviousResponseNotFound(
            f"Previous response with id {response_id!r} not found.", param="previous_response_id"
        )
    if not AnswerStatus(record.status).has_ended:
        raise InvalidRequest(
            f"Response {response_id!r} is still {record.status}; wait for its end.", param="previous_response_id"
        )
    return [*items_before(session, record), *record.input_items, *record.response.get("output", ())]


def items_before(session: Session, record: AnswerRecord) -> list[Item]:
    """Return the items of the answers that this one carries on, oldest first."""
    chain = (
        select(AnswerRecord.id, AnswerRecord.previous_response_id, literal(0).label("depth"))
        .where(AnswerRecord.id == record.previous_response_id, AnswerRecord.project_id == record.project_id)
        .cte(recursive=True)
    )
    step = select(AnswerRecord.id, AnswerRecord.previous_response_id, chain.c.depth + 1)
    chain = chain.union_all(
        step.where(AnswerRecord.id == chain.c.previous_response_id, AnswerRecord.project_id == record.project_id)
    )
    columns = select(AnswerRecord.id, AnswerRecord.trace, AnswerRecord.input_items, AnswerRecord.response)
    rows = session.execute(columns.join(chain, chain.c.id == AnswerRecord.id).order_by(chain.c.depth)).all()
    orphans = set(_orphans(session, {row.id: row.trace for row in rows}))
    parts: list[list[Item]] = []
    for row in rows:
        if row.id in orphans:
            break
        parts.append([*row.input_items, *row.response.get("output", ())])
    return [item for part in reversed(parts) for item in part]


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


def is_orphan(session: Session, record: AnswerRecord) -> bool:
    """Whether the answer draws on a file which is gone."""
    return bool(_orphans(session, {record.id: record.trace}))


def files_of(trace: Mapping[str, Any]) -> set[str]:
    """Return the files that an answer draws on.

    Every quote, footnote and search result of it is from one of the candidates; what its request quoted from earlier
    answers is from `cited_in_input`, and what a language model had before it of the conversation from `recalled`.
    """
    candidates = {str(candidate.get("file_id")) for candidate in trace.get("candidates", ())}
    return candidates.union(trace.get("cited_in_input", ()), trace.get("recalled", ()))


def _orphans(session: Session, traces: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return those of the records, given by id with their traces, that draw on a file which is gone."""
    drawn_on = {record_id: files_of(trace) for record_id, trace in traces.items()}
    wanted = {file_id for file_ids in drawn_on.values() for file_id in file_ids}
    existing = set(session.scalars(select(File.id).where(File.id.in_(wanted))))
    return [record_id for record_id, file_ids in drawn_on.items() if not file_ids <= existing]

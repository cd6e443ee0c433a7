"""Answer records: one row per answered question. A record lasts no longer than the files that the answer drew on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy
from sqlalchemy import literal, select
from sqlalchemy.orm import Session

from catalog.database import Database, portions
from catalog.errors import InvalidRequest, NotFound, PreviousResponseNotFound
from catalog.models import AnswerFeedback, AnswerRecord, AnswerStatus, File

# Records that are looked at in one transaction.
_PAGE: Final = 200

# An item of input or output, as OpenAI's JSON object.
Item = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerFilter:
    """Which answers are meant; None: that does not matter."""

    outcome: str | None = None
    model: str | None = None
    # Answered at this moment or later, in Unix seconds.
    since: float | None = None
    # Somebody rated it so.
    rating: str | None = None
    # The search could see this vector store.
    store_id: str | None = None


def save(session: Session, record: AnswerRecord) -> bool:
    """Keep a record, unless a file that it draws on was deleted while the answer was being written: False."""
    is_sound = not is_orphan(session, record)
    if is_sound:
        session.add(record)
    return is_sound


def get(session: Session, project_id: str, response_id: str) -> AnswerRecord:
    """Raises NotFound, also for another project's answer and for one that draws on a file which is gone."""
    return _sound(session, own(session, project_id, response_id))


def get_of_any(session: Session, response_id: str) -> AnswerRecord:
    """Return an answer of any project, for who runs the server. Raises NotFound as `get` does."""
    record = session.get(AnswerRecord, response_id)
    if record is None:
        raise NotFound(f"No response with id {response_id!r}; `footnote answers list` shows all.", param="response_id")
    return _sound(session, record)


def find(session: Session, wanted: AnswerFilter) -> Iterator[AnswerRecord]:
    """Yield the answers of all projects that `wanted` means, newest first; none that draws on a file which is gone."""
    query = select(AnswerRecord).order_by(AnswerRecord.created_at.desc(), AnswerRecord.id.desc())
    for column, value in ((AnswerRecord.outcome, wanted.outcome), (AnswerRecord.model, wanted.model)):
        query = query if value is None else query.where(column == value)
    if wanted.since is not None:
        query = query.where(AnswerRecord.created_at >= wanted.since)
    if wanted.rating is not None:
        rated = select(AnswerFeedback.response_id).where(AnswerFeedback.rating == wanted.rating)
        query = query.where(AnswerRecord.id.in_(rated))
    rows = session.scalars(query.execution_options(yield_per=_PAGE))
    for page in rows.partitions(_PAGE):
        orphans = set(_orphans(session, {record.id: record.trace for record in page}))
        for record in page:
            is_wanted = wanted.store_id is None or wanted.store_id in record.trace.get("stores", ())
            if is_wanted and record.id not in orphans:
                yield record


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


def remove_before(database: Database, moment: float) -> int:
    """Delete the answers from before `moment`, in Unix seconds, that have ended; return how many.

    An answer goes in one transaction with its events and its feedback; a sweep that is cut off is done again.
    """
    ended = [status for status in AnswerStatus if status.has_ended]
    old = AnswerRecord.created_at < moment, AnswerRecord.status.in_(ended)
    removed = 0
    while True:
        with database.write() as session:
            gone = session.execute(
                sqlalchemy.delete(AnswerRecord)
                .where(AnswerRecord.id.in_(select(AnswerRecord.id).where(*old).limit(_PAGE)))
                .returning(AnswerRecord.id)
                .execution_options(synchronize_session=False)
            ).all()
        removed += len(gone)
        if len(gone) < _PAGE:
            return removed


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

    Every quote, footnote and search result of it is from one of the candidates, or from what went into the prompt with
    them; what its request quoted from earlier answers is from `cited_in_input`, and what a language model had before it
    of the conversation from `recalled`.
    """
    found = (*trace.get("candidates", ()), *trace.get("sources", ()))
    file_ids = {str(one.get("file_id")) for one in found if isinstance(one, Mapping)}
    return file_ids.union(trace.get("cited_in_input", ()), trace.get("recalled", ()))


def _sound(session: Session, record: AnswerRecord) -> AnswerRecord:
    if is_orphan(session, record):
        raise NotFound(f"Response {record.id!r} drew on a file that was deleted.", param="response_id")
    return record


def _orphans(session: Session, traces: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return those of the records, given by id with their traces, that draw on a file which is gone."""
    drawn_on = {record_id: files_of(trace) for record_id, trace in traces.items()}
    wanted = {file_id for file_ids in drawn_on.values() for file_id in file_ids}
    existing: set[str] = set()
    for some in portions(list(wanted)):
        existing.update(session.scalars(select(File.id).where(File.id.in_(some))))
    return [record_id for record_id, file_ids in drawn_on.items() if not file_ids <= existing]

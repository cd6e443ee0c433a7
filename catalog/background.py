"""Background answers: queued, claimed by a process, written, ended. The row is the job.

queued ──claim──▶ in_progress ──finish──▶ completed | incomplete | failed
   ▲                 │  │
   └─────release─────┘  └── cancelled or deleted by the user: the next heartbeat does not name it any more
A claim whose lease has lapsed, as that of a killed process, is claimed again, and the answer written anew.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from catalog import answers
from catalog.errors import InvalidRequest, LeaseLost
from catalog.models import AnswerEvent, AnswerRecord, AnswerStatus

# Claims, lost ones included: an answer that kills its process again and again ends here.
MAX_CLAIMS: Final = 3
# How long the events of an answer that has ended are kept for clients that resume its stream.
EVENTS_KEPT_S: Final = 3600.0
# Events that are there before the first claim: `response.created` and `response.queued`.
QUEUED_EVENTS: Final = 2

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A claimed answer. Valid while `fence` is the row's fence."""

    id: str
    project_id: str
    request: Mapping[str, Any]
    owner: str
    fence: int
    claims: int

    def is_held(self) -> ColumnElement[bool]:
        """Condition under which this claim may still write."""
        return and_(
            AnswerRecord.id == self.id,
            AnswerRecord.status == AnswerStatus.IN_PROGRESS,
            AnswerRecord.owner == self.owner,
            AnswerRecord.fence == self.fence,
        )


def queue(session: Session, record: AnswerRecord, events: Sequence[Event]) -> None:
    """Keep a record that waits to be written, with the first events of its stream."""
    session.add(record)
    session.flush()
    _add_events(session, record.id, events)


def is_waiting(session: Session, *, but: Collection[str] = ()) -> bool:
    """Whether there is an answer to claim, `but` these."""
    return bool(session.scalar(select(exists().where(_is_free(time.time()), AnswerRecord.id.not_in(but)))))


def claim(session: Session, owner: str, *, lease_s: float, but: Collection[str] = ()) -> Claim | None:
    """Take the oldest answer that nobody writes; None when there is none. What an earlier claim wrote of it goes.

    `but`: those that the owner is writing, though their leases may have lapsed while the database was away. One
    statement: two processes never get the same answer.
    """
    now = time.time()
    oldest = (
        select(AnswerRecord.id)
        .where(_is_free(now), AnswerRecord.id.not_in(but))
        .order_by(AnswerRecord.created_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    row = session.execute(
        update(AnswerRecord)
        .where(AnswerRecord.id == oldest)
        .values(
            status=AnswerStatus.IN_PROGRESS,
            owner=owner,
            lease_until=now + lease_s,
            fence=AnswerRecord.fence + 1,
            claims=AnswerRecord.claims + 1,
        )
        .returning(
            AnswerRecord.id, AnswerRecord.project_id, AnswerRecord.request, AnswerRecord.fence, AnswerRecord.claims
        )
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return None
    stale = AnswerEvent.response_id == row.id, AnswerEvent.sequence_number >= QUEUED_EVENTS
    session.execute(delete(AnswerEvent).where(*stale))
    return Claim(
        id=row.id,
        project_id=row.project_id,
        request=row.request or {},
        owner=owner,
        fence=row.fence,
        claims=row.claims,
    )


def extend(session: Session, owner: str, ids: Sequence[str], *, lease_s: float) -> dict[str, int]:
    """Extend the leases of these answers; return the fence of each that the owner still holds."""
    rows = session.execute(
        update(AnswerRecord)
        .where(AnswerRecord.id.in_(ids), AnswerRecord.owner == owner, AnswerRecord.status == AnswerStatus.IN_PROGRESS)
        .values(lease_until=time.time() + lease_s)
        .returning(AnswerRecord.id, AnswerRecord.fence)
        .execution_options(synchronize_session=False)
    )
    return {row.id: row.fence for row in rows}


def write(session: Session, held: Claim, events: Sequence[Event], values: Mapping[str, Any]) -> None:
    """Keep events, and set columns of the record with them. Raises LeaseLost when the claim is no longer held."""
    row = session.execute(
        update(AnswerRecord)
        .where(held.is_held())
        .values(**(values or {"fence": held.fence}))
        .returning(AnswerRecord.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        raise LeaseLost(f"Response {held.id!r} was cancelled, deleted, or taken over.")
    _add_events(session, held.id, events)


def release(session: Session, owner: str) -> None:
    """Hand every answer of an owner that ends in order back to the queue; its claim does not count."""
    session.execute(
        update(AnswerRecord)
        .where(AnswerRecord.owner == owner, AnswerRecord.status == AnswerStatus.IN_PROGRESS)
        .values(status=AnswerStatus.QUEUED, owner=None, lease_until=None, claims=AnswerRecord.claims - 1)
    )


def cancel(
    session: Session, project_id: str, response_id: str, last_event: Callable[[Mapping[str, Any], int], Event]
) -> AnswerRecord:
    """End an answer where it stands, and return it; one that has ended stays as it is.

    `last_event` makes the last event of its stream, from the response and a sequence number. Raises NotFound, and
    InvalidRequest for an answer that was not made in the background.
    """
    session.execute(select(AnswerRecord.id).where(AnswerRecord.id == response_id).with_for_update())
    record = answers.get(session, project_id, response_id)
    if not record.response.get("background"):
        raise InvalidRequest(
            f"Response {response_id!r} was not created with background=true, so it cannot be cancelled.",
            param="response_id",
        )
    if not AnswerStatus(record.status).has_ended:
        record.status, record.ended_at = AnswerStatus.CANCELLED, time.time()
        record.request = record.owner = None
        record.response = {**record.response, "status": record.status}
        written = select(func.max(AnswerEvent.sequence_number)).where(AnswerEvent.response_id == response_id)
        _add_events(session, response_id, [last_event(record.response, (session.scalar(written) or 0) + 1)])
    return record


def events_after(session: Session, response_id: str, sequence_number: int, *, limit: int) -> list[Event]:
    """Return the next events of a stream, in order."""
    later = AnswerEvent.response_id == response_id, AnswerEvent.sequence_number > sequence_number
    query = select(AnswerEvent.event).where(*later).order_by(AnswerEvent.sequence_number).limit(limit)
    return list(session.scalars(query))


def last_event(session: Session, response_id: str) -> list[Event]:
    """Return the last event of a stream, if there is any."""
    newest = select(AnswerEvent.event).where(AnswerEvent.response_id == response_id)
    return list(session.scalars(newest.order_by(AnswerEvent.sequence_number.desc()).limit(1)))


def forget_events(session: Session) -> None:
    """Delete the events that were kept long enough."""
    ended = select(AnswerRecord.id).where(
        AnswerRecord.id == AnswerEvent.response_id, AnswerRecord.ended_at < time.time() - EVENTS_KEPT_S
    )
    session.execute(delete(AnswerEvent).where(ended.exists()).execution_options(synchronize_session=False))


def _is_free(now: float) -> ColumnElement[bool]:
    lapsed = and_(AnswerRecord.status == AnswerStatus.IN_PROGRESS, AnswerRecord.lease_until < now)
    return or_(AnswerRecord.status == AnswerStatus.QUEUED, lapsed)


def _add_events(session: Session, response_id: str, events: Sequence[Event]) -> None:
    rows = [
        {"response_id": response_id, "sequence_number": event["sequence_number"], "event": event} for event in events
    ]
    if rows:
        session.execute(insert(AnswerEvent), rows)

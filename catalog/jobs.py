"""Jobs: claiming a vector-store file for work, holding it, letting it go. The row is the job.

in_progress ──claim──▶ in_progress, owned ──publish──▶ completed
     ▲                      │ ├──give_up──▶ failed
     └──────retry / release─┘ └── cancelled or deleted by the user: the next heartbeat raises LeaseLost
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, case, or_, select, text, tuple_, update
from sqlalchemy.orm import Session

from catalog.errors import DocumentRejected, FootnoteError, LeaseLost, QueueFull, ServiceUnavailable
from catalog.models import JobStatus, VectorStoreFile

LEASE_S: Final = 30.0
# Tries that end with a retryable error before the file is given up.
MAX_FAILURES: Final = 5
# Claims, lost ones included: a file that kills its worker again and again ends here.
MAX_CLAIMS: Final = 100
# PostgreSQL's channel on which a queued job is announced.
CHANNEL: Final = "footnote_jobs"
_RETRY_BASE_S: Final = 2.0
_RETRY_MAX_S: Final = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """Which jobs a claim takes, and in which order.

    A worker that serves a lane of each kind starves nobody: small files never wait for a large one, and the oldest
    file, however large, is the next one of the other lane.
    """

    # Largest file, in bytes; None for any.
    max_bytes: int | None = None
    # Oldest first; else smallest first.
    by_age: bool = False


ANY: Final = Lane()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A claimed vector-store file. Valid while `fence` is the row's fence."""

    id: int
    vector_store_id: str
    file_id: str
    bytes: int
    attributes: Mapping[str, Any]
    chunking_strategy: Mapping[str, Any]
    source: str | None
    owner: str
    fence: int
    failures: int
    claims: int


_JOB_COLUMNS: Final = tuple(getattr(VectorStoreFile, field.name) for field in fields(Job))


def held(jobs: Sequence[Job]) -> tuple[ColumnElement[bool], ...]:
    """Conditions under which these claims may still write, each to its own row."""
    claims = tuple_(VectorStoreFile.id, VectorStoreFile.owner, VectorStoreFile.fence)
    return (
        # By its number each row is found; the claims alone would make SQLite read the whole table.
        VectorStoreFile.id.in_([job.id for job in jobs]),
        VectorStoreFile.status == JobStatus.IN_PROGRESS,
        claims.in_([(job.id, job.owner, job.fence) for job in jobs]),
    )


def lost(job: Job) -> LeaseLost:
    """Return the error for a claim that may not write any more."""
    return LeaseLost(f"Job {job.id} is no longer held by {job.owner!r} under fence {job.fence}.")


def claim(
    session: Session, owner: str, *, lane: Lane = ANY, lease_s: float = LEASE_S, most: int = 1, most_bytes: int = 0
) -> list[Job]:
    """Take the next jobs of the lane that nobody holds: the first, whatever its size, and what fits with it.

    At most `most`, and only the first may bring their bytes above `most_bytes`. Two workers never get the same job: on
    PostgreSQL rows that another worker is just claiming are skipped instead of waited for.
    """
    now = time.time()
    waiting = _waiting(lane, now, VectorStoreFile.id, VectorStoreFile.bytes).limit(most)
    ids: list[int] = []
    room = most_bytes
    for entry_id, size in session.execute(waiting.with_for_update(skip_locked=True)):
        if not ids or size <= room:
            ids.append(entry_id)
            room -= size
    if not ids:
        return []
    rows = session.execute(
        update(VectorStoreFile)
        .where(VectorStoreFile.id.in_(ids))
        .values(
            owner=owner,
            lease_until=now + lease_s,
            fence=VectorStoreFile.fence + 1,
            claims=VectorStoreFile.claims + 1,
            started_at=now,
        )
        .returning(*_JOB_COLUMNS)
        .execution_options(synchronize_session=False)
    )
    claimed = {row.id: Job(**row._mapping) for row in rows}
    return [claimed[entry_id] for entry_id in ids]


def is_waiting(session: Session, lane: Lane = ANY) -> bool:
    """Tell whether a claim would find a job now; a claim locks the database against other writers, this does not."""
    return session.scalar(_waiting(lane, time.time(), VectorStoreFile.id).limit(1)) is not None


def _waiting(lane: Lane, now: float, *columns: Any) -> Select[Any]:
    """Select columns of the jobs of a lane that nobody holds, in its order."""
    query = (
        select(*columns)
        .where(VectorStoreFile.status == JobStatus.IN_PROGRESS, VectorStoreFile.not_before <= now)
        .where(or_(VectorStoreFile.lease_until.is_(None), VectorStoreFile.lease_until < now))
    )
    if lane.max_bytes is not None:
        query = query.where(VectorStoreFile.bytes <= lane.max_bytes)
    return query.order_by(*(() if lane.by_age else (VectorStoreFile.bytes,)), VectorStoreFile.id)


def announce(session: Session) -> None:
    """Wake idle workers when this transaction commits; on SQLite they look often enough by themselves."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"NOTIFY {CHANNEL}"))


def check_room(session: Session, limit: int) -> None:
    """Raises QueueFull when `limit` files wait already."""
    waiting = select(VectorStoreFile.id).where(VectorStoreFile.status == JobStatus.IN_PROGRESS)
    if session.scalar(waiting.order_by(VectorStoreFile.id).offset(limit - 1).limit(1)) is not None:
        raise QueueFull(f"{limit:,} files wait to be processed already, the most that this server queues; try later.")


def heartbeat(session: Session, shares: Sequence[tuple[Job, float]], *, lease_s: float = LEASE_S) -> set[int]:
    """Extend the leases of jobs and note how much of each is done (0 to 1); return the ids of those not held any more.

    On PostgreSQL a row that somebody is just changing is passed over until the next beat: who waits for one with
    others in hand can be waited for.
    """
    jobs = [job for job, _ in shares]
    free = session.scalars(select(VectorStoreFile.id).where(*held(jobs)).with_for_update(skip_locked=True))
    session.execute(
        update(VectorStoreFile)
        .where(VectorStoreFile.id.in_(free.all()))
        .values(
            lease_until=time.time() + lease_s,
            progress=case({job.id: share for job, share in shares}, value=VectorStoreFile.id),
        )
        .execution_options(synchronize_session=False)
    )
    return {job.id for job in jobs}.difference(session.scalars(select(VectorStoreFile.id).where(*held(jobs))))


def fail(session: Session, job: Job, error: FootnoteError) -> JobStatus:
    """Note a try that ended with `error`: queue the job again, or give the file up with a stated reason."""
    # An outage is no fault of the file: it waits longer with each try, and only the claims are counted.
    failures = job.failures if isinstance(error, ServiceUnavailable) else job.failures + 1
    delay_s = retry_delay_s(error, failures=failures, claims=job.claims)
    values: dict[str, Any] = {"owner": None, "lease_until": None, "failures": failures}
    if delay_s is not None:
        _update_held(session, job, not_before=time.time() + delay_s, error_message=error.message, **values)
        return JobStatus.IN_PROGRESS
    code = error.code if isinstance(error, DocumentRejected) else "server_error"
    values |= {"status": JobStatus.FAILED, "error_code": code, "ended_at": time.time()}
    _update_held(session, job, error_message=error.message, **values)
    return JobStatus.FAILED


def retry_delay_s(error: FootnoteError, *, failures: int, claims: int, jitter: float | None = None) -> float | None:
    """Return how long to wait before the next try, or None to give up.

    Doubles from 2 s to 300 s, times `jitter` (default: random in [0.5, 1]), so that jobs which failed together
    do not come back together.
    """
    is_outage = isinstance(error, ServiceUnavailable)
    if not error.retryable or claims >= MAX_CLAIMS or (failures >= MAX_FAILURES and not is_outage):
        return None
    tries = claims if is_outage else failures
    jitter = random.uniform(0.5, 1.0) if jitter is None else jitter
    return float(min(_RETRY_BASE_S * 2 ** (tries - 1), _RETRY_MAX_S) * jitter)


def give_back(session: Session, job: Job) -> None:
    """Let go of a job that is not wanted any more, so that another worker can take it at once; lost ones are left."""
    session.execute(update(VectorStoreFile).where(*held([job])).values(owner=None, lease_until=None))


def release(session: Session, owner: str) -> int:
    """Let go of every job that `owner` holds, for a worker that is known to be dead; return how many."""
    released = session.execute(
        update(VectorStoreFile)
        .where(VectorStoreFile.owner == owner, VectorStoreFile.status == JobStatus.IN_PROGRESS)
        .values(owner=None, lease_until=None)
        .returning(VectorStoreFile.id)
    )
    return len(released.all())


def _update_held(session: Session, job: Job, **values: Any) -> None:
    updated = session.execute(
        update(VectorStoreFile).where(*held([job])).values(**values).returning(VectorStoreFile.id)
    )
    if updated.first() is None:
        raise lost(job)

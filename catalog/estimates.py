"""How far work is, for the person who waits: how long it will take, and why nothing happens."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from catalog.models import FileBatchEntry, JobStatus, VectorStoreFile

# The rate is that of so many jobs that ended last.
_SAMPLE: Final = 50
# From here on a job's own progress says more than the rate: what comes before is parsing.
_KNOWN_PROGRESS: Final = 0.2
# Idle workers take a file up within a second or two. After this, something is wrong.
_TAKEN_UP_WITHIN_S: Final = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """What is known of the wait for a file."""

    # From now; None where there is nothing to wait for, or where nothing has been measured yet.
    seconds_left: float | None = None
    # Why it is not being worked on; None when it is, or soon will be.
    note: str | None = None


def wait_for(session: Session, entry: VectorStoreFile) -> Wait:
    """Return what is known of the wait for a file; nothing for one that has ended."""
    if entry.status != JobStatus.IN_PROGRESS:
        return Wait()
    return Wait(seconds_left=seconds_left(session, entry), note=_note(session, entry, time.time()))


def _note(session: Session, entry: VectorStoreFile, now: float) -> str | None:
    if (entry.lease_until or 0.0) >= now:
        return None
    if entry.not_before > now:
        return f"Try {entry.failures + 1} follows in {entry.not_before - now:.0f} s: {entry.error_message}"
    waited_s = now - max(entry.created_at, entry.not_before, entry.lease_until or 0.0)
    held = select(VectorStoreFile.id).where(
        VectorStoreFile.status == JobStatus.IN_PROGRESS, VectorStoreFile.lease_until >= now
    )
    if waited_s < _TAKEN_UP_WITHIN_S or session.scalar(held.limit(1)) is not None:
        return None
    return (
        f"No worker has taken this file up for {waited_s:.0f} s, and none works on another one: start one with "
        "`footnote serve` or `footnote worker`, or look into the log of the one that should run."
    )


def seconds_left(session: Session, entry: VectorStoreFile) -> float | None:
    """Return an estimate of when this file will be ready; see `Wait`."""
    if entry.status != JobStatus.IN_PROGRESS:
        return None
    now = time.time()
    if entry.owner is not None and entry.started_at is not None and entry.progress >= _KNOWN_PROGRESS:
        return (now - entry.started_at) * (1 - entry.progress) / entry.progress
    rate = bytes_per_second(session, now)
    if rate is None:
        return None
    # Small files go first.
    smaller = or_(
        VectorStoreFile.bytes < entry.bytes,
        (VectorStoreFile.bytes == entry.bytes) & (VectorStoreFile.id <= entry.id),
    )
    return max(_bytes_left(session, smaller) / rate, entry.not_before - now)


def seconds_left_of_batch(session: Session, batch_id: str) -> float | None:
    """Like `seconds_left`, for the file of a batch that will be the last one."""
    of_batch = select(FileBatchEntry.vector_store_file_id).where(FileBatchEntry.batch_id == batch_id)
    return _of_last(session, VectorStoreFile.id.in_(of_batch))


def seconds_left_of_store(session: Session, vector_store_id: str) -> float | None:
    """Like `seconds_left`, for the file of a store that will be the last one."""
    return _of_last(session, VectorStoreFile.vector_store_id == vector_store_id)


def _of_last(session: Session, where: ColumnElement[bool]) -> float | None:
    last = session.scalar(
        select(VectorStoreFile)
        .where(where, VectorStoreFile.status == JobStatus.IN_PROGRESS)
        .order_by(VectorStoreFile.bytes.desc(), VectorStoreFile.id.desc())
        .limit(1)
    )
    return seconds_left(session, last) if last else None


def bytes_per_second(session: Session, now: float) -> float | None:
    """Return the rate of the jobs that were completed last and of those under way; None when there are none.

    Bytes of the files by the time in which any of them was worked on: waiting does not count, and workers that work
    at the same time add up.
    """
    ended = session.execute(
        select(VectorStoreFile.started_at, VectorStoreFile.ended_at, VectorStoreFile.bytes)
        .where(VectorStoreFile.ended_at.is_not(None), VectorStoreFile.status == JobStatus.COMPLETED)
        .order_by(VectorStoreFile.ended_at.desc())
        .limit(_SAMPLE)
    )
    held = session.execute(
        select(VectorStoreFile.started_at, VectorStoreFile.bytes * VectorStoreFile.progress).where(
            VectorStoreFile.status == JobStatus.IN_PROGRESS, VectorStoreFile.owner.is_not(None)
        )
    )
    work = [(start, end, size) for start, end, size in ended if start is not None and end is not None]
    work += [(start, now, int(done)) for start, done in held if start is not None and done]
    busy_s = covered([(start, end) for start, end, _ in work])
    done_bytes = sum(size for _, _, size in work)
    return done_bytes / busy_s if busy_s > 0 and done_bytes else None


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of `intervals`."""
    length, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        if end > reached:
            length += end - max(start, reached)
            reached = end
    return length


def _bytes_left(session: Session, where: ColumnElement[bool]) -> float:
    undone = func.sum(VectorStoreFile.bytes * (1 - VectorStoreFile.progress))
    return float(session.scalar(select(undone).where(where, VectorStoreFile.status == JobStatus.IN_PROGRESS)) or 0.0)

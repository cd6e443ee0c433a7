"""File batches: files that are attached to a store together, and watched and cancelled together."""

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from catalog import stores
from catalog.errors import NotFound
from catalog.ids import FILE_BATCH, new_id
from catalog.models import FileBatch, FileBatchEntry, JobStatus, VectorStore, VectorStoreFile
from catalog.stores import NewVectorStoreFile


def create(session: Session, store: VectorStore, new_files: Sequence[NewVectorStoreFile]) -> FileBatch:
    """Attach files to a store as one batch; one that is named twice counts once. Raises NotFound for no such file."""
    batch = FileBatch(id=new_id(FILE_BATCH), vector_store_id=store.id, created_at=time.time(), cancelled_at=None)
    session.add(batch)
    session.flush()
    add(session, [batch.id], [entry.id for entry in stores.attach_all(session, store, new_files)])
    return batch


def add(session: Session, batch_ids: Iterable[str], entry_ids: Iterable[int]) -> None:
    """Count these entries to these batches."""
    entries = list(dict.fromkeys(entry_ids))
    rows = [{"batch_id": batch_id, "vector_store_file_id": entry} for batch_id in batch_ids for entry in entries]
    if rows:
        session.execute(insert(FileBatchEntry), rows)


def get(session: Session, store: VectorStore, batch_id: str) -> FileBatch:
    """Raises NotFound, also for a batch of another store."""
    batch = session.get(FileBatch, batch_id)
    if batch is None or batch.vector_store_id != store.id:
        raise NotFound(f"No file batch {batch_id!r} in vector store {store.id!r}.", param="batch_id")
    return batch


def file_counts(session: Session, batch: FileBatch) -> dict[str, int]:
    """Return how many files of the batch are in each JobStatus, and `total`; detached files do not count any more."""
    counts = {status.value: 0 for status in JobStatus} | {"total": 0}
    rows = session.execute(
        select(VectorStoreFile.status, func.count())
        .join(FileBatchEntry, FileBatchEntry.vector_store_file_id == VectorStoreFile.id)
        .where(FileBatchEntry.batch_id == batch.id)
        .group_by(VectorStoreFile.status)
    )
    for status, count in rows:
        counts[status] = count
        counts["total"] += count
    return counts


def cancel(session: Session, batch: FileBatch) -> None:
    """Stop work on every file of the batch that has not ended; a batch that has ended stays as it is."""
    of_batch = select(FileBatchEntry.vector_store_file_id).where(FileBatchEntry.batch_id == batch.id)
    now = time.time()
    stopped = session.execute(
        update(VectorStoreFile)
        .where(VectorStoreFile.id.in_(of_batch), VectorStoreFile.status == JobStatus.IN_PROGRESS)
        .values(status=JobStatus.CANCELLED, owner=None, lease_until=None, ended_at=now)
        .returning(VectorStoreFile.id)
        .execution_options(synchronize_session=False)
    ).all()
    if stopped and batch.cancelled_at is None:
        batch.cancelled_at = now


def status_of(batch: FileBatch, counts: dict[str, int]) -> JobStatus:
    """Return the state of a batch with these `file_counts`."""
    if counts[JobStatus.IN_PROGRESS]:
        return JobStatus.IN_PROGRESS
    if batch.cancelled_at is not None:
        return JobStatus.CANCELLED
    all_failed = 0 < counts[JobStatus.FAILED] == counts["total"]
    return JobStatus.FAILED if all_failed else JobStatus.COMPLETED

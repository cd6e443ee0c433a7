"""Files, uploads, stores and answers that end by themselves."""

import time
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from catalog import answers, conversations, files, idempotency, stores, uploads
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import SECONDS_PER_DAY, File, VectorStore, VectorStoreFile


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long it is kept what people asked and were answered."""

    # Days for answers and for items of conversations; None: for ever.
    days: float | None = None
    # False: no answer is kept, and those that were go with the next sweep. Conversations are what clients put there.
    keeps_answers: bool = True


FOR_EVER: Final = Retention()


def remove_expired(database: Database, blobs: BlobStore, retention: Retention = FOR_EVER) -> int:
    """Delete expired files, uploads and answers, and take everything out of expired stores; return how many.

    The row of an expired store stays, so that its owner sees what became of it.
    """
    now = time.time()
    said = _remove_said(database, retention, now)
    with database.read() as session:
        ended = list(session.scalars(select(File.id).where(File.expires_at <= now)))
        limited = session.scalars(select(VectorStore).where(VectorStore.expires_after_days.is_not(None)))
        filled = set(session.scalars(select(VectorStoreFile.vector_store_id).distinct()))
        expired = [store.id for store in limited if store.is_expired(now) and store.id in filled]
    for store_id in expired:
        _empty(database, store_id, now)
    idempotency.remove_old(database)
    late, unused = uploads.remove_expired(database)
    for file_id in ended:
        unused |= _remove_file(database, file_id)
    # Last: when the blob store does not answer, the rows are gone, and the sweep finds the blobs.
    files.delete_unused_blobs(database, blobs, unused)
    return len(ended) + len(expired) + late + said


def _remove_said(database: Database, retention: Retention, now: float) -> int:
    """Delete the answers and items of conversations that were kept long enough; return how many."""
    removed, oldest = 0, None if retention.days is None else now - retention.days * SECONDS_PER_DAY
    if oldest is not None:
        removed += answers.remove_before(database, oldest) + conversations.remove_before(database, oldest)
    if not retention.keeps_answers:
        removed += answers.remove_before(database, now)
    return removed


def _empty(database: Database, store_id: str, now: float) -> None:
    with database.write() as session:
        store = session.get(VectorStore, store_id)
        if store is None or not store.is_expired(now):
            return  # Used, prolonged or deleted in the meantime.
        stores.empty(database, session, store_id)


def _remove_file(database: Database, file_id: str) -> set[str]:
    with database.write() as session:
        file = session.get(File, file_id)  # A member has gone with its archive.
        return files.remove_row(database, session, file) if file else set()

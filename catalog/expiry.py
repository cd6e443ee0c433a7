"""Files, uploads and stores that end by themselves."""

import time

from sqlalchemy import select

from catalog import files, idempotency, stores, uploads
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import File, VectorStore, VectorStoreFile


def remove_expired(database: Database, blobs: BlobStore) -> int:
    """Delete expired files and uploads, and take everything out of expired stores; return how many.

    The row of an expired store stays, so that its owner sees what became of it.
    """
    now = time.time()
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
    return len(ended) + len(expired) + late


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

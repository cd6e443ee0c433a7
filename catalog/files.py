"""Uploaded files: rows and their blobs, which come and go together."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import documents
from catalog.blobs import BlobStore, StagedBlob
from catalog.database import Database
from catalog.errors import NotFound
from catalog.ids import FILE, new_id
from catalog.models import Document, File
from catalog.paging import Page, PageRequest, fetch_page

# Blobs younger than this may belong to an upload whose row is not committed yet.
SWEEP_MIN_AGE_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFile:
    project_id: str
    filename: str
    purpose: str
    expires_at: float | None = None


def add(database: Database, blobs: BlobStore, blob: StagedBlob, new: NewFile) -> File:
    """Store a staged blob and its row; when this returns, neither a crash nor a power cut loses them."""
    with database.write() as session:
        return insert(database, session, blobs, blob, new)


def insert(database: Database, session: Session, blobs: BlobStore, blob: StagedBlob, new: NewFile) -> File:
    """Like `add`, as part of a larger transaction.

    The blob gets its name inside the transaction, under a lock that deletion takes too: so a deletion of the last
    file with the same bytes cannot remove the blob from under this row.
    """
    file = File(
        id=new_id(FILE),
        project_id=new.project_id,
        filename=new.filename,
        purpose=new.purpose,
        bytes=blob.bytes,
        sha256=blob.sha256,
        created_at=time.time(),
        expires_at=new.expires_at,
    )
    database.lock(session, blob.sha256)
    blobs.store(blob)
    session.add(file)
    session.flush()
    return file


def get(session: Session, project_id: str, file_id: str) -> File:
    """Raises NotFound, also for another project's file."""
    file = session.get(File, file_id)
    if file is None or file.project_id != project_id:
        raise NotFound(f"No such File object: {file_id!r}.", param="file_id")
    return file


def list_page(session: Session, project_id: str, request: PageRequest, *, purpose: str | None = None) -> Page[File]:
    query = select(File).where(File.project_id == project_id)
    if purpose is not None:
        query = query.where(File.purpose == purpose)

    def locate(cursor: str) -> tuple[float, str] | None:
        file = session.get(File, cursor)
        return (file.created_at, file.id) if file and file.project_id == project_id else None

    return fetch_page(session, query, request, keys=(File.created_at, File.id), locate=locate)


def delete(database: Database, blobs: BlobStore, project_id: str, file_id: str) -> None:
    """Remove the file from every store, its row, and its blob if no other file has the same bytes."""
    with database.write() as session:
        sha256 = remove_row(database, session, get(session, project_id, file_id))
    delete_blob_if_unused(database, blobs, sha256)


def remove_row(database: Database, session: Session, file: File) -> str:
    """Remove a file's row with its documents and jobs; return the hash whose blob may now be unused."""
    documents.remove(database, session, Document.file_id == file.id)
    session.delete(file)  # Its vector-store files go by ON DELETE CASCADE.
    return file.sha256


def delete_blob_if_unused(database: Database, blobs: BlobStore, sha256: str) -> bool:
    """Delete the blob unless a file needs it. A crash in here leaves an unused blob, which `sweep` finds."""
    with database.write() as session:
        database.lock(session, sha256)
        if session.scalar(select(File.id).where(File.sha256 == sha256).limit(1)) is not None:
            return False
        blobs.delete(sha256)
        return True


def sweep(database: Database, blobs: BlobStore, *, min_age_s: float = SWEEP_MIN_AGE_S) -> int:
    """Delete blobs that no file needs and that are older than `min_age_s`; return how many."""
    with database.read() as session:
        used = set(session.scalars(select(File.sha256)))
    candidates = [sha for sha, age_s in blobs.names() if sha not in used and age_s >= min_age_s]
    blobs.clear_stale_staging()
    return sum(delete_blob_if_unused(database, blobs, sha) for sha in candidates)


def names(session: Session, file_ids: Sequence[str]) -> dict[str, str]:
    """Return the file names by id."""
    rows = session.execute(select(File.id, File.filename).where(File.id.in_(file_ids)))
    return {row.id: row.filename for row in rows}

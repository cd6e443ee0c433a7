"""Uploaded files: rows and their blobs, which come and go together."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from catalog import archives, documents
from catalog.blobs import BlobStore, StagedBlob
from catalog.database import Database, portions
from catalog.errors import NotFound
from catalog.ids import FILE, new_id
from catalog.models import Document, File, UploadPart
from catalog.paging import Page, PageRequest, fetch_page

# Blobs younger than this may belong to an upload whose row is not committed yet.
SWEEP_MIN_AGE_S = 3600.0
# Blobs that one transaction deletes: on SQLite nobody else can write meanwhile.
_BLOBS_TOGETHER = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFile:
    project_id: str
    filename: str
    purpose: str
    expires_at: float | None = None
    # Seconds from its creation on, in place of `expires_at`.
    lifetime_s: float | None = None
    # The API key that brings it.
    uploaded_by: str | None = None


class HasBytes(Protocol):
    """What is stored, or will be, under the hash of its bytes."""

    @property
    def sha256(self) -> str: ...

    @property
    def bytes(self) -> int: ...


def add(database: Database, blobs: BlobStore, blob: StagedBlob, new: NewFile) -> File:
    """Store a staged blob and its row; when this returns, neither a crash nor a power cut loses them."""
    with database.write() as session:
        return insert(database, session, blobs, blob, new)


def insert(database: Database, session: Session, blobs: BlobStore, blob: StagedBlob, new: NewFile) -> File:
    """Like `add`, as part of a larger transaction.

    The blob gets its name inside the transaction, under a lock that deletion takes too: so a deletion of the last
    file with the same bytes cannot remove the blob from under this row.
    """
    (file,) = insert_rows(database, session, [(blob, new)])
    blobs.store(blob)
    return file


def insert_rows(database: Database, session: Session, new: Sequence[tuple[HasBytes, NewFile]]) -> list[File]:
    """Insert the rows of files, and lock their bytes until the transaction ends: before that, these must be stored."""
    # In order: transactions that lock several in another one could wait for each other.
    for sha256 in sorted({content.sha256 for content, _ in new}):
        database.lock(session, sha256)
    files = [_row(content, one) for content, one in new]
    session.add_all(files)
    session.flush()
    return files


def _row(content: HasBytes, new: NewFile) -> File:
    now = time.time()
    return File(
        id=new_id(FILE),
        project_id=new.project_id,
        filename=new.filename,
        purpose=new.purpose,
        bytes=content.bytes,
        sha256=content.sha256,
        created_at=now,
        expires_at=new.expires_at if new.lifetime_s is None else now + new.lifetime_s,
        uploaded_by=new.uploaded_by,
    )


def get(session: Session, project_id: str, file_id: str) -> File:
    """Raises NotFound, also for another project's file."""
    file = session.get(File, file_id)
    if file is None or file.project_id != project_id:
        raise missing(file_id)
    return file


def get_all(session: Session, project_id: str, file_ids: Sequence[str]) -> dict[str, File]:
    """Return files by id. Raises NotFound, also for another project's file."""
    found = {}
    for ids in portions(file_ids):
        query = select(File).where(File.id.in_(ids), File.project_id == project_id)
        found.update({file.id: file for file in session.scalars(query)})
    for file_id in file_ids:
        if file_id not in found:
            raise missing(file_id)
    return found


def missing(file_id: str) -> NotFound:
    """Return the error for a file that does not exist, or not for the caller."""
    return NotFound(f"No such File object: {file_id!r}.", param="file_id")


def list_page(
    session: Session,
    project_id: str,
    request: PageRequest,
    *,
    purpose: str | None = None,
    where: ColumnElement[bool] | None = None,
) -> Page[File]:
    """Return a page of a project's files, or of those that `where` admits."""
    seen = select(File).where(File.project_id == project_id, *([] if where is None else [where]))
    query = seen
    if purpose is not None:
        query = query.where(File.purpose == purpose)

    def locate(cursor: str) -> tuple[float, str] | None:
        file = session.scalar(seen.where(File.id == cursor))
        return (file.created_at, file.id) if file else None

    return fetch_page(session, query, request, keys=(File.created_at, File.id), locate=locate)


def delete(database: Database, blobs: BlobStore, project_id: str, file_id: str) -> None:
    """Remove the file from every store, its row, and its blob if no other file has the same bytes.

    What was unpacked from it goes with it.
    """
    with database.write() as session:
        hashes = remove_row(database, session, get(session, project_id, file_id))
    delete_unused_blobs(database, blobs, hashes)


def remove_row(database: Database, session: Session, file: File) -> set[str]:
    """Remove a file's row and those of an archive's members, with documents and jobs.

    Return the hashes whose blobs may now be unused.
    """
    levels = archives.lock_levels(session, file.id)
    for ids in portions([file_id for level in levels for file_id in level]):
        documents.remove(database, session, Document.file_id.in_(ids))
    return archives.delete_rows(session, levels)


def delete_unused_blobs(database: Database, blobs: BlobStore, hashes: Iterable[str]) -> int:
    """Delete those of the blobs that no file needs; return how many.

    A crash in here leaves unused blobs, which `sweep` finds.
    """
    # In order: transactions that lock several in another one could wait for each other.
    ordered = sorted(set(hashes))
    deleted = 0
    for first in range(0, len(ordered), _BLOBS_TOGETHER):
        group = ordered[first : first + _BLOBS_TOGETHER]
        with database.write(is_effect=False) as session:
            for sha256 in group:
                database.lock(session, sha256)
            used = used_hashes(session, among=group)
            for sha256 in used.symmetric_difference(group):
                blobs.delete(sha256)
                deleted += 1
    return deleted


def used_hashes(session: Session, *, among: Sequence[str] | None = None) -> set[str]:
    """Return the hashes of the bytes that a file or a part of an upload has: all, or those `among` the given ones."""
    columns = (File.sha256, UploadPart.sha256)
    queries = [select(column) if among is None else select(column).where(column.in_(among)) for column in columns]
    return {sha256 for query in queries for sha256 in session.scalars(query)}


def sweep(database: Database, blobs: BlobStore, *, min_age_s: float = SWEEP_MIN_AGE_S) -> int:
    """Delete blobs that no file needs and that are older than `min_age_s`; return how many."""
    with database.read() as session:
        used = used_hashes(session)
    candidates = [sha for sha, age_s in blobs.names() if sha not in used and age_s >= min_age_s]
    blobs.clear_stale_staging()
    return delete_unused_blobs(database, blobs, candidates)


def names(session: Session, file_ids: Sequence[str]) -> dict[str, str]:
    """Return the file names by id."""
    rows = session.execute(select(File.id, File.filename).where(File.id.in_(file_ids)))
    return {row.id: row.filename for row in rows}

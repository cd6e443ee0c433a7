"""Entries of a vector store that came from a source, known by their path below its root.

Members of archives are no entries of a source: they come and go with their archive.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from catalog import archives, documents
from catalog.database import Database
from catalog.errors import Conflict
from catalog.models import ArchiveMember, Document, File, JobStatus, VectorStore, VectorStoreFile

# Metadata of a store: the source that every entry with a path came from. Absent when they came from several.
METADATA_KEY: Final = "footnote_source"
# States in which a document whose bytes are the same is tried once more.
ENDED_BADLY: Final = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownDocument:
    """The newest entry of a path."""

    entry_id: int
    path: str
    file_id: str
    filename: str
    sha256: str
    # What the source called these bytes.
    version: str | None
    status: JobStatus
    # Of an archive: whether something that was unpacked from it has failed.
    has_failed_members: bool = False


class Newest(NamedTuple):
    """The newest entry of a path, as rows that can be changed."""

    entry: VectorStoreFile
    file: File


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentState:
    """How far the newest entry of a path is."""

    status: JobStatus
    # Why it failed, or why the last try did.
    error: str | None
    # Of the published document; None without one, or where the format has no pages.
    pages: int | None
    pages_read: int | None
    chunks: int | None
    warnings: Sequence[str]


def known(session: Session, store_id: str) -> dict[str, KnownDocument]:
    """Return the newest entry of each path of a store, in one query."""
    query = (
        select(
            VectorStoreFile.id,
            VectorStoreFile.source,
            VectorStoreFile.file_id,
            File.filename,
            File.sha256,
            VectorStoreFile.source_version,
            VectorStoreFile.status,
        )
        .join(File, File.id == VectorStoreFile.file_id)
        .where(*_has_path(store_id))
        .order_by(VectorStoreFile.id)
    )
    found = {str(row.source): _known(row) for row in session.execute(query)}
    for source in session.scalars(select(VectorStoreFile.source).where(*_are_failed_members(store_id))):
        for end in re.finditer(archives.MEMBER_SEPARATOR, str(source)):
            if (archive := found.get(str(source)[: end.start()])) is not None:
                found[archive.path] = replace(archive, has_failed_members=True)
    return found


def failed_members(session: Session, entry: VectorStoreFile) -> list[VectorStoreFile]:
    """Return what was unpacked from an entry's file into the same store, and has failed."""
    inside = archives.entries_inside(session, entry)
    query = select(VectorStoreFile).where(*_are_failed_members(entry.vector_store_id))
    return [member for member in session.scalars(query) if member.id in inside]


def newest(session: Session, store_id: str, path: str) -> Newest | None:
    """Return the newest entry of a path, or None."""
    return newest_of(session, store_id, [path]).get(path)


def newest_of(session: Session, store_id: str, paths: Sequence[str]) -> dict[str, Newest]:
    """Return the newest entry of each of these paths that has one."""
    query = (
        select(VectorStoreFile, File)
        .join(File, File.id == VectorStoreFile.file_id)
        .where(VectorStoreFile.id.in_(newest_ids(session, store_id, paths).values()))
    )
    return {str(entry.source): Newest(entry, file) for entry, file in session.execute(query)}


def newest_ids(session: Session, store_id: str, paths: Sequence[str]) -> dict[str, int]:
    """Return the id of the newest entry of each of these paths that has one."""
    query = (
        select(VectorStoreFile.source, func.max(VectorStoreFile.id))
        .where(*_has_path(store_id), VectorStoreFile.source.in_(paths))
        .group_by(VectorStoreFile.source)
    )
    return {str(path): entry_id for path, entry_id in session.execute(query)}


def lock(database: Database, session: Session, store_id: str) -> None:
    """Until the transaction ends, keep waiting every other one that changes which paths the store has."""
    database.lock(session, f"footnote.sources.{store_id}")


def note_versions(session: Session, versions: Mapping[int, str]) -> None:
    """Note for entries, by id, what the source calls the bytes that they have."""
    # Not by the session, which would insist that every entry is still there.
    change = update(VectorStoreFile).where(VectorStoreFile.id == bindparam("entry"))
    change = change.values(source_version=bindparam("version"))
    session.connection().execute(change, [{"entry": entry, "version": version} for entry, version in versions.items()])


def rename(session: Session, store_id: str, old: str, new: str, *, version: str | None) -> None:
    """Give all entries of a path another one; members of an archive at that path follow."""
    for entry in _of_paths(session, store_id, [old]):
        entry.source, entry.source_version = new, version
        for member_id in archives.entries_inside(session, entry):
            member = session.get_one(VectorStoreFile, member_id)
            if member.source and member.source.startswith(old + archives.MEMBER_SEPARATOR):
                member.source = new + member.source.removeprefix(old)
    session.flush()


def remove(database: Database, session: Session, store_id: str, paths: Sequence[str]) -> set[str]:
    """Take the documents of these paths out of a store, older versions and members of archives included.

    Files that no store holds any more go too. Return the hashes whose blobs may now be unused.
    """
    return _remove(database, session, _of_paths(session, store_id, paths))


def withdraw(database: Database, session: Session, entry: VectorStoreFile) -> None:
    """Take out one entry whose bytes another file has too; a worker that holds its job can publish nothing."""
    _remove(database, session, [entry])


def _remove(database: Database, session: Session, entries: Sequence[VectorStoreFile]) -> set[str]:
    file_ids = list(dict.fromkeys(entry.file_id for entry in entries))
    ids = [entry.id for entry in entries]
    # Files before entries, in one order: as those lock them who unpack or delete an archive. Then no publication can
    # add members to an archive without being seen, or failing.
    session.execute(select(File.id).where(File.id.in_(file_ids)).order_by(File.id).with_for_update())
    locked = select(VectorStoreFile.id).where(VectorStoreFile.id.in_(ids)).order_by(VectorStoreFile.id)
    session.execute(locked.with_for_update())
    archive_ids = set(session.scalars(select(ArchiveMember.archive_id).where(ArchiveMember.archive_id.in_(file_ids))))
    for entry in entries:
        if entry.file_id in archive_ids:
            ids += archives.entries_inside(session, entry)
    documents.remove_entries(database, session, ids)
    return archives.delete_unused(session, file_ids)


def check_origin(store: VectorStore, url: str, *, has_documents: bool) -> None:
    """Raises Conflict when the store follows another source than `url`, or has documents of several."""
    followed = store.metadata_.get(METADATA_KEY)
    if followed == url or (followed is None and not has_documents):
        return
    origin = f"follows {followed!r}" if followed else "holds documents of other folders or sources"
    raise Conflict(
        f"Vector store {store.name!r} ({store.id}) {origin}: made equal to {url!r}, it would lose what is not there. "
        "Name another store with --store, or say --adopt if this is to be its source from now on."
    )


def note_origin(store: VectorStore, url: str, *, has_others: bool) -> None:
    """Note whether all documents with a path come from the source `url`, or some from others (`has_others`)."""
    followed = store.metadata_.get(METADATA_KEY)
    if has_others and followed != url:
        store.metadata_ = {key: value for key, value in store.metadata_.items() if key != METADATA_KEY}
    else:
        store.metadata_ = {**store.metadata_, METADATA_KEY: url}


def unfinished(session: Session, store_id: str) -> dict[int, tuple[int, float]]:
    """Return bytes and the share done of what is still to be processed, members of archives included, by entry."""
    query = select(VectorStoreFile.id, VectorStoreFile.bytes, VectorStoreFile.progress).where(
        VectorStoreFile.vector_store_id == store_id,
        VectorStoreFile.source.is_not(None),
        VectorStoreFile.status == JobStatus.IN_PROGRESS,
    )
    return {entry_id: (size, progress) for entry_id, size, progress in session.execute(query)}


def states(session: Session, store_id: str) -> dict[str, DocumentState]:
    """Return how far the newest entry of each path is, members of archives included, in one query."""
    query = (
        select(
            VectorStoreFile.source,
            VectorStoreFile.status,
            VectorStoreFile.error_message,
            Document.pages,
            Document.pages_read,
            Document.chunk_count,
            Document.warnings,
        )
        .outerjoin(Document, Document.vector_store_file_id == VectorStoreFile.id)
        .where(VectorStoreFile.vector_store_id == store_id, VectorStoreFile.source.is_not(None))
        .order_by(VectorStoreFile.id)
    )
    return {
        str(row.source): DocumentState(
            status=JobStatus(row.status),
            error=row.error_message,
            pages=row.pages,
            pages_read=row.pages_read,
            chunks=row.chunk_count,
            warnings=row.warnings or [],
        )
        for row in session.execute(query)
    }


_MEMBER_IDS = select(ArchiveMember.file_id)


def _has_path(store_id: str) -> tuple[Any, ...]:
    return (
        VectorStoreFile.vector_store_id == store_id,
        VectorStoreFile.source.is_not(None),
        VectorStoreFile.file_id.not_in(_MEMBER_IDS),
    )


def _are_failed_members(store_id: str) -> tuple[Any, ...]:
    return (
        VectorStoreFile.vector_store_id == store_id,
        VectorStoreFile.source.is_not(None),
        VectorStoreFile.file_id.in_(_MEMBER_IDS),
        VectorStoreFile.status.in_(ENDED_BADLY),
    )


def _of_paths(session: Session, store_id: str, paths: Sequence[str]) -> list[VectorStoreFile]:
    query = select(VectorStoreFile).where(*_has_path(store_id), VectorStoreFile.source.in_(paths))
    return list(session.scalars(query.order_by(VectorStoreFile.id)))


def _known(row: Any) -> KnownDocument:
    return KnownDocument(
        entry_id=row.id,
        path=row.source,
        file_id=row.file_id,
        filename=row.filename,
        sha256=row.sha256,
        version=row.source_version,
        status=JobStatus(row.status),
    )

"""Vector stores and the files in them."""

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import delete as delete_rows
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from catalog import archives, documents, embeddings, feed, files, jobs
from catalog.database import Database, portions
from catalog.errors import InvalidRequest, NotFound
from catalog.ids import VECTOR_STORE, new_id
from catalog.models import Document, File, FileBatchEntry, JobStatus, VectorStore, VectorStoreFile
from catalog.paging import Page, PageRequest, fetch_page

# `last_active_at` of a searched store is written at most this often: else every search would be a write.
_LAST_ACTIVE_RESOLUTION_S: Final = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVectorStore:
    project_id: str
    name: str
    # Of the model that the process has open; where the catalog knows a current one it is that one's.
    embedding_identity: str
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    expires_after_days: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVectorStoreFile:
    file_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    chunking_strategy: Mapping[str, Any] = field(default_factory=lambda: {"type": "auto"})
    source: str | None = None
    source_version: str | None = None


def create(session: Session, new: NewVectorStore) -> VectorStore:
    now = time.time()
    store = VectorStore(
        id=new_id(VECTOR_STORE),
        project_id=new.project_id,
        name=new.name,
        description=new.description,
        metadata_=dict(new.metadata),
        created_at=now,
        last_active_at=now,
        expires_after_days=new.expires_after_days,
        embedding_identity=embeddings.identity_for_new(session, new.embedding_identity),
    )
    session.add(store)
    return store


def get(session: Session, project_id: str, store_id: str) -> VectorStore:
    """Raises NotFound, also for another project's store."""
    store = session.get(VectorStore, store_id)
    if store is None or store.project_id != project_id:
        raise missing(store_id)
    return store


def missing(store_id: str) -> NotFound:
    """Return the error for a store that does not exist, or not for the caller."""
    return NotFound(f"No such VectorStore object: {store_id!r}.", param="vector_store_id")


def find_by_name(session: Session, project_id: str, name: str) -> VectorStore | None:
    """Return the oldest store with this name."""
    query = select(VectorStore).where(VectorStore.project_id == project_id, VectorStore.name == name)
    return session.scalar(query.order_by(VectorStore.created_at).limit(1))


def ids_of_project(session: Session, project_id: str) -> list[str]:
    """Return the stores of a project that have not expired."""
    now = time.time()
    stores = session.scalars(select(VectorStore).where(VectorStore.project_id == project_id))
    return [store.id for store in stores if not store.is_expired(now)]


def list_page(
    session: Session, project_id: str, request: PageRequest, *, among: Collection[str] | None = None
) -> Page[VectorStore]:
    """Return a page of a project's stores, or of those `among` the given ids."""
    query = select(VectorStore).where(VectorStore.project_id == project_id)
    if among is not None:
        query = query.where(VectorStore.id.in_(among))

    def locate(cursor: str) -> tuple[float, str] | None:
        store = session.scalar(query.where(VectorStore.id == cursor))
        return (store.created_at, store.id) if store else None

    return fetch_page(session, query, request, keys=(VectorStore.created_at, VectorStore.id), locate=locate)


def delete(database: Database, session: Session, project_id: str, store_id: str) -> None:
    """Remove the store with its documents and jobs; the files themselves stay."""
    store = get(session, project_id, store_id)
    empty(database, session, store.id)
    session.delete(store)


def empty(database: Database, session: Session, store_id: str) -> None:
    """Take every file out of a store; the files themselves stay."""
    of_store = VectorStoreFile.vector_store_id == store_id
    # Before the feed, as a publication locks them.
    _lock(session, store_id)
    session.execute(select(VectorStoreFile.id).where(of_store).order_by(VectorStoreFile.id).with_for_update())
    documents.remove(database, session, Document.vector_store_id == store_id)
    session.execute(delete_rows(VectorStoreFile).where(of_store))


def file_counts(session: Session, store_ids: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return for each store how many of its files are in each JobStatus, and `total`."""
    counts = {store_id: {status.value: 0 for status in JobStatus} | {"total": 0} for store_id in store_ids}
    rows = session.execute(
        select(VectorStoreFile.vector_store_id, VectorStoreFile.status, func.count())
        .where(VectorStoreFile.vector_store_id.in_(counts))
        .group_by(VectorStoreFile.vector_store_id, VectorStoreFile.status)
    )
    for store_id, status, count in rows:
        counts[store_id][status] += count
        counts[store_id]["total"] += count
    return counts


def usage_bytes(session: Session, store_ids: Sequence[str]) -> dict[str, int]:
    """Return for each store the bytes of its published documents' files."""
    rows = session.execute(
        select(VectorStoreFile.vector_store_id, func.sum(VectorStoreFile.bytes))
        .where(VectorStoreFile.vector_store_id.in_(store_ids), VectorStoreFile.status == JobStatus.COMPLETED)
        .group_by(VectorStoreFile.vector_store_id)
    )
    found: dict[str, int] = {store_id: int(total) for store_id, total in rows}
    return {store_id: found.get(store_id, 0) for store_id in store_ids}


def attach(session: Session, store: VectorStore, new: NewVectorStoreFile) -> VectorStoreFile:
    """Put a file into a store: the row that this adds is the job. Attaching it again returns the same row.

    A file that failed before is tried again.
    """
    (entry,) = attach_all(session, store, [new])
    return entry


def attach_all(session: Session, store: VectorStore, new_files: Sequence[NewVectorStoreFile]) -> list[VectorStoreFile]:
    """Like `attach`, for several files: the first row is the oldest."""
    file_ids = [new.file_id for new in new_files]
    found = files.get_all(session, store.project_id, file_ids)
    _lock(session, store.id)
    entries: dict[str, VectorStoreFile] = {}
    for ids in portions(file_ids):
        query = select(VectorStoreFile).where(VectorStoreFile.vector_store_id == store.id)
        query = query.where(VectorStoreFile.file_id.in_(ids))
        entries.update({entry.file_id: entry for entry in session.scalars(query)})
    is_work = False
    now = time.time()
    for new in new_files:
        entry = entries.get(new.file_id)
        if entry is None:
            size = found[new.file_id].bytes
            entry = VectorStoreFile(vector_store_id=store.id, file_id=new.file_id, created_at=now, bytes=size)
            session.add(entry)
            entries[new.file_id] = entry
        elif entry.status in {JobStatus.IN_PROGRESS, JobStatus.COMPLETED}:
            continue
        entry.attributes = dict(new.attributes)
        entry.chunking_strategy = dict(new.chunking_strategy)
        entry.source = new.source
        entry.source_version = new.source_version
        _queue_again(entry)
        is_work = True
    if is_work:
        store.last_active_at = now
        session.flush()
        jobs.announce(session)
    return [entries[file_id] for file_id in file_ids]


def _lock(session: Session, store_id: str) -> None:
    """Until the transaction ends, keep every other one waiting that puts files into a store or deletes it."""
    session.execute(select(VectorStore.id).where(VectorStore.id == store_id).with_for_update(key_share=True))


def _queue_again(entry: VectorStoreFile) -> None:
    entry.status = JobStatus.IN_PROGRESS
    entry.error_code = entry.error_message = None
    entry.progress, entry.claims, entry.failures, entry.not_before = 0.0, 0, 0, 0.0
    entry.owner = entry.lease_until = entry.started_at = entry.ended_at = None


def get_file(session: Session, store: VectorStore, file_id: str) -> VectorStoreFile:
    query = select(VectorStoreFile).where(
        VectorStoreFile.vector_store_id == store.id, VectorStoreFile.file_id == file_id
    )
    entry = session.scalar(query)
    if entry is None:
        raise missing_file(store.id, file_id)
    return entry


def missing_file(store_id: str, file_id: str) -> NotFound:
    """Return the error for a file that is not in a store, or not for the caller."""
    return NotFound(f"No file {file_id!r} in vector store {store_id!r}.", param="file_id")


def list_files(
    session: Session,
    store: VectorStore,
    request: PageRequest,
    *,
    status: JobStatus | None = None,
    batch_id: str | None = None,
) -> Page[VectorStoreFile]:
    """Return a page of the files of a store, or of one batch of it, newest first unless the request says otherwise."""

    def locate(cursor: str) -> tuple[float, int] | None:
        found = session.execute(
            select(VectorStoreFile.created_at, VectorStoreFile.id).where(
                VectorStoreFile.vector_store_id == store.id, VectorStoreFile.file_id == cursor
            )
        ).first()
        return (found[0], found[1]) if found else None

    query = select(VectorStoreFile).where(VectorStoreFile.vector_store_id == store.id)
    if status is not None:
        query = query.where(VectorStoreFile.status == status)
    if batch_id is not None:
        query = query.join(FileBatchEntry, FileBatchEntry.vector_store_file_id == VectorStoreFile.id)
        query = query.where(FileBatchEntry.batch_id == batch_id)
    return fetch_page(session, query, request, keys=(VectorStoreFile.created_at, VectorStoreFile.id), locate=locate)


def sources(session: Session, store: VectorStore) -> dict[str, tuple[VectorStoreFile, File]]:
    """Return the newest entry, with its file, for each `source` path of the store."""
    rows = session.execute(
        select(VectorStoreFile, File)
        .join(File, File.id == VectorStoreFile.file_id)
        .where(VectorStoreFile.vector_store_id == store.id, VectorStoreFile.source.is_not(None))
        .order_by(VectorStoreFile.id)
    )
    return {str(entry.source): (entry, file) for entry, file in rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class Usable:
    """Stores that can be searched and added to."""

    # Those whose use has to be noted.
    unnoted: Sequence[str]
    # The Unix time until which all this holds in the same state of the catalog.
    until: float


def check_usable(session: Session, store_ids: Iterable[str], identity: str) -> Usable:
    """Check that these stores can be searched and added to.

    `identity`: key of the embedding model in use. Raises ModelReplaced when it is not the current one any more,
    IndexIncompatible for a store with vectors of another one, InvalidRequest for an expired store.
    """
    now = time.time()
    unnoted, until = [], math.inf
    found = (
        store
        for some in portions(list(store_ids))
        for store in session.scalars(select(VectorStore).where(VectorStore.id.in_(some)))
    )
    for store in found:
        if store.embedding_identity != identity:
            raise embeddings.mismatch(session, store, identity)
        if store.is_expired(now):
            raise InvalidRequest(f"Vector store {store.id!r} ({store.name}) has expired.", param="vector_store_ids")
        if store.expires_at is not None:
            due = store.last_active_at + _LAST_ACTIVE_RESOLUTION_S
            until = min(until, store.expires_at, due)
            if due < now:
                unnoted.append(store.id)
    return Usable(unnoted=unnoted, until=until)


def note_use(database: Database, store_ids: Sequence[str]) -> None:
    """Put off the expiry of stores that were just searched: those that `check_usable` named, once an hour each."""
    if store_ids:
        with database.write(is_effect=False) as session:
            used = update(VectorStore).where(VectorStore.id.in_(store_ids))
            session.execute(used.values(last_active_at=time.time()))


def failures(session: Session, store: VectorStore) -> list[tuple[str, str]]:
    """Return file name and reason of every file of the store that failed."""
    rows = session.execute(
        select(File.filename, VectorStoreFile.error_message)
        .join(File, File.id == VectorStoreFile.file_id)
        .where(VectorStoreFile.vector_store_id == store.id, VectorStoreFile.status == JobStatus.FAILED)
        .order_by(VectorStoreFile.id)
    )
    return [(filename, str(message)) for filename, message in rows]


def set_attributes(database: Database, session: Session, entry: VectorStoreFile, attributes: Mapping[str, Any]) -> None:
    """Replace the attributes of a file in its store; the next search filters by the new ones."""
    entry.attributes = dict(attributes)
    document_id = session.scalar(select(Document.id).where(Document.vector_store_file_id == entry.id))
    if document_id is not None:
        feed.record(database, session, [document_id])


def detach(database: Database, session: Session, entry: VectorStoreFile) -> None:
    """Take a file out of a store, with what was unpacked from it: documents go at once, files stay."""
    entries = [entry.id, *archives.entries_inside(session, entry)]
    documents.remove_entries(database, session, entries)

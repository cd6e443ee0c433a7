"""Publishing documents: all chunks at once, what they replace in the same transaction."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, and_, exists, insert, literal, or_, select, update
from sqlalchemy.orm import Session, aliased

from catalog import archives, documents, embeddings, feed, jobs
from catalog.database import Database
from catalog.ids import new_document_number
from catalog.jobs import Job
from catalog.models import (
    ArchiveMember,
    Chunk,
    Document,
    DocumentEmbedding,
    File,
    JobStatus,
    VectorStore,
    VectorStoreFile,
)

# Chunks that are written in one statement: bounds the memory that publishing a large document needs.
_INSERT_CHUNKS: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkRecord:
    """A chunk before it has a number. Field by field the columns of `Chunk`."""

    start: int
    end: int
    text: str
    context: str
    page: int | None
    box: tuple[float, float, float, float] | None
    tokens: int
    # float16, shape (windows, dimension), L2 norm 1.
    vectors: NDArray[np.float16]
    embedding_key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentRecord:
    """A document before it is published. Field by field the columns of `Document`."""

    title: str | None
    media_type: str
    text: str
    pages: int | None
    pages_read: int | None
    # (page, start, end) for each page with text.
    page_spans: Sequence[tuple[int, int, int]]
    warnings: Sequence[str]
    content_key: str
    # EmbeddingIdentity.key of the model that made the vectors.
    embedding_identity: str
    chunk_count: int
    # In order; read once, so that they need not be in memory together.
    chunks: Iterable[ChunkRecord]
    # Of an archive: the files that were unpacked from it, which are queued when it is published.
    members: Sequence[str] = ()


def publish(database: Database, job: Job, record: DocumentRecord) -> int:
    """Like `publish_all`, for one document; return its id. Raises LeaseLost, and then nothing is written."""
    published = publish_all(database, [(job, record)])
    if job.id not in published:
        raise jobs.lost(job)
    return published[job.id]


def publish_all(database: Database, works: Sequence[tuple[Job, DocumentRecord]]) -> dict[int, int]:
    """Make documents and all their chunks visible in one transaction, and end their jobs; return their ids by job.

    The previous generations go in the same transaction, and so do older files of the same sources: a search sees the
    old texts or the new ones, never a mixture. A job that another worker claimed, or that was cancelled or deleted, is
    left out: nothing is written for it. Any other error undoes all: also ModelReplaced or IndexIncompatible, when a
    store has another model meanwhile.

    An archive, or what was unpacked from one, is published alone: such transactions lock files level by level, which
    agrees with one that locks the files of several levels at once in no order.
    """
    with database.write() as session:
        older = _complete(session, [(job, record.members) for job, record in works])
        held = [(job, record) for job, record in works if job.id in older]
        documents.remove(database, session, Document.vector_store_file_id.in_(list(older)))
        published = _insert(session, held)
        for job, record in held:
            _remove_older(database, session, job, older[job.id])
            archives.queue(session, job, record.members)
        feed.record(database, session, published.values())
        # Behind the feed, which whoever switches the model takes too.
        _check_models(session, held)
        return published


def _check_models(session: Session, works: Sequence[tuple[Job, DocumentRecord]]) -> None:
    wanted = {job.vector_store_id: record.embedding_identity for job, record in works}
    for store in session.scalars(select(VectorStore).where(VectorStore.id.in_(wanted))):
        if store.embedding_identity != wanted[store.id]:
            raise embeddings.mismatch(session, store, wanted[store.id])


def originals(session: Session, content_keys: Iterable[str]) -> set[str]:
    """Return those of the content keys that `publish_copy` may find a document for."""
    query = select(Document.content_key).where(Document.content_key.in_(list(content_keys)), _can_be_copied())
    return set(session.scalars(query))


def publish_copy(database: Database, job: Job, content_key: str) -> int | None:
    """Like `publish`, with a copy of a published document that has this content key; None when there is none."""
    equal = (
        Document.content_key == content_key,
        Document.vector_store_file_id != job.id,
        _can_be_copied(),
        _has_vectors_for(job),
    )
    with suppress(_NothingToCopy), database.write() as session:
        older = _complete(session, [(job, ())])
        if not older:
            raise jobs.lost(job)
        documents.remove(database, session, Document.vector_store_file_id == job.id)
        # Who removes a document has the feed: with it in hand nobody can take the original between row and chunks.
        feed.lock(database, session)
        original = session.scalar(select(Document.id).where(*equal).limit(1))
        if original is None:
            raise _NothingToCopy
        document_id = _insert_copy(session, job, original)
        _remove_older(database, session, job, older[job.id])
        feed.record(database, session, [document_id])
        return document_id
    return None


def _can_be_copied() -> ColumnElement[bool]:
    # One with unread pages is read again: OCR may have been installed meanwhile.
    return or_(Document.pages.is_(None), Document.pages_read == Document.pages)


def _has_vectors_for(job: Job) -> ColumnElement[bool]:
    """Condition for documents whose chunks' own vectors are of the model of the job's store."""
    model = select(VectorStore.embedding_identity).where(VectorStore.id == job.vector_store_id).scalar_subquery()
    return exists().where(
        DocumentEmbedding.document_id == Document.id, DocumentEmbedding.in_chunks, DocumentEmbedding.identity == model
    )


class _NothingToCopy(Exception):
    """The document was removed since it was seen. Undoes the transaction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Older:
    """What a publication replaces, all locked."""

    file_ids: Sequence[str]
    entry_ids: Sequence[int]


def _complete(session: Session, works: Sequence[tuple[Job, Sequence[str]]]) -> dict[int, _Older]:
    """End those of the jobs that are still held; return for each of these, by id, the older versions of its source.

    With each job the files that were unpacked from its own: those of an older version that they replace stay until
    then. Locks in the order of every removal: files, their entries, the same for members of archives, and then the
    feed.
    """
    older = _older_versions(session, [job.id for job, _ in works if job.source is not None])
    file_ids = [*(job.file_id for job, _ in works), *(row.file_id for row in older)]
    session.execute(select(File.id).where(File.id.in_(file_ids)).order_by(File.id).with_for_update())
    entry_ids = [*(job.id for job, _ in works), *(row.entry_id for row in older)]
    entries = select(VectorStoreFile.id).where(VectorStoreFile.id.in_(entry_ids)).order_by(VectorStoreFile.id)
    locked = set(session.scalars(entries.with_for_update()))
    ended = _end(session, [job for job, _ in works])
    replaced: dict[int, _Older] = {}
    for job, members in works:
        if job.id in ended:
            # One that was deleted meanwhile could not be locked.
            there = [row for row in older if row.job_id == job.id and row.entry_id in locked]
            files = [row.file_id for row in there]
            inside = archives.superseded(session, job, files, members) if files else []
            replaced[job.id] = _Older(file_ids=files, entry_ids=[*(row.entry_id for row in there), *inside])
    return replaced


class _OlderVersion(NamedTuple):
    job_id: int
    entry_id: int
    file_id: str


def _older_versions(session: Session, job_ids: Sequence[int]) -> list[_OlderVersion]:
    """Return the older entries of the same sources as those of these jobs, oldest first."""
    if not job_ids:
        return []
    own = aliased(VectorStoreFile)
    rows = session.execute(
        select(own.id, VectorStoreFile.id, VectorStoreFile.file_id)
        .join(own, and_(VectorStoreFile.vector_store_id == own.vector_store_id, VectorStoreFile.source == own.source))
        # A file of a folder may have the name of a member of an archive: neither replaces the other.
        .where(own.id.in_(job_ids), VectorStoreFile.id < own.id, _is_member(VectorStoreFile) == _is_member(own))
        .order_by(VectorStoreFile.id)
    )
    return [_OlderVersion(*row) for row in rows]


def _is_member(entry: type[VectorStoreFile]) -> ColumnElement[bool]:
    return exists().where(ArchiveMember.file_id == entry.file_id)


def _remove_older(database: Database, session: Session, job: Job, older: _Older) -> None:
    documents.remove_entries(database, session, older.entry_ids)
    # Their bytes came from the folder, like the new ones: a file that no store holds any more goes too.
    archives.delete_unused(session, older.file_ids, heir=job.file_id)


def _end(session: Session, works: Sequence[Job]) -> set[int]:
    """End the jobs that are still held; return their ids."""
    done = session.scalars(
        update(VectorStoreFile)
        .where(*jobs.held(works))
        .values(
            status=JobStatus.COMPLETED,
            progress=1.0,
            error_message=None,
            owner=None,
            lease_until=None,
            ended_at=time.time(),
        )
        .returning(VectorStoreFile.id)
        .execution_options(synchronize_session=False)
    )
    return set(done)


def _insert(session: Session, works: Sequence[tuple[Job, DocumentRecord]]) -> dict[int, int]:
    """Return the numbers of the new documents, by job."""
    numbers = {job.id: new_document_number() for job, _ in works}
    for some in _batched(_document_row(numbers[job.id], job, record) for job, record in works):
        session.execute(insert(Document), some)
    chunks = (
        _chunk_row(numbers[job.id], ordinal, chunk)
        for job, record in works
        for ordinal, chunk in enumerate(record.chunks)
    )
    for some in _batched(chunks):
        session.execute(insert(Chunk), some)
    marks = (
        {"document_id": numbers[job.id], "identity": record.embedding_identity, "in_chunks": True}
        for job, record in works
    )
    for some in _batched(marks):
        session.execute(insert(DocumentEmbedding), some)
    return numbers


def _document_row(number: int, job: Job, record: DocumentRecord) -> dict[str, Any]:
    return {
        "id": number,
        **_place(job),
        "title": record.title,
        "media_type": record.media_type,
        "text": record.text,
        "characters": len(record.text),
        "chunk_count": record.chunk_count,
        "pages": record.pages,
        "pages_read": record.pages_read,
        "page_spans": [list(span) for span in record.page_spans],
        "warnings": list(record.warnings),
        "content_key": record.content_key,
        "created_at": time.time(),
    }


def _insert_copy(session: Session, job: Job, original_id: int) -> int:
    """Copy a document inside the database; its chunks keep their order."""
    own = {"id": new_document_number(), **_place(job), "created_at": time.time()}
    shared = [column for column in Document.__table__.columns if column.name not in own]
    values = [literal(value, Document.__table__.columns[name].type) for name, value in own.items()]
    session.execute(
        insert(Document).from_select(
            [*own, *(column.name for column in shared)],
            select(*values, *shared).where(Document.id == original_id),
        )
    )
    kept = [column for column in Chunk.__table__.columns if column.name not in {"id", "document_id"}]
    session.execute(
        insert(Chunk).from_select(
            ["document_id", *(column.name for column in kept)],
            select(literal(own["id"]), *kept).where(Chunk.document_id == original_id).order_by(Chunk.ordinal),
        )
    )
    of_original = (DocumentEmbedding.document_id == original_id, DocumentEmbedding.in_chunks)
    identity = session.scalars(select(DocumentEmbedding.identity).where(*of_original)).one()
    session.add(DocumentEmbedding(document_id=own["id"], identity=identity, in_chunks=True))
    return int(own["id"])


def _place(job: Job) -> dict[str, Any]:
    return {"vector_store_file_id": job.id, "vector_store_id": job.vector_store_id, "file_id": job.file_id}


def _batched(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while batch := list(islice(rows, _INSERT_CHUNKS)):
        yield batch


def _chunk_row(document_id: int, ordinal: int, chunk: ChunkRecord) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "ordinal": ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "context": chunk.context,
        "page": chunk.page,
        "box": list(chunk.box) if chunk.box else None,
        "tokens": chunk.tokens,
        "windows": len(chunk.vectors),
        "vectors": np.ascontiguousarray(chunk.vectors, dtype=np.float16).tobytes(),
        "embedding_key": chunk.embedding_key,
    }

"""Published documents: publishing, reading, removing."""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Row, and_, bindparam, delete, exists, func, insert, literal, or_, select, update
from sqlalchemy.orm import Session, aliased, undefer

from catalog import archives, embeddings, feed, jobs
from catalog.database import Database, portions
from catalog.errors import NotFound
from catalog.ids import new_document_number
from catalog.jobs import Job
from catalog.models import (
    ArchiveMember,
    Chunk,
    ChunkVectors,
    Document,
    DocumentEmbedding,
    File,
    JobStatus,
    VectorStore,
    VectorStoreFile,
)

# Chunks that are written in one statement: bounds the memory that publishing a large document needs.
_INSERT_CHUNKS: Final = 500
# Texts of whole documents that are in memory at once.
_TEXTS: Final = 8


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
        remove(database, session, Document.vector_store_file_id.in_(list(older)))
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
        remove(database, session, Document.vector_store_file_id == job.id)
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
    remove_entries(database, session, older.entry_ids)
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


def remove(database: Database, session: Session, where: ColumnElement[bool]) -> int:
    """Delete documents with their chunks and announce it; return how many."""
    ids = list(session.scalars(select(Document.id).where(where)))
    feed.record(database, session, ids)
    for some in portions(ids):
        session.execute(delete(Chunk).where(Chunk.document_id.in_(some)))
        session.execute(delete(Document).where(Document.id.in_(some)))
    return len(ids)


def remove_entries(database: Database, session: Session, entry_ids: Sequence[int]) -> None:
    """Delete entries of stores with their documents."""
    for ids in portions(entry_ids):
        remove(database, session, Document.vector_store_file_id.in_(ids))
        session.execute(delete(VectorStoreFile).where(VectorStoreFile.id.in_(ids)))


def known_vectors(session: Session, embedding_keys: Iterable[str]) -> dict[str, NDArray[np.float16]]:
    """Return the vectors of texts that some published chunk has embedded already, by embedding key."""
    keys, found = list(dict.fromkeys(embedding_keys)), {}
    for some in portions(keys):
        query = select(Chunk).where(Chunk.embedding_key.in_(some)).options(undefer(Chunk.vectors))
        beside = select(ChunkVectors).where(ChunkVectors.embedding_key.in_(some))
        for chunk in (*session.scalars(query), *session.scalars(beside)):
            found[chunk.embedding_key] = feed.vectors_of(chunk)
    return found


def of_entries(session: Session, entry_ids: Iterable[int]) -> dict[int, Document]:
    """Return the current document of each vector-store file that has one, without its text."""
    query = select(Document).where(Document.vector_store_file_id.in_(list(entry_ids)))
    return {document.vector_store_file_id: document for document in session.scalars(query)}


def is_published(session: Session, file_id: str) -> bool:
    """Whether a file has a document in some store."""
    return bool(session.scalar(select(exists().where(Document.file_id == file_id))))


def texts(session: Session, project_id: str) -> Iterator[tuple[str, str]]:
    """Yield file name and stored text of every document of a project, a few at a time."""
    query = (
        select(File.filename, Document.text)
        .join(Document, Document.file_id == File.id)
        .where(File.project_id == project_id)
        .order_by(File.filename, Document.id)
    )
    for row in session.execute(query.execution_options(yield_per=_TEXTS)):
        yield row.filename, row.text


def text_range(session: Session, document_id: int, start: int, end: int) -> str | None:
    """Re-read characters [start, end) of the stored text; None when the document is gone."""
    return session.scalar(select(func.substr(Document.text, start + 1, end - start)).where(Document.id == document_id))


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredChunk:
    """A chunk as searches and citations need it."""

    chunk_id: int
    document_id: int
    vector_store_id: str
    file_id: str
    filename: str
    title: str | None
    attributes: dict[str, Any]
    # When this version of the document was published, in Unix seconds.
    created_at: float
    ordinal: int
    start: int
    end: int
    text: str
    context: str
    page: int | None
    box: tuple[float, float, float, float] | None
    # (page, start, end) of the whole document: a span inside the chunk may lie on a later page than `page`.
    page_spans: Sequence[tuple[int, int, int]]


# The fields of StoredChunk that a chunk has of its own, and those that its document gives it.
_CHUNKS: Final = select(
    Chunk.id.label("chunk_id"),
    Chunk.document_id,
    Chunk.ordinal,
    Chunk.start,
    Chunk.end,
    Chunk.text,
    Chunk.context,
    Chunk.page,
    Chunk.box,
).where(Chunk.id.in_(bindparam("ids", expanding=True)))
_HEADS: Final = (
    select(
        Document.id.label("document_id"),
        Document.vector_store_id,
        Document.file_id,
        File.filename,
        Document.title,
        VectorStoreFile.attributes,
        Document.created_at,
        Document.page_spans,
    )
    .join(VectorStoreFile, VectorStoreFile.id == Document.vector_store_file_id)
    .join(File, File.id == Document.file_id)
    .where(Document.id.in_(bindparam("ids", expanding=True)))
)


def load_chunks(session: Session, chunk_ids: Sequence[int]) -> dict[int, StoredChunk]:
    """Return the chunks that still exist among `chunk_ids`, by number."""
    # Plain rows, and what chunks of one document share only once: objects of the mapped classes take three times as
    # long, and every search waits for this.
    chunks = session.execute(_CHUNKS, {"ids": list(chunk_ids)}).all()
    heads = session.execute(_HEADS, {"ids": list({chunk.document_id for chunk in chunks})}).all()
    shared = {head.document_id: _shared(head) for head in heads}
    return {
        chunk.chunk_id: StoredChunk(**{**chunk._mapping, **shared[chunk.document_id], "box": _box(chunk.box)})
        for chunk in chunks
        if chunk.document_id in shared
    }


def load_neighbours(session: Session, chunk_ids: Sequence[int]) -> dict[int, list[StoredChunk]]:
    """Return what stands directly before and after chunks in their documents, in that order, by the chunks' numbers."""
    near = aliased(Chunk)
    pairs = session.execute(
        select(Chunk.id, near.id)
        .join(near, and_(near.document_id == Chunk.document_id, func.abs(near.ordinal - Chunk.ordinal) == 1))
        .where(Chunk.id.in_(chunk_ids))
        .order_by(near.ordinal)
    ).all()
    chunks = load_chunks(session, list({neighbour for _, neighbour in pairs}))
    found: dict[int, list[StoredChunk]] = {}
    for chunk_id, neighbour in pairs:
        if neighbour in chunks:
            found.setdefault(chunk_id, []).append(chunks[neighbour])
    return found


def _shared(head: Row[Any]) -> dict[str, Any]:
    return {**head._mapping, "page_spans": [(page, start, end) for page, start, end in head.page_spans]}


def _box(stored: Sequence[float] | None) -> tuple[float, float, float, float] | None:
    return (stored[0], stored[1], stored[2], stored[3]) if stored else None


def load_vectors(session: Session, chunk_ids: Sequence[int], *, identity: str) -> dict[int, NDArray[np.float32]]:
    """Return the vector of each chunk that still exists, by number; of a chunk with several windows their mean.

    `identity`: key of the embedding model. float32, shape (dimension,), L2 norm 1.
    """
    has_own = exists().where(
        DocumentEmbedding.document_id == Chunk.document_id,
        DocumentEmbedding.identity == identity,
        DocumentEmbedding.in_chunks,
    )
    own, beside = feed.with_vectors(Chunk.id, beside=None), feed.with_vectors(Chunk.id, beside=identity)
    rows = [
        row for query in (own.where(has_own), beside) for row in session.execute(query.where(Chunk.id.in_(chunk_ids)))
    ]
    means = {
        row.id: np.frombuffer(row.vectors, dtype=np.float16).reshape(row.windows, -1).mean(axis=0, dtype=np.float32)
        for row in rows
    }
    return {number: mean / np.linalg.norm(mean) for number, mean in means.items()}


def chunks_of_file(session: Session, store_ids: Collection[str], filename: str) -> dict[int, str]:
    """Return context and text of all chunks of the documents of that name, by number."""
    rows = session.execute(
        select(Chunk.id, Chunk.context, Chunk.text)
        .join(Document, Document.id == Chunk.document_id)
        .join(File, File.id == Document.file_id)
        .where(Document.vector_store_id.in_(store_ids), File.filename == filename)
    )
    return {row.id: f"{row.context}\n{row.text}" for row in rows}


def text_of_file(session: Session, project_id: str, file_id: str) -> str:
    """Return the text of a file's newest document. Raises NotFound when there is none in the project."""
    text = session.scalar(
        select(Document.text)
        .join(File, File.id == Document.file_id)
        .where(File.project_id == project_id, File.id == file_id)
        .order_by(Document.created_at.desc(), Document.id)
        .limit(1)
    )
    if text is None:
        raise NotFound(f"There is no document of file {file_id!r}; `footnote status` shows what has been read.")
    return text


def chunks_of(session: Session, document_id: int) -> list[Chunk]:
    """Return a document's chunks in order, without their vectors."""
    return list(session.scalars(select(Chunk).where(Chunk.document_id == document_id).order_by(Chunk.ordinal)))

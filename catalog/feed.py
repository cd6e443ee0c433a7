"""The change feed that search replicas follow, and what they load from it."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Select, and_, delete, func, insert, select
from sqlalchemy.orm import Session

from catalog.database import Database, portions
from catalog.models import Change, Chunk, ChunkVectors, Document, DocumentEmbedding, VectorStoreFile

_SEQUENCE_LOCK: Final = "footnote.changes"
# Chunks that a replica loads in one step, except where one document alone has more: some 10 MB.
_MAX_CHUNKS: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexedDocument:
    """What an index needs to know of one document generation. Only `attributes` can change later."""

    document_id: int
    vector_store_id: str
    attributes: Mapping[str, Any]
    # int64, shape (chunks,), ascending.
    chunk_ids: NDArray[np.int64]
    # Texts for lexical search, context included; one per chunk.
    texts: Sequence[str]
    # float16, shape (windows, dimension), L2 norm 1; a chunk has one window or more.
    vectors: NDArray[np.float16]
    # int64, shape (windows,): the chunk that each window belongs to.
    window_chunk_ids: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentChange:
    """State of a document after change `seq`: `document` is None when it is gone."""

    seq: int
    document_id: int
    document: IndexedDocument | None


def record(database: Database, session: Session, document_ids: Iterable[int]) -> None:
    """Announce that these documents appeared, changed or went, in this transaction.

    The feed keeps the newest change of each document alone, so its size is bounded by the documents ever published.
    PostgreSQL hands out sequence numbers before commits are ordered; the lock makes number order commit order.
    """
    ids = sorted(set(document_ids))
    if not ids:
        return
    lock(database, session)
    for some in portions(ids):
        session.execute(delete(Change).where(Change.document_id.in_(some)))
    # One row after the other, in this order: their numbers are not asked back.
    session.execute(insert(Change), [{"document_id": document_id} for document_id in ids])


def lock(database: Database, session: Session) -> None:
    """Until the transaction ends, keep every other one waiting that records a change."""
    database.lock(session, _SEQUENCE_LOCK)


def position(session: Session) -> int:
    """Return the number of the newest change, 0 when there is none."""
    return session.scalar(select(func.max(Change.seq))) or 0


def changes_after(session: Session, seq: int, *, limit: int, identity: str) -> list[DocumentChange]:
    """Return the next changes after `seq`, oldest first, with the documents as they are now.

    At most `limit`, and fewer when they hold many chunks, so that memory stays bounded; at least one, if there is one.
    `identity`: key of the embedding model; a document without vectors of it counts as gone.
    """
    chunks = func.coalesce(Document.chunk_count, 0)
    rows = session.execute(
        select(Change.seq, Change.document_id, chunks)
        .outerjoin(Document, Document.id == Change.document_id)
        .where(Change.seq > seq)
        .order_by(Change.seq)
        .limit(limit)
    ).all()
    totals = list(accumulate(count for _, _, count in rows))
    step = rows[: max(1, bisect_right(totals, _MAX_CHUNKS))]
    documents = _load(session, [document_id for _, document_id, count in step if count], identity)
    return [DocumentChange(seq=s, document_id=d, document=documents.get(d)) for s, d, _ in step]


def _load(session: Session, document_ids: Sequence[int], identity: str) -> dict[int, IndexedDocument]:
    heads = session.execute(
        select(Document.id, Document.vector_store_id, VectorStoreFile.attributes, DocumentEmbedding.in_chunks)
        .join(VectorStoreFile, VectorStoreFile.id == Document.vector_store_file_id)
        .join(DocumentEmbedding, DocumentEmbedding.document_id == Document.id)
        .where(Document.id.in_(document_ids), DocumentEmbedding.identity == identity)
    ).all()
    chunks: dict[int, list[Any]] = {head.id: [] for head in heads}
    for in_chunks in {head.in_chunks for head in heads}:
        of_these = Chunk.document_id.in_([head.id for head in heads if head.in_chunks == in_chunks])
        query = with_vectors(
            Chunk.document_id, Chunk.id, Chunk.context, Chunk.text, beside=None if in_chunks else identity
        )
        # The order of an index, which is also that of the numbers: no row waits to be sorted.
        for row in session.execute(query.where(of_these).order_by(Chunk.document_id, Chunk.ordinal)):
            chunks[row.document_id].append(row)
    return {head.id: _indexed(head.id, head.vector_store_id, head.attributes, chunks[head.id]) for head in heads}


def with_vectors(*columns: Any, beside: str | None) -> Select[Any]:
    """Select columns of chunks, and `windows` and `vectors`: the chunks' own, or those of the model `beside` them.

    Plain rows: objects of the mapped class take twice the time.
    """
    if beside is None:
        return select(*columns, Chunk.windows, Chunk.vectors)
    of_model: ColumnElement[bool] = and_(ChunkVectors.chunk_id == Chunk.id, ChunkVectors.identity == beside)
    return select(*columns, ChunkVectors.windows, ChunkVectors.vectors).select_from(Chunk).join(ChunkVectors, of_model)


def _indexed(document_id: int, store_id: str, attributes: Mapping[str, Any], chunks: Sequence[Any]) -> IndexedDocument:
    chunk_ids = np.array([chunk.id for chunk in chunks], dtype=np.int64)
    windows = [chunk.windows for chunk in chunks]
    vectors = np.frombuffer(b"".join(chunk.vectors for chunk in chunks), dtype=np.float16)
    return IndexedDocument(
        document_id=document_id,
        vector_store_id=store_id,
        attributes=attributes,
        chunk_ids=chunk_ids,
        texts=[f"{chunk.context}\n{chunk.text}" for chunk in chunks],
        vectors=vectors.reshape(sum(windows), -1),
        window_chunk_ids=np.repeat(chunk_ids, windows),
    )


def vectors_of(chunk: Chunk | ChunkVectors) -> NDArray[np.float16]:
    """Return a chunk's vectors, float16, shape (windows, dimension)."""
    return np.frombuffer(chunk.vectors, dtype=np.float16).reshape(chunk.windows, -1)


def newest_changes(session: Session, document_ids: Collection[int]) -> dict[int, int]:
    """Return the number of the newest change of each of these documents."""
    newest: dict[int, int] = {}
    for some in portions(sorted(document_ids)):
        rows = session.execute(select(Change.document_id, Change.seq).where(Change.document_id.in_(some)))
        newest |= {row.document_id: row.seq for row in rows}
    return newest


def document_ids(session: Session) -> set[int]:
    """Return every document that was ever published, whether it is still there or not."""
    return set(session.scalars(select(Change.document_id)))


def pending_ids(session: Session, seq: int) -> set[int]:
    """Return the documents with a change after `seq`."""
    return set(session.scalars(select(Change.document_id).where(Change.seq > seq)))

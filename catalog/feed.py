"""The change feed that search replicas follow, and what they load from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, undefer

from catalog.database import Database
from catalog.models import Change, Chunk, Document, VectorStore, VectorStoreFile

_SEQUENCE_LOCK: Final = "footnote.changes"


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
    database.lock(session, _SEQUENCE_LOCK)
    session.execute(delete(Change).where(Change.document_id.in_(ids)))
    session.add_all(Change(document_id=document_id) for document_id in ids)
    session.flush()


def position(session: Session) -> int:
    """Return the number of the newest change, 0 when there is none."""
    return session.scalar(select(func.max(Change.seq))) or 0


def changes_after(session: Session, seq: int, *, limit: int, identity: str) -> list[DocumentChange]:
    """Return the next changes after `seq`, oldest first, at most `limit`, with the documents as they are now.

    `identity`: key of the embedding model; a document of a store with another one counts as gone.
    """
    rows = session.execute(
        select(Change.seq, Change.document_id).where(Change.seq > seq).order_by(Change.seq).limit(limit)
    ).all()
    documents = _load(session, [document_id for _, document_id in rows], identity) if rows else {}
    return [DocumentChange(seq=s, document_id=d, document=documents.get(d)) for s, d in rows]


def _load(session: Session, document_ids: Sequence[int], identity: str) -> dict[int, IndexedDocument]:
    heads = session.execute(
        select(Document.id, Document.vector_store_id, VectorStoreFile.attributes)
        .join(VectorStoreFile, VectorStoreFile.id == Document.vector_store_file_id)
        .join(VectorStore, VectorStore.id == Document.vector_store_id)
        .where(Document.id.in_(document_ids), VectorStore.embedding_identity == identity)
    ).all()
    chunks: dict[int, list[Chunk]] = {document_id: [] for document_id, _, _ in heads}
    query = select(Chunk).where(Chunk.document_id.in_(chunks)).order_by(Chunk.id).options(undefer(Chunk.vectors))
    for chunk in session.scalars(query.execution_options(yield_per=1000)):
        chunks[chunk.document_id].append(chunk)
    return {
        document_id: _indexed(document_id, store_id, attributes, chunks[document_id])
        for document_id, store_id, attributes in heads
    }


def _indexed(document_id: int, store_id: str, attributes: Mapping[str, Any], chunks: list[Chunk]) -> IndexedDocument:
    chunk_ids = np.array([chunk.id for chunk in chunks], dtype=np.int64)
    windows = [vectors_of(chunk) for chunk in chunks]
    return IndexedDocument(
        document_id=document_id,
        vector_store_id=store_id,
        attributes=attributes,
        chunk_ids=chunk_ids,
        texts=[f"{chunk.context}\n{chunk.text}" for chunk in chunks],
        vectors=np.concatenate(windows),
        window_chunk_ids=np.repeat(chunk_ids, [len(w) for w in windows]),
    )


def vectors_of(chunk: Chunk) -> NDArray[np.float16]:
    """Return a chunk's vectors, float16, shape (windows, dimension)."""
    return np.frombuffer(chunk.vectors, dtype=np.float16).reshape(chunk.windows, -1)


def document_ids(session: Session) -> set[int]:
    """Return every document that was ever published, whether it is still there or not."""
    return set(session.scalars(select(Change.document_id)))


def pending_ids(session: Session, seq: int) -> set[int]:
    """Return the documents with a change after `seq`."""
    return set(session.scalars(select(Change.document_id).where(Change.seq > seq)))

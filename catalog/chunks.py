"""Published chunks: their texts for searches and citations, and their vectors."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, and_, bindparam, exists, func, select
from sqlalchemy.orm import Session, aliased, undefer

from catalog import feed
from catalog.database import portions
from catalog.models import Chunk, ChunkVectors, Document, DocumentEmbedding, File, VectorStoreFile


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


def chunks_of(session: Session, document_id: int) -> list[Chunk]:
    """Return a document's chunks in order, without their vectors."""
    return list(session.scalars(select(Chunk).where(Chunk.document_id == document_id).order_by(Chunk.ordinal)))


def chunks_of_file(session: Session, store_ids: Collection[str], filename: str) -> dict[int, str]:
    """Return context and text of all chunks of the documents of that name, by number."""
    rows = session.execute(
        select(Chunk.id, Chunk.context, Chunk.text)
        .join(Document, Document.id == Chunk.document_id)
        .join(File, File.id == Document.file_id)
        .where(Document.vector_store_id.in_(store_ids), File.filename == filename)
    )
    return {row.id: f"{row.context}\n{row.text}" for row in rows}


def known_vectors(session: Session, embedding_keys: Iterable[str]) -> dict[str, NDArray[np.float16]]:
    """Return the vectors of texts that some published chunk has embedded already, by embedding key."""
    keys, found = list(dict.fromkeys(embedding_keys)), {}
    for some in portions(keys):
        query = select(Chunk).where(Chunk.embedding_key.in_(some)).options(undefer(Chunk.vectors))
        beside = select(ChunkVectors).where(ChunkVectors.embedding_key.in_(some))
        for chunk in (*session.scalars(query), *session.scalars(beside)):
            found[chunk.embedding_key] = feed.vectors_of(chunk)
    return found

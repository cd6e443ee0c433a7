"""Vectors by model: which model is current, and the way from one to the next and back.

begin ──put, put, …──▶ nothing is missing ──await readers──▶ switch ──▶ discard
                                                                └──begin with the previous one──▶ …

A document's own vectors are in its chunks. Those of another model lie beside them (`ChunkVectors`), until `discard`
puts the current ones in the place of the others. Every step is a short transaction; whatever is cut off is done again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from catalog import feed
from catalog.database import Database
from catalog.errors import Conflict, FootnoteError, IndexIncompatible, ModelReplaced
from catalog.models import (
    Chunk,
    ChunkVectors,
    Document,
    DocumentEmbedding,
    EmbeddingModel,
    ModelReader,
    ModelRole,
    VectorStore,
)

# Chunks whose vectors are moved in one transaction, except where one document alone has more.
_DISCARD_CHUNKS: Final = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """How a model is opened, and what its vectors are known by."""

    identity: str
    # Names and values of the settings that make the difference.
    settings: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewVectors:
    """Vectors of a chunk by a model that is not the chunk's own."""

    chunk_id: int
    # float16, shape (windows, dimension), L2 norm 1.
    vectors: NDArray[np.float16]
    embedding_key: str


# --- which model ------------------------------------------------------------------------------------------------------


def current(session: Session) -> EmbeddingModel | None:
    """Return the model in use; None while the settings alone say which."""
    return with_role(session, ModelRole.CURRENT)


def with_role(session: Session, role: ModelRole) -> EmbeddingModel | None:
    return session.scalar(select(EmbeddingModel).where(EmbeddingModel.role == role))


def awaited(session: Session) -> EmbeddingModel | None:
    """Return the model that processes should open beside the current one, None when there is none."""
    return session.scalar(select(EmbeddingModel).where(EmbeddingModel.awaited_until > time.time()))


def all_known(session: Session) -> list[EmbeddingModel]:
    return list(session.scalars(select(EmbeddingModel).order_by(EmbeddingModel.number)))


def identity_for_new(session: Session, wanted: str) -> str:
    """Return the identity that a new store gets: the current model's, whatever the process has opened.

    A switch waits until the transaction has ended.
    """
    # All rows and not the current one alone: which that is may change while this waits.
    rows = session.scalars(select(EmbeddingModel).with_for_update(read=True)).all()
    return next((model.identity for model in rows if model.role == ModelRole.CURRENT), wanted)


def check_current(session: Session, identity: str) -> None:
    """Raises ModelReplaced when `identity` was the current model's and is not any more."""
    model = current(session)
    if model is not None and model.identity != identity:
        raise ModelReplaced(f"The embedding model is {model.identity} now; this process still has {identity}.")


def mismatch(session: Session, store: VectorStore, identity: str) -> FootnoteError:
    """Return the error of who embeds with `identity` and meets a store of another model."""
    model = current(session)
    if model is not None and model.identity != identity:
        return ModelReplaced(f"The embedding model is {model.identity} now; this process still has {identity}.")
    return IndexIncompatible(
        f"Vector store {store.id!r} ({store.name}) was embedded with {store.embedding_identity}, and this "
        f"server embeds with {identity}: set embedding_model back, or run `footnote reindex --model …`."
    )


# --- building ---------------------------------------------------------------------------------------------------------


def begin(database: Database, used: ModelSpec, target: ModelSpec) -> None:
    """Note that documents are being embedded with `target`; `used` is the current model if the catalog knows none.

    Raises Conflict while vectors of a third model are there.
    """
    with database.write() as session:
        if current(session) is None:
            session.add(_row(used, ModelRole.CURRENT))
            session.flush()
        known = session.scalar(select(EmbeddingModel).where(EmbeddingModel.identity == target.identity))
        if known is not None:
            known.settings = dict(target.settings)
            return
        others = select(EmbeddingModel).where(EmbeddingModel.role != ModelRole.CURRENT)
        if other := session.scalar(others.limit(1)):
            raise Conflict(
                f"There are vectors of {other.identity} ({other.role}): run `footnote reindex --discard` first."
            )
        session.add(_row(target, ModelRole.NEXT))


def _row(spec: ModelSpec, role: ModelRole) -> EmbeddingModel:
    return EmbeddingModel(identity=spec.identity, settings=dict(spec.settings), role=role)


def missing(identity: str) -> ColumnElement[bool]:
    """Condition for documents without vectors of a model."""
    return ~exists().where(DocumentEmbedding.document_id == Document.id, DocumentEmbedding.identity == identity)


def count_missing(session: Session, identity: str) -> tuple[int, int]:
    """Return how many documents and how many of their chunks have no vectors of a model."""
    documents, chunks = session.execute(
        select(func.count(), func.coalesce(func.sum(Document.chunk_count), 0)).where(missing(identity))
    ).one()
    there = select(func.count()).select_from(ChunkVectors).join(Chunk, Chunk.id == ChunkVectors.chunk_id)
    there = there.join(Document, Document.id == Chunk.document_id)
    begun = session.scalar(there.where(ChunkVectors.identity == identity, missing(identity))) or 0
    return documents, int(chunks) - begun


def next_missing(session: Session, identity: str, *, after: int, chunks: int) -> list[int]:
    """Return the next documents without vectors of a model, ascending, with numbers above `after`.

    As many as have that many chunks together; at least one, if there is one.
    """
    query = select(Document.id, Document.chunk_count).where(Document.id > after, missing(identity))
    some: list[int] = []
    total = 0
    for document_id, count in session.execute(query.order_by(Document.id).limit(chunks)):
        total += count
        if some and total > chunks:
            break
        some.append(document_id)
    return some


def bare_chunks(identity: str, document_ids: Sequence[int]) -> Select[int, int, str, str]:
    """Select number, document, context and text of the chunks that have no vectors of a model, by document in order."""
    has_vectors = exists().where(ChunkVectors.chunk_id == Chunk.id, ChunkVectors.identity == identity)
    return (
        select(Chunk.id, Chunk.document_id, Chunk.context, Chunk.text)
        .where(Chunk.document_id.in_(document_ids), ~has_vectors)
        .order_by(Chunk.document_id, Chunk.ordinal)
    )


def put(database: Database, identity: str, vectors: Sequence[NewVectors], complete: Sequence[int]) -> None:
    """Add vectors beside the chunks' own, and note which documents have all of theirs now.

    What is there is left, and so is what was deleted meanwhile.
    """
    with database.write() as session:
        # Who removes a document has the feed: with it in hand nobody can take a chunk away before its vectors are in.
        feed.lock(database, session)
        if session.scalar(select(EmbeddingModel.number).where(EmbeddingModel.identity == identity)) is None:
            raise _discarded(identity)
        numbers = [each.chunk_id for each in vectors]
        there = select(ChunkVectors.chunk_id).where(
            ChunkVectors.chunk_id.in_(numbers), ChunkVectors.identity == identity
        )
        known = set(session.scalars(there))
        wanted = set(session.scalars(select(Chunk.id).where(Chunk.id.in_(numbers)))) - known
        rows = [_vector_row(each, identity) for each in vectors if each.chunk_id in wanted]
        if rows:
            session.execute(insert(ChunkVectors), rows)
        done = session.scalars(select(Document.id).where(Document.id.in_(complete), missing(identity))).all()
        session.add_all(DocumentEmbedding(document_id=one, identity=identity, in_chunks=False) for one in done)
        session.flush()
        # Indexes of the model take a document up when its last vector is there.
        feed.record(database, session, done)


def _vector_row(new: NewVectors, identity: str) -> dict[str, Any]:
    return {
        "chunk_id": new.chunk_id,
        "identity": identity,
        "windows": len(new.vectors),
        "vectors": np.ascontiguousarray(new.vectors, dtype=np.float16).tobytes(),
        "embedding_key": new.embedding_key,
    }


# --- switching --------------------------------------------------------------------------------------------------------


def announce(database: Database, identity: str, *, lifetime_s: float) -> None:
    """Ask the processes that answer searches to open a model, and to keep it for so long; 0 takes the wish back."""
    with database.write() as session:
        until = time.time() + lifetime_s if lifetime_s else 0.0
        session.execute(update(EmbeddingModel).where(EmbeddingModel.identity == identity).values(awaited_until=until))
        session.execute(delete(ModelReader).where(ModelReader.until <= time.time()))


def report(database: Database, name: str, number: int, *, lifetime_s: float) -> None:
    """Note that the process `name` lives, and which model it has opened."""
    with database.write(is_effect=False) as session:
        session.execute(delete(ModelReader).where(ModelReader.name == name))
        session.add(ModelReader(name=name, number=number, until=time.time() + lifetime_s))


def readers(session: Session, identity: str) -> tuple[int, int]:
    """Return how many of the processes that answer have opened the awaited model, and how many there are."""
    number = session.scalar(select(EmbeddingModel.number).where(EmbeddingModel.identity == identity))
    living = session.scalars(select(ModelReader.number).where(ModelReader.until > time.time())).all()
    return sum(one == number for one in living), len(living)


def switch(database: Database, identity: str) -> bool:
    """Make a model current, for every store at once; False when some document has no vectors of it yet.

    The model that was current becomes the previous one. The transaction writes a row for each store and looks for a
    document that is missing; it moves no vector.
    """
    with database.write() as session:
        # Before the feed, as whoever empties a store locks them.
        session.execute(select(VectorStore.id).order_by(VectorStore.id).with_for_update(key_share=True))
        # Who publishes has the feed, and looks at the store's model behind it.
        feed.lock(database, session)
        models = {each.role: each for each in session.scalars(select(EmbeddingModel).with_for_update())}
        target = next((each for each in models.values() if each.identity == identity), None)
        if target is None:
            raise _discarded(identity)
        if session.scalar(select(Document.id).where(missing(identity)).limit(1)) is not None:
            return False
        before = models[ModelRole.CURRENT]
        if before is not target:
            before.role, target.role = ModelRole.PREVIOUS, ModelRole.CURRENT
        target.awaited_until = 0.0
        session.execute(
            update(VectorStore).where(VectorStore.embedding_identity != identity).values(embedding_identity=identity)
        )
        return True


def _discarded(identity: str) -> Conflict:
    return Conflict(f"The vectors of {identity} were discarded by somebody else; run `footnote reindex` again.")


# --- discarding -------------------------------------------------------------------------------------------------------


def discard(database: Database) -> list[tuple[int, str]]:
    """Delete the vectors of every model but the current one; return number and identity of those that are forgotten.

    In portions, and searches go on. Where the current vectors lie beside the chunks' own they take their place.
    """
    with database.read() as session:
        model = current(session)
    if model is None:
        return []
    while _settle_some(database, model.identity):
        pass
    while _drop_some(database, model.identity):
        pass
    with database.write() as session:
        gone = session.scalars(select(EmbeddingModel).where(EmbeddingModel.role != ModelRole.CURRENT)).all()
        for each in gone:
            session.delete(each)
        return [(each.number, each.identity) for each in gone]


def _settle_some(database: Database, identity: str) -> bool:
    """Put the current vectors of some documents into their chunks; False when there is no such document any more."""
    with database.write() as session:
        feed.lock(database, session)
        beside = (
            select(Document.id, Document.chunk_count)
            .join(DocumentEmbedding, DocumentEmbedding.document_id == Document.id)
            .where(DocumentEmbedding.identity == identity, ~DocumentEmbedding.in_chunks)
        )
        some: list[int] = []
        total = 0
        for document_id, chunks in session.execute(beside.limit(200)):
            if some and total + chunks > _DISCARD_CHUNKS:
                break
            some.append(document_id)
            total += chunks
        if not some:
            return False
        of_some = Chunk.document_id.in_(some)
        source = and_(ChunkVectors.chunk_id == Chunk.id, ChunkVectors.identity == identity)
        columns = ("windows", "vectors", "embedding_key")
        values = {
            name: select(getattr(ChunkVectors, name)).where(source).correlate(Chunk).scalar_subquery()
            for name in columns
        }
        session.execute(update(Chunk).where(of_some).values(values).execution_options(synchronize_session=False))
        chunk_ids = select(Chunk.id).where(of_some)
        session.execute(delete(ChunkVectors).where(ChunkVectors.chunk_id.in_(chunk_ids)))
        others = (DocumentEmbedding.document_id.in_(some), DocumentEmbedding.identity != identity)
        session.execute(delete(DocumentEmbedding).where(*others))
        session.execute(update(DocumentEmbedding).where(DocumentEmbedding.document_id.in_(some)).values(in_chunks=True))
    return True


def _drop_some(database: Database, identity: str) -> bool:
    """Delete some vectors that lie beside the chunks' own and are not the current ones; False when none are left."""
    with database.write() as session:
        feed.lock(database, session)
        foreign = (DocumentEmbedding.identity != identity, ~DocumentEmbedding.in_chunks)
        marks = select(DocumentEmbedding.document_id).where(*foreign).limit(1000)
        # First the mark: a document never seems to have what it has not.
        some = session.scalars(marks).all()
        session.execute(delete(DocumentEmbedding).where(*foreign, DocumentEmbedding.document_id.in_(some)))
        spare = select(ChunkVectors.chunk_id).where(ChunkVectors.identity != identity).limit(_DISCARD_CHUNKS)
        rows = session.scalars(spare).all()
        session.execute(delete(ChunkVectors).where(ChunkVectors.chunk_id.in_(rows), ChunkVectors.identity != identity))
    return bool(some or rows)

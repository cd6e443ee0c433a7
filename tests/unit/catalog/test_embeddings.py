"""Vectors of several models: building the next ones, the switch, the way back, and what is left at the end."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import func, select, update

from catalog import documents, embeddings, feed, fsck, jobs, publication, stores
from catalog.blobs import BlobStore
from catalog.chunks import known_vectors, load_vectors
from catalog.database import Database
from catalog.embeddings import ModelSpec, NewVectors
from catalog.errors import Conflict, IndexIncompatible, ModelReplaced
from catalog.models import Chunk, ChunkVectors, Document, JobStatus, ModelRole, VectorStore, VectorStoreFile
from retrieval.embedders.hashing import HashingEmbedder
from tests.builders import (
    EMBEDDER,
    IDENTITY,
    a_chunk_record,
    a_claim,
    a_document_record,
    a_file,
    a_store,
    an_entry,
    publish_text,
)

NEXT = HashingEmbedder(dimension=96)
NEW = NEXT.identity.key
USED, TARGET = ModelSpec(identity=IDENTITY, settings={"embedding_model": "old"}), ModelSpec(identity=NEW, settings={})


def bare(database: Database, identity: str = NEW) -> list[Any]:
    """Return the chunks without vectors of a model, by document."""
    with database.read() as session:
        ids = embeddings.next_missing(session, identity, after=-1, chunks=1000)
        return list(session.execute(embeddings.bare_chunks(identity, ids)))


def vectors(chunks: Sequence[Any], embedder: HashingEmbedder = NEXT) -> list[NewVectors]:
    made = embedder.embed_documents([chunk.text for chunk in chunks]).astype("float16")
    return [
        NewVectors(chunk_id=chunk.id, vectors=row.reshape(1, -1), embedding_key=f"{embedder.identity.key} {chunk.text}")
        for chunk, row in zip(chunks, made, strict=True)
    ]


def vectors_of(text: str) -> NDArray[np.float16]:
    return NEXT.embed_documents([text]).astype(np.float16)


def build(database: Database, embedder: HashingEmbedder = NEXT) -> None:
    chunks = bare(database, embedder.identity.key)
    complete = list({chunk.document_id for chunk in chunks})
    embeddings.put(database, embedder.identity.key, vectors(chunks, embedder), complete)


def migrate(database: Database) -> None:
    embeddings.begin(database, USED, TARGET)
    build(database)
    assert embeddings.switch(database, NEW)


def seen(database: Database, identity: str, after: int = 0) -> dict[int, int]:
    """Return the dimension of each document that an index of the model holds."""
    with database.read() as session:
        changes = feed.changes_after(session, after, limit=1000, identity=identity)
    return {change.document_id: change.document.vectors.shape[1] for change in changes if change.document}


def roles(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {model.role: model.identity for model in embeddings.all_known(session)}


def test_the_switch_makes_the_new_model_current_for_every_store(database: Database, blobs: BlobStore) -> None:
    """Indexes of both models hold every document with their own vectors; the model before is kept."""
    one = publish_text(database, blobs, a_store(database), "one", "two")
    other = publish_text(database, blobs, a_store(database, embedding_identity="foreign/64"), "three")
    migrate(database)
    with database.read() as session:
        assert set(session.scalars(select(VectorStore.embedding_identity))) == {NEW}
    assert seen(database, NEW) == {one: 96, other: 96}
    assert seen(database, IDENTITY) == {one: 64}
    assert roles(database) == {ModelRole.CURRENT: NEW, ModelRole.PREVIOUS: IDENTITY}
    assert fsck.check(database, blobs) == []


def test_no_switch_while_a_document_is_missing(database: Database, blobs: BlobStore) -> None:
    """One that was published behind the last look keeps the model that was; so does half a document."""
    store = a_store(database)
    publish_text(database, blobs, store, "one")
    embeddings.begin(database, USED, TARGET)
    build(database)
    late = publish_text(database, blobs, store, "two", "three")
    assert not embeddings.switch(database, NEW)
    embeddings.put(database, NEW, vectors(bare(database)[:1]), [])
    assert not embeddings.switch(database, NEW)
    assert late not in seen(database, NEW)
    assert len(bare(database)) == 1
    build(database)
    assert embeddings.switch(database, NEW)
    assert fsck.check(database, blobs) == []


def test_a_complete_document_is_announced(database: Database, blobs: BlobStore) -> None:
    """An index of the next model that has passed the document by takes it up then."""
    document = publish_text(database, blobs, a_store(database), "one")
    embeddings.begin(database, USED, TARGET)
    with database.read() as session:
        position = feed.position(session)
    build(database)
    assert seen(database, NEW, after=position) == {document: 96}


def test_what_is_there_is_not_written_again(database: Database, blobs: BlobStore) -> None:
    """Two commands may work at the same time; and what was deleted meanwhile stays deleted."""
    kept, gone = (publish_text(database, blobs, a_store(database), text) for text in ("one", "two"))
    embeddings.begin(database, USED, TARGET)
    chunks = bare(database)
    with database.write() as session:
        documents.remove(database, session, Document.id == gone)
    for _ in range(2):
        embeddings.put(database, NEW, vectors(chunks), [kept, gone])
    assert seen(database, NEW) == {kept: 96}
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ChunkVectors)) == 1


def test_a_worker_with_the_model_before_publishes_nothing(database: Database, blobs: BlobStore) -> None:
    """Not even when the switch comes after it began; the job goes back to the queue as after an outage."""
    store = a_store(database)
    an_entry(database, store, a_file(database, blobs))
    job = a_claim(database)
    migrate(database)
    with pytest.raises(ModelReplaced, match=f"{NEW} now; this process still has {IDENTITY}") as caught:
        publication.publish(database, job, a_document_record("late"))
    assert caught.value.retryable
    with database.write() as session:
        assert jobs.fail(session, job, caught.value) == JobStatus.IN_PROGRESS
        assert session.scalars(select(Document)).all() == []
        assert session.scalars(select(VectorStoreFile.failures)).one() == 0


def test_a_store_gets_the_current_model(database: Database) -> None:
    """Also from a process that has the one before still open: nobody makes a store that cannot be searched."""
    migrate(database)
    store = a_store(database)
    with database.read() as session:
        stores.check_usable(session, [store.id], NEW)
        with pytest.raises(ModelReplaced):
            stores.check_usable(session, [store.id], IDENTITY)
    with database.write() as session:
        session.execute(update(VectorStore).values(embedding_identity="foreign/3"))
    with database.read() as session, pytest.raises(IndexIncompatible, match="footnote reindex"):
        stores.check_usable(session, [store.id], NEW)


def test_going_back_needs_only_what_is_new(database: Database, blobs: BlobStore) -> None:
    """What was published with the new model is embedded with the old one; the rest has its vectors still."""
    first = publish_text(database, blobs, a_store(database), "one")
    migrate(database)
    # The store has the current model by itself; the vectors are that one's.
    store = a_store(database)
    second = publish_text(database, blobs, store, "two", chunks=[a_chunk_record("two", vectors=vectors_of("two"))])
    assert seen(database, NEW) == {first: 96, second: 96}
    embeddings.begin(database, TARGET, USED)
    assert not embeddings.switch(database, IDENTITY)
    assert [chunk.document_id for chunk in bare(database, IDENTITY)] == [second]
    build(database, EMBEDDER)
    assert embeddings.switch(database, IDENTITY)
    assert seen(database, IDENTITY) == {first: 64, second: 64}
    assert roles(database) == {ModelRole.CURRENT: IDENTITY, ModelRole.PREVIOUS: NEW}
    embeddings.discard(database)
    assert seen(database, IDENTITY) == {first: 64, second: 64}
    assert fsck.check(database, blobs) == []


def test_discarding_keeps_the_current_vectors_alone(database: Database, blobs: BlobStore) -> None:
    """They become the chunks' own; what the model before made is gone, and so is the way back."""
    document = publish_text(database, blobs, a_store(database), "one", "two")
    migrate(database)
    assert [identity for _, identity in embeddings.discard(database)] == [IDENTITY]
    assert (seen(database, NEW), seen(database, IDENTITY)) == ({document: 96}, {})
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ChunkVectors)) == 0
        assert {f"{NEW} one", f"{NEW} two"} == set(session.scalars(select(Chunk.embedding_key)))
    assert roles(database) == {ModelRole.CURRENT: NEW}
    assert fsck.check(database, blobs) == []
    assert embeddings.discard(database) == []


def test_discarding_what_is_half_built(database: Database, blobs: BlobStore) -> None:
    """The current model stays as it was; who is still building is told."""
    publish_text(database, blobs, a_store(database), "one", "two")
    embeddings.begin(database, USED, TARGET)
    some = vectors(bare(database)[:1])
    embeddings.put(database, NEW, some, [])
    embeddings.discard(database)
    assert (len(bare(database)), roles(database)) == (2, {ModelRole.CURRENT: IDENTITY})
    for late in (lambda: embeddings.put(database, NEW, some, []), lambda: embeddings.switch(database, NEW)):
        with pytest.raises(Conflict, match="discarded"):
            late()
    assert fsck.check(database, blobs) == []


def test_a_third_model_waits(database: Database) -> None:
    """There is one way forward and one way back: the message says what to do."""
    embeddings.begin(database, USED, TARGET)
    embeddings.begin(database, USED, TARGET)
    with pytest.raises(Conflict, match=f"{NEW} .*--discard"):
        embeddings.begin(database, USED, ModelSpec(identity="third/3", settings={}))


def test_a_copy_has_the_vectors_of_its_store(database: Database, blobs: BlobStore) -> None:
    """A document whose own vectors are of another model than the store's is not copied, whatever its content key."""
    store = a_store(database)
    publish_text(database, blobs, store, "one", content_key="same")
    migrate(database)
    an_entry(database, store, a_file(database, blobs, b"again"))
    assert publication.publish_copy(database, a_claim(database), "same") is None


def test_readers_are_counted_while_they_live(database: Database) -> None:
    """A process that has said nothing for a while is dead."""
    embeddings.begin(database, USED, TARGET)
    embeddings.announce(database, NEW, lifetime_s=60)
    with database.read() as session:
        awaited = embeddings.awaited(session)
    assert awaited is not None
    assert awaited.identity == NEW
    embeddings.report(database, "one", 0, lifetime_s=60)
    embeddings.report(database, "two", awaited.number, lifetime_s=60)
    embeddings.report(database, "dead", 0, lifetime_s=-1)
    with database.read() as session:
        assert embeddings.readers(session, NEW) == (1, 2)
    embeddings.report(database, "one", awaited.number, lifetime_s=60)
    embeddings.announce(database, NEW, lifetime_s=0)
    with database.read() as session:
        assert (embeddings.readers(session, NEW), embeddings.awaited(session)) == ((2, 2), None)


def test_texts_are_found_among_the_vectors_beside(database: Database, blobs: BlobStore) -> None:
    """A text that a migration has embedded is not embedded again when it is published."""
    publish_text(database, blobs, a_store(database), "one")
    migrate(database)
    with database.read() as session:
        found = known_vectors(session, [f"{NEW} one", "key of one", "unknown"])
        (chunk_id,) = session.scalars(select(Chunk.id))
        mean = load_vectors(session, [chunk_id], identity=NEW)[chunk_id]
        own = load_vectors(session, [chunk_id], identity=IDENTITY)[chunk_id]
    assert {key: row.shape for key, row in found.items()} == {f"{NEW} one": (1, 96), "key of one": (1, 64)}
    assert (mean.shape, own.shape) == ((96,), (64,))

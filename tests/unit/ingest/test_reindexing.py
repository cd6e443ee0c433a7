"""Embedding with another model what is there: once each, in steps that can be cut off anywhere."""

from collections.abc import Sequence

import pytest
from sqlalchemy import func, select

from catalog import embeddings
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.embeddings import ModelSpec
from catalog.models import ChunkVectors, VectorStore
from ingest import reindexing
from ingest.pipeline import Pipeline
from ingest.reindexing import embed_missing
from retrieval.embedders.base import Vectors
from retrieval.embedders.hashing import HashingEmbedder
from tests.builders import IDENTITY, a_chunk_record, a_store, publish_text


class Killed(Exception):
    """Stands for the end of the process."""


class CountingEmbedder(HashingEmbedder):
    """Notes every text that it embeds, and ends after `lives` calls."""

    def __init__(self, *, max_tokens: int = 200, lives: int = 1000) -> None:
        super().__init__(dimension=96, max_tokens=max_tokens)
        self.embedded: list[str] = []
        self.lives = lives

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if not self.lives:
            raise Killed
        self.lives -= 1
        self.embedded += texts
        return super().embed_documents(texts)


@pytest.fixture
def store(database: Database) -> VectorStore:
    return a_store(database)


def a_pipeline(database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> Pipeline:
    """Return a pipeline for the model, which the catalog then knows."""
    used, target = (ModelSpec(identity=key, settings={}) for key in (IDENTITY, embedder.identity.key))
    embeddings.begin(database, used, target)
    return Pipeline(database=database, blobs=blobs, embedder=embedder)


def test_work_that_was_cut_off_goes_on(
    database: Database, blobs: BlobStore, store: VectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document larger than a batch is not begun again, and its vectors count when the last one is there."""
    monkeypatch.setattr(reindexing, "_BATCH", 4)
    monkeypatch.setattr(reindexing, "_CHUNKS", 8)
    texts = [f"text {n}" for n in range(10)]
    publish_text(database, blobs, store, *texts)
    publish_text(database, blobs, store, "another")
    first, second = CountingEmbedder(lives=2), CountingEmbedder()
    with pytest.raises(Killed):
        embed_missing(a_pipeline(database, blobs, first), on_chunks=lambda _: None)
    counts: list[int] = []
    done = embed_missing(a_pipeline(database, blobs, second), on_chunks=counts.append)
    assert sorted(first.embedded + second.embedded) == sorted(f"\n{text}" for text in [*texts, "another"])
    assert done == sum(counts) == len(second.embedded)
    with database.read() as session:
        assert embeddings.count_missing(session, second.identity.key) == (0, 0)
    assert embeddings.switch(database, second.identity.key)


def test_what_is_published_meanwhile_is_embedded_too(database: Database, blobs: BlobStore, store: VectorStore) -> None:
    """Documents have random numbers: the next one may lie before those that are done."""
    publish_text(database, blobs, store, "text 0")
    late = iter(range(1, 6))

    def publish_another(_: int) -> None:
        if (n := next(late, None)) is not None:
            publish_text(database, blobs, store, f"text {n}")

    embedder = CountingEmbedder()
    assert embed_missing(a_pipeline(database, blobs, embedder), on_chunks=publish_another) == 6
    assert embeddings.switch(database, embedder.identity.key)


def test_windows_are_cut_anew(database: Database, blobs: BlobStore, store: VectorStore) -> None:
    """A model that reads less at once gets more windows of the same chunk, none longer than it reads."""
    publish_text(database, blobs, store, " ".join(f"w{n}" for n in range(100)))
    embedder = CountingEmbedder(max_tokens=30)
    embed_missing(a_pipeline(database, blobs, embedder), on_chunks=lambda _: None)
    with database.read() as session:
        assert session.scalar(select(func.sum(ChunkVectors.windows))) == 4
    assert max(len(text.split()) for text in embedder.embedded) <= 30


def test_the_context_leaves_room_for_the_text(database: Database, blobs: BlobStore, store: VectorStore) -> None:
    """Of one that is longer than a third of the new model's window the end is embedded, as when it is published."""
    record = [a_chunk_record("text", context=" ".join(f"h{n}" for n in range(50)))]
    publish_text(database, blobs, store, "text", chunks=record)
    embedder = CountingEmbedder(max_tokens=30)
    embed_missing(a_pipeline(database, blobs, embedder), on_chunks=lambda _: None)
    assert embedder.embedded == [" ".join(f"h{n}" for n in range(40, 50)) + "\ntext"]

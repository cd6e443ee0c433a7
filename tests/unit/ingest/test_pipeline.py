"""The pipeline builds a document from a job, and does not do again what was done before."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
from sqlalchemy import delete, update

from catalog import publication
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import IndexIncompatible, InvalidFile, LeaseLost
from catalog.jobs import Job
from catalog.models import File, VectorStore
from catalog.publication import DocumentRecord
from ingest.documents import DocumentBuilder
from ingest.pipeline import WINDOW_TOKENS, Draft, Pipeline, page_spans
from ingest.sandbox import warm_up
from retrieval.embedders.base import Vectors
from retrieval.embedders.hashing import HashingEmbedder
from tests.builders import a_claim, a_file, a_store, an_entry


@pytest.fixture(scope="module", autouse=True)
def _fork_server() -> None:
    warm_up()


class CountingEmbedder(HashingEmbedder):
    """Notes every text that it embeds."""

    def __init__(self, *, max_tokens: int = 256) -> None:
        super().__init__(max_tokens=max_tokens)
        self.embedded: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.embedded += texts
        return super().embed_documents(texts)


class Bench:
    """A pipeline with a counting embedder, and a store to fill."""

    def __init__(self, database: Database, blobs: BlobStore, **options: int) -> None:
        self.database, self.blobs = database, blobs
        self.embedder = CountingEmbedder(**options)
        # One window for a chunk of our own; the tests of windows set a smaller one.
        self.pipeline = Pipeline(database=database, blobs=blobs, embedder=self.embedder, window_tokens=256)
        self.store: VectorStore = a_store(database, embedding_identity=self.embedder.identity.key)
        self.shares: list[float] = []

    def job(self, text: str, *, filename: str = "a.txt", store: VectorStore | None = None, **entry: object) -> Job:
        file = a_file(self.database, self.blobs, text.encode(), filename=filename)
        an_entry(self.database, store or self.store, file, **entry)
        return a_claim(self.database)

    def build(self, text: str, **options: object) -> tuple[Job, DocumentRecord]:
        job = self.job(text, **options)  # type: ignore[arg-type]
        return job, self.pipeline.build(job, self.shares.append)

    def publish(self, text: str, **options: object) -> DocumentRecord:
        job, record = self.build(text, **options)
        publication.publish(self.database, job, record)
        return record

    def drafts(self, *texts: str) -> list[Draft]:
        """Return a parsed document for each text, not embedded yet."""
        with self.pipeline.sandbox() as sandbox:
            jobs = [self.job(text) for text in texts]
            facts = self.pipeline.facts(jobs)
            return [self.pipeline.parse(job, facts, self.shares.append, sandbox) for job in jobs]


@pytest.fixture
def bench(database: Database, blobs: BlobStore) -> Iterator[Bench]:
    yield Bench(database, blobs)


def paragraphs(*names: str) -> str:
    return "\n\n".join(" ".join(f"{name}{n}" for n in range(150)) for name in names)


def test_a_document_is_parsed_chunked_and_embedded(bench: Bench) -> None:
    """Chunks are spans of the stored text; what is embedded is the title in front of them."""
    _, record = bench.build(paragraphs("a", "b"), filename="notes.txt")
    assert [record.media_type, record.chunk_count] == ["text/plain", 2]
    for chunk in record.chunks:
        assert record.text[chunk.start : chunk.end] == chunk.text
        assert chunk.context == "notes"
        expected = bench.embedder.embed_queries([f"notes\n{chunk.text}"]).astype(np.float16)
        np.testing.assert_array_equal(expected, chunk.vectors)


def test_progress_only_grows_and_ends_below_one(bench: Bench) -> None:
    """The last step is publishing, which is not the pipeline's."""
    bench.build(paragraphs("a", "b"))
    steps = [share for share in bench.shares if share]
    assert sorted(steps) == steps
    assert 0.9 < steps[-1] < 1


def test_drafts_are_embedded_together_and_come_back_in_order(bench: Bench) -> None:
    """One call of the embedder for many small documents, and each gets its own chunks."""
    calls: list[int] = []
    embed = bench.embedder.embed_documents

    def counting(texts: Sequence[str]) -> Vectors:
        calls.append(len(texts))
        return embed(texts)

    bench.embedder.embed_documents = counting  # type: ignore[method-assign]
    drafts = bench.drafts("one mill", "two mills", "three mills")
    assert list(bench.pipeline.embed(drafts)) == [drafts]
    assert calls == [3]
    assert [[chunk.text for chunk in draft.record().chunks] for draft in drafts] == [
        ["one mill"],
        ["two mills"],
        ["three mills"],
    ]


def test_a_draft_that_is_given_up_does_not_stop_the_others(bench: Bench) -> None:
    """A cancelled one ends with its lost lease, one without a word with its reason, the third is finished."""
    cancelled, blank, good = bench.drafts(paragraphs(*"abcdefg"), "--- ***", "a mill")

    def lost(share: float) -> None:
        raise LeaseLost

    cancelled.progress = lost
    assert list(chain(*bench.pipeline.embed([cancelled, blank, good]))) == [cancelled, blank, good]
    with pytest.raises(LeaseLost):
        cancelled.record()
    with pytest.raises(InvalidFile, match="no text"):
        blank.record()
    assert good.record().chunk_count == 1


def test_only_changed_chunks_are_embedded_again(bench: Bench) -> None:
    """A changed file costs what has changed in it."""
    bench.publish(paragraphs("a", "b", "c"))
    bench.embedder.embedded.clear()
    changed = bench.publish(paragraphs("a", "x", "c"))
    assert changed.chunk_count == 3
    assert [text.split()[1] for text in bench.embedder.embedded] == ["x0"]


def test_equal_chunks_of_one_document_are_embedded_once(bench: Bench) -> None:
    """Boilerplate that repeats costs one embedding."""
    record = bench.publish(paragraphs("a", "a", "a"))
    assert (record.chunk_count, len(bench.embedder.embedded)) == (3, 1)


def test_a_chunk_longer_than_the_embedder_reads_has_a_vector_for_each_window(
    database: Database, blobs: BlobStore
) -> None:
    """Every window fits with its context in front, and together they hold all words."""
    bench = Bench(database, blobs, max_tokens=64)
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 400, "chunk_overlap_tokens": 0}}
    text = " ".join(f"w{n}" for n in range(400))
    _, record = bench.build(text, chunking_strategy=strategy)
    (chunk,) = record.chunks
    windows = [set(window.split()) for window in bench.embedder.embedded]
    assert len(chunk.vectors) == len(windows) > 6
    assert set(text.split()) <= set.union(*windows)
    assert all(len(bench.embedder.token_spans(window)) <= 64 for window in bench.embedder.embedded)
    assert all(not one & other - {"a"} for one, other in pairwise(windows))


def test_a_chunk_is_embedded_in_windows_of_the_trained_length(bench: Bench) -> None:
    """A short window says more clearly what it is about than all that the model can read."""
    pipeline = replace(bench.pipeline, window_tokens=WINDOW_TOKENS)
    record = pipeline.build(bench.job(paragraphs("a")), bench.shares.append)
    assert [len(chunk.vectors) for chunk in record.chunks] == [2]
    assert max(len(bench.embedder.token_spans(window)) for window in bench.embedder.embedded) <= WINDOW_TOKENS


def test_headings_stand_in_front_of_what_is_embedded(bench: Bench) -> None:
    """The path of headings is context, not part of the cited text."""
    _, record = bench.build(f"# Book\n\n## Chapter\n\n{paragraphs('a', 'b')}", filename="x.md")
    assert list(record.chunks)[-1].context == "Book › Chapter"
    assert list(record.chunks)[-1].text.startswith("b0")


def test_a_long_context_is_shortened_to_a_third(bench: Bench) -> None:
    """A heading of a whole page leaves room for the text."""
    heading = " ".join(f"h{n}" for n in range(190))
    _, record = bench.build(f"# {heading}\n\n{paragraphs('a')}", filename="x.md")
    tokens = bench.embedder.token_spans(list(record.chunks)[-1].context)
    assert len(tokens) == 256 // 3
    assert list(record.chunks)[-1].context.endswith("h189")


@pytest.mark.parametrize(
    "change",
    [
        {"filename": "b.txt"},
        {"chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}},
    ],
)
def test_the_content_key_depends_on_everything_that_decides_the_chunks(bench: Bench, change: dict[str, object]) -> None:
    """Another name or strategy is another key; attributes and source are not in it."""
    same = [bench.build(text, **options)[1].content_key for text, options in (("one", {}), ("one", {"source": "x"}))]
    assert same[0] == same[1]
    assert same[0] != bench.build("one", **change)[1].content_key
    assert same[0] != bench.build("two")[1].content_key


def test_another_model_has_another_content_key(database: Database, blobs: BlobStore) -> None:
    """Vectors of another model are never copied."""
    keys = {Bench(database, blobs, max_tokens=size).build("one")[1].content_key for size in (64, 128)}
    assert len(keys) == 2


def test_a_text_without_a_word_is_refused(bench: Bench) -> None:
    """A file of signs alone could never be found."""
    with pytest.raises(InvalidFile, match=r"'a\.txt'.*no text"):
        bench.build("--- *** ---")


def test_a_store_of_another_model_is_refused(bench: Bench) -> None:
    """Vectors that do not fit the store's are not made."""
    with bench.database.write() as session:
        session.execute(update(VectorStore).values(embedding_identity="another@model/3"))
    with pytest.raises(IndexIncompatible, match="another@model/3"):
        bench.build("one")


def test_a_deleted_file_ends_the_work(bench: Bench) -> None:
    """Its job is gone with it."""
    job = bench.job("one")
    with bench.database.write() as session:
        session.execute(delete(File))
    with pytest.raises(LeaseLost, match=job.file_id):
        bench.pipeline.build(job, bench.shares.append)


@pytest.mark.parametrize("step", ["parsing", "embedding"])
def test_a_lost_lease_ends_the_work_midway(bench: Bench, step: str) -> None:
    """Progress is how the pipeline learns that it is wanted no more."""
    calls = threading.Semaphore(1 if step == "parsing" else 100)

    def progress(share: float) -> None:
        if not calls.acquire(blocking=False) or share > 0.15:
            raise LeaseLost

    job = bench.job(paragraphs("a"))
    with pytest.raises(LeaseLost):
        bench.pipeline.build(job, progress)
    assert (step == "embedding") == bool(bench.embedder.embedded)


def test_page_spans_join_what_stands_on_one_page() -> None:
    """A page without text has no span; a document without pages has none at all."""
    builder = DocumentBuilder("application/pdf")
    for page, text in [(1, "one"), (1, "two"), (3, "three")]:
        builder.add(text, page=page)
    assert page_spans(builder.build()) == [(1, 0, 8), (3, 10, 15)]
    plain = DocumentBuilder("text/plain")
    plain.add("words")
    assert page_spans(plain.build()) == []

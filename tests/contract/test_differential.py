"""All passage indexes agree: over random documents, filters, stores and histories, step by step."""

import itertools
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from catalog.feed import IndexedDocument
from retrieval.analysis import index_terms
from retrieval.filters import Filter, parse_filter
from retrieval.indexes.base import PassageIndex, Scope
from retrieval.indexes.faiss import FaissIndex
from retrieval.indexes.memory import MemoryIndex
from retrieval.indexes.qdrant import QdrantIndex
from tests.builders import EMBEDDER, a_publication, a_removal, a_scope, an_indexed_document, vectors_for
from tests.contract.passage_index import DIMENSION, TOLERANCE, ids
from tests.contract.test_qdrant_index import REAL_SERVER, an_index
from tests.qdrant import qdrant_server
from tests.qdrant_engine import EngineClient

WORDS = st.sampled_from(["apple", "pear", "plum", "fig", "PX-200/4", "日本語", "Öl", "c++", "2020"])
TEXT = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
# Each chunk is one window or several.
CHUNKS = st.lists(st.lists(TEXT, min_size=1, max_size=3), min_size=1, max_size=4)
STORES = st.sampled_from(["vs_1", "vs_2", "vs_3"])
SCALARS = st.sampled_from([0, 1, 1.0, 2, -1.5, True, False, "1", "a", "ab", "b", ""])
ATTRIBUTES = st.dictionaries(st.sampled_from(["kind", "year"]), SCALARS, max_size=2)
FILTERS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["eq", "ne"]),
            "key": st.sampled_from(["kind", "year"]),
            "value": SCALARS,
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["gt", "gte", "lt", "lte"]),
            "key": st.sampled_from(["kind", "year"]),
            "value": SCALARS.filter(lambda value: not isinstance(value, bool)),
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["in", "nin"]),
            "key": st.sampled_from(["kind", "year"]),
            "value": st.lists(SCALARS, max_size=3),
        }
    ),
)
_prefixes = itertools.count(1)


def a_document(number: int, store: str, chunks: list[list[str]], attributes: Mapping[str, Any]) -> IndexedDocument:
    """Build a document whose chunk n has the windows of chunks[n]."""
    chunk_ids = 100 * number + np.arange(len(chunks), dtype=np.int64)
    return an_indexed_document(
        number,
        *[" ".join(windows) for windows in chunks],
        vector_store_id=store,
        attributes=dict(attributes),
        vectors=vectors_for(*itertools.chain.from_iterable(chunks)),
        window_chunk_ids=np.repeat(chunk_ids, [len(windows) for windows in chunks]),
    )


def server_scores(documents: list[IndexedDocument], query: str, scope: Scope) -> dict[int, float]:
    """Return what a server scores that knows rarity and takes every chunk's length against 128 terms."""
    bags = {
        int(i): (document, Counter(index_terms(text)))
        for document in documents
        for i, text in zip(document.chunk_ids, document.texts, strict=True)
    }
    scores: dict[int, float] = {}
    for term in set(index_terms(query)):
        holders = [i for i, (_, bag) in bags.items() if term in bag]
        rarity = math.log((len(bags) - len(holders) + 0.5) / (len(holders) + 0.5) + 1)
        for i in holders:
            document, bag = bags[i]
            if scope.admits(document.vector_store_id, document.attributes):
                norm = 1.2 * (0.25 + 0.75 * bag.total() / 128)
                scores[i] = scores.get(i, 0.0) + rarity * bag[term] * 2.2 / (bag[term] + norm)
    return scores


class Histories(RuleBasedStateMachine):
    """One history of changes, applied to every index in batches of any size, with searches in between."""

    url: str
    # Whether removed chunks leave the statistics at once; Qdrant's engine counts them until it rewrites their segment.
    forgets_at_once: bool

    def __init__(self) -> None:
        super().__init__()
        self.oracle = MemoryIndex(dimension=DIMENSION)
        self.faiss = FaissIndex(dimension=DIMENSION, lexical=None)
        self.qdrant: QdrantIndex = an_index(self.url, prefix=f"test-{os.getpid()}-{next(_prefixes)}")
        self.alive: dict[int, IndexedDocument] = {}
        self.numbers = itertools.count(1)
        self.seq = itertools.count(1)
        self.waiting: list[Any] = []
        self.has_removed = False

    @initialize(chunks=CHUNKS)
    def begin(self, chunks: list[list[str]]) -> None:
        self.publish("vs_1", chunks, {})

    @rule(store=STORES, chunks=CHUNKS, attributes=ATTRIBUTES)
    def publish(self, store: str, chunks: list[list[str]], attributes: Mapping[str, Any]) -> None:
        number = next(self.numbers)
        self._announce(a_document(number, store, chunks, attributes), number)

    @rule(data=st.data(), attributes=ATTRIBUTES)
    def change_attributes(self, data: st.DataObject, attributes: Mapping[str, Any]) -> None:
        if self.alive:
            number = data.draw(st.sampled_from(sorted(self.alive)))
            old = self.alive[number]
            fields = {name: getattr(old, name) for name in old.__slots__} | {"attributes": dict(attributes)}
            self._announce(IndexedDocument(**fields), number)

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.alive:
            number = data.draw(st.sampled_from(sorted(self.alive)))
            del self.alive[number]
            self.has_removed = True
            self._enqueue(a_removal(next(self.seq), number))

    @rule()
    def apply_again(self) -> None:
        for index in self._indexes():
            index.apply(self.waiting)

    @rule(
        query=st.lists(WORDS, min_size=1, max_size=3).map(" ".join),
        stores=st.sets(STORES, min_size=1),
        raw=FILTERS,
        limit=st.sampled_from([1, 2, 5, 50]),
    )
    def search(self, query: str, stores: set[str], raw: Any, limit: int) -> None:
        self._apply()
        condition: Filter | None = None if raw is None else parse_filter(raw)
        scope = a_scope(*stores, filter=condition)
        self._check_dense(query, scope, limit)
        self._check_lexical(query, scope, limit)

    @invariant()
    def counts_agree(self) -> None:
        if not self.waiting:
            expected = sum(len(document.chunk_ids) for document in self.alive.values())
            assert {index.count() for index in self._indexes()} == {expected}
            assert len({index.position for index in self._indexes()}) == 1

    def teardown(self) -> None:
        self.qdrant._collection.drop()
        for index in self._indexes():
            index.close()

    def _indexes(self) -> tuple[PassageIndex, ...]:
        return (self.oracle, self.faiss, self.qdrant)

    def _announce(self, document: IndexedDocument, number: int) -> None:
        self.alive[number] = document
        seq = next(self.seq)
        fields = {name: getattr(document, name) for name in document.__slots__ if name not in ("texts", "document_id")}
        self._enqueue(a_publication(seq, number, *document.texts, **fields))

    def _enqueue(self, change: Any) -> None:
        # As in the feed: a document's newest change alone.
        self.waiting = [one for one in self.waiting if one.document_id != change.document_id] + [change]

    def _apply(self) -> None:
        for index in self._indexes():
            index.apply(self.waiting)
        self.waiting = []

    def _check_dense(self, query: str, scope: Scope, limit: int) -> None:
        vector = EMBEDDER.embed_queries([query])[0]
        exact = {hit.chunk_id: hit.score for hit in self.oracle.search_dense(vector, limit=10_000, scope=scope)}
        best = sorted(exact.values(), reverse=True)[:limit]
        for index in self._indexes():
            hits = index.search_dense(vector, limit=limit, scope=scope)
            assert [hit.score for hit in hits] == pytest.approx(best, abs=TOLERANCE)
            assert [exact[hit.chunk_id] for hit in hits] == pytest.approx(best, abs=TOLERANCE)
            assert len(set(ids(hits))) == len(hits)

    def _check_lexical(self, query: str, scope: Scope, limit: int) -> None:
        everything = {hit.chunk_id for hit in self.oracle.search_lexical(query, limit=10_000, scope=scope)}
        for index in self._indexes():
            assert set(ids(index.search_lexical(query, limit=10_000, scope=scope))) == everything
        if self.has_removed and not self.forgets_at_once:
            return
        scores = server_scores(list(self.alive.values()), query, scope)
        best = sorted(scores.values(), reverse=True)[:limit]
        hits = self.qdrant.search_lexical(query, limit=limit, scope=scope)
        assert [hit.score for hit in hits] == pytest.approx(best, rel=1e-5)
        assert [scores[hit.chunk_id] for hit in hits] == pytest.approx(best, rel=1e-5)


@pytest.fixture(scope="module", params=["local mode", "engine", "server"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "server":
        if REAL_SERVER is None:
            pytest.skip("FOOTNOTE_TEST_QDRANT_URL names no server")
        yield REAL_SERVER
        return
    with qdrant_server(engine=EngineClient() if request.param == "engine" else None) as server:
        yield server.url


def test_memory_faiss_and_qdrant_agree_about_every_history(url: str, request: pytest.FixtureRequest) -> None:
    """Equal chunks with equal cosines, the same chunks by words, and each side's own BM25, whatever came before."""
    forgets_at_once = request.node.callspec.params["url"] == "local mode"
    machine = type("HistoriesThere", (Histories,), {"url": url, "forgets_at_once": forgets_at_once})
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=20, deadline=None))

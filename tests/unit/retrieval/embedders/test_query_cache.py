"""Queries are embedded once."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from catalog.errors import ServiceUnavailable
from retrieval.embedders.base import Embedder, Vectors
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.embedders.query_cache import CachedQueries
from tests.contract.embedder import EmbedderContract


class Counting(HashingEmbedder):
    """Notes what it embeds; waits for `gate` first, and fails while `fault` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.queries += texts
        self.gate.wait(30)
        if self.fault:
            raise self.fault
        return super().embed_queries(texts)


class TestCachedQueries(EmbedderContract):
    @pytest.fixture
    def opened(self) -> Embedder:
        return CachedQueries(HashingEmbedder())


def test_a_query_is_embedded_once() -> None:
    """Alone, in a list, or twice in one list; rows stand in the order of the texts, and are the embedder's."""
    counting = Counting()
    cached = CachedQueries(counting)
    cached.embed_queries(["a"])
    vectors = cached.embed_queries(["b", "a", "b"])
    assert counting.queries == ["a", "b"]
    np.testing.assert_array_equal(HashingEmbedder().embed_queries(["b", "a", "b"]), vectors)


def test_hits_and_misses_are_told() -> None:
    """A repetition in the same list is a hit: it costs nothing."""
    told: list[tuple[int, int]] = []
    cached = CachedQueries(HashingEmbedder(), observe=lambda hits, misses: told.append((hits, misses)))
    for queries in (["a"], ["a", "b", "b"], []):
        cached.embed_queries(queries)
    assert told == [(0, 1), (2, 1), (0, 0)]


def test_the_queries_used_last_are_kept() -> None:
    """Beyond the bound the one goes that was not used for the longest time."""
    counting = Counting()
    cached = CachedQueries(counting, entries=2)
    for query in ("a", "b", "a", "c", "a", "b"):
        cached.embed_queries([query])
    assert counting.queries == ["a", "b", "c", "b"]


def test_nothing_is_kept_where_there_is_no_room() -> None:
    """With 0 entries each call embeds, and still each query once."""
    counting = Counting()
    cached = CachedQueries(counting, entries=0)
    for _ in range(2):
        cached.embed_queries(["a", "a"])
    assert counting.queries == ["a", "a"]


def test_more_queries_at_once_than_are_kept_get_their_vectors() -> None:
    """The bound is on what stays, not on what a call may ask."""
    texts = [f"query {number}" for number in range(7)]
    cached = CachedQueries(HashingEmbedder(), entries=2)
    np.testing.assert_array_equal(HashingEmbedder().embed_queries(texts), cached.embed_queries(texts))


def test_the_same_query_asked_at_the_same_time_is_embedded_once() -> None:
    """Seven threads wait for the one that came first, and all have its vector."""
    counting = Counting()
    counting.gate.clear()
    cached = CachedQueries(counting)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(cached.embed_queries, ["the same"]) for _ in range(8)]
        counting.gate.set()
        vectors = [future.result(30)[0] for future in futures]
    assert counting.queries == ["the same"]
    assert all((vector == vectors[0]).all() for vector in vectors)


def test_a_fault_is_not_kept() -> None:
    """All who wait for it are told; who asks next is answered."""
    counting = Counting()
    counting.gate.clear()
    counting.fault = ServiceUnavailable("down")
    cached = CachedQueries(counting)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(cached.embed_queries, ["q"]) for _ in range(4)]
        counting.gate.set()
        assert {type(future.exception(30)) for future in futures} == {ServiceUnavailable}
    counting.fault = None
    assert cached.embed_queries(["q"]).shape == (1, 64)


def test_a_vector_that_a_caller_changes_is_still_right_for_the_next() -> None:
    """What is handed out is a copy."""
    cached = CachedQueries(HashingEmbedder())
    cached.embed_queries(["q"])[:] = 0
    np.testing.assert_array_equal(HashingEmbedder().embed_queries(["q"]), cached.embed_queries(["q"]))

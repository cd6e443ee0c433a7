"""What only Qdrant's own engine can show: graphs, quantised vectors, and what becomes of them under changes."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.filters import parse_filter
from retrieval.indexes.qdrant import QdrantIndex
from tests.builders import a_publication, a_removal, a_scope
from tests.contract.passage_index import DIMENSION, ids
from tests.contract.test_qdrant_index import an_index
from tests.qdrant import QdrantServer, qdrant_server
from tests.qdrant_engine import EngineClient

DOCUMENTS, WINDOWS = 60, 40
FIRST = parse_filter({"type": "eq", "key": "n", "value": 1})


def unit_vectors(rows: int, seed: int) -> NDArray[np.float16]:
    """Return float16 vectors of length 1 around some centres, as embeddings lie, shape (rows, DIMENSION)."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(20, DIMENSION))
    vectors = centres[random.integers(0, 20, rows)] + 0.7 * random.normal(size=(rows, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(params=["none", "scalar"])
def filled(request: pytest.FixtureRequest) -> Iterator[tuple[QdrantIndex, QdrantServer, EngineClient]]:
    """Yield an index of 60 documents with 20 chunks of two windows each, with its graphs built."""
    engine = EngineClient(indexing_threshold=1, default_segment_number=2)
    with qdrant_server(engine=engine) as server:
        index = an_index(server.url, quantization=request.param, hnsw_ef=64)
        for n in range(1, DOCUMENTS + 1):
            windows = np.repeat(100 * n + np.arange(WINDOWS // 2), 2)
            texts = [f"word{n}"] * (WINDOWS // 2)
            vectors = unit_vectors(WINDOWS, n)
            index.apply(
                [a_publication(n, n, *texts, vectors=vectors, window_chunk_ids=windows, attributes={"n": n % 10})]
            )
        engine.optimize()
        yield index, server, engine
        index.close()


def best_chunks(query: NDArray[np.float32], documents: range, limit: int = 10) -> list[int]:
    scores = {
        100 * n + chunk: float(max(cosines[2 * chunk : 2 * chunk + 2]))
        for n in documents
        for cosines in [unit_vectors(WINDOWS, n).astype(np.float32) @ query]
        for chunk in range(WINDOWS // 2)
    }
    return sorted(scores, key=lambda chunk: -scores[chunk])[:limit]


def recall(index: QdrantIndex, documents: range, **scope: object) -> float:
    """Return how many of the exact ten best chunks are found, over 20 questions."""
    queries = unit_vectors(20, 999).astype(np.float32)
    shares = []
    for query in queries:
        found = ids(index.search_dense(query, limit=10, scope=a_scope(**scope)))
        shares.append(len(set(found) & set(best_chunks(query, documents))) / 10)
    return float(np.mean(shares))


def test_a_graph_over_windows_finds_the_best_chunks(filled: tuple[QdrantIndex, QdrantServer, EngineClient]) -> None:
    """Also by quantised vectors, which are scored again by the exact ones; scores are the exact cosines."""
    index, _, engine = filled
    # Of both kinds: one for the meaning and one for the words of each chunk.
    (shard,) = engine._shards.values()
    assert shard.info().indexed_vectors_count == 2 * index.count()
    assert recall(index, range(1, DOCUMENTS + 1)) >= 0.97
    query = unit_vectors(1, 999)[0].astype(np.float32)
    (hit,) = index.search_dense(query, limit=1, scope=a_scope())
    windows = unit_vectors(WINDOWS, hit.chunk_id // 100).astype(np.float32) @ query
    chunk = hit.chunk_id % 100
    assert hit.score == pytest.approx(max(windows[2 * chunk : 2 * chunk + 2]), abs=2e-3)


def test_a_filtered_search_is_exact_beside_a_graph(filled: tuple[QdrantIndex, QdrantServer, EngineClient]) -> None:
    """One tenth of the documents, and each of their best chunks."""
    index, _, _ = filled
    assert recall(index, range(1, DOCUMENTS + 1, 10), filter=FIRST) == 1.0


def test_changes_reach_what_is_in_a_graph(filled: tuple[QdrantIndex, QdrantServer, EngineClient]) -> None:
    """Removals, new attributes and new documents count in the next search, before and after graphs are built again."""
    index, _, engine = filled
    index.apply([a_removal(100 + n, n) for n in range(1, 11)])
    windows = np.repeat(1100 + np.arange(WINDOWS // 2), 2)
    vectors, texts = unit_vectors(WINDOWS, 11), ["word11"] * (WINDOWS // 2)
    changed = {"vectors": vectors, "window_chunk_ids": windows, "attributes": {"n": 77}}
    index.apply([a_publication(200, 11, *texts, **changed)])
    moved = parse_filter({"type": "gte", "key": "n", "value": 77})
    for _ in range(2):
        assert index.count() == (DOCUMENTS - 10) * WINDOWS // 2
        assert recall(index, range(11, DOCUMENTS + 1)) >= 0.97
        assert recall(index, range(11, 12), filter=moved) == 1.0
        assert recall(index, range(21, DOCUMENTS + 1, 10), filter=FIRST) == 1.0
        engine.optimize()

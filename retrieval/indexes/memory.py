"""The exact index in memory: small, slow, and right. The oracle for every other one."""

import threading
from collections import Counter
from collections.abc import Sequence

import numpy as np

from catalog.feed import DocumentChange, IndexedDocument
from retrieval.analysis import index_terms
from retrieval.bm25 import idf, term_weight
from retrieval.indexes.base import Hit, Scope, Vector, check_dimension
from retrieval.query_terms import query_terms


class MemoryIndex:
    """Brute force over everything in scope."""

    def __init__(self, *, dimension: int) -> None:
        self._dimension = dimension
        self._position = 0
        self._documents: dict[int, IndexedDocument] = {}
        self._lock = threading.Lock()

    @property
    def position(self) -> int:
        return self._position

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        with self._lock:
            for change in changes:
                if change.seq <= self._position:
                    continue
                if change.document is None:
                    self._documents.pop(change.document_id, None)
                else:
                    check_dimension(change.document.vectors.shape[1], self._dimension)
                    self._documents[change.document_id] = change.document
                self._position = change.seq

    def search_dense(self, query: Vector, *, limit: int, scope: Scope) -> list[Hit]:
        check_dimension(len(query), self._dimension)
        best: dict[int, float] = {}
        for document in self._in_scope(scope):
            scores = document.vectors.astype(np.float32) @ query
            for chunk_id, score in zip(document.window_chunk_ids.tolist(), scores.tolist(), strict=True):
                best[chunk_id] = max(score, best.get(chunk_id, -1.0))
        return _top(best, limit)

    def search_lexical(self, query: str, *, limit: int, scope: Scope) -> list[Hit]:
        bags = {
            int(chunk_id): (document, Counter(index_terms(text)))
            for document in self._snapshot()
            for chunk_id, text in zip(document.chunk_ids, document.texts, strict=True)
        }
        if not bags:
            return []
        average = sum(bag.total() for _, bag in bags.values()) / len(bags)
        scores: dict[int, float] = {}
        for term in query_terms(query):
            holders = [(i, d, bag) for i, (d, bag) in bags.items() if term in bag]
            for chunk_id, document, bag in holders:
                if scope.admits(document.vector_store_id, document.attributes):
                    weight = idf(len(bags), len(holders)) * term_weight(bag[term], bag.total(), average)
                    scores[chunk_id] = scores.get(chunk_id, 0.0) + weight
        return _top(scores, limit)

    def count(self) -> int:
        return sum(len(document.chunk_ids) for document in self._snapshot())

    def close(self) -> None:
        self._documents.clear()

    def _snapshot(self) -> list[IndexedDocument]:
        with self._lock:
            return list(self._documents.values())

    def _in_scope(self, scope: Scope) -> list[IndexedDocument]:
        return [d for d in self._snapshot() if scope.admits(d.vector_store_id, d.attributes)]


def _top(scores: dict[int, float], limit: int) -> list[Hit]:
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [Hit(chunk_id=chunk_id, score=score) for chunk_id, score in ranked[:limit]]

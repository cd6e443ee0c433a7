"""The embedded index: FAISS for vectors, FTS5 for words, both replicas of the catalog."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from catalog.feed import DocumentChange, IndexedDocument
from retrieval.indexes.base import Hit, Scope, Vector, check_dimension
from retrieval.lexical import LexicalIndex

# A partition is rebuilt without its tombstones when they are more than this share of its rows.
_MAX_DEAD_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class _Document:
    vector_store_id: str
    attributes: Mapping[str, Any]
    chunks: int


class FaissIndex:
    """Vectors in memory, one FAISS index per vector store, searched exactly; words in one FTS5 file per machine.

    Vectors stay float16, as they are stored (2 bytes per dimension): the scalar quantiser computes with their exact
    values. A removed document leaves tombstones, which no search sees, until its partition is rebuilt.
    """

    def __init__(self, *, dimension: int, lexical: Path | None) -> None:
        """`lexical`: the FTS5 file; None keeps it in memory."""
        self._dimension = dimension
        self._lexical = LexicalIndex(lexical)
        self._lock = threading.Lock()
        self._partitions: dict[str, _Partition] = {}
        self._documents: dict[int, _Document] = {}
        self._position = 0

    @property
    def position(self) -> int:
        return min(self._position, self._lexical.position)

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        for change in changes:
            if change.document is not None:
                check_dimension(change.document.vectors.shape[1], self._dimension)
        self._lexical.apply(changes)
        with self._lock:
            for change in changes:
                if change.seq > self._position:
                    self._apply_vectors(change)
                    self._position = change.seq

    def _apply_vectors(self, change: DocumentChange) -> None:
        known, document = self._documents.get(change.document_id), change.document
        if document is None:
            if known is not None:
                del self._documents[change.document_id]
                self._partitions[known.vector_store_id].remove(change.document_id)
                if not self._partitions[known.vector_store_id].live:
                    del self._partitions[known.vector_store_id]
            return
        self._documents[change.document_id] = _Document(
            document.vector_store_id, document.attributes, len(document.chunk_ids)
        )
        if known is None:
            if document.vector_store_id not in self._partitions:
                self._partitions[document.vector_store_id] = _Partition(self._dimension)
            self._partitions[document.vector_store_id].add(document)

    def search_dense(self, query: Vector, *, limit: int, scope: Scope) -> list[Hit]:
        check_dimension(len(query), self._dimension)
        best: dict[int, float] = {}
        with self._lock:
            allowed = None if scope.filter is None else self._admitted(scope)
            for vector_store_id in scope.vector_store_ids & self._partitions.keys():
                found = self._partitions[vector_store_id].search(query, limit=limit, document_ids=allowed)
                for chunk_id, score in found:
                    best[chunk_id] = max(score, best.get(chunk_id, -1.0))
        ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
        return [Hit(chunk_id=chunk_id, score=score) for chunk_id, score in ranked[:limit]]

    def search_lexical(self, query: str, *, limit: int, scope: Scope) -> list[Hit]:
        with self._lock:
            position = self._position
            sees_all = scope.filter is None and self._partitions.keys() <= scope.vector_store_ids
            allowed = None if sees_all else self._admitted(scope)
        hits = self._lexical.search(query, limit=limit, document_ids=allowed)
        if sees_all and self._lexical.position != position:
            # Another process has written on: the file may hold stores that this one does not know yet.
            with self._lock:
                allowed = self._admitted(scope)
            hits = self._lexical.search(query, limit=limit, document_ids=allowed)
        return hits

    def count(self) -> int:
        with self._lock:
            return sum(document.chunks for document in self._documents.values())

    def close(self) -> None:
        with self._lock:
            self._partitions.clear()
            self._documents.clear()
        self._lexical.close()

    def _admitted(self, scope: Scope) -> set[int]:
        return {i for i, d in self._documents.items() if scope.admits(d.vector_store_id, d.attributes)}


class _Partition:
    """The vectors of one store. Row r of the FAISS index belongs to chunk_ids[r] and document_ids[r]."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._reset()

    def _reset(self) -> None:
        self._index = faiss.IndexScalarQuantizer(
            self._dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        self._chunk_ids = np.empty(0, dtype=np.int64)
        self._document_ids = np.empty(0, dtype=np.int64)
        self._is_live = np.empty(0, dtype=np.bool_)

    @property
    def live(self) -> int:
        """How many rows are not tombstones."""
        return int(self._is_live.sum())

    def add(self, document: IndexedDocument) -> None:
        self._append(
            document.vectors.astype(np.float32),
            document.window_chunk_ids,
            np.full(len(document.window_chunk_ids), document.document_id, dtype=np.int64),
        )

    def remove(self, document_id: int) -> None:
        self._is_live &= self._document_ids != document_id
        if self.live < (1 - _MAX_DEAD_SHARE) * len(self._is_live):
            self._compact()

    def search(self, query: Vector, *, limit: int, document_ids: Collection[int] | None) -> list[tuple[int, float]]:
        """Return (chunk id, cosine) of the best windows in scope: enough for `limit` chunks, equals of the last too."""
        visible = self._is_live
        if document_ids is not None:
            visible = visible & np.isin(self._document_ids, np.fromiter(document_ids, dtype=np.int64))
        # Windows of one chunk may crowd the front, and FAISS keeps any of equal ones: ask for more until enough chunks
        # are seen and something worse than the last of them, or everything.
        available, wanted = int(visible.sum()), limit + 1
        while available:
            wanted = min(wanted, available)
            scores, rows = self._search_rows(query, wanted, visible)
            chunk_ids = self._chunk_ids[rows]
            firsts = np.sort(np.unique(chunk_ids, return_index=True)[1])
            is_settled = len(firsts) >= limit and scores[firsts[limit - 1]] > scores[-1]
            if wanted == available or is_settled:
                return list(zip(chunk_ids.tolist(), scores.tolist(), strict=True))
            wanted *= 2
        return []

    def _search_rows(
        self, query: Vector, wanted: int, visible: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        parameters = None
        if not visible.all():
            bitmap = np.packbits(visible, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
        scores, rows = self._index.search(query[np.newaxis, :], wanted, params=parameters)
        found = rows[0] >= 0
        return scores[0][found], rows[0][found]

    def _append(
        self, vectors: NDArray[np.float32], chunk_ids: NDArray[np.int64], document_ids: NDArray[np.int64]
    ) -> None:
        self._index.add(vectors)
        self._chunk_ids = np.concatenate([self._chunk_ids, chunk_ids])
        self._document_ids = np.concatenate([self._document_ids, document_ids])
        self._is_live = np.concatenate([self._is_live, np.ones(len(chunk_ids), dtype=np.bool_)])

    def _compact(self) -> None:
        rows = np.flatnonzero(self._is_live)
        vectors = np.empty((0, self._dimension), dtype=np.float32)
        if len(rows):
            vectors = self._index.reconstruct_batch(rows)
        chunk_ids, document_ids = self._chunk_ids[rows], self._document_ids[rows]
        self._reset()
        self._append(vectors, chunk_ids, document_ids)

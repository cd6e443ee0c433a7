"""The embedded index: FAISS for vectors, tantivy for words, both replicas of the catalog."""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray

from catalog.feed import DocumentChange, IndexedDocument
from retrieval.indexes.base import Hit, Scope, Vector, check_dimension
from retrieval.lexical import LexicalIndex

# Rows of a segment. Measured with 384 dimensions: removing rows from one takes 1 ms, moving half of its rows 7 ms.
_SEGMENT_ROWS: Final = 16_384


@dataclass(frozen=True, slots=True)
class _Document:
    vector_store_id: str
    attributes: Mapping[str, Any]
    chunks: int


class FaissIndex:
    """Vectors in memory, searched exactly, each vector store for itself; words in one folder per machine.

    Vectors stay float16, as they are stored (2 bytes per dimension): the scalar quantiser computes with their exact
    values.
    """

    def __init__(self, *, dimension: int, lexical: Path | None) -> None:
        """`lexical`: the folder of words; None takes a temporary one."""
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
            self._apply_vectors([change for change in changes if change.seq > self._position])

    def _apply_vectors(self, changes: Sequence[DocumentChange]) -> None:
        gone: dict[str, set[int]] = {}
        for change in changes:
            known, document = self._documents.get(change.document_id), change.document
            if document is not None:
                if known is None:
                    self._partitions.setdefault(document.vector_store_id, _Partition(self._dimension)).add(document)
                self._documents[change.document_id] = _Document(
                    document.vector_store_id, document.attributes, len(document.chunk_ids)
                )
            elif known is not None:
                del self._documents[change.document_id]
                gone.setdefault(known.vector_store_id, set()).add(change.document_id)
            self._position = change.seq
        # All at once: a thousand documents may lie in the same segment.
        for vector_store_id, document_ids in gone.items():
            self._partitions[vector_store_id].remove(document_ids)
            if self._partitions[vector_store_id].is_empty:
                del self._partitions[vector_store_id]

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
            # Another process has written on: the folder may hold stores that this one does not know yet.
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
    """The vectors of one store, in segments: what a change costs depends on its documents, not on the store."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension
        self._segments: list[_Segment] = []

    @property
    def is_empty(self) -> bool:
        return not self._segments

    def add(self, document: IndexedDocument) -> None:
        owners = np.full(len(document.window_chunk_ids), document.document_id, dtype=np.int64)
        self._append(document.vectors.astype(np.float32), document.window_chunk_ids, owners)

    def remove(self, document_ids: Collection[int]) -> None:
        """Remove rows, and move those of sparse segments, which gives their memory back."""
        sparse = [segment for segment in self._segments if segment.remove(document_ids) and segment.is_sparse]
        self._segments = [segment for segment in self._segments if segment not in sparse]
        for segment in sparse:
            self._append(*segment.content())

    def search(self, query: Vector, *, limit: int, document_ids: Collection[int] | None) -> Iterator[tuple[int, float]]:
        """Yield (chunk id, cosine) of the best windows in scope, in no order: each segment's best `limit` chunks."""
        for segment in self._segments:
            yield from segment.search(query, limit=limit, document_ids=document_ids)

    def _append(
        self, vectors: NDArray[np.float32], chunk_ids: NDArray[np.int64], document_ids: NDArray[np.int64]
    ) -> None:
        start = 0
        while start < len(chunk_ids):
            if not self._segments or self._segments[-1].rows == _SEGMENT_ROWS:
                self._segments.append(_Segment(self._dimension))
            stop = start + _SEGMENT_ROWS - self._segments[-1].rows
            self._segments[-1].append(vectors[start:stop], chunk_ids[start:stop], document_ids[start:stop])
            start = stop


class _Segment:
    """Up to _SEGMENT_ROWS vectors. Row r of the FAISS index belongs to chunk_ids[r], and to document owners[r]."""

    def __init__(self, dimension: int) -> None:
        self._index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        self._chunk_ids = np.empty(0, dtype=np.int64)
        self._owners = np.empty(0, dtype=np.int32)
        # Document ids in the order of their numbers in `_owners`, with those numbers.
        self._documents: dict[int, int] = {}
        self._most_rows = 0

    @property
    def rows(self) -> int:
        return len(self._chunk_ids)

    @property
    def is_sparse(self) -> bool:
        """Whether it holds less than half of what it held once. FAISS keeps the memory of removed rows."""
        return self.rows < self._most_rows / 2

    def append(
        self, vectors: NDArray[np.float32], chunk_ids: NDArray[np.int64], document_ids: NDArray[np.int64]
    ) -> None:
        owners = [self._documents.setdefault(i, len(self._documents)) for i in document_ids.tolist()]
        self._index.add(vectors)
        self._chunk_ids = np.concatenate([self._chunk_ids, chunk_ids])
        self._owners = np.concatenate([self._owners, np.array(owners, dtype=np.int32)])
        self._most_rows = max(self._most_rows, self.rows)

    def remove(self, document_ids: Collection[int]) -> bool:
        """Remove the rows of these documents; return whether there were any."""
        stays = np.fromiter((i not in document_ids for i in self._documents), np.bool_, len(self._documents))
        if stays.all():
            return False
        kept = stays[self._owners]
        self._index.remove_ids(faiss.IDSelectorBitmap(np.packbits(~kept, bitorder="little")))
        self._chunk_ids = self._chunk_ids[kept]
        numbers = np.cumsum(stays, dtype=np.int32) - 1
        self._owners = numbers[self._owners[kept]]
        self._documents = {i: n for n, i in enumerate(i for i in self._documents if i not in document_ids)}
        return True

    def content(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Return vectors, chunk ids and document ids of all rows."""
        documents = np.fromiter(self._documents, np.int64, len(self._documents))
        return self._index.reconstruct_n(0, self.rows), self._chunk_ids, documents[self._owners]

    def search(self, query: Vector, *, limit: int, document_ids: Collection[int] | None) -> list[tuple[int, float]]:
        """Return (chunk id, cosine) of the best windows in scope: enough for `limit` chunks, equals of the last too."""
        available, parameters = self.rows, None
        if document_ids is not None:
            admitted = np.fromiter((i in document_ids for i in self._documents), np.bool_, len(self._documents))
            visible = admitted[self._owners]
            available = int(visible.sum())
            bitmap = np.packbits(visible, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
        # Windows of one chunk may crowd the front, and FAISS keeps any of equal ones: ask for more until enough chunks
        # are seen and something worse than the last of them, or everything.
        wanted = limit + 1
        while available:
            wanted = min(wanted, available)
            scores, rows = (found[0] for found in self._index.search(query[np.newaxis, :], wanted, params=parameters))
            scores, chunk_ids = scores[rows >= 0], self._chunk_ids[rows[rows >= 0]]
            firsts = np.sort(np.unique(chunk_ids, return_index=True)[1])
            is_settled = len(firsts) >= limit and scores[firsts[limit - 1]] > scores[-1]
            if wanted == available or is_settled:
                return list(zip(chunk_ids.tolist(), scores.tolist(), strict=True))
            wanted *= 2
        return []

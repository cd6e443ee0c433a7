"""The vectors of all stores: what the embedded index knows of meaning."""

import threading
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from catalog.feed import DocumentChange
from retrieval.indexes.base import Hit, Scope, Vector, check_dimension
from retrieval.indexes.documents import DocumentTable
from retrieval.indexes.partition import Partition, Sizes, joined, train
from retrieval.indexes.segment import Segment, use_one_thread


class VectorReplica:
    """A partition for each vector store, and the table of their documents. Thread-safe.

    What a snapshot has to write is in `table`, `partitions` and `position`, read under `lock`.
    """

    def __init__(self, dimension: int, sizes: Sizes | None = None) -> None:
        self.dimension = dimension
        self.sizes = sizes or Sizes()
        self.lock = threading.RLock()
        self.table = DocumentTable()
        self.partitions: dict[str, Partition] = {}
        self.position = 0

    def apply(self, changes: Sequence[DocumentChange]) -> int:
        """Take up the changes after `position`; return how many rows came or went."""
        for change in changes:
            if change.document is not None:
                check_dimension(change.document.vectors.shape[1], self.dimension)
        use_one_thread()
        with self.lock:
            before = self.rows
            gone: dict[str, list[int]] = {}
            added = 0
            for change in changes:
                if change.seq > self.position:
                    added += self._apply_one(change, gone)
                    self.position = change.seq
            # All at once: a thousand documents may lie in the same segment.
            for vector_store_id, slots in gone.items():
                self._remove(vector_store_id, slots)
            return added + (before + added - self.rows)

    def search(self, query: Vector, *, limit: int, scope: Scope) -> list[Hit]:
        check_dimension(len(query), self.dimension)
        use_one_thread()
        with self.lock:
            admitted = None if scope.filter is None else self.table.admitted(scope)
            chunk_ids, scores = joined(
                self.partitions[vector_store_id].search(query, limit=limit, admitted=admitted)
                for vector_store_id in scope.vector_store_ids & self.partitions.keys()
            )
        order = np.lexsort((chunk_ids, -scores))
        # Of each chunk its best window, which comes first.
        firsts = np.sort(np.unique(chunk_ids[order], return_index=True)[1])[:limit]
        best = order[firsts]
        return [
            Hit(chunk_id=chunk_id, score=score)
            for chunk_id, score in zip(chunk_ids[best].tolist(), scores[best].tolist(), strict=True)
        ]

    def document_ids(self, scope: Scope) -> NDArray[np.int64]:
        """Return the documents in scope."""
        with self.lock:
            return self.table.document_ids(self.table.admitted(scope))

    def sees_all(self, scope: Scope) -> bool:
        """Whether every document is in scope."""
        with self.lock:
            return scope.filter is None and self.partitions.keys() <= scope.vector_store_ids

    def read_mapped(self) -> None:
        """Read mapped segments into memory, where no search has to wait for their pages; searches go on meanwhile."""
        with self.lock:
            mapped = [
                (partition, number, segment)
                for partition in self.partitions.values()
                for number, segment in partition.segments.items()
                if segment.is_mapped
            ]
        for partition, number, segment in mapped:
            read = Segment(self.dimension, file=segment.file)
            with self.lock:
                if partition.segments.get(number) is segment:
                    partition.segments[number] = read

    @property
    def needs_training(self) -> bool:
        with self.lock:
            return any(partition.needs_training for partition in self.partitions.values())

    def train_due(self) -> None:
        """Give large partitions the coarse index that they need. Takes seconds, in which searches and changes go on."""
        with self.lock:
            due = [partition for partition in self.partitions.values() if partition.needs_training]
        use_one_thread()
        for partition in due:
            with self.lock:
                full = partition.begin_training()
            coarse = None
            try:
                coarse = train(full)
            finally:
                with self.lock:
                    partition.end_training(coarse, full)

    def _apply_one(self, change: DocumentChange, gone: dict[str, list[int]]) -> int:
        """Return how many rows are added; put the slot of a document that goes into `gone`, by store."""
        document = change.document
        if document is None:
            if change.document_id in self.table:
                slot, vector_store_id = self.table.remove(change.document_id)
                gone.setdefault(vector_store_id, []).append(slot)
            return 0
        if change.document_id in self.table:
            self.table.change(change.document_id, document.attributes)
            return 0
        partition = self.partitions.setdefault(document.vector_store_id, Partition(self.dimension, self.sizes))
        partition.add(document.vectors, document.window_chunk_ids, self.table.add(document))
        return len(document.vectors)

    def _remove(self, vector_store_id: str, slots: Collection[int]) -> None:
        self.partitions[vector_store_id].remove(list(slots), self.table.capacity)
        self.table.release(slots)
        if not self.partitions[vector_store_id].count:
            del self.partitions[vector_store_id]

    @property
    def rows(self) -> int:
        """Windows that a search can find, over all stores."""
        return sum(partition.count for partition in self.partitions.values())

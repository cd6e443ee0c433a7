"""The embedded index: FAISS for vectors, tantivy for words, both replicas of the catalog."""

from collections.abc import Sequence
from pathlib import Path

from catalog.feed import DocumentChange
from retrieval.indexes.base import Hit, Scope, Vector, check_dimension
from retrieval.indexes.snapshots import Snapshots
from retrieval.indexes.upkeep import Upkeep
from retrieval.indexes.vectors import VectorReplica
from retrieval.lexical import LexicalIndex


class FaissIndex:
    """Vectors in memory, each vector store for itself; words in one folder per machine.

    Vectors stay float16, as they are stored. Small stores are searched exactly, large ones by a coarse index whose best
    rows are compared exactly. Snapshots of a large index spare the next start the replay of the whole feed.
    """

    def __init__(
        self,
        *,
        dimension: int,
        lexical: Path | None,
        vectors: VectorReplica | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        """`lexical`: the folder of words; None takes a temporary one. `vectors`: what a snapshot held."""
        self._vectors = vectors or VectorReplica(dimension)
        self._lexical = LexicalIndex(lexical)
        self._upkeep = Upkeep(self._vectors, snapshots)
        if vectors is not None:
            self._upkeep.read_mapped()

    @property
    def position(self) -> int:
        return min(self._vectors.position, self._lexical.position)

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        for change in changes:
            if change.document is not None:
                check_dimension(change.document.vectors.shape[1], self._vectors.dimension)
        self._lexical.apply(changes)
        self._upkeep.note(self._vectors.apply(changes))

    def search_dense(self, query: Vector, *, limit: int, scope: Scope) -> list[Hit]:
        return self._vectors.search(query, limit=limit, scope=scope)

    def search_lexical(self, query: str, *, limit: int, scope: Scope) -> list[Hit]:
        position, sees_all = self._vectors.position, self._vectors.sees_all(scope)
        allowed = None if sees_all else set(self._vectors.document_ids(scope).tolist())
        hits = self._lexical.search(query, limit=limit, document_ids=allowed)
        if sees_all and self._lexical.position != position:
            # Another process has written on: the folder may hold stores that this one does not know yet.
            allowed = set(self._vectors.document_ids(scope).tolist())
            hits = self._lexical.search(query, limit=limit, document_ids=allowed)
        return hits

    def count(self) -> int:
        return self._vectors.table.chunks

    def settle(self) -> None:
        """Return when no training and no snapshot is under way."""
        self._upkeep.wait()

    def close(self) -> None:
        self._upkeep.close()
        self._lexical.close()

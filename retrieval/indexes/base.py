"""The passage index seam."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from catalog.errors import IndexIncompatible
from catalog.feed import DocumentChange
from retrieval.filters import Filter

# float32, shape (dimension,), L2 norm 1.
Vector = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """What a search may see: these stores, and in them the documents whose attributes pass the filter."""

    vector_store_ids: frozenset[str]
    filter: Filter | None = None

    def admits(self, vector_store_id: str, attributes: Mapping[str, Any]) -> bool:
        return vector_store_id in self.vector_store_ids and (self.filter is None or self.filter.matches(attributes))


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    chunk_id: int
    # Higher is better.
    score: float


class PassageIndex(Protocol):
    """Nearest-neighbour and lexical index over the chunks of documents, keyed by chunk id.

    It follows the catalog's change feed: `apply` is its only way of changing, so that a crash costs a replica and never
    data. Scope is decided inside the search: a filtered top k is exact for what the filter selects. Thread-safe.
    """

    @property
    def position(self) -> int:
        """`seq` of the last change that is applied, 0 at the beginning."""
        ...

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        """Add, update and remove documents; all of a document's chunks become visible together.

        Changes ascend. Applying one again, or one at or before `position`, changes nothing.
        Raises IndexIncompatible for vectors of another dimension.
        """
        ...

    def search_dense(self, query: Vector, *, limit: int, scope: Scope) -> list[Hit]:
        """Return at most `limit` chunks, best first, each once, by its best window.

        Score: cosine in [-1, 1]; ties by chunk id. Nothing in scope gives []. Raises IndexIncompatible.
        """
        ...

    def search_lexical(self, query: str, *, limit: int, scope: Scope) -> list[Hit]:
        """Return at most `limit` chunks that share a term with `query`, best first; ties by chunk id.

        Score: BM25 (k1 1.2, b 0.75), above 0, unbounded; comparable within one search alone.
        """
        ...

    def count(self) -> int:
        """Return the number of chunks that a search can find, over all stores."""
        ...

    def close(self) -> None:
        """Release files and memory; the index is not used afterwards."""
        ...


def check_dimension(found: int, expected: int) -> None:
    """Raises IndexIncompatible when they differ."""
    if found != expected:
        raise IndexIncompatible(f"Vectors of dimension {found} do not fit an index of dimension {expected}.")

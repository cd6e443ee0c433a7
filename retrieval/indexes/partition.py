"""The vectors of one vector store."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.indexes.base import Vector
from retrieval.indexes.coarse import TRAINING_ROWS, CoarseIndex
from retrieval.indexes.documents import Mask
from retrieval.indexes.segment import Segment, StoredRows

# A coarse index is trained anew when there are this many times the rows that it was trained for.
_GROWTH: Final = 4
# Rows that are compared exactly for each chunk that is asked for, and how many at least.
_OVERSAMPLING: Final = 5
_MIN_COMPARED: Final = 500
# Windows that an exact search asks a segment for at first, for each chunk. Mostly enough; another search costs more.
_CROWDING: Final = 2
_SEED: Final = 11


# Chunk ids and cosines of windows, as long as each other.
Found = tuple[NDArray[np.int64], Vector]


def joined(parts: Iterable[Found]) -> Found:
    """Return all windows of `parts`, one behind the other."""
    some = list(parts) or [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))]
    return np.concatenate([chunk_ids for chunk_ids, _ in some]), np.concatenate([scores for _, scores in some])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """In rows. The measurements behind them are in docs/benchmarks.md."""

    # Of a segment: 12 MB with 384 dimensions.
    segment: int = 16_384
    # Up to here a store is searched exactly.
    exact: int = 65_536
    # Up to here is, in a larger one, what a filter admits.
    exact_filtered: int = 131_072


@dataclass(kw_only=True, slots=True)
class Rows:
    """What is known of the rows of a store, by row number. Segment n holds those from n * Sizes.segment on."""

    chunk_ids: NDArray[np.int64]
    # Slots of their documents.
    owners: NDArray[np.int32]
    alive: Mask

    @classmethod
    def empty(cls, capacity: int) -> "Rows":
        return cls(
            chunk_ids=np.zeros(capacity, dtype=np.int64),
            owners=np.zeros(capacity, dtype=np.int32),
            alive=np.zeros(capacity, dtype=np.bool_),
        )

    def resized(self, capacity: int) -> "Rows":
        """Return a copy with room for `capacity` rows, which are dead where there was none."""
        copy, kept = Rows.empty(capacity), min(capacity, len(self.alive))
        copy.chunk_ids[:kept], copy.owners[:kept] = self.chunk_ids[:kept], self.owners[:kept]
        copy.alive[:kept] = self.alive[:kept]
        return copy


class Partition:
    """Exact rows in segments, and from a size on a coarse index in front of them.

    A row has a number for life, and is marked when it is dead. A segment that is more dead than alive gives its living
    rows to the last one and goes. So a change costs what its documents cost, whatever the store holds.
    """

    def __init__(
        self,
        dimension: int,
        sizes: Sizes,
        *,
        segments: dict[int, Segment] | None = None,
        rows: Rows | None = None,
        coarse: CoarseIndex | None = None,
    ) -> None:
        """Begin empty, or with what a snapshot held."""
        self._dimension = dimension
        self._sizes = sizes
        # By number; a number is used again when its segment has gone. At most one is not full.
        self.segments = segments or {}
        self.rows = rows or Rows.empty(0)
        self.coarse = coarse
        self._count = int(self.rows.alive.sum())
        self._is_training = False

    @property
    def count(self) -> int:
        """Rows that a search can find."""
        return self._count

    def add(self, vectors: StoredRows, chunk_ids: NDArray[np.int64], slot: int) -> None:
        """Take up the windows of the document in `slot`; `chunk_ids` says which chunk each belongs to."""
        self._append(vectors, chunk_ids, np.full(len(chunk_ids), slot, dtype=np.int32))

    def remove(self, slots: Sequence[int], capacity: int) -> None:
        """Remove the rows of the documents in `slots`. `capacity`: of the table that the slots are of."""
        gone = np.zeros(capacity, dtype=np.bool_)
        gone[slots] = True
        self.rows.alive &= ~gone[self.rows.owners]
        self._count = int(np.count_nonzero(self.rows.alive))
        # A training reads the segments: none goes meanwhile.
        if not self._is_training:
            for number in [n for n in self.segments if self._is_sparse(n)]:
                self._retire(number)

    def search(self, query: Vector, *, limit: int, admitted: Mask | None) -> Found:
        """Return the best windows, in no order: enough for the best `limit` chunks.

        `admitted`: which documents, by slot; None means all.
        """
        visible, count = self.rows.alive, self._count
        if admitted is not None:
            # As bytes: NumPy takes twice the time for flags.
            visible = visible & np.take(admitted.view(np.uint8), self.rows.owners).view(np.bool_)
            count = int(np.count_nonzero(visible))
        is_exact = self.coarse is None or count <= (
            self._sizes.exact if admitted is None else self._sizes.exact_filtered
        )
        if self.coarse is None or is_exact:
            return joined(self._search_exactly(query, limit, visible))
        return self._search_coarsely(self.coarse, query, limit, visible, count)

    def _search_exactly(self, query: Vector, limit: int, visible: Mask) -> Iterator[Found]:
        for number, segment in self.segments.items():
            first = number * self._sizes.segment
            flags = visible[first : first + segment.rows]
            available = int(np.count_nonzero(flags))
            bits = None if available == segment.rows else flags
            # Windows of one chunk may crowd the front, and FAISS keeps any of equal ones: ask for more until enough
            # chunks are seen and something worse than the last of them, or everything.
            wanted = _CROWDING * limit + 1
            while available:
                wanted = min(wanted, available)
                scores, rows = segment.search(query, wanted, bits)
                chunk_ids = self.rows.chunk_ids[first + rows]
                firsts = np.sort(np.unique(chunk_ids, return_index=True)[1])
                is_settled = len(firsts) >= limit and scores[firsts[limit - 1]] > scores[-1]
                if wanted == available or is_settled:
                    yield chunk_ids, scores
                    break
                wanted *= 2

    def _search_coarsely(self, coarse: CoarseIndex, query: Vector, limit: int, visible: Mask, count: int) -> Found:
        wanted = max(_MIN_COMPARED, _OVERSAMPLING * limit)
        while True:
            bits = None if count == coarse.rows else visible
            rows = coarse.search(query, wanted, visible=bits, share=count / coarse.rows)
            chunk_ids = self.rows.chunk_ids[rows]
            if len(rows) < wanted or len(np.unique(chunk_ids)) >= limit:
                return chunk_ids, self._stored(rows).astype(np.float32) @ query
            wanted *= 2

    def _stored(self, rows: NDArray[np.int64]) -> StoredRows:
        """Return the vectors of these rows, in their order."""
        vectors = np.empty((len(rows), self._dimension), dtype=np.float16)
        numbers = rows // self._sizes.segment
        for number in np.unique(numbers).tolist():
            wanted = numbers == number
            vectors[wanted] = self.segments[number].stored()[rows[wanted] - number * self._sizes.segment]
        return vectors

    # --- changes ------------------------------------------------------------------------------------------------------

    def _append(self, vectors: StoredRows, chunk_ids: NDArray[np.int64], owners: NDArray[np.int32]) -> None:
        start = 0
        while start < len(chunk_ids):
            number = self._open_segment()
            segment = self.segments[number]
            first = number * self._sizes.segment + segment.rows
            count = min(len(chunk_ids) - start, self._sizes.segment - segment.rows)
            segment.append(vectors[start : start + count])
            self.rows.chunk_ids[first : first + count] = chunk_ids[start : start + count]
            self.rows.owners[first : first + count] = owners[start : start + count]
            self.rows.alive[first : first + count] = True
            if self.coarse is not None:
                self.coarse.add(vectors[start : start + count], first)
            start += count
        self._count += len(chunk_ids)

    def _open_segment(self) -> int:
        """Return the number of the segment that has room, a new one if need be."""
        for number, segment in self.segments.items():
            if segment.rows < self._sizes.segment:
                return number
        number = next(n for n in range(len(self.segments) + 1) if n not in self.segments)
        self.segments[number] = Segment(self._dimension)
        capacity = (number + 1) * self._sizes.segment
        if capacity > len(self.rows.alive):
            self.rows = self.rows.resized(max(capacity, 2 * len(self.rows.alive)))
        return number

    def _is_sparse(self, number: int) -> bool:
        """Whether less than half of its rows live."""
        first, rows = number * self._sizes.segment, self.segments[number].rows
        living = int(np.count_nonzero(self.rows.alive[first : first + rows]))
        return living < rows / 2

    def _retire(self, number: int) -> None:
        """Give the living rows of a segment to the last one, and the segment's memory back."""
        segment, first = self.segments.pop(number), number * self._sizes.segment
        living = np.flatnonzero(self.rows.alive[first : first + segment.rows])
        vectors, chunk_ids, owners = (
            segment.stored()[living],
            self.rows.chunk_ids[first + living],
            self.rows.owners[first + living],
        )
        self.rows.alive[first : first + segment.rows] = False
        if self.coarse is not None:
            self.coarse.remove(first, first + self._sizes.segment)
        self._count -= len(living)
        self._append(vectors, chunk_ids, owners)

    # --- training -----------------------------------------------------------------------------------------------------

    @property
    def needs_training(self) -> bool:
        """Whether it is too large to be searched as it is."""
        due = self._sizes.exact if self.coarse is None else _GROWTH * self.coarse.trained_for
        return self._count > due and not self._is_training

    def begin_training(self) -> dict[int, Segment]:
        """Return the full segments, by number; until `end_training` none of them goes."""
        self._is_training = True
        return {n: segment for n, segment in self.segments.items() if segment.rows == self._sizes.segment}

    def end_training(self, coarse: CoarseIndex | None, trained: Collection[int]) -> None:
        """Use an index that holds the rows of the segments `trained`; None goes on without."""
        self._is_training = False
        if coarse is None:
            return
        for number, segment in self.segments.items():
            if number not in trained:
                coarse.add(segment.stored(), number * self._sizes.segment)
        self.coarse = coarse


def train(full: Mapping[int, Segment]) -> CoarseIndex:
    """Return a coarse index of the rows of these full segments. Takes seconds, and needs no lock."""
    size = next(iter(full.values())).rows
    share = -(-TRAINING_ROWS // len(full))
    chosen = np.random.default_rng(_SEED).integers(0, size, size=(len(full), share))
    sample = [segment.stored()[np.unique(rows)] for segment, rows in zip(full.values(), chosen, strict=True)]
    coarse = CoarseIndex.train(np.concatenate(sample), rows=size * len(full))
    for number, segment in full.items():
        coarse.add(segment.stored(), number * size)
    return coarse

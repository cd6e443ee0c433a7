"""The approximate index in front of a large store: which rows are worth an exact look."""

import math
from pathlib import Path
from typing import Any, Final, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.indexes.base import Vector
from retrieval.indexes.segment import StoredRows

# Rows that the lists are trained on, at least 32 for each: FAISS warns below 39, recall does not suffer.
TRAINING_ROWS: Final = 32_768
_ITERATIONS: Final = 8
# Rows that FAISS compares in one step.
_BLOCK: Final = 32
# Rows that are encoded at once: what a step holds in memory.
_STEP: Final = 4096
# Share of the lists that a search reads, and how many at least.
_PROBED_SHARE: Final = 1 / 4
_MIN_PROBES: Final = 64


class CoarseIndex:
    """Inverted lists of RaBitQ codes, one bit for each dimension, which FAISS compares 32 at a time ("fast scan").

    RaBitQ: Gao and Long, SIGMOD 2024. It is trained once, on a sample; what comes later is filed under the same
    centroids. It says which rows are near, not how near: whoever asks compares them exactly. Memory: an eighth of a
    byte for each dimension, and 18 bytes, per row.
    """

    def __init__(self, index: Any, *, trained_for: int) -> None:
        self._index = index
        # Rows of the store when this was trained.
        self.trained_for = trained_for

    @classmethod
    def train(cls, sample: StoredRows, *, rows: int) -> Self:
        """Return an empty index for about `rows` rows like those of `sample`."""
        dimension = sample.shape[1]
        # The root of the rows balances what is spent on the lists' centroids with what is spent on their rows.
        lists = 1 << round(math.log2(math.sqrt(rows)))
        quantizer = faiss.IndexFlatIP(dimension)
        index = faiss.IndexIVFRaBitQFastScan(quantizer, dimension, lists, faiss.METRIC_INNER_PRODUCT, _BLOCK)
        quantizer.this.disown()
        index.own_fields = True
        index.cp.niter = _ITERATIONS
        index.cp.min_points_per_centroid = 1
        index.train(sample.astype(np.float32))
        return cls(index, trained_for=rows)

    @classmethod
    def read(cls, file: Path, *, trained_for: int) -> Self:
        return cls(faiss.read_index(str(file)), trained_for=trained_for)

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    def write(self, file: Path) -> None:
        faiss.write_index(self._index, str(file))

    def add(self, vectors: StoredRows, first: int) -> None:
        """File rows under the numbers `first` and following."""
        for start in range(0, len(vectors), _STEP):
            step = vectors[start : start + _STEP].astype(np.float32)
            self._index.add_with_ids(step, np.arange(first + start, first + start + len(step)))

    def remove(self, first: int, stop: int) -> None:
        """Forget the rows from `first` to before `stop`."""
        self._index.remove_ids(faiss.IDSelectorRange(first, stop))

    def search(
        self, query: Vector, wanted: int, *, visible: NDArray[np.bool_] | None, share: float
    ) -> NDArray[np.int64]:
        """Return at most `wanted` row numbers, the nearest first as far as the codes tell.

        `visible`: a flag for each row; None means all. `share`: of the rows that are visible; the fewer, the more lists
        are read for them.
        """
        lists = self._index.nlist
        options: dict[str, Any] = {"nprobe": min(lists, math.ceil(max(_MIN_PROBES, lists * _PROBED_SHARE) / share))}
        if visible is not None:
            options["sel"] = faiss.IDSelectorBitmap(np.packbits(visible, bitorder="little"))
        parameters = faiss.IVFRaBitQSearchParameters(**options)
        _, rows = self._index.search(query[np.newaxis, :], wanted, params=parameters)
        found: NDArray[np.int64] = rows[0][rows[0] >= 0]
        return found

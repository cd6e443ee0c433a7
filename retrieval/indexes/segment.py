"""A run of rows: float16 vectors in the order of their arrival, compared exactly."""

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from retrieval.indexes.base import Vector

# What is stored: float16, shape (rows, dimension).
StoredRows = NDArray[np.float16]


def use_one_thread() -> None:
    """Keep FAISS in the calling thread, for all that it does there from now on.

    A query has nothing to share: the threads of OpenMP would only wait for each other, once for every segment. On a
    busy machine that took half a second where one thread takes 20 ms.
    """
    faiss.omp_set_num_threads(1)


class Segment:
    """Vectors as they are stored (2 bytes per dimension); FAISS computes with their exact values.

    Rows are only ever added.
    """

    def __init__(self, dimension: int, *, file: Path | None = None, is_mapped: bool = False) -> None:
        """`file`: what `write` made. `is_mapped`: its rows are read as they are needed, and nothing can be added."""
        self._dimension = dimension
        # Where the rows lie on disk; None when they do not.
        self.file = file
        self.is_mapped = is_mapped
        if file is None:
            kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            self._index = faiss.IndexScalarQuantizer(dimension, kind, metric)
        else:
            self._index = faiss.read_index(str(file), *([faiss.IO_FLAG_MMAP_IFC] if is_mapped else []))

    @property
    def rows(self) -> int:
        return int(self._index.ntotal)

    def append(self, vectors: StoredRows) -> None:
        self._index.add(vectors.astype(np.float32))

    def stored(self) -> StoredRows:
        """Return all rows; a view that holds until something is added."""
        codes = faiss.rev_swig_ptr(self._index.codes.data(), self.rows * self._dimension * 2)
        rows: StoredRows = codes.view(np.float16).reshape(self.rows, self._dimension)
        return rows

    def search(self, query: Vector, wanted: int, visible: NDArray[np.bool_] | None) -> tuple[Vector, NDArray[np.int64]]:
        """Return scores and rows of the best `wanted`, best first. `visible`: a flag for each row; None means all."""
        parameters = None
        if visible is not None:
            bitmap = np.packbits(visible, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
        scores, rows = self._index.search(query[np.newaxis, :], min(wanted, self.rows), params=parameters)
        found = rows[0] >= 0
        return scores[0][found], rows[0][found]

    def write(self, file: Path, living: NDArray[np.bool_]) -> None:
        """Write a file that can be mapped. Rows that are not `living` are zeros in it."""
        if living.all():
            faiss.write_index(self._index, str(file))
            return
        copy = Segment(self._dimension)
        copy.append(np.where(living[:, np.newaxis], self.stored(), np.float16(0)))
        faiss.write_index(copy._index, str(file))

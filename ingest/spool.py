"""Chunks of a document that is being embedded: in memory while they are few, on disk when they are many."""

import pickle
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from catalog.publication import ChunkRecord

# About 20,000 chunks with one window of 384 dimensions each.
_MEMORY_BYTES: Final = 32 * 1024**2


class ChunkSpool:
    """A list of chunks that can only grow, and be read from the start."""

    def __init__(self, folder: Path | None = None, *, memory_bytes: int = _MEMORY_BYTES) -> None:
        """`folder`: where the file lies that has no name; it is gone with this object, or with the process."""
        self._file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - `close` closes it, or the end of this object.
            max_size=memory_bytes, dir=str(folder) if folder else None
        )
        self.close = weakref.finalize(self, self._file.close)
        self._count = 0
        self._end = 0

    def extend(self, chunks: Sequence[ChunkRecord]) -> None:
        self._file.seek(self._end)
        pickle.dump(list(chunks), self._file, protocol=pickle.HIGHEST_PROTOCOL)
        self._end = self._file.tell()
        self._count += len(chunks)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ChunkRecord]:
        position = 0
        while position < self._end:
            self._file.seek(position)
            chunks = pickle.load(self._file)
            position = self._file.tell()
            yield from chunks

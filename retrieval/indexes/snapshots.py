"""Snapshots of the vectors on disk, which a start maps instead of replaying the whole change feed."""

import json
import logging
import os
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from retrieval.indexes.coarse import CoarseIndex
from retrieval.indexes.documents import Entry
from retrieval.indexes.partition import Partition, Rows, Sizes
from retrieval.indexes.segment import Segment
from retrieval.indexes.vectors import VectorReplica

log = logging.getLogger(__name__)

# Raised when what is written changes: other formats are left alone, and written over.
_FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
# A snapshot may be replaced while it is read; so often in a row it is not.
_TRIES: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A partition, as it was when the lock was held."""

    store: str
    segments: Mapping[int, Segment]
    rows: Rows
    # Number and vectors of the segment that is not full yet.
    tail: int | None
    tail_vectors: NDArray[np.float16]
    # File of the coarse index, already written; None when there is no index.
    coarse: str | None
    trained_for: int


class Snapshots:
    """A folder with one snapshot, replaced as a whole: the manifest, written last, names the files that count.

    Full segments are written once and shared by all later snapshots; the rest is written anew each time. One process of
    the machine writes, for as long as it lives; all may read.
    """

    def __init__(self, folder: Path, *, identity: str, dimension: int, sizes: Sizes | None = None) -> None:
        """`identity`: key of the embedding model; a snapshot of another one is not loaded."""
        self._folder = folder
        self._identity = identity
        self._dimension = dimension
        self._sizes = sizes or Sizes()
        self._lock = FileLock(str(folder / "writer.lock"), thread_local=False)
        self._writing = threading.Lock()

    def load(self) -> VectorReplica | None:
        """Return what the snapshot holds; None when there is none, or none that can be used."""
        for attempt in range(1, _TRIES + 1):
            try:
                return self._load()
            # FAISS reports damage as RuntimeError, NumPy as BadZipFile, ValueError or EOFError, JSON as ValueError.
            except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, BadZipFile) as error:
                if attempt == _TRIES:
                    log.warning("The snapshot in %s cannot be used and is built anew: %s", self._folder, error)
        return None

    def write(self, vectors: VectorReplica) -> None:
        """Replace the snapshot, unless another process of this machine has that task. Raises OSError."""
        with self._writing:
            if self._is_writer():
                self._write(vectors)

    def _write(self, vectors: VectorReplica) -> None:
        token = uuid.uuid4().hex
        with vectors.lock:
            position = vectors.position
            entries = vectors.table.entries()
            parts = [self._capture(token, n, s, p) for n, (s, p) in enumerate(vectors.partitions.items())]
        segments = {part.store: self._write_segments(part) for part in parts}
        self._write_state(token, entries, parts)
        manifest = {
            "format": _FORMAT,
            "identity": self._identity,
            "dimension": self._dimension,
            "segment_rows": self._sizes.segment,
            "position": position,
            "state": f"{token}.state",
            "partitions": [
                {
                    "store": part.store,
                    "segments": segments[part.store],
                    "tail": part.tail,
                    "coarse": part.coarse,
                    "trained_for": part.trained_for,
                }
                for part in parts
            ],
        }
        self._publish(manifest)

    @property
    def exists(self) -> bool:
        return (self._folder / _MANIFEST).exists()

    def close(self) -> None:
        self._lock.release()

    # --- writing ------------------------------------------------------------------------------------------------------

    def _is_writer(self) -> bool:
        if self._lock.is_locked:
            return True
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    def _capture(self, token: str, number: int, store: str, partition: Partition) -> _Part:
        """Take what may change under the lock: a coarse index is written at once, 0.1 s for a million rows."""
        full = {n: segment for n, segment in partition.segments.items() if segment.rows == self._sizes.segment}
        tail = next((n for n in partition.segments if n not in full), None)
        coarse = None
        if partition.coarse is not None:
            coarse = f"{token}.{number}.coarse"
            partition.coarse.write(self._folder / coarse)
        return _Part(
            store=store,
            segments=full,
            rows=partition.rows.resized(self._sizes.segment * (1 + max(partition.segments, default=-1))),
            tail=tail,
            tail_vectors=np.empty((0, self._dimension), np.float16)
            if tail is None
            else partition.segments[tail].stored().copy(),
            coarse=coarse,
            trained_for=partition.coarse.trained_for if partition.coarse else 0,
        )

    def _write_segments(self, part: _Part) -> dict[str, str]:
        """Write the full segments that no file holds yet; return all files by number."""
        files = {}
        for number, segment in part.segments.items():
            if segment.file is None or not segment.file.exists():
                file = self._folder / f"{uuid.uuid4().hex}.segment"
                segment.write(file, part.rows.alive[number * self._sizes.segment :][: self._sizes.segment])
                _sync(file)
                segment.file = file
            files[str(number)] = segment.file.name
        return files

    def _write_state(self, token: str, entries: list[tuple[int, Entry]], parts: list[_Part]) -> None:
        # One by one: a single call for all of them would keep every other thread of the process waiting.
        lines = [
            json.dumps([slot, e.document_id, e.vector_store_id, e.chunks, dict(e.attributes)]) for slot, e in entries
        ]
        arrays: dict[str, NDArray[Any]] = {"documents": np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)}
        for n, part in enumerate(parts):
            arrays |= {
                f"{n}.chunk_ids": part.rows.chunk_ids,
                f"{n}.owners": part.rows.owners,
                f"{n}.alive": part.rows.alive,
                f"{n}.tail": part.tail_vectors,
            }
        file = self._folder / f"{token}.state"
        with file.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        _sync(file)

    def _publish(self, manifest: Mapping[str, Any]) -> None:
        draft = self._folder / f"{_MANIFEST}.new"
        draft.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        _sync(draft)
        draft.rename(self._folder / _MANIFEST)
        _sync(self._folder)
        named = {str(manifest["state"])}
        for part in manifest["partitions"]:
            named |= {*part["segments"].values(), part["coarse"]}
        _sweep(self._folder, named)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _load(self) -> VectorReplica | None:
        if not self.exists:
            return None
        manifest = json.loads((self._folder / _MANIFEST).read_text(encoding="utf-8"))
        expected = [_FORMAT, self._identity, self._dimension, self._sizes.segment]
        if [manifest["format"], manifest["identity"], manifest["dimension"], manifest["segment_rows"]] != expected:
            return None
        vectors = VectorReplica(self._dimension, self._sizes)
        vectors.position = int(manifest["position"])
        with (self._folder / manifest["state"]).open("rb") as stream, np.load(stream) as arrays:
            slots = _load_documents(vectors, arrays["documents"].tobytes())
            for n, part in enumerate(manifest["partitions"]):
                rows = Rows(
                    chunk_ids=arrays[f"{n}.chunk_ids"],
                    owners=slots[arrays[f"{n}.owners"]],
                    alive=arrays[f"{n}.alive"],
                )
                vectors.partitions[part["store"]] = self._load_partition(part, rows, arrays[f"{n}.tail"])
        return vectors

    def _load_partition(self, part: Mapping[str, Any], rows: Rows, tail_vectors: NDArray[np.float16]) -> Partition:
        segments = {
            int(number): Segment(self._dimension, file=self._folder / name, is_mapped=True)
            for number, name in part["segments"].items()
        }
        for number, segment in segments.items():
            if segment.rows != self._sizes.segment:
                raise ValueError(f"segment {number} holds {segment.rows} rows, not {self._sizes.segment}")
        if part["tail"] is not None:
            segments[part["tail"]] = Segment(self._dimension)
            segments[part["tail"]].append(tail_vectors)
        coarse = None
        if part["coarse"] is not None:
            coarse = CoarseIndex.read(self._folder / part["coarse"], trained_for=part["trained_for"])
        return Partition(self._dimension, self._sizes, segments=segments, rows=rows, coarse=coarse)


def delete_snapshot(folder: Path) -> bool:
    """Delete the snapshot, which may hold vectors of documents that were deleted since; return whether there was one.

    A running service goes on with what it has in memory, and writes the next snapshot without them.
    """
    existed = (folder / _MANIFEST).exists()
    (folder / _MANIFEST).unlink(missing_ok=True)
    _sweep(folder, set())
    return existed


def _sweep(folder: Path, named: set[str]) -> None:
    """Delete what an older snapshot named, or one that was cut off. Who has mapped it keeps it."""
    for file in folder.glob("*.*"):
        if file.suffix in (".segment", ".state", ".coarse") and file.name not in named:
            file.unlink(missing_ok=True)


def _load_documents(vectors: VectorReplica, lines: bytes) -> NDArray[np.int32]:
    """Fill the table; return the new slot of every old one."""
    slots = np.zeros(1, dtype=np.int32)
    for line in lines.splitlines():
        old, document_id, store, chunks, attributes = json.loads(line)
        entry = Entry(document_id=document_id, vector_store_id=store, attributes=attributes, chunks=chunks)
        if old >= len(slots):
            slots = np.resize(slots, 2 * old + 1)
        slots[old] = vectors.table.put(entry)
    return slots


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

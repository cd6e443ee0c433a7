"""What a large index needs from time to time, in the background."""

import logging
import threading
from typing import Final

from retrieval.indexes.snapshots import Snapshots
from retrieval.indexes.vectors import VectorReplica

log = logging.getLogger(__name__)

# A snapshot is due when this share of the rows has changed since the last one: what is written for each row then does
# not depend on how many there are.
_SNAPSHOT_SHARE: Final = 1 / 16


class Upkeep:
    """A thread that reads mapped segments, trains coarse indexes, and writes snapshots when they are due."""

    def __init__(self, vectors: VectorReplica, snapshots: Snapshots | None) -> None:
        self._vectors = vectors
        self._snapshots = snapshots
        self._changed = 0
        self._is_mapped = False
        self._work = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._lock = threading.Lock()
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def read_mapped(self) -> None:
        """Read what is mapped into memory, in the background."""
        self._is_mapped = True
        self._wake()

    def note(self, rows: int) -> None:
        """Take notice of `rows` rows that came or went."""
        with self._lock:
            self._changed += rows
        if rows and (self._vectors.needs_training or self._is_snapshot_due()):
            self._wake()

    def wait(self) -> None:
        """Return when nothing is under way."""
        self._idle.wait()

    def close(self) -> None:
        """End the thread after its current step, and write a last snapshot if one is worth it."""
        with self._lock:
            self._is_closing = True
        self._work.set()
        if self._thread is not None:
            self._thread.join()
        if self._snapshots is not None:
            is_outdated = self._changed or not self._snapshots.exists
            if is_outdated and self._vectors.rows >= self._vectors.sizes.segment:
                self._write_snapshot(self._snapshots)
            self._snapshots.close()

    def _wake(self) -> None:
        with self._lock:
            if self._is_closing:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="index upkeep", daemon=True)
                self._thread.start()
            self._idle.clear()
            self._work.set()

    def _run(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            if self._is_closing:
                return
            if self._is_mapped:
                self._is_mapped = False
                self._read_mapped()
            self._vectors.train_due()
            if self._snapshots is not None and self._is_snapshot_due():
                self._write_snapshot(self._snapshots)
            with self._lock:
                if not self._work.is_set():
                    self._idle.set()

    def _read_mapped(self) -> None:
        try:
            self._vectors.read_mapped()
        # FAISS says so of a file that went meanwhile: who has mapped it keeps it.
        except RuntimeError as error:
            log.warning("Vectors stay mapped, and searches may wait for the disk: %s", error)

    def _is_snapshot_due(self) -> bool:
        return self._snapshots is not None and self._changed >= max(
            self._vectors.sizes.segment, self._vectors.rows * _SNAPSHOT_SHARE
        )

    def _write_snapshot(self, snapshots: Snapshots) -> None:
        noted = self._changed
        try:
            snapshots.write(self._vectors)
        except OSError as error:
            log.warning("No snapshot of the vectors could be written; the next start takes longer: %s", error)
        with self._lock:
            self._changed -= noted

"""Deletes the postings of removed documents, a few at a time."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from catalog.errors import ServiceUnavailable
from retrieval.lexical import LexicalIndex

log = logging.getLogger(__name__)

# Passages per transaction: measured, 10 to 20 ms in which nobody else can write the file.
_BATCH: Final = 256


def purge(index: LexicalIndex, *, stop: Callable[[], bool] = lambda: False) -> int:
    """Purge in short transactions until nothing is left, or until `stop()`; return how many passages.

    After each one it rests as long as that took, so that other writers get their turn. Raises ServiceUnavailable.
    """
    total = 0
    while not stop():
        started = time.monotonic()
        purged = index.purge(_BATCH)
        if not purged:
            break
        total += purged
        time.sleep(time.monotonic() - started)
    return total


class Purger:
    """A thread that purges when it is woken."""

    def __init__(self, index: LexicalIndex) -> None:
        self._index = index
        self._work = threading.Event()
        self._is_closing = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def wake(self) -> None:
        with self._lock:
            if self._thread is None and not self._is_closing:
                self._thread = threading.Thread(target=self._run, name="purger", daemon=True)
                self._thread.start()
        self._work.set()

    def close(self) -> None:
        """End the thread after its current step. What is left goes when a process opens the index the next time."""
        with self._lock:
            self._is_closing = True
        self._work.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._is_closing:
            self._work.wait()
            self._work.clear()
            try:
                purge(self._index, stop=lambda: self._is_closing)
            except ServiceUnavailable as error:
                log.warning("Postings of removed documents stay until the next removal: %s", error.message)

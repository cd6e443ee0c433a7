"""What was computed from one state of the index, kept until there is a newer one."""

import hashlib
import pickle
import threading
from collections import OrderedDict
from typing import Any

from retrieval.searcher import IndexState


class StateCache:
    """Values by key, those used last: at most so many, and so many bytes of them pickled. Thread-safe.

    All of them are of one state. The first look with a newer one drops them, so that neither an answer nor this memory
    holds a document longer than the index does. A value comes back as a copy.
    """

    def __init__(self, *, entries: int, max_bytes: int) -> None:
        self._entries = entries
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._state: IndexState | None = None
        # The one used last at the end.
        self._values: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, state: IndexState, key: bytes) -> Any | None:
        """Return what is kept for this very state, or None."""
        with self._lock:
            if not self._enter(state) or key not in self._values:
                return None
            self._values.move_to_end(key)
            kept = self._values[key]
        return pickle.loads(kept)

    def put(self, state: IndexState, key: bytes, value: Any) -> None:
        """Keep a value, unless a newer state was seen meanwhile, or it is too large to be kept at all."""
        kept = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            if not self._enter(state) or len(kept) > self._max_bytes:
                return
            self._bytes += len(kept) - len(self._values.pop(key, b""))
            self._values[key] = kept
            while len(self._values) > self._entries or self._bytes > self._max_bytes:
                self._bytes -= len(self._values.popitem(last=False)[1])

    def remove(self, key: bytes) -> None:
        with self._lock:
            self._bytes -= len(self._values.pop(key, b""))

    def __len__(self) -> int:
        return len(self._values)

    def _enter(self, state: IndexState) -> bool:
        """Drop what is of an older state; return whether this one is the newest seen."""
        if self._state is not None and state.version < self._state.version:
            return False
        if state != self._state:
            self._values.clear()
            self._state, self._bytes = state, 0
        return True


def key_of(*parts: object) -> bytes:
    """Return a digest of what these values, frozen dataclasses and strings, show in their repr.

    Of that and not of their equality: to Python 1, 1.0 and True are equal, to a filter they are not. A field that is
    added to a request is part of its key by itself.
    """
    return hashlib.sha256(repr(parts).encode()).digest()

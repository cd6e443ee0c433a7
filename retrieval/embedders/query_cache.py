"""The vectors of the queries that were asked last."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from retrieval.embedders.base import Embedder, TokenSpan, Vectors

# Called with how many queries were there, and how many had to be embedded.
Observer = Callable[[int, int], None]


class CachedQueries:
    """An embedder that embeds a query once, also when several ask the same at the same time.

    Documents pass through: the catalog knows those that it has (`catalog.chunks.known_vectors`). Thread-safe.
    """

    def __init__(self, embedder: Embedder, *, entries: int = 4096, observe: Observer | None = None) -> None:
        """`entries`: how many vectors are kept, those used last; 4,096 of 384 dimensions are 6 MB.

        `observe`: told hits and misses of each call.
        """
        self.identity = embedder.identity
        self.max_tokens = embedder.max_tokens
        self._embedder = embedder
        self._entries = entries
        self._observe = observe
        self._lock = threading.Lock()
        # The one used last at the end; a future is not done while its query is being embedded.
        self._known: OrderedDict[str, Future[Any]] = OrderedDict()

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embedder.embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors, own = self._claimed(texts)
        if own:
            self._embed(own)
        if self._observe:
            self._observe(len(texts) - len(own), len(own))
        rows = [vectors[text].result() for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(rows), self.identity.dimension)

    def token_spans(self, text: str) -> list[TokenSpan]:
        return self._embedder.token_spans(text)

    def close(self) -> None:
        self._embedder.close()

    def _claimed(self, texts: Sequence[str]) -> tuple[dict[str, Future[Any]], dict[str, Future[Any]]]:
        """Return the vectors to come of all texts, and of those that are for this call to embed."""
        own: dict[str, Future[Any]] = {}
        vectors: dict[str, Future[Any]] = {}
        with self._lock:
            for text in texts:
                if text not in self._known:
                    own[text] = self._known[text] = Future()
                self._known.move_to_end(text)
                vectors[text] = self._known[text]
            while len(self._known) > self._entries:
                self._known.popitem(last=False)
        return vectors, own

    def _embed(self, own: dict[str, Future[Any]]) -> None:
        """Embed; a fault is also that of those who wait for it, and the next who asks tries again."""
        try:
            pairs = list(zip(own.values(), self._embedder.embed_queries(list(own)), strict=True))
        except BaseException as fault:
            with self._lock:
                for text, future in own.items():
                    if self._known.get(text) is future:
                        del self._known[text]
            for future in own.values():
                future.set_exception(fault)
            raise
        for future, row in pairs:
            # A copy: a row would keep its whole batch in memory.
            future.set_result(row.copy())

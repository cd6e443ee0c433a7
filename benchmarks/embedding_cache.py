"""Vectors on disk, so that a comparison can be run again without the work."""

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from retrieval.embedders.base import Embedder, TokenSpan, Vectors


class CachedEmbedder:
    """An embedder that looks a text up before it embeds it. For one thread."""

    def __init__(self, embedder: Embedder, path: Path) -> None:
        self.identity = embedder.identity
        self.max_tokens = embedder.max_tokens
        self._embedder = embedder
        self._database = sqlite3.connect(path)
        self._database.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._look_up("document", texts, self._embedder.embed_documents)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._look_up("query", texts, self._embedder.embed_queries)

    def token_spans(self, text: str) -> list[TokenSpan]:
        return self._embedder.token_spans(text)

    def close(self) -> None:
        self._database.close()
        self._embedder.close()

    def _look_up(self, role: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]) -> Vectors:
        keys = [hashlib.sha256(f"{self.identity.key}\0{role}\0{text}".encode()).digest() for text in texts]
        texts_by_key = dict(zip(keys, texts, strict=True))
        known = {key: vector for key in texts_by_key if (vector := self._known(key)) is not None}
        missing = [key for key in texts_by_key if key not in known]
        for key, vector in zip(missing, embed([texts_by_key[key] for key in missing]), strict=True):
            known[key] = vector
            self._database.execute("INSERT INTO vectors VALUES (?, ?)", (key, vector.tobytes()))
        self._database.commit()
        return np.array([known[key] for key in keys], dtype=np.float32).reshape(len(keys), self.identity.dimension)

    def _known(self, key: bytes) -> Vectors | None:
        row = self._database.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return None if row is None else np.frombuffer(row[0], dtype=np.float32)

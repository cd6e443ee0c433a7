"""A deterministic embedder without a model: hashed bags of words. The double for tests of everything above the seam."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from retrieval.embedders.base import EmbeddingIdentity, TokenSpan, Vectors

DIMENSION: Final = 64
_WORD = re.compile(r"\w+")


class HashingEmbedder:
    """Texts with the same words in any order get the same vector; texts without a common word are nearly orthogonal."""

    def __init__(self, *, dimension: int = DIMENSION, max_tokens: int = 256) -> None:
        self.identity = EmbeddingIdentity(model="hashing", revision=f"{max_tokens}", dimension=dimension)
        self.max_tokens = max_tokens

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.identity.dimension), dtype=np.float32)
        return np.stack([self._embed(text) for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def token_spans(self, text: str) -> list[TokenSpan]:
        return [match.span() for match in _WORD.finditer(text)]

    def close(self) -> None:
        """Nothing is held."""

    def _embed(self, text: str) -> Vectors:
        words = _WORD.findall(text.lower())[: self.max_tokens]
        vector = np.sum([self._direction(word) for word in words or [""]], axis=0)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    def _direction(self, word: str) -> Vectors:
        seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest())
        return np.random.default_rng(seed).standard_normal(self.identity.dimension).astype(np.float32)

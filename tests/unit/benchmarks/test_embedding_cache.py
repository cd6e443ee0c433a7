"""The cache gives what its embedder gave, without asking again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from retrieval.embedders.base import Vectors
from retrieval.embedders.hashing import HashingEmbedder

embedding_cache = pytest.importorskip("benchmarks.embedding_cache", reason="The wheel has no benchmarks.")


class CountingEmbedder(HashingEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().embed_documents(texts)


def test_a_text_is_embedded_once(tmp_path: Path) -> None:
    """Also by another process with the same file; order and repetition of the texts are kept."""
    texts = ["one", "two", "one"]
    for asked in (["one", "two"], []):
        embedder = CountingEmbedder()
        cached = embedding_cache.CachedEmbedder(embedder, tmp_path / "vectors.sqlite")
        assert np.array_equal(cached.embed_documents(texts), HashingEmbedder().embed_documents(texts))
        assert asked == embedder.asked
        cached.close()

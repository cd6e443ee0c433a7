"""The torch back end, on the processor, keeps the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.embedders.base import Embedder
from retrieval.embedders.conversion import DEFAULT_MODEL
from retrieval.embedders.opener import open_embedder
from tests.contract.embedder import EmbedderContract

pytest.importorskip("torch", reason="the torch back end needs torch: pip install torch")


@pytest.fixture(scope="module")
def on_torch(model_cache: Path) -> Iterator[Embedder]:
    embedder = open_embedder("torch", model=DEFAULT_MODEL, cache=model_cache, device="cpu")
    yield embedder
    embedder.close()


class TestSentenceTransformerEmbedder(EmbedderContract):
    @pytest.fixture
    def opened(self, on_torch: Embedder) -> Embedder:
        return on_torch

"""The embedder without a model keeps the contract."""

import numpy as np
import pytest

from retrieval.embedders.base import Embedder
from retrieval.embedders.hashing import HashingEmbedder
from tests.contract.embedder import EmbedderContract


class TestHashingEmbedder(EmbedderContract):
    @pytest.fixture
    def opened(self) -> Embedder:
        return HashingEmbedder()

    def test_the_order_of_words_does_not_count(self) -> None:
        """Bags of words: equal words give equal vectors, up to rounding."""
        one, other = HashingEmbedder().embed_documents(["red green blue", "BLUE red, green!"])
        np.testing.assert_allclose(one, other, atol=1e-6)

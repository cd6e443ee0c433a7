"""The embedder without a model keeps the contract."""

from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ConfigurationError
from retrieval.embedders.base import Embedder
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.embedders.opener import open_embedder
from tests.contract.embedder import EmbedderContract


class TestHashingEmbedder(EmbedderContract):
    @pytest.fixture
    def opened(self) -> Embedder:
        return HashingEmbedder()

    def test_the_order_of_words_does_not_count(self) -> None:
        """Bags of words: equal words give equal vectors, up to rounding."""
        one, other = HashingEmbedder().embed_documents(["red green blue", "BLUE red, green!"])
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_embedders_are_opened_by_name(tmp_path: Path) -> None:
    """An unknown name is a wrong setting, and the message has the known ones."""
    assert open_embedder("hashing", model="", cache=tmp_path).identity.model == "hashing"
    with pytest.raises(ConfigurationError, match=r"'nonsense'.*openvino, torch, openai or hashing"):
        open_embedder("nonsense", model="", cache=tmp_path)

"""The processor's back end keeps the contract, in every precision, and agrees with the torch back end."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino
import pytest

from catalog.errors import ConfigurationError
from retrieval.embedders.base import Embedder
from retrieval.embedders.conversion import DEFAULT_MODEL
from retrieval.embedders.opener import open_embedder
from retrieval.embedders.openvino import OpenVinoEmbedder, batches_by_length
from tests.contract.embedder import TEXTS, EmbedderContract

HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture(scope="module")
def fp32(model_cache: Path) -> Iterator[Embedder]:
    embedder = OpenVinoEmbedder(DEFAULT_MODEL, cache=model_cache, precision="f32")
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def bf16(model_cache: Path) -> Iterator[Embedder]:
    embedder = OpenVinoEmbedder(DEFAULT_MODEL, cache=model_cache, precision="bf16", threads=1)
    yield embedder
    embedder.close()


@pytest.fixture(scope="module")
def torch_embedder(model_cache: Path) -> Iterator[Embedder]:
    pytest.importorskip("torch", reason="the comparison needs torch: pip install torch")
    embedder = open_embedder("torch", model=DEFAULT_MODEL, cache=model_cache, device="cpu")
    yield embedder
    embedder.close()


class TestOpenVinoEmbedderInFp32(EmbedderContract):
    @pytest.fixture
    def opened(self, fp32: Embedder) -> Embedder:
        return fp32

    def test_its_vectors_equal_those_of_sentence_transformers(self, opened: Embedder, torch_embedder: Embedder) -> None:
        """The conversion lost nothing: documents and queries agree to four digits."""
        for texts in (TEXTS, [TEXTS[2]], ["word " * 1000]):
            expected = torch_embedder.embed_documents(texts)
            np.testing.assert_allclose(opened.embed_documents(texts), expected, atol=1e-4)
            np.testing.assert_allclose(opened.embed_queries(texts), torch_embedder.embed_queries(texts), atol=1e-4)

    def test_it_is_the_same_model_to_a_vector_store(self, opened: Embedder, torch_embedder: Embedder) -> None:
        """Identity, limit and tokens are equal: a store may change the back end."""
        assert torch_embedder.identity == opened.identity
        assert torch_embedder.max_tokens == opened.max_tokens
        for text in TEXTS:
            assert torch_embedder.token_spans(text) == opened.token_spans(text)


@pytest.mark.skipif(not HAS_BF16, reason="this processor does not compute in bf16")
class TestOpenVinoEmbedderInBf16(EmbedderContract):
    # bf16 keeps 8 bits: padding moves a component by about as much as the precision itself does.
    tolerance = 2e-2

    @pytest.fixture
    def opened(self, bf16: Embedder) -> Embedder:
        return bf16

    def test_its_vectors_are_those_of_fp32_but_for_rounding(self, opened: Embedder, fp32: Embedder) -> None:
        """A store may hold vectors of both precisions: each pair has a cosine above 0.999."""
        cosines = np.sum(fp32.embed_documents(TEXTS) * opened.embed_documents(TEXTS), axis=1)
        assert cosines.min() > 0.999
        assert fp32.identity == opened.identity


def test_the_precision_follows_the_processor(model_cache: Path) -> None:
    """By default it is bf16 where the processor has it, else fp32."""
    embedder = open_embedder("openvino", model=DEFAULT_MODEL, cache=model_cache)
    assert isinstance(embedder, OpenVinoEmbedder)
    assert ("bf16" if HAS_BF16 else "f32") == embedder.precision
    embedder.close()


def test_serving_never_imports_torch(model_cache: Path) -> None:
    """A process that embeds with OpenVINO has not loaded torch, transformers or sentence-transformers."""
    script = (
        "import sys; from pathlib import Path\n"
        "from retrieval.embedders.opener import open_embedder\n"
        f"embedder = open_embedder('openvino', model={DEFAULT_MODEL!r}, cache=Path({str(model_cache)!r}))\n"
        "assert embedder.embed_documents(['some words']).shape == (1, 384)\n"
        "print(sorted({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_model_that_cannot_be_loaded_is_a_wrong_setting(tmp_path: Path) -> None:
    """The message names the model and the default, and nothing half-converted is left to be taken for a model."""
    missing = str(tmp_path / "no-such-model")
    with pytest.raises(ConfigurationError, match=f"{missing}.*{DEFAULT_MODEL}"):
        OpenVinoEmbedder(missing, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("manifest.json")) == []


@pytest.mark.parametrize(
    ("lengths", "budget", "expected"),
    [
        ([], 10, []),
        ([3], 10, [[0]]),
        ([99], 10, [[0]]),
        ([5, 1, 5, 1], 10, [[1, 3], [0, 2]]),
        ([2, 2, 2], 4, [[0, 1], [2]]),
        ([1, 99, 1], 10, [[0, 2], [1]]),
    ],
)
def test_batches_hold_similar_lengths_within_the_budget(
    lengths: list[int], budget: int, expected: list[list[int]]
) -> None:
    """Rows times the longest stays within the budget; a row that is longer goes alone."""
    assert expected == list(batches_by_length(lengths, budget=budget))

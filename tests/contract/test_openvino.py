"""The processor's back end keeps the contract, in every precision, and agrees with the torch back end."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ConfigurationError
from retrieval.embedders.base import Embedder
from retrieval.embedders.calibration import ensure_calibrated
from retrieval.embedders.conversion import DEFAULT_MODEL, ensure_converted
from retrieval.embedders.inference import supported_precisions
from retrieval.embedders.opener import open_embedder
from retrieval.embedders.openvino import OpenVinoEmbedder, checked_precision
from tests.contract.embedder import TEXTS, EmbedderContract

HAS_BF16 = "bf16" in supported_precisions()


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
def int8(model_cache: Path) -> Iterator[Embedder]:
    embedder = OpenVinoEmbedder(DEFAULT_MODEL, cache=model_cache, precision="int8")
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


@pytest.mark.skipif("int8" not in supported_precisions(), reason="this processor does not compute in int8")
class TestOpenVinoEmbedderInInt8(EmbedderContract):
    # Activations are quantised anew in every batch.
    tolerance = 3e-2

    @pytest.fixture
    def opened(self, int8: Embedder) -> Embedder:
        return int8

    def test_its_vectors_are_near_those_of_fp32(self, opened: Embedder, fp32: Embedder) -> None:
        """Nearer than two texts that say the same, and of the same identity; they are not those of fp32 itself."""
        cosines = np.sum(fp32.embed_documents(TEXTS) * opened.embed_documents(TEXTS), axis=1)
        assert cosines.min() > 0.98
        assert cosines.mean() < 0.9999, "these are vectors of fp32"
        assert fp32.identity == opened.identity


def test_the_precision_is_what_the_calibration_chose(model_cache: Path) -> None:
    """By default it is the fastest that agrees with fp32 here, and one that the settings name is taken as it is."""
    embedder = open_embedder("openvino", model=DEFAULT_MODEL, cache=model_cache)
    assert isinstance(embedder, OpenVinoEmbedder)
    assert ensure_calibrated(ensure_converted(DEFAULT_MODEL, model_cache)).chosen == embedder.precision
    embedder.close()


def test_a_precision_that_the_processor_lacks_is_a_wrong_setting() -> None:
    """The message names the wanted one and those that there are."""
    assert checked_precision("int8", ["f32", "int8"]) == "int8"
    with pytest.raises(ConfigurationError, match=r"'bf16'.*f32, int8 only"):
        checked_precision("bf16", ["f32", "int8"])


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 700])
def test_texts_are_embedded_in_any_number(fp32: Embedder, count: int) -> None:
    """Rows stay with their texts across the parts in which they are tokenised: a row's nearest text is its own."""
    texts = [f"text {number} " + "word " * (number % 7) for number in range(count)]
    vectors = fp32.embed_documents(texts)
    assert (count, 384) == vectors.shape
    for row in {0, count // 2, count - 1} & set(range(count)):
        np.testing.assert_allclose(fp32.embed_documents([texts[row]])[0], vectors[row], atol=1e-5)


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

"""Asymmetric models: the prompts of a model's own config stand in front of what is embedded, on every back end."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from retrieval.embedders.base import Embedder
from retrieval.embedders.opener import open_embedder
from retrieval.embedders.prefixes import WantedPrefixes

pytest.importorskip("torch", reason="a model is made with torch: pip install torch")

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", "passage", "ask", ":", "red", "green", "blue")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model of two layers that calls its prompts `query` and `passage`."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    words = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertModel(config).save_pretrained(folder / "base")
    PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=32, **special).save_pretrained(folder / "base")
    transformer = Transformer(str(folder / "base"))
    model = SentenceTransformer(
        modules=[transformer, Pooling(transformer.get_embedding_dimension(), "mean")],
        prompts={"query": "query: ", "passage": "passage: "},
        device="cpu",
    )
    model.save(str(folder / "model"))
    return folder / "model"


Opened = Callable[..., Embedder]


@pytest.fixture(scope="module", params=["openvino", "torch"])
def opened(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Return what opens the model on a back end, with prefixes."""
    cache = tmp_path_factory.mktemp("cache")

    def opened(query: str | None = None, document: str | None = None) -> Embedder:
        prefixes = WantedPrefixes(query=query, document=document)
        return open_embedder(
            request.param, model=str(tiny), cache=cache, precision="f32", device="cpu", prefixes=prefixes
        )

    return opened


def test_the_models_own_prompts_stand_in_front(opened: Opened) -> None:
    """A query is embedded as `query: …` and a document as `passage: …`, though the config does not say "document"."""
    own, bare = opened(), opened(query="", document="")
    texts = ["red green", "blue"]
    spelt = (
        bare.embed_documents(["query: red green", "query: blue"]),
        bare.embed_documents(["passage: red green", "passage: blue"]),
    )
    np.testing.assert_allclose(own.embed_queries(texts), spelt[0], atol=1e-5)
    np.testing.assert_allclose(own.embed_documents(texts), spelt[1], atol=1e-5)
    assert np.abs(spelt[0] - spelt[1]).max() > 1e-3, "the prompts make a difference"


def test_settings_override_them(opened: Opened) -> None:
    """One side may be set and the other left; the identity is then another, and the same again for equal settings."""
    own, changed = opened(), opened(query="ask: ")
    bare = opened(query="", document="")
    np.testing.assert_allclose(changed.embed_queries(["red"]), bare.embed_documents(["ask: red"]), atol=1e-5)
    np.testing.assert_allclose(changed.embed_documents(["red"]), own.embed_documents(["red"]), atol=1e-5)
    assert len({own.identity, changed.identity, bare.identity}) == 3
    assert opened(query="query: ", document="passage: ").identity == own.identity


def test_back_ends_agree_on_the_model(tiny: Path, tmp_path: Path) -> None:
    """Identity and vectors, so that a store can move from a processor to a GPU."""
    processor = open_embedder("openvino", model=str(tiny), cache=tmp_path, precision="f32")
    torch = open_embedder("torch", model=str(tiny), cache=tmp_path, device="cpu")
    assert processor.identity == torch.identity
    np.testing.assert_allclose(processor.embed_queries(["red"]), torch.embed_queries(["red"]), atol=1e-5)


def test_a_small_model_is_calibrated(tiny: Path, tmp_path: Path) -> None:
    """A model that reads 32 tokens is measured with that many."""
    embedder = open_embedder("openvino", model=str(tiny), cache=tmp_path)
    assert embedder.embed_documents(["red", "green"]).shape == (2, 32)

"""The reranker in this process, with a tiny model that the test makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.errors import ConfigurationError
from retrieval.rerankers.base import Reranker
from retrieval.rerankers.opener import open_reranker

torch = pytest.importorskip("torch", reason="the reranker in this process needs torch: pip install torch")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "green", "apple", "pear", "car"]


def a_model(folder: Path, *, outputs: int) -> Path:
    """Write a cross-encoder of a few kilobytes with random weights."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=32
    ).save_pretrained(folder)
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=outputs,
        initializer_range=1.0,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reranker]:
    folder = a_model(tmp_path_factory.mktemp("models") / "tiny", outputs=1)
    reranker = open_reranker("cross-encoder", model=str(folder), url=None, device="cpu")
    assert reranker is not None
    yield reranker
    reranker.close()


def test_every_text_has_a_probability(reranker: Reranker) -> None:
    """In the order of the texts, the same whatever stands beside it; nothing gives nothing."""
    scores = reranker.score("red apple", ["green pear", "red car", "red apple"])
    assert len(scores) == 3
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) == 3
    assert reranker.score("red apple", ["red car"]) == [pytest.approx(scores[1], abs=1e-5)]
    assert reranker.score("red apple", []) == []
    assert reranker.name == "tiny"


def test_a_model_with_several_outputs_is_refused(tmp_path: Path) -> None:
    """A classifier of three classes is no reranker."""
    folder = a_model(tmp_path / "classes", outputs=3)
    with pytest.raises(ConfigurationError, match="3 outputs"):
        open_reranker("cross-encoder", model=str(folder), url=None, device="cpu")


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """The error names it and the setting."""
    with pytest.raises(ConfigurationError, match="reranker_model"):
        open_reranker("cross-encoder", model=str(tmp_path / "nothing"), url=None, device="cpu")

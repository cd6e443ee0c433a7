"""The figures of the embedding benchmark."""

from types import SimpleNamespace

import pytest

from retrieval.embedders.hashing import HashingEmbedder

embedding = pytest.importorskip("benchmarks.embedding", reason="The wheel has no benchmarks.")


def test_operations_of_a_token_follow_from_the_config() -> None:
    """Of MiniLM: two for each weight of its six layers, and those of attention over 120 tokens."""
    config = SimpleNamespace(num_hidden_layers=6, hidden_size=384, intermediate_size=1536)
    assert embedding.flops_per_token(config, 120) == 6 * (2 * (4 * 384 * 384 + 2 * 384 * 1536) + 4 * 120 * 384)


def test_texts_have_the_length_that_is_measured() -> None:
    """With the two special tokens that a model adds, and no two are the same."""
    spans = HashingEmbedder().token_spans
    texts = embedding.texts_of(120, spans, count=20)
    assert {len(spans(text)) for text in texts} == {118}
    assert len(set(texts)) == 20


def test_a_row_has_the_best_of_all_rounds() -> None:
    """The fastest of each column; memory is the most that was seen."""
    rounds = [
        embedding.Speed(name="x", texts_per_s=(10, 5), cpu_ms_per_text=(3, 6), query_ms=2, resident_mib=100),
        embedding.Speed(name="x", texts_per_s=(9, 6), cpu_ms_per_text=(2, 7), query_ms=3, resident_mib=120),
    ]
    assert embedding.row(rounds) == "| x | 10 / 6 | 2.0 / 6.0 | 2.0 | 120 | – |"

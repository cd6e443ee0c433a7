"""The figures of the generation benchmark are what they are called."""

import pytest

generation = pytest.importorskip("benchmarks.generation", reason="The wheel has no benchmarks.")

WORK = generation.Work(
    shape="tiny", device="cpu", dtype="float32", prompt_tokens=16, answer_tokens=8, concurrency=[1, 3]
)


def test_the_rate_counts_while_all_are_written() -> None:
    """From the last beginning, at 3 s, to the first end, at 5 s: three tokens of two answers."""
    answers = [generation.Timed(asked=0, came=[1, 2, 3, 4, 5]), generation.Timed(asked=0, came=[3, 5, 7])]
    assert generation.decoding_rate(answers) == 3 / 2
    assert (
        generation.decoding_rate([generation.Timed(asked=0, came=[1, 2]), generation.Timed(asked=0, came=[3, 4])])
        is None
    )


def test_a_step_reads_the_weights_and_the_keys() -> None:
    """All parameters but the table of embeddings, which is not the head; 2 x 2 layers x 2 heads x 16 of float32."""
    model = generation.a_model(WORK)
    parameters = sum(weight.numel() for weight in model.parameters())
    assert generation.weight_bytes(model) == 4 * (parameters - 1024 * 64)
    assert generation.cache_bytes_per_token(model) == 4 * 2 * 2 * 2 * 16


def test_every_answer_has_all_its_tokens() -> None:
    """On a model of random weights, for each number of answers at once, in one batch."""
    found = generation.measured(WORK)
    assert [speed.answers for speed in found.speeds] == [1, 3]
    assert all(speed.tokens_per_s > 0 and speed.first_token_s > 0 for speed in found.speeds)
    assert "continuous batching of up to 3 answers" in found.description

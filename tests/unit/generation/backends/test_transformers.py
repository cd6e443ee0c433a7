"""How a model's context is shared out."""

from types import SimpleNamespace

import pytest

from catalog.errors import ConfigurationError
from generation.backends.transformers import context_of, source_tokens


@pytest.mark.parametrize(
    ("context", "expected"),
    [(8192, 8192 - 1024 - 1024 - 20), (2048, 1024 - 20), (64, 32 - 20), (16, 0)],
)
def test_sources_get_what_answer_and_instructions_leave(context: int, expected: int) -> None:
    """1,024 tokens each, and in a small context a quarter each; what the template takes comes off."""
    assert source_tokens(context, overhead=20) == expected


def test_a_context_may_be_shortened_and_not_stretched() -> None:
    """Beyond what the model was trained on its answers are noise."""
    config = SimpleNamespace(max_position_embeddings=4096)
    assert (context_of(config, None), context_of(config, 1000)) == (4096, 1000)
    with pytest.raises(ConfigurationError, match="4096"):
        context_of(config, 5000)


def test_a_model_that_does_not_say_its_context_needs_the_setting() -> None:
    """Models without attention have none."""
    assert context_of(SimpleNamespace(), 2048) == 2048
    with pytest.raises(ConfigurationError, match="generator_context_tokens"):
        context_of(SimpleNamespace(), None)

"""Tokens are drawn as their probabilities say, for each answer of a batch by its own settings."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from generation.backends.decoding.base import Draw
from generation.backends.decoding.drawing import Nucleus, arguments, least_kept

PROBABILITIES = [0.05, 0.5, 0.3, 0.15]


def shares(*values: float) -> Any:
    """Return arguments as the library keeps them."""
    states = [SimpleNamespace(state=SimpleNamespace(logit_processor_kwargs={"top_p": value})) for value in values]
    return Nucleus().prepare_tensor_args(states)


def test_tokens_come_as_often_as_they_are_likely() -> None:
    """Of 20,000 draws each token has its share, within three standard deviations."""
    torch.manual_seed(2)
    rows = 20_000
    scores = torch.tensor(PROBABILITIES).log().repeat(rows, 1)
    drawn = Nucleus()(scores, shares(*[1.0] * rows)).argmax(-1)
    for token, probability in enumerate(PROBABILITIES):
        deviation = (probability * (1 - probability) / rows) ** 0.5
        assert float((drawn == token).float().mean()) == pytest.approx(probability, abs=3 * deviation)


def test_only_the_likeliest_that_have_the_share_are_drawn() -> None:
    """0.5 and 0.3 have 0.75 together; the others never come."""
    torch.manual_seed(3)
    scores = torch.tensor(PROBABILITIES).log().repeat(2000, 1)
    drawn = Nucleus()(scores, shares(*[0.75] * 2000)).argmax(-1)
    assert set(drawn.tolist()) == {1, 2}


def test_a_greedy_answer_shares_a_batch_with_a_drawn_one() -> None:
    """Its scores stay as they are; of equal ones the first is the largest."""
    torch.manual_seed(4)
    scores = torch.tensor([[1.0, 3.0, 3.0, 2.0], [1.0, 3.0, 3.0, 2.0]])
    processed = Nucleus()(scores, shares(0.0, 1.0))
    assert torch.equal(processed[0], scores[0])
    assert not torch.equal(processed[1], scores[1])
    assert int(processed[0].argmax()) == 1


@pytest.mark.parametrize(("share", "kept"), [(0.01, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.81, 3), (0.95, 3), (1.0, 4)])
def test_the_fewest_tokens_with_the_share_are_kept(share: float, kept: int) -> None:
    """The likeliest first, until together they have it."""
    scores = torch.tensor([PROBABILITIES], dtype=torch.float64).log()
    least = least_kept(scores, torch.tensor([[share - 1e-9]], dtype=torch.float64))
    assert int((scores.softmax(-1) >= least).sum()) == kept


def test_temperature_zero_is_greedy() -> None:
    """And so is no share of the probability at all."""
    greedy = {"temperature": 1.0, "top_p": 0.0}
    assert arguments(Draw(max_tokens=1)) == arguments(Draw(max_tokens=1, temperature=0.7, top_p=0.0)) == greedy
    assert arguments(Draw(max_tokens=1, temperature=0.7, top_p=0.9)) == {"temperature": 0.7, "top_p": 0.9}

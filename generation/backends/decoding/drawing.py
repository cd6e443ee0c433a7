"""Drawing tokens with settings of their own for each answer of a batch, without branches on their values."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
    ContinuousBatchingTemperatureLogitsWarper,
)

from generation.backends.decoding.base import Draw

# The least probability that is kept is found to 2^-30 of the largest.
_HALVINGS: Final = 30


class Nucleus(ContinuousBatchingLogitsProcessor):
    """Leaves the scores whose largest one is drawn: those of the likeliest tokens, with noise added.

    The largest of scores with Gumbel noise is distributed as their softmax (Gumbel 1954; Maddison, Tarlow and Minka
    2014), so that greedy and drawn answers can share a batch that always takes the largest: `top_p` 0 adds no noise.
    """

    supported_kwargs: dict[str, type] = {"top_p": float}  # noqa: RUF012 # As its base class has it.
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: Sequence[Any]) -> torch.Tensor:
        shares = [request.state.logit_processor_kwargs["top_p"] for request in requests_with_new_token]
        # The library keeps all arguments as int32, whatever their bits mean.
        return torch.tensor(shares, dtype=torch.float32).view(torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """scores: (answers, vocabulary), float32; tensor_arg: at least (answers,), shares as bits."""
        share = tensor_arg[: scores.shape[0]].view(torch.float32).unsqueeze(-1)
        # A processor may look at the values; a GPU would have to wait for them, and cannot when its work is recorded.
        if scores.device.type == "cpu" and not bool(share.any()):
            return scores
        kept = scores.masked_fill(scores.softmax(-1) < least_kept(scores, share), -torch.inf)
        noise = torch.empty_like(scores).exponential_().log_().neg_()
        return torch.where(share > 0, kept + noise, scores)


def least_kept(scores: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return the largest probability such that the tokens with at least that much have `share` of it together.

    scores: (answers, vocabulary); share: (answers, 1); result: (answers, 1). Found by halving an interval: a sort of
    the vocabulary would cost many times as much.
    """
    probabilities = scores.softmax(-1)
    low = torch.zeros_like(share)
    high = probabilities.amax(-1, keepdim=True)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        mass = probabilities.masked_fill(probabilities < middle, 0).sum(-1, keepdim=True)
        is_enough = mass >= share
        low, high = torch.where(is_enough, middle, low), torch.where(is_enough, high, middle)
    return low


def processors() -> ContinuousBatchingLogitsProcessorList:
    """Return what a batch's scores go through, with arguments for each answer."""
    temperature = ContinuousBatchingTemperatureLogitsWarper(TemperatureLogitsWarper(1.0))
    made = ContinuousBatchingLogitsProcessorList(LogitsProcessorList([temperature, Nucleus()]))
    made.tensors_required = 2
    return made


def arguments(draw: Draw) -> dict[str, float]:
    """Return the arguments of one answer for `processors`."""
    is_greedy = draw.temperature == 0 or draw.top_p == 0
    return {"temperature": 1.0, "top_p": 0.0} if is_greedy else {"temperature": draw.temperature, "top_p": draw.top_p}

"""Chooses how a model's answers share its device, and tries it."""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import torch

from catalog.errors import ConfigurationError, ServiceUnavailable
from generation.backends.decoding.base import Decoder, Draw
from generation.backends.decoding.paged import PagedDecoder
from generation.backends.decoding.sequential import SequentialDecoder

log = logging.getLogger(__name__)

_TRIAL_TOKENS: Final = 4
# How far below the largest logit a token of the trial may lie, in standard deviations of the logits: rounding of bf16
# stays below, and a model that does not keep its sequences apart does not.
_TOLERANCE: Final = 0.25


def open_decoder(
    model: Any,
    *,
    stops: Sequence[int],
    samples: Sequence[Sequence[int]],
    context_tokens: int,
    max_batch: int,
    cache_tokens: int | None,
) -> Decoder:
    """Return a decoder that batches, or one that does not and says why.

    `samples`: prompts of the model, at least two, that are continued together and compared with the model's plain
    forward pass: not every architecture keeps the sequences of a batch apart. Raises ConfigurationError when the pages
    do not fit into memory.
    """
    attention = model.config._attn_implementation

    def alone(reason: str) -> Decoder:
        log.warning("%s writes one answer at a time, because %s.", type(model).__name__, reason)
        model.config._attn_implementation = attention
        return SequentialDecoder(model, stops=stops, context_tokens=context_tokens, reason=reason)

    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        return alone("its layers are on several devices")
    try:
        paged = PagedDecoder(
            model, stops=stops, context_tokens=context_tokens, max_batch=max_batch, cache_tokens=cache_tokens
        )
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise ConfigurationError(
            f"The model is loaded, but the memory for its answers is not there: {error} Set generator_cache_tokens or "
            "generator_max_batch lower."
        ) from error
    # The library has no one error for what it cannot batch.
    except Exception as error:  # noqa: BLE001
        return alone(f"the library cannot batch it ({type(error).__name__}: {error})")
    try:
        is_right = agrees(paged, model, attention, samples)
    except ServiceUnavailable as error:
        paged.close()
        return alone(f"it failed in a batch ({error.message})")
    if not is_right:
        paged.close()
        return alone("it writes other tokens in a batch than alone")
    return paged


def agrees(decoder: Decoder, model: Any, attention: str, samples: Sequence[Sequence[int]]) -> bool:
    """Return whether what `decoder` writes, all samples at once, is what the model's plain forward pass finds likely.

    `attention`: the implementation for that pass.
    """

    def written(sample: Sequence[int]) -> list[int]:
        steps = decoder.decode(sample, Draw(max_tokens=_TRIAL_TOKENS), cancelled=lambda: False)
        return [token for step in steps for token in step.tokens]

    with ThreadPoolExecutor(len(samples)) as threads:
        continued = list(threads.map(written, samples))
    with _attention(model, attention), torch.inference_mode():
        return all(_is_likely(model, sample, tokens) for sample, tokens in zip(samples, continued, strict=True))


def _is_likely(model: Any, prompt: Sequence[int], tokens: Sequence[int]) -> bool:
    read = torch.tensor([[*prompt, *tokens[:-1]]], device=model.device)
    logits = model(read).logits[0, len(prompt) - 1 :].float()
    chosen = logits.gather(-1, torch.tensor(tokens, device=logits.device).unsqueeze(-1)).squeeze(-1)
    return bool((logits.amax(-1) - chosen <= _TOLERANCE * logits.std(-1)).all())


@contextmanager
def _attention(model: Any, implementation: str) -> Iterator[None]:
    """Meanwhile the model attends another way; nothing may be decoded."""
    before = model.config._attn_implementation
    model.config._attn_implementation = implementation
    try:
        yield
    finally:
        model.config._attn_implementation = before

"""A language model's whole reply to a prompt that is no question about sources."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from catalog.errors import InvalidRequest
from generation.backends.base import Finished, FinishReason, Generator, Prompt, Sampling
from generation.prompts import PromptTemplate

# What a model may write in front of a prompt's mark, on top of its reply.
THINKING_TOKENS: Final = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    text: str
    reason: FinishReason


def has_language_model(generator: Generator) -> bool:
    """Whether a generator writes from messages. The extractive one quotes sources and does nothing else."""
    return generator.name != "extractive"


def require_language_model(generator: Generator, purpose: str) -> None:
    """Raises InvalidRequest where there is none."""
    if not has_language_model(generator):
        raise InvalidRequest(
            f"{purpose} needs a language model, and the setting generator is {generator.name!r}, which can only "
            "quote; docs/settings.md names the generators that have one."
        )


def complete(
    generator: Generator,
    template: PromptTemplate,
    *,
    max_tokens: int,
    cancelled: Callable[[], bool] = lambda: False,
    **values: Any,
) -> Reply:
    """Return the reply to `template`, filled with `values`: only what stands behind its mark, if it has one.

    `max_tokens` are of the reply; for what stands in front of a mark there are THINKING_TOKENS more.
    """
    prompt = template.prompt(template.messages(**values))
    if template.answer_mark is None:
        return reply_to(generator, prompt, max_tokens=max_tokens, cancelled=cancelled)
    reply = reply_to(generator, prompt, max_tokens=max_tokens + THINKING_TOKENS, cancelled=cancelled)
    return replace(reply, text=reply.text.partition(template.answer_mark)[2].strip())


def reply_to(
    generator: Generator, prompt: Prompt, *, max_tokens: int, cancelled: Callable[[], bool] = lambda: False
) -> Reply:
    """Return the likeliest reply to a prompt, so that the same one gets the same. Raises what the generator raises."""
    text, reason = "", FinishReason.STOP
    sampling = Sampling(max_tokens=max_tokens, temperature=0.0)
    for piece in generator.generate(prompt, sampling=sampling, cancelled=cancelled):
        if isinstance(piece, Finished):
            reason = piece.reason
        else:
            text += piece.text
    return Reply(text=text.strip(), reason=reason)

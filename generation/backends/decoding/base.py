"""The seam between a chat and the model that continues it, in tokens."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

# How long a reader that waits for tokens goes without asking whether it is still wanted.
POLL_S: Final = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Draw:
    """How tokens are drawn, and at most how many."""

    max_tokens: int
    # 0 takes the likeliest token each time; of equally likely ones the first of the vocabulary.
    temperature: float = 0.0
    # Share of the probability that tokens are drawn from, the likeliest first.
    top_p: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What came since the step before."""

    tokens: Sequence[int]
    # Tokens of the prompt that were in memory from an earlier one; the same at each step.
    cached_tokens: int = 0


class Decoder(Protocol):
    """Continues prompts on one model. Thread-safe: any number of threads may decode at once."""

    # How answers share the device, for people.
    description: str
    # Tokens that a prompt and its continuation may have together.
    max_tokens: int

    def decode(
        self, prompt: Sequence[int], draw: Draw, *, cancelled: Callable[[], bool]
    ) -> Generator[Step, None, None]:
        """Yield the tokens that continue `prompt` as they come, a stop token included, which is the last.

        Ends at a stop token, after `draw.max_tokens` tokens, or soon after `cancelled()` is true. The prompt's memory
        is free for others as soon as the generator has ended or is closed. `prompt` is not empty, and has with
        `draw.max_tokens` at most `max_tokens` tokens. Raises ServiceUnavailable when the model fails.
        """
        ...

    def close(self) -> None:
        """End what is being decoded; the decoder is not used afterwards."""
        ...

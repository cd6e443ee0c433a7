"""What the tokens of an answer cost."""

from dataclasses import dataclass

from generation.backends.base import Usage

_TOKENS = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """In any one currency, for a million tokens."""

    input: float
    output: float
    # Of input that the generator had in memory; None: as any other input.
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """Return what an answer cost, in the same currency."""
        cached = self.input if self.cached is None else self.cached
        fresh = usage.input_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output) / _TOKENS

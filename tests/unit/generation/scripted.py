"""A language model that replies what it is told to."""

from collections.abc import Callable, Iterator
from typing import Any

from generation.backends.base import Finished, FinishReason, Prompt, Sampling, TextDelta, Usage


class ScriptedModel:
    """Gives one reply to each prompt, in order, and the last one again; keeps the prompts; a token is a word."""

    name = "scripted"

    def __init__(
        self,
        *replies: str,
        source_tokens: int = 200,
        reason: FinishReason = FinishReason.STOP,
        evidence: float | None = None,
        deed: Callable[[], Any] = lambda: None,
    ) -> None:
        """`deed` is done before each reply."""
        self.replies = list(replies)
        # The last one that was given.
        self.reply: str
        self.source_tokens = source_tokens
        self.reason, self.evidence = reason, evidence
        self.deed = deed
        self.prompts: list[Prompt] = []
        # Tokens that each reply may have.
        self.limits: list[int] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        self.prompts.append(prompt)
        self.limits.append(sampling.max_tokens)
        self.deed()
        if self.replies:
            self.reply = self.replies.pop(0)
        for place in range(0, len(self.reply), 4):
            if cancelled():
                yield Finished(reason=FinishReason.CANCELLED, usage=Usage(input_tokens=1, output_tokens=0))
                return
            yield TextDelta(text=self.reply[place : place + 4])
        usage = Usage(input_tokens=5, output_tokens=sampling.max_tokens)
        yield Finished(reason=self.reason, usage=usage, evidence=self.evidence)

    def asked(self) -> list[str]:
        """Return the last message of each prompt."""
        return [prompt.messages[-1].content for prompt in self.prompts]

    def close(self) -> None:
        """Nothing is held."""

"""A language model that replies what it is told to."""

from collections.abc import Callable, Iterator

from generation.backends.base import Finished, FinishReason, Prompt, Sampling, TextDelta, Usage


class ScriptedModel:
    """Gives one reply to each prompt, in order, and keeps the prompts; a token is a word."""

    name = "scripted"

    def __init__(self, *replies: str, source_tokens: int = 200, reason: FinishReason = FinishReason.STOP) -> None:
        self.replies = list(replies)
        self.source_tokens = source_tokens
        self.reason = reason
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
        reply = self.replies.pop(0)
        yield from (TextDelta(text=reply[place : place + 4]) for place in range(0, len(reply), 4))
        yield Finished(reason=self.reason, usage=Usage(input_tokens=1, output_tokens=sampling.max_tokens))

    def asked(self) -> list[str]:
        """Return the last message of each prompt."""
        return [prompt.messages[-1].content for prompt in self.prompts]

    def close(self) -> None:
        """Nothing is held."""

"""A language model that replies what it is told to."""

import json
from collections.abc import Callable, Iterator, Sequence

from generation.backends.base import Finished, FinishReason, Prompt, Sampling, TextDelta, ToolCall, Usage


class ScriptedModel:
    """Gives one reply to each prompt, in order, and keeps the prompts; a token is a word."""

    name = "scripted"
    calls_tools = False

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


def a_search(*queries: str) -> ToolCall:
    """Build a call of file_search as a model makes it."""
    return ToolCall(call_id="", name="file_search", arguments=json.dumps({"queries": queries}))


# What it writes, and then what it calls.
Reply = tuple[str, Sequence[ToolCall]]


class CallingModel(ScriptedModel):
    """A model that calls tools: a reply is a text, or a text and the calls behind it. The last one is repeated.

    It does not ask whether it may: who does not let it has to cope.
    """

    name = "calling"
    calls_tools = True

    def __init__(self, *replies: str | Reply, source_tokens: int = 400) -> None:
        super().__init__(source_tokens=source_tokens)
        self.turns = [(reply, ()) if isinstance(reply, str) else reply for reply in replies]

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        self.prompts.append(prompt)
        text, calls = self.turns[min(len(self.prompts), len(self.turns)) - 1]
        if cancelled():
            yield Finished(reason=FinishReason.CANCELLED, usage=Usage(input_tokens=1, output_tokens=0))
            return
        yield from (TextDelta(text=text[place : place + 4]) for place in range(0, len(text), 4))
        yield Finished(reason=FinishReason.STOP, usage=Usage(input_tokens=10, output_tokens=3), calls=calls)

"""The conversation with a model that searches itself: its calls, what they were answered, and its prompt. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from generation.backends.base import Message, Prompt, Source, ToolCall
from generation.prompts import PromptTemplate
from generation.search_tool import FILE_SEARCH
from generation.turns import Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a call is answered."""

    # Numbers of the sources that are new with it, and of those that it found once more.
    sources: Sequence[int] = ()
    again: Sequence[int] = ()
    # Why it was not carried out; "" when it was.
    error: str = ""
    # Calls that the model may still make, and those of the same reply that were too many.
    left: int
    dropped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """A reply of the model that is no answer yet."""

    # What stood in front of its calls.
    text: str
    calls: Sequence[ToolCall]
    # One for each call.
    results: Sequence[Result]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(
            text=values["text"],
            calls=[ToolCall(**call) for call in values["calls"]],
            results=[Result(**result) for result in values["results"]],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What is the same in all requests of one answer."""

    template: PromptTemplate
    question: str
    turns: Sequence[Turn] = ()
    earlier: str = ""
    nonce: str

    def prompt(self, rounds: Sequence[Round], sources: Sequence[Source], *, may_call: bool) -> Prompt:
        """Return the prompt behind some rounds. `sources`: all that they found, in the order of their numbers."""
        opening = self.template.render(self.question, [], nonce=self.nonce, turns=self.turns, earlier=self.earlier)
        messages = [*opening.messages, *(message for one in rounds for message in self.messages(one, sources))]
        return self.template.prompt(
            messages, question=self.question, sources=sources, tools=[FILE_SEARCH], may_call=may_call
        )

    def messages(self, one: Round, sources: Sequence[Source]) -> list[Message]:
        """Return a round as messages: the model's reply, and an answer to each of its calls."""
        reply = Message(role="assistant", content=one.text, calls=one.calls)
        return [reply, *(self._answer(*pair, sources) for pair in zip(one.calls, one.results, strict=True))]

    def _answer(self, call: ToolCall, result: Result, sources: Sequence[Source]) -> Message:
        content = self.template.tool_result(
            [sources[number - 1] for number in result.sources],
            nonce=self.nonce,
            again=result.again,
            error=result.error,
            left=result.left,
            dropped=result.dropped,
        )
        return Message(role="tool", content=content, call_id=call.call_id)

"""The generator seam."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

from retrieval.passages import Passage

# What a generator writes, and nothing else, when the sources do not hold the answer.
NO_ANSWER: Final = "[none]"
DEFAULT_MAX_TOKENS: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A passage as the generator sees it."""

    # 1-based; the generator cites it as `[number]`.
    number: int
    passage: Passage

    @property
    def text(self) -> str:
        return self.passage.chunk.text


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """What a model wants to have done before it writes. It is the model's word: nothing in it is checked."""

    # Of the model's server, or "".
    call_id: str
    name: str
    # JSON, if the model keeps to it.
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tool:
    """What a model may call, as OpenAI describes functions."""

    name: str
    description: str
    # JSON Schema of the arguments, an object.
    parameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant", "tool"]
    content: str
    # Of an assistant. Each is answered by a message of role tool with its `call_id`.
    calls: Sequence[ToolCall] = ()
    call_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A rendered prompt. Language models read `messages`; a generator without one reads question and sources."""

    question: str
    sources: Sequence[Source]
    messages: Sequence[Message]
    # Name, version and SHA-256 of the template, for the answer record.
    template: str
    version: int
    sha256: str
    # Those that the conversation is about; heeded by generators with `calls_tools`.
    tools: Sequence[Tool] = ()
    # False: the model has to write now.
    may_call: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """How an answer is drawn from a language model; a generator without one heeds `max_tokens` alone."""

    max_tokens: int = DEFAULT_MAX_TOKENS
    # None: the generator's own default. 0 takes the likeliest token each time.
    temperature: float | None = None
    # Share of the probability that tokens are drawn from, the likeliest first; None: the generator's own default.
    top_p: float | None = None


class FinishReason(StrEnum):
    STOP = "stop"
    # `max_tokens` was reached.
    LENGTH = "length"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens, counted by the generator's own tokenizer."""

    input_tokens: int
    output_tokens: int
    # Of the input, those that the generator had in memory from an earlier prompt.
    cached_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Return what several requests took together."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    reason: FinishReason
    usage: Usage
    # How sure the generator is that its sources answer, about 0 to 1, when it refused too; None when it cannot tell.
    evidence: float | None = None
    # What the model wants to have done, in its order; the text in front of them, if any, is no answer yet.
    calls: Sequence[ToolCall] = ()


class Generator(Protocol):
    """Writes an answer from sources, a piece at a time.

    Thread-safe: any number of answers may be generated at once.
    """

    name: str
    # Tokens of sources that fit into a prompt, with room for question, instructions and answer.
    source_tokens: int
    # Whether it passes a prompt's tools on to the model, and its calls back. Whether the model makes any is another
    # matter.
    calls_tools: bool

    def count_tokens(self, text: str) -> int:
        """Return how many tokens `text` is for this generator."""
        ...

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        """Yield pieces of text and, last and once, Finished.

        Behind every claim the text holds the numbers of the sources that support it, as `[2]` or `[1][3]`; it is
        NO_ANSWER alone when the sources do not answer. At most `sampling.max_tokens` tokens; ends early, with
        CANCELLED, soon after `cancelled()` is true. With `prompt.may_call` it may also end with calls. Raises
        ServiceUnavailable (retryable) when the model cannot be reached.
        """
        ...

    def close(self) -> None:
        """Release the model; the generator is not used afterwards."""
        ...

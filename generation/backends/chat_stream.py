"""A streamed chat completion, as servers of OpenAI's API send it. Reads bytes and does no I/O."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from catalog.errors import InvalidRequest
from generation.backends.base import FinishReason, ToolCall, Usage
from generation.backends.chat_tools import CallReader
from generation.backends.upstreams import FaultKind, UpstreamFault

# A piece of text comes with less than a kilobyte around it.
_MAX_EVENT_BYTES: Final = 1024**2
_MAX_SHOWN_CHARS: Final = 200
_DONE: Final = "[DONE]"
# What the servers in use say; vLLM's `abort`, calls of tools that nobody offered and the like are no end of an answer.
_FINISH_REASONS: Final = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
}
_FILTERED: Final = "content_filter"
_CALLED: Final = "tool_calls"
# A server whose deltas hold several tokens is cut when its text is, by a count that errs on the high side, this much
# too long.
_COUNT_SLACK: Final = 4
# No model reads more.
_MOST_TOKENS: Final = 10**8


def _protocol_fault(reason: str) -> UpstreamFault:
    return UpstreamFault(FaultKind.PROTOCOL, reason)


class EventParser:
    """Server-sent events from bytes, however these are cut (HTML standard, 9.2.6)."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._data: list[str] = []

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield the data of each event that is complete. Raises UpstreamFault for one that has no end or is no text."""
        *lines, rest = part.split(b"\n")
        for line in lines:
            yield from self._take(bytes(self._line) + line)
            self._line.clear()
        self._line += rest
        if len(self._line) + sum(map(len, self._data)) > _MAX_EVENT_BYTES:
            raise _protocol_fault(f"its reply holds an event of more than {_MAX_EVENT_BYTES} bytes")

    def finish(self) -> Iterator[str]:
        """Yield what is left when the connection has ended: some servers send no empty line behind the last event."""
        yield from self._take(bytes(self._line))
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[str]:
        line = line.removesuffix(b"\r")
        if not line and self._data:
            data, self._data = "\n".join(self._data), []
            yield data
        elif line.startswith(b"data:"):
            try:
                self._data.append(line.removeprefix(b"data:").removeprefix(b" ").decode())
            except UnicodeDecodeError as error:
                raise _protocol_fault(f"its reply is not UTF-8 ({error})") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What one event of the stream says."""

    text: str = ""
    # Of a model that thinks aloud before it answers; it is not part of the answer.
    reasoning: str = ""
    # Pieces of calls, as they came.
    calls: Any = None
    finish: str | None = None
    usage: Usage | None = None


def parse_chunk(data: str) -> Chunk:
    """Read one event. Raises UpstreamFault for one that is none, and for the server's own words about a failure."""
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _protocol_fault(f"its reply holds an event that is no JSON: {data[:_MAX_SHOWN_CHARS]!r}") from error
    if not isinstance(event, dict) or event.get("error") or event.get("object") == "error":
        raise _protocol_fault(f"its reply breaks off with an error: {data[:_MAX_SHOWN_CHARS]!r}")
    choices = event.get("choices") or []
    choice = _mapping(choices[0]) if isinstance(choices, list) and choices else {}
    delta = _mapping(choice.get("delta"))
    text, finish = delta.get("content") or "", choice.get("finish_reason")
    reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
    if not isinstance(choices, list) or not all(isinstance(value, str | None) for value in (text, finish, reasoning)):
        raise _protocol_fault(f"its reply holds an event that is no part of a chat: {data[:_MAX_SHOWN_CHARS]!r}")
    return Chunk(
        text=_whole(text),
        reasoning=_whole(reasoning),
        calls=delta.get("tool_calls"),
        finish=finish,
        usage=parse_usage(event.get("usage")),
    )


def _whole(text: str) -> str:
    """Return `text` without halves of surrogate pairs: JSON can write one alone, and no stream of ours can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def parse_usage(value: Any) -> Usage | None:
    """Return the tokens that a server says it counted; None for what cannot be true, or is not there."""
    told = _mapping(value)
    cached = _mapping(told.get("prompt_tokens_details")).get("cached_tokens") or 0
    told_counts = (told.get("prompt_tokens"), told.get("completion_tokens"), cached)
    counts = [n for n in told_counts if isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= _MOST_TOKENS]
    if len(counts) < len(told_counts):
        return None
    read, written, remembered = counts
    if read == 0 or remembered > read:
        return None
    return Usage(input_tokens=read, output_tokens=written, cached_tokens=remembered)


class AnswerReader:
    """One streamed answer: text as it comes, then how it ended."""

    def __init__(self, *, max_tokens: int, count_tokens: Callable[[str], int], takes_calls: bool = False) -> None:
        """`count_tokens` may count too many; it bounds what a server sends that does not heed `max_tokens`.

        `takes_calls`: calls are an answer too; where nobody offered a tool they are none.
        """
        self._parser = EventParser()
        self._takes_calls, self._calls = takes_calls, CallReader()
        self._max_tokens, self._count_tokens = max_tokens, count_tokens
        self._counted = 0
        self._finish: FinishReason | None = None
        self._usage: Usage | None = None
        # Of answer, calls and thought; comments and empty pieces, which keep connections open, are none.
        self.pieces = 0
        # Characters of the answer.
        self.written = 0
        # It was longer than `max_tokens` allows: what the server sends on is not wanted.
        self.is_cut = False

    @property
    def has_ended(self) -> bool:
        """The last token came. What may follow is the usage."""
        return self._finish is not None

    @property
    def calls(self) -> list[ToolCall]:
        """What the model called, all of it only once the answer has ended."""
        return self._calls.calls

    def feed(self, part: bytes) -> Iterator[str]:
        """Yield pieces of text. Raises UpstreamFault, and InvalidRequest when the server's filter ends the answer."""
        for data in self._parser.feed(part):
            yield from self._take(data)

    def finish(self) -> Iterator[str]:
        """Yield what is left when the connection has ended. Raises UpstreamFault when the answer has not."""
        for data in self._parser.finish():
            yield from self._take(data)
        if self._finish is None:
            raise _protocol_fault("its reply ended without a finish_reason, so the answer may be cut")

    def result(self) -> tuple[FinishReason, Usage | None]:
        """Return how the answer ended, and what the server counted, if that can be.

        Raises UpstreamFault for no answer, InvalidRequest for one of thoughts alone.
        """
        has_said = self.written or self._calls.calls
        if self._finish is FinishReason.LENGTH and not has_said:
            raise InvalidRequest(
                f"The language model wrote no word of its answer within {self._max_tokens} tokens; allow it more."
            )
        if self._finish is None or not has_said:
            raise _protocol_fault("its answer is empty")
        usage = self._usage
        is_told = usage is not None and 0 < usage.output_tokens <= self._max_tokens
        return self._finish, usage if is_told else None

    def _take(self, data: str) -> Iterator[str]:
        if data == _DONE:
            return
        chunk = parse_chunk(data)
        self._usage = chunk.usage or self._usage
        if self._finish is not None:
            return
        piece = chunk.reasoning + chunk.text + self._called(chunk)
        if piece and self._is_beyond(piece):
            self._finish, self.is_cut = FinishReason.LENGTH, True
            return
        if chunk.text:
            self.written += len(chunk.text)
            yield chunk.text
        if chunk.finish == _FILTERED:
            raise InvalidRequest(
                "The language model's filter ended the answer: it objects to the question or a source."
            )
        if chunk.finish is not None:
            self._finish = self._reason_of(chunk.finish)

    def _called(self, chunk: Chunk) -> str:
        """Read the pieces of calls, and return what of them the model wrote."""
        if not self._takes_calls or not chunk.calls:
            return ""
        try:
            return self._calls.feed(chunk.calls)
        except ValueError as error:
            raise _protocol_fault(f"its reply holds a tool call that cannot be read: {error}") from error

    def _reason_of(self, finish: str) -> FinishReason:
        if finish in _FINISH_REASONS:
            return _FINISH_REASONS[finish]
        if finish == _CALLED and self._calls.calls:
            return FinishReason.STOP
        raise _protocol_fault(f"it ended the answer with finish_reason {finish[:_MAX_SHOWN_CHARS]!r}")

    def _is_beyond(self, piece: str) -> bool:
        """Whether a piece is more than `max_tokens` allows. A delta is at least one token."""
        self.pieces += 1
        self._counted += self._count_tokens(piece)
        return self.pieces > self._max_tokens or self._counted > _COUNT_SLACK * self._max_tokens

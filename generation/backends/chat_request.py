"""One request to one server of a language model, and everything that can go wrong with it."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from catalog.errors import ConfigurationError
from generation.backends.base import FinishReason, Usage
from generation.backends.chat_stream import AnswerReader
from generation.backends.upstreams import FaultKind, Turn, UpstreamFault
from retrieval.remote import is_passing, retry_after_s, stated_reason

DEFAULT_CONTEXT_TOKENS: Final = 8192
# How long after the last token the server's count of tokens is waited for.
_USAGE_WAIT_S: Final = 5.0
_MAX_REASON_BYTES: Final = 64 * 1024
# The key, the account or the model is at fault, and another server may have others.
_REFUSED: Final = frozenset({401, 402, 403, 404})
_EVENT_STREAM: Final = "text/event-stream"
_TOOLS_ADVICE: Final = (
    ' Where it says that it knows no tools, search_by="model" needs them: vLLM takes them with '
    "--enable-auto-tool-choice and --tool-call-parser."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatServers:
    """Where a language model answers, and how patiently it is asked. Times are in seconds."""

    # Each with the version in it, https://HOST/v1: servers of the same model that take each other's place.
    urls: Sequence[str]
    model: str
    api_key: str | None = field(default=None, repr=False)
    # A tokenizer.json of the model; None has the servers count, or else a rule.
    tokenizer: Path | None = None
    # Tokens that the model reads and writes in all.
    context_tokens: int = DEFAULT_CONTEXT_TOKENS
    connect_timeout_s: float = 5.0
    # From the request to the first token, its wait in the server's queue included.
    first_token_timeout_s: float = 60.0
    # From one token to the next.
    token_timeout_s: float = 30.0
    # For the whole answer, repetitions included.
    deadline_s: float = 300.0
    # Of one request, all before its first token.
    retries: int = 3
    # Before the first repetition at the same server; each further pause is twice as long, up to the longest.
    first_pause_s: float = 0.5

    def without_key(self, text: str) -> str:
        """Some servers repeat the key in what they say."""
        return text.replace(self.api_key, "…") if self.api_key else text

    def reason_of(self, status: int, content: bytes) -> str:
        return f"status {status}, {stated_reason(content[:_MAX_REASON_BYTES], self.api_key)}"


class LimitName(Exception):
    """The server wants the limit of tokens as `max_completion_tokens`."""


class ChatRequest:
    """A request from its sending to its end. Runs in an event loop; `deadline` is of that loop's clock."""

    def __init__(self, servers: ChatServers, reader: AnswerReader, *, deadline: float) -> None:
        self._servers, self._reader = servers, reader
        self._clock = asyncio.get_running_loop().time
        self._deadline = deadline
        self._sent_at = self._clock()
        self._first_token_at: float | None = None

    @property
    def has_written(self) -> bool:
        """Text was given out, which another attempt would not go on with."""
        return self._reader.written > 0

    @property
    def story(self) -> str:
        """What came when, for the log."""
        now = self._clock()
        first = self._first_token_at
        if first is None:
            return f"{now - self._sent_at:.2f} s after the request, before a first token"
        return (
            f"{now - self._sent_at:.2f} s after the request, {now - first:.2f} s after the first token and "
            f"{self._reader.written} characters"
        )

    async def run(
        self, client: httpx.AsyncClient, turn: Turn, body: Mapping[str, Any], give_out: Callable[[str], None]
    ) -> tuple[FinishReason, Usage | None]:
        """Give out the text as it comes, and return how it ended and what the server counted.

        Raises UpstreamFault, InvalidRequest for an answer that no server would give, ConfigurationError for a request
        that none would take, and LimitName.
        """
        reader = self._reader
        limit = asyncio.timeout_at(min(self._sent_at + self._servers.first_token_timeout_s, self._deadline))
        with self._translated():
            async with limit, client.stream("POST", f"{turn.url}/chat/completions", json=body) as reply:
                await self._check(reply, body)
                async for part in reply.aiter_bytes():
                    had, had_ended = reader.pieces, reader.has_ended
                    for text in reader.feed(part):
                        give_out(text)
                    if reader.is_cut:
                        break
                    if reader.has_ended and not had_ended:
                        limit.reschedule(min(self._clock() + _USAGE_WAIT_S, self._deadline))
                    elif reader.pieces > had:
                        limit.reschedule(min(self._clock() + self._servers.token_timeout_s, self._deadline))
                    if reader.pieces and not had:
                        self._first_token_at = self._clock()
                        turn.note_answering()
                else:
                    for text in reader.finish():
                        give_out(text)
        return reader.result()

    async def _check(self, reply: httpx.Response, body: Mapping[str, Any]) -> None:
        """Raise what a reply means that is no stream of an answer."""
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        if reply.status_code == httpx.codes.OK:
            if kind != _EVENT_STREAM:
                raise UpstreamFault(
                    FaultKind.PROTOCOL, f"it answers with content type {kind!r} instead of {_EVENT_STREAM!r}"
                )
            return
        content = bytearray()
        async for part in reply.aiter_bytes():
            content += part
            if len(content) > _MAX_REASON_BYTES:
                break
        status, reason = reply.status_code, self._servers.reason_of(reply.status_code, bytes(content))
        if is_passing(status):
            raise UpstreamFault(FaultKind.STATUS, reason, retry_after_s=retry_after_s(reply.headers))
        if status in _REFUSED or reply.has_redirect_location:
            raise UpstreamFault(FaultKind.REFUSED, reason)
        if "max_completion_tokens" in reason and "max_completion_tokens" not in body:
            raise LimitName
        raise ConfigurationError(
            f"The language model at {reply.request.url} does not take the request: {reason}. Where it says that the "
            "prompt is too long, generator_context_tokens is more than the model reads."
            + (_TOOLS_ADVICE if "tools" in body else "")
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn everything that goes wrong into UpstreamFault without a key; behind the last token it is passed over."""
        try:
            yield
        except (UpstreamFault, TimeoutError, httpx.HTTPError) as error:
            if not self._reader.has_ended:
                raise self._fault_of(error) from error

    def _fault_of(self, error: UpstreamFault | TimeoutError | httpx.HTTPError) -> UpstreamFault:
        wait = self._servers
        match error:
            case UpstreamFault():
                return UpstreamFault(error.kind, wait.without_key(error.reason), retry_after_s=error.retry_after_s)
            case httpx.ConnectTimeout():
                return UpstreamFault(FaultKind.UNREACHABLE, f"no connection within {wait.connect_timeout_s:g} s")
            case httpx.HTTPError():
                kind = FaultKind.UNREACHABLE if isinstance(error, httpx.TransportError) else FaultKind.PROTOCOL
                return UpstreamFault(kind, wait.without_key(f"{type(error).__name__} {error}".strip()))
        if self._clock() >= self._deadline:
            return UpstreamFault(FaultKind.TIMEOUT, f"its answer is not there after {wait.deadline_s:g} s")
        if self._reader.pieces:
            return UpstreamFault(FaultKind.TIMEOUT, f"no further token within {wait.token_timeout_s:g} s")
        return UpstreamFault(FaultKind.TIMEOUT, f"no first token within {wait.first_token_timeout_s:g} s")

"""A language model behind any server of OpenAI's chat API: vLLM, SGLang, llama.cpp, or a hosted one."""

import asyncio
import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any, Final

import httpx

from catalog.errors import ConfigurationError, FootnoteError, InvalidRequest, ServiceUnavailable
from generation.backends.base import (
    DEFAULT_MAX_TOKENS,
    Finished,
    FinishReason,
    Prompt,
    Sampling,
    TextDelta,
    ToolCall,
    Usage,
)
from generation.backends.chat_request import ChatRequest, ChatServers, LimitName
from generation.backends.chat_stream import AnswerReader
from generation.backends.chat_tools import message_object, read_text, tool_fields, written_text
from generation.backends.token_counts import TokenCounter
from generation.backends.upstreams import FaultKind, News, NoneAdmitted, RetryBudget, UpstreamFault, Upstreams
from retrieval.remote import bearer, open_tokenizer, pause_s

log = logging.getLogger(__name__)

# Of the context, what is left free for instructions, question, and an answer of the usual length.
_RESERVED_TOKENS: Final = 2 * DEFAULT_MAX_TOKENS
# What a chat template adds to each message, at most.
_TEMPLATE_TOKENS: Final = 16
# An answer that would have to be shorter is not begun.
_FEWEST_TOKENS: Final = 16
# How often a waiting answer looks whether its reader is still there.
_POLL_S: Final = 0.05
_IDLE_CONNECTIONS: Final = 32
_ADVICE: Final = {
    FaultKind.UNREACHABLE: "Is the server running, and does generator_url name it?",
    FaultKind.STATUS: "Its own log tells more.",
    FaultKind.REFUSED: "Check generator_api_key, generator_model, and generator_url, which nearly always ends in /v1.",
    FaultKind.TIMEOUT: "Its own log tells more; how long it is waited for is set by generator_first_token_timeout_s, "
    "generator_token_timeout_s and generator_deadline_s.",
    FaultKind.PROTOCOL: "Does generator_url name a server of OpenAI's chat API, with its /v1?",
}


class OpenAIGenerator:
    """Streams `POST {url}/chat/completions`.

    While nothing of an answer has been given out, a request that fails is sent again: at once to a server that was not
    tried, after a pause to one that was. Later nothing is repeated, for a second attempt would not go on with the same
    words: what breaks off in mid-answer raises ServiceUnavailable. One event loop in a thread of its own serves all
    answers, so that an answer nobody waits for is dropped at any moment, also before its first token; the server sees
    the connection closed and stops.
    """

    calls_tools = True

    def __init__(self, servers: ChatServers, *, observe: Callable[[News], None] = lambda _: None) -> None:
        """Sends nothing: a server may start later than this process. Raises ConfigurationError."""
        self._servers = servers
        self.name = f"openai:{servers.model}"
        self.source_tokens = max(servers.context_tokens - _RESERVED_TOKENS, servers.context_tokens // 2)
        headers = bearer(servers.api_key, "generator_api_key")
        tokenizer = open_tokenizer(servers.tokenizer, "generator_tokenizer") if servers.tokenizer else None
        self._counter = TokenCounter(servers.model, servers.urls, tokenizer=tokenizer, headers=headers)
        self._upstreams = Upstreams(servers.urls, observe=observe)
        self._budget = RetryBudget()
        # Newer models of OpenAI's know it as `max_completion_tokens` alone, and say so when they refuse.
        self._limit_name = "max_tokens"
        self._client = httpx.AsyncClient(
            headers={**headers, "accept-encoding": "identity"},
            timeout=httpx.Timeout(None, connect=servers.connect_timeout_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=_IDLE_CONNECTIONS),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="generator", daemon=True)
        self._thread.start()

    def count_tokens(self, text: str) -> int:
        return self._counter.count(text)

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        """As the seam says. Raises also InvalidRequest for a prompt that is too long, and ConfigurationError."""
        body = self._body(prompt, sampling, self._room(prompt, sampling))
        pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        answer = asyncio.run_coroutine_threadsafe(self._answer(body, pieces.put), self._loop)
        answer.add_done_callback(lambda _: pieces.put(None))
        text = ""
        try:
            while not cancelled():
                try:
                    piece = pieces.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if piece is None:
                    reason, usage, calls = answer.result()
                    written = written_text(text, calls)
                    yield Finished(reason=reason, usage=usage or self._estimated(prompt, written), calls=calls)
                    return
                text += piece
                yield TextDelta(text=piece)
            yield Finished(reason=FinishReason.CANCELLED, usage=self._estimated(prompt, text))
        except CancelledError as error:
            raise ServiceUnavailable("This process is being stopped; ask again.") from error
        finally:
            answer.cancel()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._counter.close()

    def check(self) -> list[str]:
        """Ask each server for its models; return a line on each. Raises ServiceUnavailable when one is at fault."""
        lines, faults = [], []
        with httpx.Client(headers=self._client.headers, timeout=self._servers.connect_timeout_s) as client:
            for url in self._servers.urls:
                try:
                    lines.append(f"{url} {self._listing(client.get(f'{url}/models'))}")
                except (UpstreamFault, httpx.HTTPError) as error:
                    reason = self._servers.without_key(f"{type(error).__name__} {error}")
                    faults.append(f"{url}: {error.reason if isinstance(error, UpstreamFault) else reason}")
        if faults:
            raise ServiceUnavailable("; ".join([*faults, *lines]))
        return lines

    def _listing(self, reply: httpx.Response) -> str:
        """Return what a list of models tells. Raises UpstreamFault when it is none, or ours does not fit."""
        if not reply.is_success:
            raise UpstreamFault(FaultKind.STATUS, self._servers.reason_of(reply.status_code, reply.content))
        try:
            models = {str(one["id"]): one.get("max_model_len") for one in reply.json()["data"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UpstreamFault(FaultKind.PROTOCOL, "its list of models cannot be read") from error
        if self._servers.model not in models:
            served = ", ".join(models) or "none"
            raise UpstreamFault(FaultKind.REFUSED, f"it serves {served}; generator_model={self._servers.model!r}")
        most, wanted = models[self._servers.model], self._servers.context_tokens
        if isinstance(most, int) and most < wanted:
            raise UpstreamFault(FaultKind.REFUSED, f"it reads {most} tokens; generator_context_tokens={wanted}")
        return f"serves {self._servers.model}"

    def _room(self, prompt: Prompt, sampling: Sampling) -> int:
        """Return how many tokens the answer may have. Raises InvalidRequest when the prompt leaves none."""
        context, text = self._servers.context_tokens, read_text(prompt)
        template = _TEMPLATE_TOKENS * len(prompt.messages)
        read = self._counter.estimate(text)
        if read + template + sampling.max_tokens > context:
            read = self._counter.count(text)
        room = context - read - template
        if room < min(_FEWEST_TOKENS, sampling.max_tokens):
            raise InvalidRequest(
                f"Question and sources are {read} tokens, which leaves no room for an answer: the language model reads "
                f"and writes {context} in all (generator_context_tokens). Ask in fewer words."
            )
        return min(sampling.max_tokens, room)

    def _body(self, prompt: Prompt, sampling: Sampling, max_tokens: int) -> dict[str, Any]:
        """Messages as they are: what the prompts of many answers begin with stays in the server's prompt cache."""
        drawn = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        return {
            "model": self._servers.model,
            "messages": list(map(message_object, prompt.messages)),
            **tool_fields(prompt),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": max_tokens,
        } | {name: value for name, value in drawn.items() if value is not None}

    def _estimated(self, prompt: Prompt, text: str) -> Usage:
        """Count here, where the server did not say, or not what can be true."""
        estimate = self._counter.estimate
        return Usage(input_tokens=estimate(read_text(prompt)), output_tokens=estimate(text))

    async def _answer(
        self, body: Mapping[str, Any], give_out: Callable[[str], None]
    ) -> tuple[FinishReason, Usage | None, Sequence[ToolCall]]:
        """Ask until a server answers, or until nothing can be hoped for any more. Raises FootnoteError."""
        deadline = self._loop.time() + self._servers.deadline_s
        faults: dict[str, UpstreamFault] = {}
        attempt = 0
        while True:
            attempt += 1
            useless = [url for url, fault in faults.items() if fault.kind is FaultKind.REFUSED]
            reader = AnswerReader(
                max_tokens=body["max_tokens"],
                count_tokens=self._counter.estimate,
                # A model that has to write and calls is no fault of its server, which would be left alone for it.
                takes_calls="tools" in body,
            )
            request = ChatRequest(self._servers, reader, deadline=deadline)
            pause = 0.0
            try:
                with self._upstreams.turn(tried=faults, useless=useless) as turn:
                    reason, usage = await request.run(self._client, turn, self._named(body), give_out)
                self._budget.earn()
                return reason, usage, reader.calls
            except NoneAdmitted as error:
                raise _failure(faults, error) from error
            except LimitName:
                self._limit_name = "max_completion_tokens"
            except UpstreamFault as fault:
                if request.has_written:
                    log.error("%s broke off in mid-answer, %s: %s.", turn.url, request.story, fault)
                    raise _broken_off(turn.url, fault) from fault
                faults[turn.url] = fault
                wanted = self._pause_s(attempt, fault, faults)
                if wanted is None or self._loop.time() + wanted >= deadline:
                    raise _failure(faults) from fault
                pause = wanted
                log.warning("%s: %s, %s. Asking again in %.1f s.", turn.url, fault, request.story, pause)
            await asyncio.sleep(pause)

    def _named(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body with the limit of tokens as the server calls it."""
        return {self._limit_name if name == "max_tokens" else name: value for name, value in body.items()}

    def _pause_s(self, attempt: int, fault: UpstreamFault, tried: Mapping[str, UpstreamFault]) -> float | None:
        """Return the seconds before the next attempt; None when there is to be none."""
        has_other = self._upstreams.admits_any(but=tried)
        is_hopeless = fault.kind is FaultKind.REFUSED or not self._upstreams.admits_any()
        if attempt > self._servers.retries or (is_hopeless and not has_other) or not self._budget.spend():
            return None
        if has_other:
            return 0.0
        return pause_s(
            attempt, first_s=self._servers.first_pause_s, asked_s=fault.retry_after_s, chance=random.random()
        )

    async def _end(self) -> None:
        """Break off what is under way, and close the connections."""
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await self._client.aclose()
        await self._loop.shutdown_default_executor()


def _failure(faults: Mapping[str, UpstreamFault], none: NoneAdmitted | None = None) -> FootnoteError:
    """Return what an answer that could not be begun ends with."""
    told = "; ".join(f"{url}: {fault.reason}" for url, fault in faults.items())
    if not faults and none is not None:
        error = ServiceUnavailable(
            f"The language model is left alone for {none.retry_after_s:.0f} s, because it failed repeatedly. {none}."
        )
        error.retry_after_s = none.retry_after_s
        return error
    last = list(faults.values())[-1]
    message = f"The language model does not answer. {told}. {_ADVICE[last.kind]}"
    if all(fault.kind is FaultKind.REFUSED for fault in faults.values()):
        return ConfigurationError(message)
    error = ServiceUnavailable(message)
    error.retry_after_s = last.retry_after_s
    return error


def _broken_off(url: str, fault: UpstreamFault) -> ServiceUnavailable:
    return ServiceUnavailable(
        f"The language model at {url} broke off in mid-answer: {fault.reason}. What was sent is no whole answer; ask "
        "again."
    )

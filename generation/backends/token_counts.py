"""How many tokens a text is for a model behind HTTP."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import httpx
from tokenizers import Tokenizer

from retrieval.remote import is_passing, rule_spans

# Passages come again with later questions; a count is a few bytes, and the text it belongs to about 2 kB.
_REMEMBERED: Final = 4096
_TIMEOUT_S: Final = 2.0
# A server that did not answer is asked again after so long.
_REST_S: Final = 30.0

Body = Callable[[str, str], dict[str, Any]]


def _of_vllm(model: str, text: str) -> dict[str, Any]:
    return {"model": model, "prompt": text, "add_special_tokens": False}


def _of_llama_cpp(_model: str, text: str) -> dict[str, Any]:
    return {"content": text, "add_special": False}


# vLLM and SGLang, llama.cpp.
_BODIES: Final[Sequence[Body]] = (_of_vllm, _of_llama_cpp)


class _NotCounted(Exception):
    """The server did not count."""


class TokenCounter:
    """Counts with the model's own tokenizer: a file that is here, or else `POST /tokenize` of its server.

    Where there is neither, or while the server does not answer, by a rule that is on the safe side. Thread-safe.
    """

    def __init__(
        self,
        model: str,
        urls: Sequence[str],
        *,
        tokenizer: Tokenizer | None = None,
        headers: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`urls`: as for chat completions, https://HOST/v1. `clock` is in seconds; `transport`: None is the network."""
        self._model, self._tokenizer, self._clock = model, tokenizer, clock
        # Those that may count; each is asked how, with a word that is nobody's.
        self._unknown = [] if tokenizer else [f"{url.removesuffix('/v1')}/tokenize" for url in urls]
        self._known: list[tuple[str, Body]] = []
        self._client = httpx.Client(headers=dict(headers or {}), timeout=_TIMEOUT_S, transport=transport)
        self._lock = threading.Lock()
        self._next_look = float("-inf")
        self._ask = lru_cache(_REMEMBERED)(self._asked)

    def count(self, text: str) -> int:
        """Return the tokens of a text, exactly where that can be known."""
        self._look()
        if not self._known:
            return self.estimate(text)
        try:
            return self._ask(text)
        except _NotCounted:
            return self.estimate(text)

    def estimate(self, text: str) -> int:
        """The same without asking a server."""
        if self._tokenizer is not None:
            return len(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return len(rule_spans(text))

    def close(self) -> None:
        self._client.close()

    def _asked(self, text: str) -> int:
        for server in list(self._known):
            try:
                return self._request(*server, text)
            except (httpx.HTTPError, _NotCounted):
                with self._lock:
                    if server in self._known:
                        self._known.remove(server)
                        self._unknown.append(server[0])
        raise _NotCounted

    def _look(self) -> None:
        """Learn now and then which servers count, and in which words they want to be asked."""
        if not self._unknown or self._clock() < self._next_look:
            return
        with self._lock:
            if self._clock() < self._next_look:
                return
            for url in list(self._unknown):
                try:
                    body = self._dialect(url)
                except httpx.HTTPError:
                    continue  # Perhaps later.
                self._unknown.remove(url)
                if body is not None:
                    self._known.append((url, body))
            self._next_look = self._clock() + _REST_S

    def _dialect(self, url: str) -> Body | None:
        for body in _BODIES:
            try:
                if self._request(url, body, "word") > 0:
                    return body
            except _NotCounted:
                continue
        return None

    def _request(self, url: str, body: Body, text: str) -> int:
        """Raises _NotCounted for a server that does not count, httpx.HTTPError for one that does not answer."""
        reply = self._client.post(url, json=body(self._model, text))
        if is_passing(reply.status_code) and reply.status_code != httpx.codes.NOT_IMPLEMENTED:
            raise httpx.HTTPStatusError("passing", request=reply.request, response=reply)
        try:
            value = reply.json()
            tokens = value.get("tokens")
            count = value.get("count", len(tokens) if isinstance(tokens, list) else None)
        except (ValueError, AttributeError) as error:
            raise _NotCounted from error
        if not reply.is_success or type(count) is not int or count < 0:
            raise _NotCounted
        return count

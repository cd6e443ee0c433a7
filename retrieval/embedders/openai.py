"""Embeddings from any server that speaks OpenAI's API: hosted, vLLM, text-embeddings-inference, or another Footnote."""

import base64
import hashlib
import json
import logging
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx
import numpy as np

from catalog.errors import ConfigurationError, IndexIncompatible, ServiceUnavailable
from retrieval.embedders.base import EmbeddingIdentity, TokenSpan, Vectors
from retrieval.embedders.batching import batches_by_length
from retrieval.embedders.conversion import model_name
from retrieval.embedders.prefixes import Prefixes, WantedPrefixes
from retrieval.embedders.remote import RemoteModel
from retrieval.remote import (
    Pace,
    bearer,
    is_passing,
    open_tokenizer,
    pause_s,
    retry_after_s,
    rule_spans,
    stated_reason,
)

log = logging.getLogger(__name__)

# Texts of one request: what text-embeddings-inference takes by default. Others take more.
_BATCH_TEXTS: Final = 32
_BATCH_TOKENS: Final = 16_384
_REFUSED: Final = frozenset({401, 403})
# A reply beyond this is none of ours: 32 vectors of 16,384 dimensions, written as decimal numbers.
_MAX_REPLY_BYTES: Final = 16 * 1024**2


class _PassingFault(Exception):
    """This request failed, and may succeed when it is repeated."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class OpenAIEmbedder:
    """A model behind `POST {url}/embeddings`.

    A server that does not answer, or is overloaded, is asked again until the patience for it is spent; then
    ServiceUnavailable is raised, and the work can be repeated later. A wrong key or model is a ConfigurationError, and
    vectors of another dimension than the first are IndexIncompatible. The identity is made of the model's name and
    the prefixes, so that a store can move to another server of the same model.
    """

    def __init__(self, model: str, remote: RemoteModel, *, prefixes: WantedPrefixes | None = None) -> None:
        """Asks the server for one vector when `remote.dimension` is None. Raises what a request raises."""
        self._model, self._remote = model, remote
        self._prefixes = (prefixes or WantedPrefixes()).over(Prefixes())
        self._tokenizer = open_tokenizer(remote.tokenizer, "embedding_tokenizer") if remote.tokenizer else None
        self.max_tokens = remote.max_tokens
        self._pace = Pace(remote.requests_per_minute)
        self._client = _client(remote)
        self._pool = ThreadPoolExecutor(remote.concurrency, thread_name_prefix="embeddings")
        try:
            dimension = remote.dimension or self._request(["dimension"], remote.timeout_s).shape[1]
        except BaseException:
            self.close()
            raise
        revision = hashlib.sha256(json.dumps([self._prefixes.query, self._prefixes.document]).encode()).hexdigest()
        self.identity = EmbeddingIdentity(model=model_name(model), revision=revision, dimension=dimension)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, self._prefixes.document, self._remote.patience_s)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, self._prefixes.query, min(self._remote.timeout_s, self._remote.patience_s))

    def token_spans(self, text: str) -> list[TokenSpan]:
        if self._tokenizer is None:
            return rule_spans(text)
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def _embed(self, texts: Sequence[str], prefix: str, patience_s: float) -> Vectors:
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        cut = [self._cut(prefix + text) for text in texts]
        batches = list(_batches([tokens for _, tokens in cut]))
        futures = [self._pool.submit(self._request, [cut[row][0] for row in rows], patience_s) for rows in batches]
        try:
            for rows, future in zip(batches, futures, strict=True):
                vectors[rows] = self._checked(future.result())
        finally:
            for future in futures:
                future.cancel()
        return vectors

    def _cut(self, text: str) -> tuple[str, int]:
        """Return the text as it is sent, and its tokens. Servers refuse a text without a character."""
        spans = self.token_spans(text)
        if len(spans) > self.max_tokens:
            return text[: spans[self.max_tokens - 1][1]], self.max_tokens
        return text or " ", len(spans)

    def _checked(self, vectors: Vectors) -> Vectors:
        if vectors.shape[1] != self.identity.dimension:
            raise IndexIncompatible(
                f"{self._model!r} at {self._remote.url} answers with {vectors.shape[1]} dimensions, and had "
                f"{self.identity.dimension}: another model has its name, or embedding_dimensions does not fit it."
            )
        return vectors

    def _request(self, texts: Sequence[str], patience_s: float) -> Vectors:
        """Return float32, shape (len(texts), dimension), norm 1, asking again while that can help."""
        end, attempt = time.monotonic() + patience_s, 0
        while True:
            self._pace.wait()
            try:
                return _vectors(self._reply(texts), len(texts))
            except _PassingFault as fault:
                attempt += 1
                pause = pause_s(
                    attempt,
                    first_s=self._remote.first_pause_s,
                    asked_s=fault.retry_after_s,
                    chance=random.random(),
                )
                if time.monotonic() + pause > end:
                    error = ServiceUnavailable(f"The embeddings server {self._remote.url} does not answer: {fault}.")
                    error.retry_after_s = fault.retry_after_s
                    raise error from fault
                log.warning("%s: %s. Asking again in %.1f s.", self._remote.url, fault, pause)
                time.sleep(pause)

    def _reply(self, texts: Sequence[str]) -> bytes:
        body: dict[str, Any] = {"model": self._model, "input": list(texts), "encoding_format": "base64"}
        if self._remote.dimension:
            body["dimensions"] = self._remote.dimension
        deadline = time.monotonic() + self._remote.timeout_s
        try:
            with self._client.stream("POST", "/embeddings", json=body) as reply:
                content = _content(reply, deadline)
                status, headers = reply.status_code, reply.headers
        except httpx.TransportError as error:
            raise _PassingFault(f"{type(error).__name__} {error}".strip()) from error
        if status == httpx.codes.OK:
            return content
        reason = f"status {status}, {stated_reason(content, self._remote.api_key)}"
        if is_passing(status):
            raise _PassingFault(reason, retry_after_s=retry_after_s(headers))
        if status in _REFUSED:
            raise ConfigurationError(f"The embeddings server {self._remote.url} refuses embedding_api_key: {reason}.")
        raise ConfigurationError(
            f"The embeddings server {self._remote.url} does not serve embedding_model={self._model!r}: {reason}."
        )


def _client(remote: RemoteModel) -> httpx.Client:
    return httpx.Client(
        base_url=remote.url,
        headers=bearer(remote.api_key, "embedding_api_key"),
        timeout=remote.timeout_s,
        limits=httpx.Limits(max_connections=remote.concurrency + 1),
    )


def _batches(tokens: Sequence[int]) -> Iterator[list[int]]:
    for rows in batches_by_length(tokens, budget=_BATCH_TOKENS):
        for start in range(0, len(rows), _BATCH_TEXTS):
            yield rows[start : start + _BATCH_TEXTS]


def _content(reply: httpx.Response, deadline: float) -> bytes:
    """Return the whole body. A server that sends byte after byte ends at the deadline too."""
    content = bytearray()
    for part in reply.iter_bytes():
        content += part
        if len(content) > _MAX_REPLY_BYTES:
            raise _PassingFault(f"a reply of more than {_MAX_REPLY_BYTES} bytes")
        if time.monotonic() > deadline:
            raise _PassingFault("its reply does not end")
    return bytes(content)


def _vectors(content: bytes, count: int) -> Vectors:
    """Return the vectors of a reply by their index, whatever their order in it, each with norm 1."""
    try:
        rows: dict[int, Any] = {entry["index"]: _vector(entry["embedding"]) for entry in json.loads(content)["data"]}
        vectors = np.stack([rows[index] for index in range(count)])
    except (ValueError, KeyError, TypeError) as error:
        raise _PassingFault(f"its reply cannot be read ({type(error).__name__}: {error})") from error
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if len(rows) != count or not np.isfinite(vectors).all() or not norms.all():
        raise _PassingFault(f"its reply holds {len(rows)} vectors for {count} texts, or some that are no direction")
    return np.asarray(vectors / norms, dtype=np.float32)


def _vector(value: Any) -> Vectors:
    """Read base64 of little-endian float32, or a list, which servers send that do not know `encoding_format`."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4").astype(np.float32)
    return np.asarray(value, dtype=np.float32)

"""A rerank endpoint: what Jina, Cohere, vLLM and Infinity answer, and Hugging Face's text-embeddings-inference."""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import httpx

from catalog.errors import ConfigurationError, ServiceUnavailable
from retrieval.remote import bearer, is_passing, pause_s, retry_after_s, stated_reason

# `openai`: POST …/rerank {model, query, documents} → {results: [{index, relevance_score}]}.
# `tei`: POST …/rerank {query, texts} → [{index, score}].
Dialect = Literal["openai", "tei"]

_TRIES: Final = 3
_FIRST_PAUSE_S: Final = 0.2
# The key or the address is wrong: asking again is useless.
_REFUSED: Final = frozenset({401, 403, 404})


class HttpReranker:
    """A model behind HTTP. Passing failures are tried again, with growing pauses, none longer than the timeout."""

    def __init__(
        self,
        url: str,
        *,
        model: str,
        dialect: Dialect = "openai",
        key: str | None = None,
        timeout_s: float = 10.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`url`: of the endpoint itself, for example `http://127.0.0.1:8001/v1/rerank`. Raises ConfigurationError."""
        self.name = model or url
        self._url, self._model, self._dialect = url, model, dialect
        self._key, self._timeout_s, self._sleep = key, timeout_s, sleep
        self._client = httpx.Client(timeout=timeout_s, headers=bearer(key, "reranker_key"))

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        return _scores(self._ask(self._body(query, texts)), len(texts), self._url)

    def close(self) -> None:
        self._client.close()

    def _body(self, query: str, texts: Sequence[str]) -> dict[str, Any]:
        if self._dialect == "tei":
            return {"query": query, "texts": list(texts), "raw_scores": False}
        return {"model": self._model, "query": query, "documents": list(texts), "top_n": len(texts)}

    def _ask(self, body: Mapping[str, Any]) -> Any:
        for attempt in range(1, _TRIES + 1):
            wanted_s = None
            try:
                reply = self._client.post(self._url, json=body)
            except httpx.HTTPError as error:
                reason = f"{type(error).__name__}: {error}"
            else:
                if reply.is_success:
                    return _json(reply, self._url)
                reason = f"status {reply.status_code}, {stated_reason(reply.content, self._key)}"
                if reply.status_code in _REFUSED:
                    raise ConfigurationError(
                        f"The reranker at {self._url} answers with {reason}. Check reranker_url and reranker_key."
                    )
                if not is_passing(reply.status_code):
                    break
                wanted_s = retry_after_s(reply.headers)
            pause = pause_s(attempt, first_s=_FIRST_PAUSE_S, asked_s=wanted_s, chance=random.random())
            if attempt == _TRIES or pause > self._timeout_s:
                break
            self._sleep(pause)
        unavailable = ServiceUnavailable(f"The reranker at {self._url} does not answer as it should: {reason}")
        unavailable.retry_after_s = wanted_s
        raise unavailable


def _json(reply: httpx.Response, url: str) -> Any:
    try:
        return reply.json()
    except ValueError as error:
        raise ServiceUnavailable(f"The reranker at {url} answers with no JSON: {reply.text[:200]!r}") from error


def _scores(reply: Any, count: int, url: str) -> list[float]:
    """Return one score for each text in [0, 1]; logits become probabilities."""
    rows = reply.get("results") if isinstance(reply, Mapping) else reply
    found: dict[int, float] = {}
    for row in rows if isinstance(rows, list) else []:
        score = row.get("relevance_score", row.get("score")) if isinstance(row, Mapping) else None
        index = row.get("index") if isinstance(row, Mapping) else None
        if isinstance(index, int) and 0 <= index < count and isinstance(score, int | float) and math.isfinite(score):
            found[index] = float(score)
    if len(found) != count:
        raise ServiceUnavailable(f"The reranker at {url} scored {len(found)} of {count} passages.")
    scores = [found[index] for index in range(count)]
    if all(0 <= score <= 1 for score in scores):
        return scores
    return [_sigmoid(score) for score in scores]


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

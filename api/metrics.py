"""What an operator watches: counts and times of this machine's processes, without a word of anybody's data.

`footnote serve` names a folder in PROMETHEUS_MULTIPROC_DIR, through which the API process knows the workers' counts.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import func, select

from catalog import feedback
from catalog.database import Database
from catalog.models import JobStatus, VectorStoreFile
from generation.answerer import Answer, AnswerEvent
from generation.backends.base import FinishReason, TextDelta
from generation.backends.upstreams import BreakerState, News
from generation.sourcing import Searched

# The variable by which prometheus-client learns of the folder that processes share.
SHARED_FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"

_QUERIES: Final = Counter(
    "footnote_query_embeddings", "Queries to embed, by whether their vector was cached.", ["cache"]
)
_CHUNKS: Final = Counter(
    "footnote_document_embeddings", "Chunks to embed, by whether the catalog had their vectors.", ["cache"]
)
_SEARCHES: Final = Counter("footnote_searches", "Searches.")
_SEARCH_CACHE: Final = Counter("footnote_search_cache", "Searches, by whether their result was cached.", ["cache"])
_ANSWER_CACHE: Final = Counter("footnote_answer_cache", "Answers that can be cached, by whether they were.", ["cache"])
_STAGES: Final = Histogram(
    "footnote_search_stage_seconds",
    "Seconds of the stages of a search.",
    ["stage"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)

_ANSWERS: Final = Counter(
    "footnote_answers", "Answers, by profile and by outcome, failed and cancelled ones included.", ["model", "outcome"]
)
_TOKENS: Final = Counter(
    "footnote_answer_tokens",
    "Tokens of answers: input (cached ones included), cached, output.",
    ["model", "kind"],
)
_COST: Final = Counter("footnote_answer_cost", "What answers cost by the prices in the settings.", ["model"])
_FIRST_TOKEN: Final = Histogram(
    "footnote_first_token_seconds",
    "Seconds from the end of an answer's last search to its first text.",
    ["model"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_UPSTREAM_FAILURES: Final = Counter(
    "footnote_upstream_failures", "Requests to a language model's server that failed.", ["upstream", "kind"]
)
# Of several API processes the one that is worst off.
_UPSTREAM_STATE: Final = Gauge(
    "footnote_upstream_state",
    "A language model's server: 0 is used, 1 is tried again, 2 is left alone.",
    ["upstream"],
    multiprocess_mode="livemax",
)
_STATES: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


def note_query_embeddings(hits: int, misses: int) -> None:
    _QUERIES.labels("hit").inc(hits)
    _QUERIES.labels("miss").inc(misses)


def note_document_embeddings(hits: int, misses: int) -> None:
    _CHUNKS.labels("hit").inc(hits)
    _CHUNKS.labels("miss").inc(misses)


def note_search(seconds: Mapping[str, float]) -> None:
    _SEARCHES.inc()
    for stage, value in seconds.items():
        _STAGES.labels(stage).observe(value)


def observed(model: str, events: Iterator[AnswerEvent]) -> Iterator[AnswerEvent]:
    """Pass on the events of an answer by a profile, and count what became of it."""
    began = time.perf_counter()
    first_s: float | None = None
    try:
        for event in events:
            if isinstance(event, Searched):
                began = time.perf_counter()
            elif isinstance(event, TextDelta) and first_s is None:
                first_s = time.perf_counter() - began
            elif isinstance(event, Answer):
                _note_answer(model, event, first_s)
            yield event
    except Exception:
        _ANSWERS.labels(model, "failed").inc()
        raise


def _note_answer(model: str, answer: Answer, first_s: float | None) -> None:
    is_cancelled = answer.finish_reason is FinishReason.CANCELLED
    _ANSWERS.labels(model, "cancelled" if is_cancelled else answer.outcome.value).inc()
    if answer.trace.get("cache") == "hit":
        return  # Nothing was read or written for it.
    if first_s is not None:
        _FIRST_TOKEN.labels(model).observe(first_s)
    _TOKENS.labels(model, "input").inc(answer.usage.input_tokens)
    _TOKENS.labels(model, "cached").inc(answer.usage.cached_tokens)
    _TOKENS.labels(model, "output").inc(answer.usage.output_tokens)
    _COST.labels(model).inc(answer.trace.get("cost") or 0.0)


def note_upstream(news: News) -> None:
    _UPSTREAM_STATE.labels(news.url).set(_STATES[news.state])
    if news.fault is not None:
        _UPSTREAM_FAILURES.labels(news.url, news.fault.value).inc()


def note_search_cache(is_hit: bool) -> None:
    _SEARCH_CACHE.labels("hit" if is_hit else "miss").inc()


def note_answer_cache(is_hit: bool) -> None:
    _ANSWER_CACHE.labels("hit" if is_hit else "miss").inc()


def exposition(database: Database) -> bytes:
    """Return all metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    if os.environ.get(SHARED_FOLDER):
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # It has no annotations.
    else:
        registry.register(_Noted())
    registry.register(_Jobs(database))
    registry.register(_Feedback(database))
    return generate_latest(registry)


class _Noted(Collector):
    """What this process noted, without what the library says of Python and the process."""

    def collect(self) -> Iterator[Metric]:
        return (metric for metric in REGISTRY.collect() if metric.name.startswith("footnote_"))


class _Jobs(Collector):
    """Files in vector stores by the state of their processing, as the catalog has it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        counts = dict.fromkeys(JobStatus, 0)
        with self._database.read() as session:
            statement = select(VectorStoreFile.status, func.count()).group_by(VectorStoreFile.status)
            counts |= {JobStatus(status): count for status, count in session.execute(statement)}
        family = GaugeMetricFamily("footnote_jobs", "Files in vector stores, by status.", labels=["status"])
        for status, count in counts.items():
            family.add_metric([status.value], count)
        return [family]


class _Feedback(Collector):
    """What callers said of the answers that are kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterable[Metric]:
        with self._database.read() as session:
            counts = feedback.counts(session)
        family = GaugeMetricFamily("footnote_feedback", "Feedback on answers that are kept.", labels=["rating"])
        for rating, count in counts.items():
            family.add_metric([rating.value], count)
        return [family]

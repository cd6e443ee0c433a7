"""The answers that were given last."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from catalog.database import Database
from generation.answerer import Answer, AnswerEvent, Answering, AnswerRequest
from generation.backends.base import FinishReason, Generator, Prompt, Sampling
from generation.citations import Citation, reread
from generation.writing import Writing
from retrieval.searcher import IndexState, VersionedSearch
from retrieval.state_cache import StateCache, key_of


class CachedAnswers:
    """An answerer that draws the same answer once for one state of the index.

    Only what comes out equal each time is kept: drawn without chance, in no need of the time of day, and finished. An
    answer from the cache is the same events again. Before they go out the stores of the request are checked as a search
    checks them, the state is compared with the catalog's of that moment, and every citation is re-read. The key is all
    of the request, its stores and filter among it; a store belongs to one project, so no two tenants ever share a key.
    """

    def __init__(
        self,
        answerer: Answering,
        index: VersionedSearch,
        database: Database,
        *,
        setup: str,
        is_random: bool,
        entries: int,
        max_bytes: int,
        observe: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`setup`: what else the answers depend on, prompt and generator, as one string.

        `is_random`: the generator draws at random unless the temperature is 0. `observe`: told for each answer that may
        be cached whether it was.
        """
        self._answerer = answerer
        self._index = index
        self._database = database
        self._setup = setup
        self._is_random = is_random
        self._cache = StateCache(entries=entries, max_bytes=max_bytes)
        self._observe = observe

    def answer(self, request: AnswerRequest, *, cancelled: Callable[[], bool] = lambda: False) -> Iterator[AnswerEvent]:
        """As Answerer does; the trace says `cache`: hit or miss, where the answer may be cached."""
        if not self._is_repeatable(request):
            yield from self._answerer.answer(request, cancelled=cancelled)
            return
        started = time.perf_counter()
        state, key = self._index.state(request.scope), key_of(self._setup, request)
        known = self._known(state, key)
        self._observe(known is not None)
        if known is not None:
            yield from known[:-1]
            yield _marked(known[-1], "hit", {"cache": time.perf_counter() - started})
            return
        events: list[AnswerEvent] = []
        for event in self._answerer.answer(request, cancelled=cancelled):
            events.append(event)
            yield _marked(event, "miss")
        if _is_complete(events[-1], state):
            self._cache.put(state, key, events)

    @property
    def generator(self) -> Generator:
        return self._answerer.generator

    @property
    def prompt(self) -> dict[str, Any]:
        return self._answerer.prompt

    def count_input(self, request: AnswerRequest) -> int:
        return self._answerer.count_input(request)

    def write_again(self, prompt: Prompt, sampling: Sampling) -> Writing:
        return self._answerer.write_again(prompt, sampling)

    def _is_repeatable(self, request: AnswerRequest) -> bool:
        return request.ranking.recency is None and (not self._is_random or request.sampling.temperature == 0)

    def _known(self, state: IndexState, key: bytes) -> Sequence[AnswerEvent] | None:
        """Return the events of an answer whose citations all read as they did."""
        known: Sequence[AnswerEvent] | None = self._cache.get(state, key)
        if known is None or self._reads_the_same([event for event in known if isinstance(event, Citation)]):
            return known
        self._cache.remove(key)
        return None

    def _reads_the_same(self, citations: Sequence[Citation]) -> bool:
        with self._database.read() as session:
            return len(reread(session, citations)) == len(citations)


def _is_complete(last: AnswerEvent, state: IndexState) -> bool:
    """Whether an answer came to its end, and from the state that was asked for."""
    return isinstance(last, Answer) and last.finish_reason is FinishReason.STOP and last.index_version == state.version


def _marked(event: AnswerEvent, mark: str, seconds: dict[str, float] | None = None) -> AnswerEvent:
    """Return an event; an answer with the mark, and with its own seconds, in its trace."""
    if not isinstance(event, Answer):
        return event
    own = {} if seconds is None else {"seconds": seconds}
    return replace(event, trace={**event.trace, **own, "cache": mark})

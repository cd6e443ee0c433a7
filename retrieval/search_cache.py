"""The results of the searches that were made last."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from retrieval.indexes.base import Scope
from retrieval.searcher import IndexState, SearchRequest, SearchResult, VersionedSearch
from retrieval.state_cache import StateCache, key_of


class CachedSearch:
    """A search that is made once for one state of the index.

    Each request catches up with the catalog and checks its stores before anything is looked up, so it is answered, or
    refused, as without the cache. The key is all of the request: queries, ranking, filter and stores. A store belongs
    to one project, so no two tenants ever share a key. What depends on the time of day, and what is to be explained, is
    searched each time.
    """

    def __init__(
        self,
        searcher: VersionedSearch,
        *,
        entries: int,
        max_bytes: int,
        observe: Callable[[bool], None] = lambda _: None,
        observe_seconds: Callable[[Mapping[str, float]], None] = lambda _: None,
    ) -> None:
        """`observe`: told for each search that may be cached whether it was; `observe_seconds`: those of a hit."""
        self._searcher = searcher
        self._cache = StateCache(entries=entries, max_bytes=max_bytes)
        self._observe = observe
        self._observe_seconds = observe_seconds

    def search(self, request: SearchRequest) -> SearchResult:
        if request.explain or request.ranking.recency is not None:
            return self._searcher.search(request)
        started = time.perf_counter()
        state, key = self._searcher.state(request.scope), key_of(request)
        known: SearchResult | None = self._cache.get(state, key)
        self._observe(known is not None)
        if known is not None:
            seconds = {"catch_up": time.perf_counter() - started}
            self._observe_seconds(seconds)
            return replace(known, seconds=seconds, cache="hit")
        found = self._searcher.search(request)
        if found.index_version == state.version:
            self._cache.put(state, key, found)
        return replace(found, cache="miss")

    def state(self, scope: Scope) -> IndexState:
        return self._searcher.state(scope)

    def close(self) -> None:
        self._searcher.close()

"""From a question to ranked passages."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol

from catalog import stores
from catalog.chunks import load_chunks, load_vectors
from catalog.database import Database
from retrieval import stages
from retrieval.embedders.base import Embedder
from retrieval.fusion import Candidates, DenseWeight, FusedHit, Fusion, fuse
from retrieval.indexes.base import Hit, PassageIndex, Scope
from retrieval.passages import Passage
from retrieval.replica import Replica
from retrieval.rerankers.base import Reranker
from retrieval.stages import Boost, Recency

# Candidates of each side: enough that a passage which one side ranks low can still win by the other.
CANDIDATES: Final = 100
# Passages that a reranker reads, and that boosts and diversity choose from.
POOL: Final = 50
# Sets of stores that are remembered as usable.
_USABLE_SCOPES: Final = 1024
# Searches whose words are looked up at once; more wait.
_POOL_THREADS: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """How candidates become a ranking."""

    fusion: Fusion = "normalized"
    dense_weight: DenseWeight = "auto"
    # Factors for documents with certain attributes.
    boosts: Sequence[Boost] = ()
    # Younger documents first.
    recency: Recency | None = None
    # Whether the reranker is asked, where there is one.
    rerank: bool = True
    # Whether a passage that says the same as a better one is left out.
    deduplicate: bool = False
    # 0 chooses by score alone, 1 by difference from the passages before (maximal marginal relevance).
    diversity: float = 0.0
    # Passages below it are left out, 0 to 1.
    score_threshold: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRequest:
    # At least one; a passage counts by the query that it fits best.
    queries: Sequence[str]
    scope: Scope
    limit: int = 10
    ranking: Ranking = field(default_factory=Ranking)
    # Whether the result tells of every stage.
    explain: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What one stage of a search left, best first: the score of each chunk after it."""

    name: str
    hits: Sequence[Hit]


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    # Best first.
    passages: Sequence[Passage]
    # Last change of the catalog that the search saw.
    index_version: int
    # Seconds per part: catch_up, embed, candidates, rank.
    seconds: Mapping[str, float]
    # In the order of the work; empty unless the request asked for it.
    stages: Sequence[Stage] = ()
    # Whether it was found in a cache; None where none was asked.
    cache: Literal["hit", "miss"] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexState:
    """What decides, beside the request, what a search finds: it is never the same again after a change."""

    # EmbeddingIdentity.key of the model in use.
    identity: str
    # Last change of the catalog.
    version: int


class PassageSearch(Protocol):
    """Answers search requests."""

    def search(self, request: SearchRequest) -> SearchResult:
        """As Searcher does, and with its errors."""
        ...


class VersionedSearch(PassageSearch, Protocol):
    """A search that tells what its results depend on."""

    def state(self, scope: Scope) -> IndexState:
        """Return what a search of `scope` would see if it began now. Raises what it would raise for its stores."""
        ...

    def close(self) -> None:
        """Release what is held; it is not used afterwards."""
        ...


class Searcher:
    """Embeds the query, gathers dense and lexical candidates, fuses them, and loads the best passages.

    A search sees everything that was committed before it began. An error is raised, never an empty list: also
    IndexIncompatible, when a store in scope was embedded with another model, ModelReplaced, when that is the current
    one since a moment ago, and InvalidRequest for an expired store.
    """

    def __init__(
        self,
        database: Database,
        replica: Replica,
        embedder: Embedder,
        reranker: Reranker | None = None,
        *,
        observe: Callable[[Mapping[str, float]], None] | None = None,
    ) -> None:
        """`observe`: told the seconds per stage of each search."""
        self._database = database
        self._replica = replica
        self._embedder = embedder
        self._reranker = reranker
        self._observe = observe
        # Stores that were searched together, in which state of the database they were found usable.
        self._usable: dict[frozenset[str], tuple[int | None, stores.Usable]] = {}
        self._pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="words")

    def close(self) -> None:
        """End the threads; the searcher is not used afterwards."""
        self._pool.shutdown()

    def search(self, request: SearchRequest) -> SearchResult:
        result, is_outrun = self._search_once(request)
        # A document that was replaced after the index had been asked would be there in neither generation.
        return self._search_once(request)[0] if is_outrun else result

    def state(self, scope: Scope) -> IndexState:
        """Catch up with the catalog, check that the stores can be searched, and note that they are used."""
        version = self._replica.catch_up()
        stores.note_use(self._database, self._check_stores(scope.vector_store_ids))
        return IndexState(identity=self._embedder.identity.key, version=version)

    def _search_once(self, request: SearchRequest) -> tuple[SearchResult, bool]:
        """Return the result, and whether something that was found is gone."""
        clock, trace = _Stopwatch(), _Trace(is_wanted=request.explain)
        version = self.state(request.scope).version
        clock.lap("catch_up")
        hits = self._candidates(request, clock, trace)
        clock.lap("candidates")
        passages = self._rank(hits, request, trace)
        clock.lap("rank")
        if self._observe:
            self._observe(clock.seconds)
        result = SearchResult(
            passages=passages, index_version=version, seconds=clock.seconds, stages=tuple(trace.stages)
        )
        return result, trace.is_outrun

    def _check_stores(self, store_ids: frozenset[str]) -> Sequence[str]:
        """Return the stores whose use has to be noted. Raises as `stores.check_usable` does."""
        state, now = self._database.state(), time.time()
        known = self._usable.get(store_ids)
        if known and state is not None and known[0] == state and now < known[1].until:
            return ()
        with self._database.read() as session:
            usable = stores.check_usable(session, store_ids, self._embedder.identity.key)
        if len(self._usable) >= _USABLE_SCOPES:
            self._usable.clear()
        self._usable[store_ids] = (state, usable)
        return usable.unnoted

    def _candidates(self, request: SearchRequest, clock: "_Stopwatch", trace: "_Trace") -> list[FusedHit]:
        """Return all candidates, best first; one of several queries counts by the query that it fits best."""
        ranking = request.ranking
        found = gather(
            self._replica.index,
            self._embedder,
            request.queries,
            scope=request.scope,
            dense_weight=ranking.dense_weight,
            pool=self._pool,
            embedded=lambda: clock.lap("embed"),
        )
        best: dict[int, FusedHit] = {}
        for both in found:
            trace.note("dense", both.dense)
            trace.note("lexical", both.lexical)
            for hit in fuse(both, dense_weight=ranking.dense_weight, fusion=ranking.fusion):
                if hit.chunk_id not in best or hit.score > best[hit.chunk_id].score:
                    best[hit.chunk_id] = hit
        ranked = sorted(best.values(), key=lambda hit: (-hit.score, hit.chunk_id))
        trace.note("fused", ranked)
        return ranked

    def _rank(self, hits: Sequence[FusedHit], request: SearchRequest, trace: "_Trace") -> list[Passage]:
        """Return the passages to be read. What only looks at the front of the ranking loads no more than that."""
        ranking = request.ranking
        reranker = self._reranker if ranking.rerank else None
        reorders = bool(ranking.boosts or ranking.recency or reranker or ranking.diversity)
        passages = self._load(hits, max(POOL, request.limit) if reorders else request.limit, request, trace)
        trace.note("loaded", passages)
        if ranking.boosts:
            passages = stages.boost(passages, ranking.boosts)
            trace.note("boosted", passages)
        if ranking.recency:
            passages = stages.favour_recent(passages, ranking.recency, now=time.time())
            trace.note("recent first", passages)
        if reranker:
            passages = _reranked(reranker, request.queries, passages)
            trace.note("reranked", passages)
        passages = [passage for passage in passages if passage.score >= ranking.score_threshold]
        trace.note("above the threshold", passages)
        if ranking.diversity:
            passages = self._diversified(passages, request)
            trace.note("diverse", passages)
        passages = passages[: request.limit]
        trace.note("returned", passages)
        return passages

    def _load(self, hits: Sequence[FusedHit], count: int, request: SearchRequest, trace: "_Trace") -> list[Passage]:
        """Return the first passages that still exist and are in scope; what changed since it was found is skipped.

        And, where the ranking says so, what repeats a better one.
        """
        passages: list[Passage] = []
        for start in range(0, len(hits), count):
            batch = hits[start : start + count]
            with self._database.read() as session:
                chunks = load_chunks(session, [hit.chunk_id for hit in batch])
            trace.is_outrun |= len(chunks) < len(batch)
            found = [
                Passage(chunk=chunk, score=hit.score, dense=hit.dense, lexical=hit.lexical)
                for hit in batch
                if (chunk := chunks.get(hit.chunk_id)) and request.scope.admits(chunk.vector_store_id, chunk.attributes)
            ]
            passages += stages.distinct(found, against=passages) if request.ranking.deduplicate else found
            if len(passages) >= count:
                break
        return passages[:count]

    def _diversified(self, passages: Sequence[Passage], request: SearchRequest) -> list[Passage]:
        with self._database.read() as session:
            vectors = load_vectors(
                session, [passage.chunk.chunk_id for passage in passages], identity=self._embedder.identity.key
            )
        known = [passage for passage in passages if passage.chunk.chunk_id in vectors]
        return stages.diversify(known, vectors, diversity=request.ranking.diversity, limit=request.limit)


def _reranked(reranker: Reranker, queries: Sequence[str], passages: Sequence[Passage]) -> list[Passage]:
    """Order by the reranker's score alone; of several queries the best counts."""
    texts = [f"{passage.chunk.context}\n{passage.chunk.text}".strip() for passage in passages]
    scores = [reranker.score(query, texts) for query in queries]
    best = [max(of_one) for of_one in zip(*scores, strict=True)]
    return stages.ordered(
        replace(passage, score=score, rerank=score) for passage, score in zip(passages, best, strict=True)
    )


class _Trace:
    """What happened in a search: its stages, if anybody asked for them."""

    def __init__(self, *, is_wanted: bool) -> None:
        self._is_wanted = is_wanted
        # Whether something that was found is gone.
        self.is_outrun = False
        self.stages: list[Stage] = []

    def note(self, name: str, left: Sequence[Hit | FusedHit | Passage]) -> None:
        if self._is_wanted:
            self.stages.append(Stage(name=name, hits=[_hit(one) for one in left]))


def _hit(one: Hit | FusedHit | Passage) -> Hit:
    chunk_id = one.chunk.chunk_id if isinstance(one, Passage) else one.chunk_id
    return Hit(chunk_id=chunk_id, score=one.score)


def gather(
    index: PassageIndex,
    embedder: Embedder,
    queries: Sequence[str],
    *,
    scope: Scope,
    dense_weight: DenseWeight = "auto",
    pool: Executor | None = None,
    embedded: Callable[[], None] = lambda: None,
) -> list[Candidates]:
    """Return the candidates for each query; a side without weight is not asked.

    `pool`: searches the words while this thread embeds the queries and compares vectors. `embedded` is called between.
    """

    def search_words(query: str) -> list[Hit]:
        return index.search_lexical(query, limit=CANDIDATES, scope=scope) if dense_weight != 1 else []

    words = pool.map(search_words, queries) if pool else map(search_words, queries)
    vectors = embedder.embed_queries(queries)
    embedded()
    dense = [
        index.search_dense(vector, limit=CANDIDATES, scope=scope) if dense_weight != 0 else [] for vector in vectors
    ]
    return [
        Candidates(dense=near, lexical=hits, token_chars=_token_chars(embedder, query) if dense_weight == "auto" else 0)
        for query, near, hits in zip(queries, dense, words, strict=True)
    ]


def _token_chars(embedder: Embedder, query: str) -> float:
    """Return how many characters a token of the query has in the mean."""
    spans = embedder.token_spans(query)
    return sum(end - start for start, end in spans) / max(len(spans), 1)


class _Stopwatch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

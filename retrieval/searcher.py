"""From a question to ranked passages."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from catalog import documents, stores
from catalog.database import Database
from catalog.documents import StoredChunk
from retrieval.embedders.base import Embedder
from retrieval.fusion import FusedHit, fuse_normalized, fuse_reciprocal_ranks
from retrieval.indexes.base import Scope, Vector
from retrieval.replica import Replica

Fusion = Literal["normalized", "rrf"]

# Candidates of each side: enough that a passage which one side ranks low can still win by the other.
CANDIDATES: Final = 100
# Share of the dense side. Measured: docs/benchmarks.md.
DENSE_WEIGHT: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """How candidates become a ranking."""

    fusion: Fusion = "normalized"
    # 1 is dense alone, 0 is lexical alone.
    dense_weight: float = DENSE_WEIGHT
    # Passages below it are left out, 0 to 1.
    score_threshold: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRequest:
    # At least one; a passage counts by the query that it fits best.
    queries: Sequence[str]
    scope: Scope
    limit: int = 10
    ranking: Ranking = field(default_factory=Ranking)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A found chunk with its scores at every stage."""

    chunk: StoredChunk
    # 0 to 1, higher is better; relative to the other candidates of the same search.
    score: float
    # Cosine to the query, None when it is no dense candidate.
    dense: float | None
    # BM25, None when it shares no term with the query.
    lexical: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    # Best first.
    passages: Sequence[Passage]
    # Last change of the catalog that the search saw.
    index_version: int
    # Seconds per stage: catch_up, embed, candidates, load.
    seconds: Mapping[str, float]


class Searcher:
    """Embeds the query, gathers dense and lexical candidates, fuses them, and loads the best passages.

    A search sees everything that was committed before it began. An error is raised, never an empty list: also
    IndexIncompatible, when a store in scope was embedded with another model, and InvalidRequest for an expired one.
    """

    def __init__(self, database: Database, replica: Replica, embedder: Embedder) -> None:
        self._database = database
        self._replica = replica
        self._embedder = embedder

    def search(self, request: SearchRequest) -> SearchResult:
        result, is_outrun = self._search_once(request)
        # A document that was replaced after the index had been asked would be there in neither generation.
        return self._search_once(request)[0] if is_outrun else result

    def _search_once(self, request: SearchRequest) -> tuple[SearchResult, bool]:
        """Return the result, and whether something that was found is gone."""
        clock = _Stopwatch()
        version = self._replica.catch_up()
        with self._database.read() as session:
            stores.check_usable(session, request.scope.vector_store_ids, self._embedder.identity.key)
        clock.lap("catch_up")
        vectors = self._embedder.embed_queries(request.queries)
        clock.lap("embed")
        best: dict[int, FusedHit] = {}
        for query, vector in zip(request.queries, vectors, strict=True):
            for hit in self._fused(query, vector, request):
                if hit.chunk_id not in best or hit.score > best[hit.chunk_id].score:
                    best[hit.chunk_id] = hit
        ranked = sorted(best.values(), key=lambda hit: (-hit.score, hit.chunk_id))
        clock.lap("candidates")
        passages, is_outrun = self._load(
            [hit for hit in ranked if hit.score >= request.ranking.score_threshold], request
        )
        stores.note_use(self._database, request.scope.vector_store_ids)
        clock.lap("load")
        return SearchResult(passages=passages, index_version=version, seconds=clock.seconds), is_outrun

    def _fused(self, query: str, vector: Vector, request: SearchRequest) -> list[FusedHit]:
        index, ranking = self._replica.index, request.ranking
        # A side without weight is not asked.
        dense = index.search_dense(vector, limit=CANDIDATES, scope=request.scope) if ranking.dense_weight > 0 else []
        lexical = index.search_lexical(query, limit=CANDIDATES, scope=request.scope) if ranking.dense_weight < 1 else []
        fuse = fuse_normalized if ranking.fusion == "normalized" else fuse_reciprocal_ranks
        return fuse(dense, lexical, dense_weight=ranking.dense_weight)

    def _load(self, hits: Sequence[FusedHit], request: SearchRequest) -> tuple[list[Passage], bool]:
        """Return the first passages that still exist and are in scope, and whether one of those before them is gone."""
        limit, scope = request.limit, request.scope
        passages: list[Passage] = []
        is_outrun = False
        for start in range(0, len(hits), limit):
            batch = hits[start : start + limit]
            with self._database.read() as session:
                chunks = documents.load_chunks(session, [hit.chunk_id for hit in batch])
            passages += [
                Passage(chunk=chunk, score=hit.score, dense=hit.dense, lexical=hit.lexical)
                for hit in batch
                if (chunk := chunks.get(hit.chunk_id)) and scope.admits(chunk.vector_store_id, chunk.attributes)
            ]
            is_outrun = is_outrun or len(chunks) < len(batch)
            if len(passages) >= limit:
                break
        return passages[:limit], is_outrun


class _Stopwatch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

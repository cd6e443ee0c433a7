"""From a question to ranked passages."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from catalog import documents, stores
from catalog.database import Database
from catalog.documents import StoredChunk
from retrieval.embedders.base import Embedder
from retrieval.fusion import Candidates, DenseWeight, FusedHit, Fusion, fuse
from retrieval.indexes.base import PassageIndex, Scope, Vector
from retrieval.replica import Replica

# Candidates of each side: enough that a passage which one side ranks low can still win by the other.
CANDIDATES: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """How candidates become a ranking."""

    fusion: Fusion = "normalized"
    dense_weight: DenseWeight = "auto"
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
        passages = self._load([hit for hit in ranked if hit.score >= request.ranking.score_threshold], request)
        stores.note_use(self._database, request.scope.vector_store_ids)
        clock.lap("load")
        return SearchResult(passages=passages, index_version=version, seconds=clock.seconds)

    def _fused(self, query: str, vector: Vector, request: SearchRequest) -> list[FusedHit]:
        ranking = request.ranking
        both = gather(
            self._replica.index, self._embedder, query, vector, scope=request.scope, dense_weight=ranking.dense_weight
        )
        return fuse(both, dense_weight=ranking.dense_weight, fusion=ranking.fusion)

    def _load(self, hits: Sequence[FusedHit], request: SearchRequest) -> list[Passage]:
        """Return the first passages that still exist and are in scope; what changed since it was found is skipped."""
        limit, scope = request.limit, request.scope
        passages: list[Passage] = []
        for start in range(0, len(hits), limit):
            batch = hits[start : start + limit]
            with self._database.read() as session:
                chunks = documents.load_chunks(session, [hit.chunk_id for hit in batch])
            passages += [
                Passage(chunk=chunk, score=hit.score, dense=hit.dense, lexical=hit.lexical)
                for hit in batch
                if (chunk := chunks.get(hit.chunk_id)) and scope.admits(chunk.vector_store_id, chunk.attributes)
            ]
            if len(passages) >= limit:
                break
        return passages[:limit]


def gather(
    index: PassageIndex,
    embedder: Embedder,
    query: str,
    vector: Vector,
    *,
    scope: Scope,
    dense_weight: DenseWeight = "auto",
) -> Candidates:
    """Return the candidates for one query; a side without weight is not asked."""
    spans = embedder.token_spans(query) if dense_weight == "auto" else []
    return Candidates(
        dense=index.search_dense(vector, limit=CANDIDATES, scope=scope) if dense_weight != 0 else [],
        lexical=index.search_lexical(query, limit=CANDIDATES, scope=scope) if dense_weight != 1 else [],
        token_chars=sum(end - start for start, end in spans) / max(len(spans), 1),
    )


class _Stopwatch:
    """Seconds between laps, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now

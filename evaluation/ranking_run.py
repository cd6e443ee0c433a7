"""A run of rankings: every query of judged collections, measured one by one by ir-measures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import ir_measures

from evaluation.collections import Collection
from evaluation.ranking import MEASURES, candidates, index_collection
from evaluation.runs import Item
from retrieval.embedders.base import Embedder
from retrieval.fusion import DenseWeight, fuse
from retrieval.indexes.base import PassageIndex

# Passages that a run keeps for its report.
_KEPT: Final = 5
_KEPT_CHARACTERS: Final = 160
# Whose first relevant passage comes later is a problem that the report tells of.
_FIRST_PAGE: Final = 10


def rank_collection(
    collection: Collection,
    embedder: Embedder,
    index: PassageIndex,
    *,
    dense_weight: DenseWeight,
    indexed: Callable[[int], None] = lambda passages: None,
) -> Iterator[Item]:
    """Put a collection into an empty index and yield its queries, ranked as a search without filters ranks them."""
    ids = index_collection(collection, embedder, index, indexed=indexed)
    rankings = {
        query_id: [(ids[hit.chunk_id - 1], hit.score) for hit in fuse(both, dense_weight=dense_weight)]
        for query_id, both in candidates(collection, embedder, index).items()
    }
    yield from measure_rankings(collection, rankings)


def measure_rankings(collection: Collection, rankings: Mapping[str, Sequence[tuple[str, float]]]) -> Iterator[Item]:
    """Yield every query with its measures. `rankings`: query id → passage ids with scores, best first."""
    qrels = {query_id: dict(collection.qrels[query_id]) for query_id in collection.queries}
    scores = {query_id: dict(ranking) for query_id, ranking in rankings.items()}
    measures: dict[str, dict[str, float]] = {query_id: {} for query_id in collection.queries}
    for metric in ir_measures.iter_calc(MEASURES, qrels, scores):
        measures[metric.query_id][str(metric.measure)] = float(metric.value)
    for query_id, text in collection.queries.items():
        ranking, relevant = rankings[query_id], collection.qrels[query_id]
        first = next((rank for rank, (passage, _) in enumerate(ranking, start=1) if passage in relevant), None)
        yield Item(
            id=query_id,
            text=text,
            part=collection.name,
            measures=measures[query_id],
            problem=_problem(first),
            details={
                "first_relevant": first,
                "found": [_found(collection, relevant, *one) for one in ranking[:_KEPT]],
                "relevant": [_passage(collection, passage) for passage in list(relevant)[:_KEPT]],
            },
        )


def _problem(first: int | None) -> str | None:
    if first is None:
        return "No relevant passage was found."
    return f"No relevant passage is among the first {_FIRST_PAGE}." if first > _FIRST_PAGE else None


def _found(collection: Collection, relevant: Mapping[str, int], passage_id: str, score: float) -> dict[str, Any]:
    return {**_passage(collection, passage_id), "score": round(score, 4), "is_relevant": passage_id in relevant}


def _passage(collection: Collection, passage_id: str) -> dict[str, Any]:
    """A judged passage may be missing from the corpus."""
    text = " ".join(collection.corpus.get(passage_id, "").split())
    return {"id": passage_id, "text": text[:_KEPT_CHARACTERS] + ("…" if len(text) > _KEPT_CHARACTERS else "")}

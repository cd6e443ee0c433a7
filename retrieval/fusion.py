"""Joining the dense and the lexical ranking into one. Pure functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from retrieval.indexes.base import Hit

# Reciprocal rank fusion's constant, from Cormack, Clarke and Buettcher, SIGIR 2009.
RRF_K: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedHit:
    chunk_id: int
    # 0 to 1, higher is better.
    score: float
    # Cosine; None when the chunk is not among the dense candidates.
    dense: float | None
    # BM25; None when the chunk is not among the lexical candidates.
    lexical: float | None


def fuse_normalized(dense: Sequence[Hit], lexical: Sequence[Hit], *, dense_weight: float) -> list[FusedHit]:
    """Return every candidate by its weighted sum of min-max normalised scores, best first; ties by chunk id.

    The normalised range of each list starts at its last candidate, which with many candidates is close to "nothing in
    common"; a chunk that a list does not hold counts 0 there.
    """
    return _combine(dense, lexical, _min_max(dense), _min_max(lexical), dense_weight)


def fuse_reciprocal_ranks(dense: Sequence[Hit], lexical: Sequence[Hit], *, dense_weight: float) -> list[FusedHit]:
    """Return every candidate by its weighted reciprocal ranks, scaled so that first in both lists scores 1."""
    return _combine(dense, lexical, _reciprocal(dense), _reciprocal(lexical), dense_weight)


def _min_max(hits: Sequence[Hit]) -> dict[int, float]:
    if not hits:
        return {}
    scores = [hit.score for hit in hits]
    low, high = min(scores), max(scores)
    # One candidate, or equals: they are all as good as the best.
    return {hit.chunk_id: (hit.score - low) / (high - low) if high > low else 1.0 for hit in hits}


def _reciprocal(hits: Sequence[Hit]) -> dict[int, float]:
    ranked = sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
    return {hit.chunk_id: (RRF_K + 1) / (RRF_K + rank) for rank, hit in enumerate(ranked, start=1)}


def _combine(
    dense: Sequence[Hit],
    lexical: Sequence[Hit],
    dense_share: Mapping[int, float],
    lexical_share: Mapping[int, float],
    dense_weight: float,
) -> list[FusedHit]:
    cosines = {hit.chunk_id: hit.score for hit in dense}
    bm25 = {hit.chunk_id: hit.score for hit in lexical}
    fused = [
        FusedHit(
            chunk_id=chunk_id,
            score=dense_weight * dense_share.get(chunk_id, 0.0) + (1 - dense_weight) * lexical_share.get(chunk_id, 0.0),
            dense=cosines.get(chunk_id),
            lexical=bm25.get(chunk_id),
        )
        for chunk_id in cosines.keys() | bm25.keys()
    ]
    return sorted(fused, key=lambda hit: (-hit.score, hit.chunk_id))

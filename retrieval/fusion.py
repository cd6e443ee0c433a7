"""Joining the dense and the lexical ranking into one. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from retrieval.indexes.base import Hit

Fusion = Literal["normalized", "rrf"]
# Share of the dense side, 0 to 1: 1 is dense alone, 0 is lexical alone. "auto" decides for each query.
DenseWeight = float | Literal["auto"]

# Reciprocal rank fusion's constant, from Cormack, Clarke and Buettcher, SIGIR 2009.
RRF_K: Final = 60
# Characters per token at which a tokenizer knows the words of a language, and at which it spells them. English has 4,
# German and Spanish 2.6 with the vocabulary of an English model, Arabic, Russian and Chinese 1.
_KNOWN_CHARS: Final = 3.0
_SPELLED_CHARS: Final = 1.0
# Dense candidates that the first one is compared with the last of.
_LED: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """What both sides found for one query, each in any order."""

    dense: Sequence[Hit]
    lexical: Sequence[Hit]
    # Mean characters of the query's tokens, by the embedder's own tokenizer.
    token_chars: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Signals:
    """What tells which side to trust. None changes when BM25 is shifted or scaled, or 1 - cosine is scaled."""

    # By how many standard deviations of the lexical list its first candidate is above the mean; 0 or more.
    prominence: float
    # How much the embedder spells the query instead of reading words, where the sides do not agree; 0 to 1.
    foreignness: float
    # By which share the first dense candidate is nearer to the query than the tenth; 0 to 1.
    lead: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightModel:
    """The dense side's share as a logistic function of the signals."""

    bias: float
    prominence: float
    foreignness: float
    lead: float

    def weight(self, signals: Signals) -> float:
        """Return the dense side's share, above 0 and below 1."""
        evidence = (
            self.bias
            + self.prominence * signals.prominence
            + self.foreignness * signals.foreignness
            + self.lead * signals.lead
        )
        return 1 / (1 + math.exp(-evidence))


# Fitted on judged collections by benchmarks/fusion.py, with 100 candidates of each side: docs/benchmarks.md.
WEIGHT_MODEL: Final = WeightModel(bias=-0.36, prominence=-0.18, foreignness=-3.8, lead=4.3)


@dataclass(frozen=True, kw_only=True, slots=True)
class FusedHit:
    chunk_id: int
    # 0 to 1, higher is better.
    score: float
    # Cosine; None when the chunk is not among the dense candidates.
    dense: float | None
    # BM25; None when the chunk is not among the lexical candidates.
    lexical: float | None


def fuse(candidates: Candidates, *, dense_weight: DenseWeight, fusion: Fusion = "normalized") -> list[FusedHit]:
    """Return every candidate of a side with weight, best first; ties by chunk id.

    "auto" counts both sides alike in reciprocal rank fusion, as its authors do.
    """
    weight = dense_weight
    if weight == "auto":
        weight = choose_dense_weight(candidates) if fusion == "normalized" else 0.5
    dense = candidates.dense if weight > 0 else []
    lexical = candidates.lexical if weight < 1 else []
    combine = fuse_normalized if fusion == "normalized" else fuse_reciprocal_ranks
    return combine(dense, lexical, dense_weight=weight)


def choose_dense_weight(candidates: Candidates) -> float:
    """Return the dense side's share for one query; a side without candidates gets none.

    Words that single out a passage are trusted more than words that fit many passages alike, and so is an embedder that
    does; one that does not know the words of the query, and does not like what they found, is trusted less.
    """
    if not candidates.dense or not candidates.lexical:
        return 1.0 if candidates.dense else 0.0
    return WEIGHT_MODEL.weight(signals(candidates))


def signals(candidates: Candidates) -> Signals:
    """Return the signals of a query for which both sides found something."""
    known = (candidates.token_chars - _SPELLED_CHARS) / (_KNOWN_CHARS - _SPELLED_CHARS)
    spelled = 1 - min(max(known, 0.0), 1.0)
    dense, lexical = _min_max(candidates.dense), _min_max(candidates.lexical)
    agreement = (dense.get(_first(lexical), 0.0) + lexical.get(_first(dense), 0.0)) / 2
    return Signals(
        prominence=_prominence(list(lexical.values())),
        foreignness=spelled * (1 - agreement),
        lead=_lead([hit.score for hit in candidates.dense]),
    )


def _first(scores: Mapping[int, float]) -> int:
    return min(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))


def _prominence(scores: Sequence[float]) -> float:
    # fsum does not depend on the order.
    mean = math.fsum(scores) / len(scores)
    deviation = math.sqrt(math.fsum((score - mean) ** 2 for score in scores) / len(scores))
    return (max(scores) - mean) / deviation if deviation > 0 else 0.0


def _lead(cosines: Sequence[float]) -> float:
    nearest = sorted(cosines, reverse=True)[:_LED]
    first, last = max(1 - nearest[0], 0.0), max(1 - nearest[-1], 0.0)
    return 1 - first / last if last > 0 else 0.0


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

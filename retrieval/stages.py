"""What becomes of fused candidates before they are read: boosts, repetitions, diversity. Pure functions.

Each takes passages, best first, and returns passages, best first.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from retrieval.analysis import terms
from retrieval.filters import Filter
from retrieval.passages import Passage

SECONDS_PER_DAY: Final = 86_400
# Texts with the same numbers and names, and this share of all runs of three terms in common, say the same.
_NEARLY_EQUAL: Final = 0.9
_RUN: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Boost:
    """Passages of documents whose attributes pass `filter` count `factor` times as much."""

    filter: Filter
    factor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Recency:
    """The younger a document the better: a share `weight` of the score halves every `half_life_days`."""

    half_life_days: float
    # 0: age does not count; 1: an infinitely old document scores 0.
    weight: float = 0.5
    # Attribute with the date, in Unix seconds; None takes the time of publication.
    key: str | None = None


def boost(passages: Sequence[Passage], boosts: Sequence[Boost]) -> list[Passage]:
    """Multiply scores by the factors of all boosts that apply; divide all by the largest where that is more than 1."""
    scores = [passage.score * _factor(passage.chunk.attributes, boosts) for passage in passages]
    most = max([1.0, *scores])
    return ordered(replace(passage, score=score / most) for passage, score in zip(passages, scores, strict=True))


def favour_recent(passages: Sequence[Passage], recency: Recency, *, now: float) -> list[Passage]:
    """Lower the scores of older documents. One without a date counts as infinitely old."""
    return ordered(
        replace(passage, score=passage.score * (1 - recency.weight * (1 - _freshness(passage, recency, now))))
        for passage in passages
    )


def distinct(passages: Sequence[Passage], *, against: Sequence[Passage] = ()) -> list[Passage]:
    """Leave out what says the same as a better one, or as one of `against`.

    Texts that differ in a number, a version or a part number never say the same.
    """
    kept: list[Passage] = []
    seen = [_Wording.of(passage) for passage in against]
    for passage in passages:
        wording = _Wording.of(passage)
        if not any(wording.says_the_same_as(other) for other in seen):
            kept.append(passage)
            seen.append(wording)
    return kept


def diversify(
    passages: Sequence[Passage], vectors: Mapping[int, NDArray[np.float32]], *, diversity: float, limit: int
) -> list[Passage]:
    """Choose `limit` passages by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    `vectors`: of each chunk, L2 norm 1. `diversity` 0 chooses by score alone, 1 by difference from what was chosen.
    The chosen ones keep their scores and stand in the order in which they were chosen.
    """
    left = list(passages)
    chosen: list[Passage] = []
    nearest = dict.fromkeys((p.chunk.chunk_id for p in left), 0.0)
    while left and len(chosen) < limit:
        best = max(left, key=lambda p: (1 - diversity) * p.score - diversity * nearest[p.chunk.chunk_id])
        left.remove(best)
        chosen.append(best)
        for passage in left:
            number = passage.chunk.chunk_id
            likeness = float(vectors[number] @ vectors[best.chunk.chunk_id])
            nearest[number] = max(nearest[number], likeness)
    return chosen


def ordered(passages: Any) -> list[Passage]:
    """Return passages by score, best first; ties by chunk id."""
    return sorted(passages, key=lambda passage: (-passage.score, passage.chunk.chunk_id))


def _factor(attributes: Mapping[str, Any], boosts: Sequence[Boost]) -> float:
    return math.prod(one.factor for one in boosts if one.filter.matches(attributes))


def _freshness(passage: Passage, recency: Recency, now: float) -> float:
    """Return 1 for a document of now or of the future, halved for every half-life that it is older."""
    date = passage.chunk.attributes.get(recency.key) if recency.key else passage.chunk.created_at
    if isinstance(date, bool) or not isinstance(date, int | float):
        return 0.0
    age_days = max(0.0, (now - date) / SECONDS_PER_DAY)
    return float(0.5 ** (age_days / recency.half_life_days))


@dataclass(frozen=True, slots=True)
class _Wording:
    """What a text says, without its layout."""

    runs: frozenset[tuple[str, ...]]
    # Terms with a digit in them, in order.
    numbers: tuple[str, ...]

    @classmethod
    def of(cls, passage: Passage) -> "_Wording":
        words = terms(passage.chunk.text)
        runs = frozenset(tuple(words[i : i + _RUN]) for i in range(max(1, len(words) - _RUN + 1)))
        return cls(runs, tuple(word for word in words if any(c.isdigit() for c in word)))

    def says_the_same_as(self, other: "_Wording") -> bool:
        if self.numbers != other.numbers:
            return False
        shared = len(self.runs & other.runs)
        return shared >= _NEARLY_EQUAL * len(self.runs | other.runs)

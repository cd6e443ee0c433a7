"""Curves over the items of a run: risk by coverage, outcomes by threshold, ranks of what was looked for. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from evaluation.runs import Attempt, Item

# Ranks that are told apart.
_RANKS: Final = ((1, 1), (2, 3), (4, 5), (6, 10), (11, 20), (21, 100))


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """What comes of refusing below a confidence. None is a share of nothing."""

    confidence: float
    # Answered, of all questions; and wrong, of the answered ones.
    coverage: float
    risk: float | None
    # Answered and right, of the answerable questions.
    answered_right: float | None
    refusal_precision: float | None
    refusal_recall: float | None


def attempts_of(items: Iterable[Item]) -> list[Attempt]:
    """Return the attempts, surest first; [] where an item has none, for a part of them makes no curve."""
    attempts = [item.attempt for item in items]
    if not all(attempts):
        return []
    return sorted((attempt for attempt in attempts if attempt), key=lambda attempt: -attempt.confidence)


def risk_coverage(attempts: Sequence[Attempt]) -> list[tuple[float, float]]:
    """Return for each k the share of questions that the k surest are, and the error rate among these."""
    points, wrong = [], 0
    for k, attempt in enumerate(attempts, start=1):
        wrong += not attempt.is_right
        points.append((k / len(attempts), wrong / k))
    return points


def thresholds(attempts: Sequence[Attempt], confidences: Iterable[float]) -> list[Threshold]:
    """Return what each confidence as a threshold would give."""
    return [_threshold(attempts, confidence) for confidence in confidences]


def first_ranks(items: Iterable[Item]) -> list[tuple[str, int]]:
    """Return how many queries have their first relevant passage at these ranks; "beyond": or have none."""
    ranks = [item.details.get("first_relevant") for item in items]
    found = {
        str(first) if first == last else f"{first}–{last}": sum(rank in range(first, last + 1) for rank in ranks)
        for first, last in _RANKS
    }
    return [*found.items(), ("beyond", len(ranks) - sum(found.values()))]


def _threshold(attempts: Sequence[Attempt], confidence: float) -> Threshold:
    answered = [attempt for attempt in attempts if attempt.confidence >= confidence]
    answerable = sum(attempt.is_answerable for attempt in attempts)
    right = sum(attempt.is_right for attempt in answered)
    rightly_refused = sum(a.confidence < confidence and not a.is_answerable for a in attempts)
    return Threshold(
        confidence=confidence,
        coverage=len(answered) / len(attempts),
        risk=_share(len(answered) - right, len(answered)),
        answered_right=_share(right, answerable),
        refusal_precision=_share(rightly_refused, len(attempts) - len(answered)),
        refusal_recall=_share(rightly_refused, len(attempts) - answerable),
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None

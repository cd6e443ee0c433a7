"""Curves count what they say."""

import pytest

from evaluation.curves import Threshold, attempts_of, first_ranks, risk_coverage, thresholds
from evaluation.measures import MEASURES, sample_of
from tests.builders import an_attempt, an_item

# Surest first: right, wrong for it has no answer, right, wrong.
ITEMS = [
    an_item(1, attempt=an_attempt(0.2, is_right=False)),
    an_item(2, attempt=an_attempt(0.9, is_right=True)),
    an_item(3, attempt=an_attempt(0.6, is_right=True)),
    an_item(4, attempt=an_attempt(0.7, is_right=False, is_answerable=False)),
]


def test_risk_is_the_error_rate_of_the_surest() -> None:
    """The area under the curve is the measure of that name."""
    points = risk_coverage(attempts_of(ITEMS))
    assert points == [(0.25, 0.0), (0.5, 0.5), (0.75, pytest.approx(1 / 3)), (1.0, 0.5)]
    (area,) = (measure for measure in MEASURES if measure.name == "AURC")
    assert float(area.statistic(sample_of(ITEMS, area))) == pytest.approx(sum(risk for _, risk in points) / 4)


def test_a_threshold_refuses_what_is_below_it() -> None:
    """Shares of all, of the answered, of the answerable, of the refused and of the unanswerable."""
    low, middle, high = thresholds(attempts_of(ITEMS), [0.1, 0.6, 0.95])
    assert low == Threshold(
        confidence=0.1, coverage=1.0, risk=0.5, answered_right=2 / 3, refusal_precision=None, refusal_recall=0.0
    )
    assert middle == Threshold(
        confidence=0.6, coverage=0.75, risk=1 / 3, answered_right=2 / 3, refusal_precision=0.0, refusal_recall=0.0
    )
    assert high == Threshold(
        confidence=0.95, coverage=0.0, risk=None, answered_right=0.0, refusal_precision=0.25, refusal_recall=1.0
    )


def test_a_part_of_the_attempts_makes_no_curve() -> None:
    """What is missing could be anything."""
    assert attempts_of([*ITEMS, an_item(5)]) == []


def test_ranks_are_counted_in_steps() -> None:
    """What was not found is counted with what was found too late to be seen."""
    ranks = [1, 1, 3, 10, 11, 100, 101, None]
    counts = dict(first_ranks([an_item(n, details={"first_relevant": rank}) for n, rank in enumerate(ranks)]))
    assert counts == {"1": 2, "2–3": 1, "4–5": 0, "6–10": 1, "11–20": 1, "21–100": 1, "beyond": 2}

"""Intervals and p values, against SciPy and against what they have to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluation.statistics import Sample, area_under_risk_coverage, difference, estimate, holm, mean


def a_sample(*values: float) -> Sample:
    return np.array(values, dtype=np.float64)[:, np.newaxis]


def random_sample(questions: int, seed: int = 1) -> Sample:
    return np.random.default_rng(seed).random((questions, 1))


SHARE = st.sampled_from([0.0, 0.5, 1.0])
SHARES = st.lists(SHARE, min_size=2, max_size=40)
PAIRS = st.lists(st.tuples(SHARE, SHARE), min_size=2, max_size=40)


def test_the_interval_is_that_of_scipys_bootstrap() -> None:
    """Both draw at random, so they agree within the noise of the draws."""
    sample = random_sample(80)
    found = estimate(sample)
    expected = stats.bootstrap((sample[:, 0],), np.mean, method="percentile", rng=1).confidence_interval
    assert found.value == pytest.approx(sample.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_the_p_value_is_that_of_scipys_paired_permutation_test() -> None:
    """For the difference of two means over the same questions."""
    old, new = random_sample(30, seed=1), random_sample(30, seed=2)
    expected = stats.permutation_test(
        (new[:, 0], old[:, 0]), lambda a, b: np.mean(a) - np.mean(b), permutation_type="samples", rng=1
    )
    found = difference(old, new)
    assert found.value == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.05)


@given(SHARES)
def test_an_interval_holds_its_value_and_stays_within_the_values(values: list[float]) -> None:
    """A mean of drawn values is never beyond them."""
    found = estimate(a_sample(*values))
    assert min(values) <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= max(values)


@given(SHARES)
def test_equal_runs_do_not_differ(values: list[float]) -> None:
    """No difference, no interval, p of 1."""
    found = difference(a_sample(*values), a_sample(*values))
    assert (found.value, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@given(PAIRS)
def test_a_difference_turns_round_with_the_runs(pairs: list[tuple[float, float]]) -> None:
    """Old for new changes the sign and nothing else."""
    old, new = (a_sample(*values) for values in zip(*pairs, strict=True))
    there, back = difference(old, new), difference(new, old)
    assert there.value == -back.value
    assert there.p_value == back.p_value
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_a_shift_of_every_question_is_significant() -> None:
    """Chance does not move forty questions the same way: the p value is the least that there can be."""
    sample = random_sample(40)
    found = difference(sample, sample + 0.1)
    assert (found.value, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.p_value == pytest.approx(1 / 2000)


def test_the_same_sample_gives_the_same_interval() -> None:
    """The draws are seeded: a stored figure can be computed again."""
    assert estimate(random_sample(50)) == estimate(random_sample(50))


def test_questions_without_the_measure_do_not_count() -> None:
    """Neither in the mean nor in the number of questions; draws that hold none of the others are passed over."""
    found = estimate(a_sample(1.0, np.nan, np.nan, np.nan))
    assert (found.value, found.low, found.high, found.count) == (1.0, 1.0, 1.0, 1)
    assert float(mean(a_sample(0.5, np.nan, 1.0))) == 0.75
    assert np.isnan(mean(a_sample(np.nan)))


@pytest.mark.parametrize(
    ("attempts", "expected"),
    [
        # Surest first: 0/1, 0/2, 1/3.
        ([(0.9, 0), (0.5, 0), (0.1, 1)], (0 + 0 + 1 / 3) / 3),
        # The same answers, the wrong one the surest.
        ([(0.5, 0), (0.1, 0), (0.9, 1)], (1 + 1 / 2 + 1 / 3) / 3),
        ([(0.9, 1)], 1.0),
    ],
)
def test_the_area_under_risk_and_coverage_rewards_knowing(attempts: list[tuple[float, int]], expected: float) -> None:
    """The mean of the error rates of the surest answers, worked out by hand."""
    assert float(area_under_risk_coverage(np.array(attempts, dtype=np.float64))) == pytest.approx(expected)


def test_a_statistic_of_many_samples_is_that_of_each() -> None:
    """Samples of more dimensions are many samples of the same questions."""
    samples = np.random.default_rng(3).random((4, 6, 2))
    for statistic in (mean, area_under_risk_coverage):
        assert statistic(samples).tolist() == pytest.approx([float(statistic(sample)) for sample in samples])


def test_holms_correction_has_its_known_values() -> None:
    """The least p value times their number, the next times one less; never falling, never above 1."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holms_correction_keeps_the_order_and_only_raises(p_values: list[float]) -> None:
    """A measure that is surer than another one stays so."""
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert sorted(adjusted) == [adjusted[i] for i in sorted(range(len(p_values)), key=lambda i: (p_values[i], i))]

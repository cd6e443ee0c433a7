"""How sure a figure is: bootstrap intervals, paired permutation tests, Holm's correction. Deterministic.

A sample has one row for each question; a statistic makes one number of it. What is resampled are questions, so a
measure that only some questions have (refusal precision: the refused ones) keeps the chance that decides how many.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Sample = NDArray[np.float64]
# Samples of shape (…, questions, columns) → their values, shape (…).
Statistic = Callable[[Sample], NDArray[np.float64]]

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 1_999
_SEED: Final = 5
# Numbers that are held at once while resampling: 2 MiB, so that they stay in the cache.
_NUMBERS_AT_ONCE: Final = 1 << 18
# Differences of sums that were added in another order.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value with the interval that holds it at a confidence of 95 %."""

    value: float
    low: float
    high: float
    # Questions that have the measure.
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A value less another one, over the same questions."""

    value: float
    low: float
    high: float
    # Chance of a difference this large, in either direction, if it made no difference which run an answer is from.
    p_value: float


def mean(samples: Sample) -> NDArray[np.float64]:
    """The mean of the first column, over the questions that have a value: NaN is none. NaN if no question has one."""
    values = samples[..., 0]
    has_value = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(has_value, values, 0.0).sum(axis=-1) / has_value.sum(axis=-1))


def area_under_risk_coverage(samples: Sample) -> NDArray[np.float64]:
    """The mean error rate of the k questions that the system is surest of, over all k. 0 to 1, lower is better.

    Columns: confidence, and 1 for a wrong answer or 0 for a right one. Geifman, Uziel and El-Yaniv, ICLR 2019.
    """
    order = np.argsort(-samples[..., 0], axis=-1, kind="stable")
    wrong = np.take_along_axis(samples[..., 1], order, axis=-1)
    answered = np.arange(1, wrong.shape[-1] + 1)
    return np.asarray((wrong.cumsum(axis=-1) / answered).mean(axis=-1))


def estimate(sample: Sample, statistic: Statistic = mean) -> Estimate:
    """Return the statistic of a sample with its percentile bootstrap interval (Efron, 1979)."""
    drawn = np.concatenate([statistic(sample[rows]) for rows in _draws(sample)])
    low, high = _interval(drawn)
    count = int((~np.isnan(sample[:, 0])).sum())
    return Estimate(value=float(statistic(sample)), low=low, high=high, count=count)


def difference(old: Sample, new: Sample, statistic: Statistic = mean) -> Difference:
    """Return new less old; row i of both is the same question.

    The interval is that of the paired bootstrap. The p value is that of the paired permutation test, which swaps the
    runs of random questions; the observed order counts as one of them (Phipson and Smyth, 2010).
    """
    drawn = np.concatenate([statistic(new[rows]) - statistic(old[rows]) for rows in _draws(old)])
    low, high = _interval(drawn)
    observed = float(statistic(new) - statistic(old))
    swapped = np.concatenate([_swapped(old, new, swaps, statistic) for swaps in _swaps(old)])
    swapped = swapped[~np.isnan(swapped)]
    extreme = int((np.abs(swapped) >= abs(observed) - _ROUNDING).sum())
    return Difference(value=observed, low=low, high=high, p_value=(extreme + 1) / (len(swapped) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted for their number, in the same order (Holm, 1979)."""
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 %; draws without a question that has the measure say nothing about it."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def _draws(sample: Sample) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers, shape (some, questions), drawn with replacement; RESAMPLES in all."""
    random = np.random.default_rng(_SEED)
    for some in _portions(sample):
        yield random.integers(0, len(sample), (some, len(sample)))


def _swaps(sample: Sample) -> Iterator[NDArray[np.bool_]]:
    random = np.random.default_rng(_SEED)
    for some in _portions(sample):
        yield random.random((some, len(sample))) < 0.5


def _portions(sample: Sample) -> Iterator[int]:
    at_once = max(1, _NUMBERS_AT_ONCE // max(1, sample.size))
    for first in range(0, RESAMPLES, at_once):
        yield min(at_once, RESAMPLES - first)


def _swapped(old: Sample, new: Sample, swaps: NDArray[np.bool_], statistic: Statistic) -> NDArray[np.float64]:
    swap = swaps[..., np.newaxis]
    return statistic(np.where(swap, old, new)) - statistic(np.where(swap, new, old))

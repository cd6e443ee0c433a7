"""What is measured, and how one number is made of many questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from evaluation.runs import Item, Run
from evaluation.statistics import (
    Estimate,
    Sample,
    Statistic,
    area_under_risk_coverage,
    estimate,
    mean,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    name: str
    # What it says, for people.
    meaning: str
    statistic: Statistic = mean
    lower_is_better: bool = False


AURC: Final = "AURC"

# In the order of the reports; the first that a run has is its headline.
MEASURES: Final = (
    Measure(name="nDCG@10", meaning="Gain of the judged passages among the first 10, discounted by rank."),
    Measure(name="RR@10", meaning="1 / rank of the first relevant passage, 0 beyond 10. Its mean is MRR@10."),
    Measure(name="AP@100", meaning="Mean precision at the ranks of the relevant passages. Its mean is MAP."),
    Measure(name="R@5", meaning="Share of the relevant passages that are among the first 5."),
    Measure(name="R@10", meaning="Share of the relevant passages that are among the first 10."),
    Measure(name="R@100", meaning="Share of the relevant passages that are among the first 100."),
    Measure(
        name="answer accuracy",
        meaning="Answerable questions whose answer holds an accepted answer or cites the words that answer.",
    ),
    Measure(name="answer F1", meaning="Words that the answer shares with the accepted one; answerable questions."),
    Measure(name="answer EM", meaning="Answers that are an accepted one, word for word; answerable questions."),
    Measure(name="answer recall", meaning="Answerable questions whose words are cited or among the first 5 passages."),
    Measure(name="retrieval recall", meaning="Answerable questions whose words are among the first 5 passages."),
    Measure(name="citation recall", meaning="Answerable questions whose words are cited, whole, in one footnote."),
    Measure(name="citation precision", meaning="Footnotes that support: of each answer that was given, the share."),
    Measure(name="refusal precision", meaning="Refused questions that the documents do not answer."),
    Measure(name="refusal recall", meaning="Questions that the documents do not answer, and that were refused."),
    Measure(
        name=AURC,
        meaning="Area under the risk-coverage curve: mean error rate of the k surest answers, over all k.",
        statistic=area_under_risk_coverage,
        lower_is_better=True,
    ),
)


def measures_of(items: Sequence[Item]) -> list[Measure]:
    """Return the measures that some item has; AURC needs an attempt at every one."""
    names = {name for item in items for name in item.measures}
    if all(item.attempt for item in items):
        names.add(AURC)
    return [measure for measure in MEASURES if measure.name in names]


def sample_of(items: Sequence[Item], measure: Measure) -> Sample:
    """Return what the measure's statistic reads: a row for each item, NaN where it has no value."""
    if measure.name == AURC:
        rows = [[a.confidence, float(not a.is_right)] if (a := item.attempt) else [np.nan] * 2 for item in items]
    else:
        rows = [[item.measures.get(measure.name, np.nan)] for item in items]
    return np.array(rows, dtype=np.float64)


def values(items: Sequence[Item]) -> dict[str, float]:
    """Return each measure, by name."""
    return {measure.name: float(measure.statistic(sample_of(items, measure))) for measure in measures_of(items)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    name: str
    questions: int
    values: Mapping[str, float]


def parts_of(run: Run) -> list[Part]:
    """Return the means of each part. A curve over a part would rank its questions among themselves alone."""
    means = {measure.name for measure in MEASURES if measure.statistic is mean}
    return [
        Part(name=name, questions=len(items), values={k: v for k, v in values(items).items() if k in means})
        for name, items in run.parts.items()
    ]


def estimates(items: Sequence[Item]) -> dict[str, Estimate]:
    """Return each measure with its interval, by name."""
    return {measure.name: estimate(sample_of(items, measure), measure.statistic) for measure in measures_of(items)}

"""Two runs over the same questions: what differs, and whether chance explains it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from catalog.errors import InvalidRequest
from evaluation.measures import Measure, measures_of, sample_of
from evaluation.runs import Item, Run
from evaluation.statistics import CONFIDENCE, Difference, difference, holm

# Share of each run's questions that the other one has to have.
_MIN_SHARED: Final = 0.9


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    # Not the same as "equal": more questions may show one.
    NONE_SHOWN = "no difference shown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One measure, or one part by the headline measure, of an old and a new run."""

    name: str
    old: float
    new: float
    difference: Difference
    # Corrected for the number of changes that stand together.
    p_value: float
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    old: str
    new: str
    # Questions that both runs have, and those that only one has.
    shared: int
    unshared: int
    measures: Sequence[Change]
    # Of the headline measure; [] where the runs have one part only.
    parts: Sequence[Change]
    headline: str


def compare(old: Run, new: Run) -> Comparison:
    """Compare over the questions that both have. Raises InvalidRequest where these are too few to speak of the runs."""
    if old.task != new.task:
        raise InvalidRequest(f"{old.name!r} measured {old.task.value} and {new.name!r} {new.task.value}.")
    theirs, ours = _by_question(old), _by_question(new)
    shared = [key for key in ours if key in theirs]
    larger = max(len(theirs), len(ours))
    if len(shared) < _MIN_SHARED * larger:
        raise InvalidRequest(
            f"{old.name!r} and {new.name!r} share {len(shared)} of {larger} questions: "
            f"compare runs that share {_MIN_SHARED:.0%} of them."
        )
    before, after = [theirs[key] for key in shared], [ours[key] for key in shared]
    known = {measure.name for measure in measures_of(before)}
    measures = [measure for measure in measures_of(after) if measure.name in known]
    if not measures:
        raise InvalidRequest(f"{old.name!r} and {new.name!r} have no measure in common.")
    return Comparison(
        old=old.name,
        new=new.name,
        shared=len(shared),
        unshared=len(theirs) + len(ours) - 2 * len(shared),
        measures=_changes({measure.name: (measure, before, after) for measure in measures}),
        parts=_part_changes(measures[0], before, after),
        headline=measures[0].name,
    )


def _by_question(run: Run) -> dict[tuple[str, str, str], Item]:
    """A question counts as the same when its text is."""
    return {(item.part, item.id, item.text): item for item in run.items}


def _part_changes(measure: Measure, before: Sequence[Item], after: Sequence[Item]) -> list[Change]:
    pairs: dict[str, tuple[Measure, list[Item], list[Item]]] = {}
    for old, new in zip(before, after, strict=True):
        if measure.name in old.measures and measure.name in new.measures:
            _, olds, news = pairs.setdefault(new.part, (measure, [], []))
            olds.append(old)
            news.append(new)
    return _changes(pairs) if len(pairs) > 1 else []


def _changes(pairs: Mapping[str, tuple[Measure, Sequence[Item], Sequence[Item]]]) -> list[Change]:
    """Return the change of each pair; all of them are one family for the correction of p values."""
    found = []
    for name, (measure, before, after) in pairs.items():
        old, new = sample_of(before, measure), sample_of(after, measure)
        values = float(measure.statistic(old)), float(measure.statistic(new))
        found.append((name, measure, values, difference(old, new, measure.statistic)))
    p_values = holm([change.p_value for *_, change in found])
    return [
        Change(
            name=name,
            old=values[0],
            new=values[1],
            difference=change,
            p_value=p_value,
            verdict=_verdict(change.value, p_value, lower_is_better=measure.lower_is_better),
        )
        for (name, measure, values, change), p_value in zip(found, p_values, strict=True)
    ]


def _verdict(change: float, p_value: float, *, lower_is_better: bool) -> Verdict:
    if p_value > 1 - CONFIDENCE:
        return Verdict.NONE_SHOWN
    return Verdict.BETTER if (change > 0) != lower_is_better else Verdict.WORSE

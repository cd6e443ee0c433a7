"""The gate: a run must not fall below a baseline by more than chance explains."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from catalog.errors import InvalidRequest
from evaluation.measures import MEASURES, estimates, values
from evaluation.runs import SCHEMA, Run, Task, read_json, write_json
from evaluation.statistics import Estimate

# A part with fewer questions moves by more than its interval when one of them does.
_MIN_PART: Final = 30
_LOWER_IS_BETTER: Final = frozenset(measure.name for measure in MEASURES if measure.lower_is_better)


@dataclass(frozen=True, kw_only=True, slots=True)
class Baseline:
    """The measures of an accepted run."""

    run: str
    created_at: str
    task: Task
    # Digest of questions and documents.
    data: str
    # part → measure → estimate; ALL is the part that holds every question.
    parts: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """One measure at the gate."""

    part: str
    measure: str
    # None when the run does not have the measure any more.
    value: float | None
    baseline: Estimate
    passes: bool


ALL: Final = "all questions"


def baseline_of(run: Run) -> Baseline:
    """Return the estimates of a run: of all questions, and of each part with enough of them where there are several."""
    parts = {ALL: estimates(run.items)}
    if len(run.parts) > 1:
        parts |= {part: estimates(items) for part, items in run.parts.items() if len(items) >= _MIN_PART}
    return Baseline(
        run=run.name, created_at=run.created_at, task=run.task, data=str(run.setup.get("data")), parts=parts
    )


def check(run: Run, baseline: Baseline) -> Iterator[Checked]:
    """Yield each measure of the baseline with whether the run's value is within its interval, or better.

    Raises InvalidRequest when the baseline is about other questions or documents.
    """
    if (run.task, str(run.setup.get("data"))) != (baseline.task, baseline.data):
        raise InvalidRequest(
            f"The baseline {baseline.run!r} is about other questions or documents than {run.name!r}: "
            "renew it with `footnote eval gate RUN --baseline FILE --renew`."
        )
    parts = {ALL: list(run.items), **run.parts}
    for part, wanted in baseline.parts.items():
        found = values(parts.get(part, []))
        for name, estimate in wanted.items():
            value = found.get(name)
            passes = _passes(name, value, estimate)
            yield Checked(part=part, measure=name, value=value, baseline=estimate, passes=passes)


def save_baseline(baseline: Baseline, path: Path) -> None:
    write_json(path, {"schema": SCHEMA, **asdict(baseline)})


def load_baseline(path: Path) -> Baseline:
    """Read a baseline. Raises InvalidRequest that says why it cannot be."""
    fields = read_json(path, "baseline")
    try:
        parts = {
            part: {name: Estimate(**values) for name, values in measures.items()}
            for part, measures in fields["parts"].items()
        }
        return Baseline(**fields | {"task": Task(fields["task"]), "parts": parts})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{str(path)!r} does not hold a baseline of `footnote eval gate`: {error}") from error


def _passes(name: str, value: float | None, baseline: Estimate) -> bool:
    if value is None:
        return False
    return value <= baseline.high if name in _LOWER_IS_BETTER else value >= baseline.low

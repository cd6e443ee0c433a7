"""What `footnote eval` prints."""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evaluation.calibration import Calibration, Point, percent
from evaluation.comparison import Change, Comparison, Verdict
from evaluation.gate import Checked
from evaluation.measures import MEASURES, estimates, parts_of
from evaluation.runs import Run
from evaluation.statistics import Estimate

# Of the thresholds of a calibration one in so many is shown.
_STEP: Final = 5
_COLOURS = {Verdict.BETTER: "green", Verdict.WORSE: "red", Verdict.NONE_SHOWN: ""}


def of_run(run: Run) -> Iterator[RenderableType]:
    """Yield the measures with their intervals and, where there are several, the parts."""
    table = _table("Measure", "Value", "95 % interval", "Questions")
    for name, estimate in estimates(run.items).items():
        table.add_row(name, number(estimate.value), interval(estimate), str(estimate.count))
    yield table
    parts = parts_of(run)
    if len(parts) > 1:
        names = [measure.name for measure in MEASURES if any(measure.name in part.values for part in parts)]
        table = _table("Part", "Questions", *names)
        for part in parts:
            cells = (number(part.values[name]) if name in part.values else "" for name in names)
            table.add_row(part.name, str(part.questions), *cells)
        yield Text()
        yield table
    yield Text()


def of_comparison(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text(f"{comparison.new} less {comparison.old}, over {comparison.shared} questions that both have")
    if comparison.unshared:
        yield Text(f"{comparison.unshared} questions that only one has are left out", "yellow")
    yield _changes("Measure", comparison.measures)
    if comparison.parts:
        yield Text(f"\nThe same by part, {comparison.headline}")
        yield _changes("Part", comparison.parts)


def of_gate(checked: Sequence[Checked]) -> Table:
    table = _table("Part", "Measure", "Now", "Baseline", "95 % interval", "")
    for one in checked:
        table.add_row(
            one.part,
            one.measure,
            "" if one.value is None else number(one.value),
            number(one.baseline.value),
            interval(one.baseline),
            Text("holds", "green") if one.passes else Text("FALLEN", "bold red"),
        )
    return table


def of_calibration(calibration: Calibration, lowest: Point | None) -> Table:
    """Return the thresholds in steps, with the one that was found."""
    bound = f"At most, at {percent(calibration.confidence)}"
    table = _table("Refuse below", "Answered", "Wrong", "Wrong, of those", bound, "")
    for point in calibration.points:
        if point is not lowest and round(100 * point.threshold) % _STEP:
            continue
        share = number(point.wrong / point.answered) if point.answered else ""
        counts = (f"{point.answered} of {calibration.questions}", str(point.wrong))
        mark = Text("the lowest that holds", "green") if point is lowest else ""
        table.add_row(f"{point.threshold:.2f}", *counts, share, number(point.bound(calibration.confidence)), mark)
    return table


def number(value: float) -> str:
    return f"{value:.3f}"


def interval(estimate: Estimate) -> str:
    return f"{number(estimate.low)} – {number(estimate.high)}"


def _changes(title: str, changes: Sequence[Change]) -> Table:
    table = _table(title, "Old", "New", "Difference", "95 % interval", "p (Holm)", "Verdict")
    for change in changes:
        found = change.difference
        table.add_row(
            change.name,
            number(change.old),
            number(change.new),
            f"{found.value:+.3f}",
            f"{found.low:+.3f} – {found.high:+.3f}",
            f"{change.p_value:.4f}",
            Text(change.verdict.value, _COLOURS[change.verdict]),
        )
    return table


def _table(*headers: str) -> Table:
    return Table(*headers, box=None, pad_edge=False)

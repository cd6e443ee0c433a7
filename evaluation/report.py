"""A run as one HTML page that needs nothing beside it: no script, no font, no request."""

import math
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2

from evaluation.calibration import Calibration, percent
from evaluation.comparison import Comparison
from evaluation.curves import attempts_of, first_ranks, risk_coverage, thresholds
from evaluation.measures import estimates, measures_of, parts_of
from evaluation.runs import Attempt, Item, Run

# Questions that the page tells of, those with a problem first.
_SHOWN: Final = 400
# Points of the curve; more cannot be told apart.
_POINTS: Final = 400
_THRESHOLDS: Final = tuple(t / 100 for t in range(30, 80, 5))
# Before this share of the questions the error rate is that of a few.
_SETTLED: Final = 0.05


def write_report(
    path: Path, run: Run, comparison: Comparison | None = None, calibration: Calibration | None = None
) -> None:
    """Write the page; `comparison` is of an earlier run with this one, `calibration` was made of this one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(run, comparison, calibration), encoding="utf-8")


def render(run: Run, comparison: Comparison | None = None, calibration: Calibration | None = None) -> str:
    """Return the page. What documents and questions say is escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["figure"] = _figure
    environment.filters["percent"] = percent
    template = environment.from_string(files("evaluation").joinpath("report.html.j2").read_text(encoding="utf-8"))
    measures = measures_of(run.items)
    ranked = sorted(run.items, key=lambda item: (item.problem is None, _headline(item, measures[0].name)))
    return template.render(
        run=run,
        measures=measures,
        estimates=estimates(run.items),
        parts=parts_of(run),
        comparison=comparison,
        curve=_curve(attempts_of(run.items), run.setup.get("min_evidence"), calibration),
        ranks=first_ranks(run.items) if "first_relevant" in run.items[0].details else [],
        problems=Counter(item.problem for item in run.items if item.problem).most_common(),
        shown=ranked[:_SHOWN],
        left_out=len(ranked) - min(_SHOWN, len(ranked)),
    )


def _headline(item: Item, name: str) -> float:
    return item.measures.get(name, 0.0)


def _curve(attempts: Sequence[Attempt], served: float | None, calibration: Calibration | None) -> dict[str, Any] | None:
    """Return what the plot of risk by coverage draws, or None where there is nothing to draw."""
    if not attempts:
        return None
    points = risk_coverage(attempts)
    settled = [risk for coverage, risk in points if coverage >= _SETTLED]
    lowest = calibration.lowest(calibration.wrong_at_most) if calibration else None
    marked = {confidence for confidence in (served, lowest.threshold if lowest else None) if confidence is not None}
    return {
        "points": [*points[:: math.ceil(len(points) / _POINTS)], points[-1]],
        # The upper end of the axis, in tenths.
        "top": min(10, math.ceil(10 * max(settled)) + 1) / 10,
        "served": thresholds(attempts, [served])[0] if served is not None else None,
        "calibrated": thresholds(attempts, [lowest.threshold])[0] if lowest else None,
        "calibration": calibration,
        "thresholds": thresholds(attempts, sorted(marked.union(_THRESHOLDS))),
    }


def _figure(value: float | None, spec: str = ".3f") -> str:
    return "" if value is None else format(value, spec)

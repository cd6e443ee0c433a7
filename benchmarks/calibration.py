"""Whether a calibrated refusal threshold keeps its share on questions that it was not calibrated on.

.venv/bin/python -m benchmarks.calibration RUN.json --wrong-at-most 0.05 0.1 0.2

RUN is a run of `footnote eval run` or `footnote eval answers`. Its questions are halved at random, again and again: one
half is calibrated on, the other one asked.
"""

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation.calibration import calibrate
from evaluation.curves import attempts_of, thresholds
from evaluation.runs import Item, Run, load_run

_SPLITS: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the threshold of one half gives on the other half."""

    # Answered, of the questions; and wrong, of the answered ones: None where none is.
    coverage: float
    risk: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--wrong-at-most", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.3, 0.4, 0.5])
    parser.add_argument("--confidence", type=float, default=0.9)
    arguments = parser.parse_args()
    found_out = ("Halves with a threshold", "Answered", "Wrong", "Halves above")
    table = Table("Run", "Questions", "Wrong, if all are answered", "Wrong at most", *found_out, box=None)
    for run in map(load_run, arguments.runs):
        attempts = attempts_of(run.items)
        wrong = np.mean([not attempt.is_right for attempt in attempts])
        for share in arguments.wrong_at_most:
            asked = list(halves(run, wrong_at_most=share, confidence=arguments.confidence))
            risks = [one.risk for one in asked if one.risk is not None]
            figures = ("", "", "")
            if risks:
                above = np.mean([risk > share for risk in risks]) * len(risks) / _SPLITS
                figures = (f"{np.mean([one.coverage for one in asked]):.3f}", f"{np.mean(risks):.3f}", f"{above:.3f}")
            found = f"{len(asked) / _SPLITS:.3f}"
            table.add_row(run.name, str(len(attempts)), f"{wrong:.3f}", f"{share:.2f}", found, *figures)
    Console(highlight=False, width=160).print(table)


def halves(run: Run, *, wrong_at_most: float, confidence: float) -> Iterator[Asked]:
    """Yield what each half with a threshold gives on the other one; the halves are always the same ones."""
    for seed in range(_SPLITS):
        items = random.Random(seed).sample(list(run.items), len(run.items))
        middle = len(items) // 2
        if (asked := ask_other(run, items[:middle], items[middle:], wrong_at_most, confidence)) is not None:
            yield asked


def ask_other(
    run: Run, one: Sequence[Item], other: Sequence[Item], wrong_at_most: float, confidence: float
) -> Asked | None:
    calibration = calibrate(replace(run, items=one), wrong_at_most=wrong_at_most, confidence=confidence, settings=())
    lowest = calibration.lowest(wrong_at_most)
    if lowest is None:
        return None
    (found,) = thresholds(attempts_of(other), [lowest.threshold])
    return Asked(coverage=found.coverage, risk=found.risk)


if __name__ == "__main__":
    main()

"""A refusal threshold with a meaning: below it, more than a wanted share of the given answers could be wrong.

A run tells for each question how sure the answer was and whether it is right. From the highest threshold downwards each
is tested until the first that fails (fixed-sequence testing, as "Learn then Test" selects parameters: Angelopoulos,
Bates, Candès, Jordan and Lei, 2021, section 3). The test is exact: the one-sided upper bound of Clopper and Pearson
(1934) on the share of wrong answers, at the wanted confidence, has to be at most the wanted share. So the threshold
that is found keeps the share with that confidence, for questions that are drawn as those of the run are.

The thresholds are fixed in advance, and the first one tested is chosen by how many answers it gives. That costs nothing
of the confidence as long as answers with less evidence are not more often right; nothing else is assumed.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from catalog.errors import InvalidRequest
from evaluation.curves import attempts_of
from evaluation.runs import SCHEMA, Run, read_json, write_json

# Highest first; evidence is about 0 to 1.
THRESHOLDS: Final = tuple(step / 100 for step in range(100, -1, -1))
# The first threshold tested gives enough answers to stand so many wrong ones, where that is at most half of the
# questions, and answers this share of them at least: a start at which one wrong answer ends the search finds nothing
# far more often. Of draws of 300 simulated questions, 2 % of them answered wrong whatever the evidence, 59 % end
# without a threshold for at most 5 % wrong from the least start, and 36 % from this one.
_WRONG_AT_START: Final = 2
_SHARE_AT_START: Final = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """What refusing below a threshold gave."""

    threshold: float
    answered: int
    # Of the answered ones. Whatever is said to a question without an answer is wrong, and so is what has no footnote.
    wrong: int

    def bound(self, confidence: float) -> float:
        """Return the share of wrong answers, 0 to 1, that is not exceeded at this confidence."""
        return upper_bound(self.wrong, self.answered, confidence)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """What a run says about thresholds, for the settings that it was made with."""

    # Name of the run, and when it was made; ISO 8601, UTC.
    run: str
    measured_at: str
    # Digest of questions and documents.
    data: str
    questions: int
    # Chance, over the questions that could have been drawn, that the wanted share is kept.
    confidence: float
    # The share that was asked for when the calibration was made.
    wrong_at_most: float
    # JSON values by setting: what evidence and answers depend on.
    setup: Mapping[str, Any]
    # One for each of THRESHOLDS, in their order.
    points: Sequence[Point]

    def lowest(self, wrong_at_most: float) -> Point | None:
        """Return the lowest threshold that keeps the share, or None where none does."""
        found = None
        start = self.first_tested(wrong_at_most)
        for point in self.points:
            if point.answered >= start:
                if point.bound(self.confidence) > wrong_at_most:
                    break
                found = point
        return found

    def first_tested(self, wrong_at_most: float) -> int:
        """Return how many answers the first threshold that is tested has to give."""
        needed = least_answers(wrong_at_most, self.confidence, wrong=_WRONG_AT_START)
        if 2 * needed > self.questions:
            needed = least_answers(wrong_at_most, self.confidence)
        return max(needed, math.ceil(_SHARE_AT_START * self.questions))

    def why_none(self, wrong_at_most: float) -> str:
        """Return why no threshold keeps the share, as a sentence."""
        start = self.first_tested(wrong_at_most)
        first = next((point for point in self.points if point.answered >= start), None)
        wanted = f"At most {percent(wrong_at_most)} wrong answers at a confidence of {percent(self.confidence)}"
        if first is None:
            least = least_answers(wrong_at_most, self.confidence)
            return (
                f"{wanted} cannot be shown with {self.questions} questions: at least {least} answers are needed, all "
                "of them right. Ask more questions."
            )
        return (
            f"{wanted} cannot be kept: of the {first.answered} surest answers {first.wrong} are wrong, so the share "
            f"may be as high as {percent(first.bound(self.confidence))}. Allow a larger share, or ask more questions."
        )


def upper_bound(wrong: int, answered: int, confidence: float) -> float:
    """Return the one-sided bound of Clopper and Pearson: the quantile of the beta distribution (wrong + 1, right)."""
    # It takes time to load, and most commands do not need it.
    from scipy.special import betaincinv

    return 1.0 if wrong >= answered else float(betaincinv(wrong + 1, answered - wrong, confidence))


def least_answers(wrong_at_most: float, confidence: float, *, wrong: int = 0) -> int:
    """Return the fewest answers of which so many may be wrong while the bound keeps the share.

    Without a wrong one it is ln(1 - confidence) / ln(1 - share), rounded up.
    """
    none_wrong = math.ceil(math.log1p(-confidence) / math.log1p(-wrong_at_most))
    answered = none_wrong
    while wrong and upper_bound(wrong, answered, confidence) > wrong_at_most:
        answered += 1
    return answered


def calibrate(run: Run, *, wrong_at_most: float, confidence: float, settings: Sequence[str]) -> Calibration:
    """Return what a run says about thresholds.

    `settings`: the keys of its setup that evidence and answers depend on. Raises InvalidRequest for a run whose answers
    have no evidence, or that does not tell one of the settings.
    """
    attempts = attempts_of(run.items)
    if not attempts:
        raise InvalidRequest(
            f"The run {run.name!r} does not tell how sure each answer is. Those of `footnote eval run` and `footnote "
            "eval answers` do, with the generator extractive; a language model cannot tell."
        )
    if missing := [name for name in settings if name not in run.setup]:
        raise InvalidRequest(
            f"The run {run.name!r} does not tell {missing[0]!r}, an older version made it: run it anew."
        )
    return Calibration(
        run=run.name,
        measured_at=run.created_at,
        data=run.setup["data"],
        questions=len(attempts),
        confidence=confidence,
        wrong_at_most=wrong_at_most,
        setup={name: run.setup[name] for name in settings},
        points=[
            Point(
                threshold=threshold,
                answered=sum(attempt.confidence >= threshold for attempt in attempts),
                wrong=sum(attempt.confidence >= threshold and not attempt.is_right for attempt in attempts),
            )
            for threshold in THRESHOLDS
        ],
    )


def save_calibration(calibration: Calibration, folder: Path) -> Path:
    """Write a calibration, in the place of an earlier one for the same settings; return its file."""
    path = _path(folder, calibration.setup)
    write_json(path, {"schema": SCHEMA, **asdict(calibration)})
    return path


def find_calibration(folder: Path, setup: Mapping[str, Any]) -> Calibration:
    """Return the calibration that was made with these settings.

    Raises InvalidRequest where there is none; it says what the newest one was made with.
    """
    path = _path(folder, setup)
    if path.is_file():
        return _load(path)
    newest = max(folder.glob("*.json"), key=lambda file: file.stat().st_mtime, default=None)
    if newest is None:
        raise InvalidRequest(f"There is no calibration in {str(folder)!r}.")
    other = _load(newest)
    name = next(name for name in setup if other.setup.get(name) != setup[name])
    raise InvalidRequest(
        f"There is no calibration with {name} {setup[name]!r}; the newest one, of the run {other.run!r}, was made with "
        f"{other.setup.get(name)!r}."
    )


def percent(share: float) -> str:
    """Return a share in per cent, with three digits at most: `5 %`, `0.5 %`, `12.3 %`."""
    return f"{100 * share:.3g} %"


def _path(folder: Path, setup: Mapping[str, Any]) -> Path:
    """Settings that differ make files that differ, so that the next model can be calibrated beside this one."""
    digest = hashlib.sha256(json.dumps(setup, sort_keys=True).encode()).hexdigest()
    return folder / f"{digest[:16]}.json"


def _load(path: Path) -> Calibration:
    values = read_json(path, "calibration")
    try:
        return Calibration(**values | {"points": [Point(**point) for point in values["points"]]})
    except (KeyError, TypeError) as error:
        raise InvalidRequest(
            f"{str(path)!r} does not hold a calibration of `footnote eval calibrate`: {error}"
        ) from error

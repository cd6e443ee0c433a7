"""The threshold that a calibration finds keeps the share that was asked for, as often as it says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from catalog.errors import InvalidRequest
from evaluation.calibration import (
    THRESHOLDS,
    Calibration,
    Point,
    calibrate,
    find_calibration,
    least_answers,
    percent,
    save_calibration,
    upper_bound,
)
from evaluation.runs import Run
from tests.builders import a_run, an_attempt, an_item

SETUP = {"data": "0123", "generator": "extractive", "embedding": "one"}
Floats = NDArray[np.float64]


def a_judged_run(*attempts: tuple[float, bool], **overrides: Any) -> Run:
    """Build a run of questions with an evidence, answered right or wrong."""
    items = [
        an_item(n, attempt=an_attempt(confidence, is_right=is_right))
        for n, (confidence, is_right) in enumerate(attempts)
    ]
    return a_run(*items, **{"setup": SETUP} | overrides)


def a_calibration(run: Run, *, wrong_at_most: float = 0.1, confidence: float = 0.9) -> Calibration:
    return calibrate(run, wrong_at_most=wrong_at_most, confidence=confidence, settings=("generator", "embedding"))


def drawn(risk: Callable[[Floats], Floats], *, questions: int, seed: int) -> Calibration:
    """Calibrate on questions whose evidence is spread evenly, and whose answers are wrong with this chance."""
    random = np.random.default_rng(seed)
    evidence = random.random(questions)
    is_right = random.random(questions) >= risk(evidence)
    return a_calibration(a_judged_run(*zip(evidence.tolist(), is_right.tolist(), strict=True)))


def true_risk(risk: Callable[[Floats], Floats], threshold: float) -> float:
    return float(risk(np.linspace(threshold, 1, 2001)).mean())


@given(st.integers(1, 400), st.data(), st.floats(0.5, 0.999))
def test_the_bound_is_scipys_exact_one(answered: int, data: st.DataObject, confidence: float) -> None:
    """That of a one-sided binomial test, over all counts."""
    wrong = data.draw(st.integers(0, answered))
    expected = stats.binomtest(wrong, answered, alternative="less").proportion_ci(confidence, method="exact").high
    assert upper_bound(wrong, answered, confidence) == pytest.approx(expected)


@given(st.integers(0, 50), st.integers(1, 200), st.floats(0.5, 0.999))
def test_the_bound_rises_with_wrong_answers_and_falls_with_right_ones(
    wrong: int, right: int, confidence: float
) -> None:
    """And lies above the share that was seen."""
    bound = upper_bound(wrong, wrong + right, confidence)
    assert wrong / (wrong + right) < bound < upper_bound(wrong + 1, wrong + 1 + right, confidence)
    assert bound > upper_bound(wrong, wrong + right + 1, confidence)


@pytest.mark.parametrize(
    ("share", "confidence", "wrong", "answers"),
    [(0.05, 0.9, 0, 45), (0.05, 0.95, 0, 59), (0.1, 0.9, 0, 22), (0.05, 0.9, 1, 77), (0.05, 0.9, 2, 105)],
)
def test_so_many_answers_are_needed_at_least(share: float, confidence: float, wrong: int, answers: int) -> None:
    """With one less the bound is above the share."""
    assert least_answers(share, confidence, wrong=wrong) == answers
    assert upper_bound(wrong, answers, confidence) <= share < upper_bound(wrong, answers - 1, confidence)


@pytest.mark.parametrize(
    "risk",
    [
        lambda evidence: 1 / (1 + np.exp(12 * (evidence - 0.4))),
        lambda evidence: np.where(evidence < 0.5, 0.6, 0.02),
        lambda evidence: np.full_like(evidence, 0.12),
    ],
    ids=["gradual", "sudden", "always too much"],
)
def test_the_share_is_kept_as_often_as_it_says(risk: Callable[[Floats], Floats]) -> None:
    """In nine of ten draws at least, within the noise of 250 draws: true shares, not those of the questions drawn."""
    found = [drawn(risk, questions=150, seed=seed).lowest(0.1) for seed in range(250)]
    broken = sum(point is not None and true_risk(risk, point.threshold) > 0.1 for point in found)
    # Three standard deviations above one in ten.
    assert broken / len(found) <= 0.1 + 3 * (0.1 * 0.9 / len(found)) ** 0.5


def test_a_threshold_is_found_where_there_is_one() -> None:
    """Most often, with most of the answers that could be given: the guarantee is not kept by refusing everything."""

    def risk(evidence: Floats) -> Floats:
        return np.where(evidence < 0.5, 0.6, 0.02 * (1 - evidence))

    found = [drawn(risk, questions=300, seed=seed).lowest(0.1) for seed in range(60)]
    thresholds = [point.threshold for point in found if point is not None]
    assert len(thresholds) == len(found)
    assert 0.4 <= float(np.median(thresholds)) <= 0.5


def test_the_lowest_threshold_before_the_first_that_fails_is_taken() -> None:
    """What holds again further down does so by chance."""
    run = a_judged_run(*[(0.9, True)] * 60, *[(0.8, False)] * 8, *[(0.1, True)] * 200)
    assert a_calibration(run).lowest(0.1) == Point(threshold=0.81, answered=60, wrong=0)
    (last,) = (point for point in a_calibration(run).points if point.threshold == 0)
    assert last.bound(0.9) < 0.1


def test_one_wrong_answer_among_many_does_not_end_the_search() -> None:
    """With enough questions the first threshold tested stands two of them."""
    run = a_judged_run((0.99, False), *[(0.9, True)] * 80, *[(0.2, False)] * 40)
    assert a_calibration(run).first_tested(0.1) == 52
    assert a_calibration(run).lowest(0.1) == Point(threshold=0.21, answered=81, wrong=1)
    few = a_judged_run((0.99, False), *[(0.9, True)] * 30)
    assert (a_calibration(few).first_tested(0.1), a_calibration(few).lowest(0.1)) == (22, None)


def test_too_few_questions_are_told_with_how_many_are_needed() -> None:
    """Even if every answer was right."""
    calibration = a_calibration(a_judged_run(*[(0.9, True)] * 44))
    assert calibration.lowest(0.05) is None
    message = "At most 5 % wrong answers at a confidence of 90 % cannot be shown with 44 questions: at least 45 answers"
    assert calibration.why_none(0.05).startswith(message)


def test_a_share_that_cannot_be_kept_is_told_with_what_stands_against_it() -> None:
    """The answers that are surest, and how many of them are wrong."""
    calibration = a_calibration(a_judged_run(*[(0.9, True)] * 30, *[(0.9, False)] * 20))
    assert calibration.lowest(0.1) is None
    assert "of the 50 surest answers 20 are wrong, so the share may be as high as 50.1 %" in calibration.why_none(0.1)


def test_answers_are_counted_at_each_threshold() -> None:
    """From its evidence downwards an answer is given, and one that is wrong counts as such."""
    points = {point.threshold: point for point in a_calibration(a_judged_run((0.5, True), (0.25, False))).points}
    assert tuple(points) == THRESHOLDS
    assert [(points[at].answered, points[at].wrong) for at in (0.51, 0.5, 0.26, 0.25, 0.0)] == [
        (0, 0),
        (1, 0),
        (1, 0),
        (2, 1),
        (2, 1),
    ]


def test_a_run_that_says_too_little_is_refused() -> None:
    """Without evidence, as of a language model, or without a setting, as of an older version."""
    with pytest.raises(InvalidRequest, match="'a run' does not tell how sure each answer is"):
        a_calibration(a_run())
    with pytest.raises(InvalidRequest, match="'a run' does not tell 'embedding'"):
        a_calibration(a_judged_run((0.5, True), setup={"data": "0123", "generator": "extractive"}))


def test_a_calibration_is_found_by_its_settings(tmp_path: Path) -> None:
    """Those of other settings lie beside it; a newer one of the same settings takes its place."""
    one = a_calibration(a_judged_run((0.5, True)))
    other = replace(one, setup={**one.setup, "embedding": "two"}, run="second")
    newer = replace(one, run="third")
    paths = [save_calibration(each, tmp_path) for each in (one, other, newer)]
    assert paths[0] == paths[2] != paths[1]
    assert find_calibration(tmp_path, one.setup) == newer
    assert find_calibration(tmp_path, other.setup) == other


def test_a_calibration_that_is_not_there_is_told_by_what_differs(tmp_path: Path) -> None:
    """The first setting that does, with both values."""
    with pytest.raises(InvalidRequest, match="There is no calibration in"):
        find_calibration(tmp_path, {"generator": "extractive", "embedding": "two"})
    save_calibration(a_calibration(a_judged_run((0.5, True))), tmp_path)
    message = "no calibration with embedding 'two'; the newest one, of the run 'a run', was made with 'one'"
    with pytest.raises(InvalidRequest, match=message):
        find_calibration(tmp_path, {"generator": "extractive", "embedding": "two"})


def test_a_file_that_holds_no_calibration_is_told_by_name(tmp_path: Path) -> None:
    """Rather than being taken for one that says little."""
    calibration = a_calibration(a_judged_run((0.5, True)))
    path = save_calibration(calibration, tmp_path)
    path.write_text(json.dumps({"schema": 1, "points": [{"threshold": 0.5}]}))
    with pytest.raises(InvalidRequest, match="does not hold a calibration"):
        find_calibration(tmp_path, calibration.setup)


@pytest.mark.parametrize(("share", "expected"), [(0.05, "5 %"), (0.005, "0.5 %"), (0.1234, "12.3 %"), (1.0, "100 %")])
def test_shares_are_shown_in_per_cent(share: float, expected: str) -> None:
    """With three digits at most."""
    assert percent(share) == expected

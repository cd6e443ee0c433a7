"""The gate holds until a measure falls below the interval that the baseline states."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.errors import InvalidRequest
from evaluation.gate import ALL, Baseline, baseline_of, check, load_baseline, save_baseline
from evaluation.runs import Run
from evaluation.statistics import Estimate
from tests.builders import a_run, a_run_of, an_attempt, an_item

BASELINE = Baseline(
    run="accepted",
    created_at="2026-01-02T03:04:05+00:00",
    task=a_run().task,
    data="0123",
    parts={ALL: {"answer accuracy": Estimate(value=0.7, low=0.6, high=0.8, count=10)}},
)


def passes(run: Run, baseline: Baseline) -> bool:
    return all(one.passes for one in check(run, baseline))


@pytest.mark.parametrize(("right", "expected"), [(10, True), (7, True), (6, True), (5, False), (0, False)])
def test_it_fails_exactly_below_the_interval(right: int, expected: bool) -> None:
    """Its end still passes, and so does whatever is better."""
    run = a_run_of([1.0] * right + [0.0] * (10 - right))
    assert passes(run, BASELINE) is expected


@pytest.mark.parametrize(("wrong", "expected"), [(0, True), (4, True), (5, False)])
def test_an_error_fails_above_its_interval(wrong: int, expected: bool) -> None:
    """The area under risk and coverage is one; with the wrong answers the surest it is their number's doing."""
    sure_and_wrong = [an_item(n, measures={}, attempt=an_attempt(1 - n / 99, is_right=n >= wrong)) for n in range(9)]
    reference = a_run(
        *(replace(item, attempt=an_attempt(1 - n / 99, is_right=n >= 4)) for n, item in enumerate(sure_and_wrong))
    )
    value = next(
        check(reference, replace(BASELINE, parts={ALL: {"AURC": Estimate(value=0, low=0, high=1, count=9)}}))
    ).value
    assert value is not None
    baseline = replace(BASELINE, parts={ALL: {"AURC": Estimate(value=value, low=0.1, high=value, count=9)}})
    assert passes(a_run(*sure_and_wrong), baseline) is expected


def test_a_run_passes_its_own_baseline() -> None:
    """A baseline that was read from its file is the one that was written."""
    run = a_run(*(an_item(n, attempt=an_attempt(n / 9, is_right=n > 2)) for n in range(10)))
    assert passes(run, baseline_of(run))


def test_a_stored_baseline_is_read_as_it_was(tmp_path: Path) -> None:
    """Every part, measure and number."""
    save_baseline(BASELINE, tmp_path / "baseline.json")
    assert load_baseline(tmp_path / "baseline.json") == BASELINE


def test_parts_are_guarded_when_they_have_enough_questions() -> None:
    """A loss in one set is seen where a gain in another one hides it; a handful of questions makes no alarm."""
    items = [an_item(n, part=part) for part, count in (("a", 30), ("b", 60), ("c", 29)) for n in range(count)]
    baseline = baseline_of(a_run(*items))
    assert list(baseline.parts) == [ALL, "a", "b"]
    lost = a_run(*(replace(item, measures={"answer accuracy": float(item.part != "a")}) for item in items))
    fallen = [one.part for one in check(lost, baseline) if not one.passes]
    assert fallen == [ALL, "a"]


def test_a_measure_that_is_gone_has_fallen() -> None:
    """A question that cannot be measured any more is no better than one that was lost."""
    (checked,) = check(a_run(an_item(measures={"answer EM": 1.0})), BASELINE)
    assert (checked.value, checked.passes) == (None, False)


def test_a_baseline_of_other_data_is_refused() -> None:
    """Figures of other questions say nothing; the message tells how to renew them."""
    with pytest.raises(InvalidRequest, match="--renew"):
        list(check(a_run(setup={"data": "4567"}), BASELINE))


@pytest.mark.parametrize("fields", [{}, {"parts": []}, {"parts": {ALL: {"answer EM": {"value": 1}}}}])
def test_a_file_that_holds_no_baseline_says_so(tmp_path: Path, fields: dict[str, object]) -> None:
    """With its name."""
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"schema": 1, **fields}))
    with pytest.raises(InvalidRequest, match=r"baseline\.json' does not hold a baseline"):
        load_baseline(path)

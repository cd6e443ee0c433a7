"""Two runs are compared over the questions that both have."""

from dataclasses import replace

import pytest

from catalog.errors import InvalidRequest
from evaluation.comparison import Verdict, compare
from evaluation.runs import Run, Task
from tests.builders import a_run, a_run_of, an_attempt, an_item

HALF_RIGHT = [0.0, 1.0] * 20


def the_verdict(old: Run, new: Run) -> Verdict:
    (change,) = compare(old, new).measures
    return change.verdict


def test_a_run_does_not_differ_from_itself() -> None:
    """Every difference is 0, and every p value 1."""
    run = a_run(*(an_item(n, part="ab"[n % 2], attempt=an_attempt(n / 9, is_right=n > 4)) for n in range(10)))
    comparison = compare(run, run)
    assert [change.name for change in comparison.measures] == ["answer accuracy", "AURC"]
    for change in [*comparison.measures, *comparison.parts]:
        assert (change.difference.value, change.p_value, change.verdict) == (0.0, 1.0, Verdict.NONE_SHOWN)


def test_a_shift_of_all_questions_is_better_or_worse() -> None:
    """By its direction."""
    old, new = a_run_of([0.5] * 40), a_run_of([0.6] * 40)
    assert the_verdict(old, new) is Verdict.BETTER
    assert the_verdict(new, old) is Verdict.WORSE


def test_two_questions_of_forty_prove_nothing() -> None:
    """The words are careful: no difference was shown."""
    assert the_verdict(a_run_of(HALF_RIGHT), a_run_of([1.0, 1.0, 1.0, *HALF_RIGHT[3:]])) is Verdict.NONE_SHOWN


def test_a_smaller_area_under_risk_and_coverage_is_better() -> None:
    """It is an error: lower is better."""
    knowing = a_run(*(an_item(n, measures={}, attempt=an_attempt(n, is_right=n >= 20)) for n in range(40)))
    guessing = a_run(*(an_item(n, measures={}, attempt=an_attempt(-n, is_right=n >= 20)) for n in range(40)))
    assert the_verdict(guessing, knowing) is Verdict.BETTER


def test_a_measure_that_depends_on_what_the_system_did_is_compared_too() -> None:
    """Refusal precision: of the refused questions, which are others in each run."""
    old = a_run(*(an_item(n, measures={"refusal precision": float(n < 20)}) for n in range(40)))
    new = a_run(*(an_item(n, measures={"refusal precision": 1.0} if n < 20 else {}) for n in range(40)))
    (change,) = compare(old, new).measures
    assert (change.old, change.new, change.verdict) == (0.5, 1.0, Verdict.BETTER)


def test_p_values_are_corrected_for_their_number() -> None:
    """Among many measures one of them differs by chance."""

    def run(values: list[float], *more: str) -> Run:
        return a_run(*(an_item(n, measures=dict.fromkeys(("R@5", *more), v)) for n, v in enumerate(values)))

    new = [1.0] * 12 + HALF_RIGHT[12:]
    (alone,) = compare(run(HALF_RIGHT), run(new)).measures
    first, *_ = compare(run(HALF_RIGHT, "R@10", "R@100"), run(new, "R@10", "R@100")).measures
    assert first.p_value == pytest.approx(3 * alone.p_value)
    assert (alone.verdict, first.verdict) == (Verdict.BETTER, Verdict.NONE_SHOWN)


def test_parts_are_compared_by_the_headline_measure() -> None:
    """A part that lost what another one won is seen."""
    items = [an_item(n, part=part, measures={"nDCG@10": 0.5, "R@5": 1.0}) for n in range(30) for part in ("de", "en")]
    gained = {"de": 0.7, "en": 0.3}
    changed = [replace(item, measures={"nDCG@10": gained[item.part], "R@5": 1.0}) for item in items]
    comparison = compare(a_run(*items, task=Task.RANKING), a_run(*changed, task=Task.RANKING))
    assert comparison.headline == "nDCG@10"
    assert [(part.name, part.verdict) for part in comparison.parts] == [("de", Verdict.BETTER), ("en", Verdict.WORSE)]


def test_questions_that_one_run_lacks_are_left_out_and_counted() -> None:
    """A few; with more of them the runs are about different things."""
    run = a_run_of([1.0] * 20)
    comparison = compare(run, replace(run, items=run.items[:18]))
    assert (comparison.shared, comparison.unshared) == (18, 2)
    with pytest.raises(InvalidRequest, match=r"share 17 of 20 questions"):
        compare(run, replace(run, items=run.items[:17]))


def test_runs_that_cannot_be_compared_are_refused() -> None:
    """Other tasks, other texts under the same ids, other measures."""
    run = a_run_of([1.0] * 3)
    with pytest.raises(InvalidRequest, match="measured answers and 'a run' ranking"):
        compare(run, replace(run, task=Task.RANKING))
    with pytest.raises(InvalidRequest, match="share 0 of 3"):
        compare(run, replace(run, items=[replace(item, text="Another?") for item in run.items]))
    with pytest.raises(InvalidRequest, match="no measure in common"):
        compare(run, a_run_of([1.0] * 3, "answer EM"))

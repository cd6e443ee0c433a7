"""Signs that tell whether a quote is right are found, and none is made up."""

import random

import pytest

from evaluation.curves import risk_coverage

refusal = pytest.importorskip("benchmarks.refusal", reason="The wheel has no benchmarks.")
signs = pytest.importorskip("benchmarks.refusal_signs", reason="The wheel has no benchmarks.")


def some_cases(count: int = 2000) -> list["refusal.Case"]:
    """Quotes that are right as often as their meaning says, whatever their lead."""
    draw = random.Random(1)
    cases = []
    for _ in range(count):
        meaning, lead = draw.random(), draw.random()
        values = (lead, 0.0, meaning, 0.0, 0.0, 0.0, 0.0)
        right = draw.random() < meaning
        cases.append(refusal.Case(part="one", is_fitted=True, signs=values, is_right=right, is_answerable=True))
    return cases


def test_the_fit_finds_what_matters() -> None:
    """The sign that decides has weight, the others next to none, and confidence orders better than chance does."""
    cases = some_cases()
    model = refusal.fit(cases)
    lead, meaning = model.weights[0], model.weights[2]
    assert meaning > 3
    assert 3 * abs(lead) < meaning
    areas = [sum(risk for _, risk in risk_coverage(refusal.attempts(cases, each))) for each in (None, model)]
    assert areas[1] < 0.8 * areas[0]


def test_confidence_is_about_the_share_of_right_ones() -> None:
    """The mean of what is fitted is the mean of what happened."""
    cases = some_cases()
    model = refusal.fit(cases)
    mean = sum(model.confidence(case.signs) for case in cases) / len(cases)
    assert mean == pytest.approx(sum(case.is_right for case in cases) / len(cases), abs=0.02)


@pytest.mark.parametrize(
    ("question", "quote", "kind"),
    [
        ("How many pumps are there?", "There are 12 pumps.", 1),
        ("How many pumps are there?", "There are many pumps.", -1),
        ("When was it built?", "It was built in March.", 1),
        ("When was it built?", "It was built with care.", -1),
        ("Who built it?", "It was built by Tarnbeck.", 1),
        ("Who built Rome?", "Rome was not built in a day.", -1),
        ("Why is it red?", "It is red.", 0),
    ],
)
def test_the_kind_of_answer(question: str, quote: str, kind: float) -> None:
    """A number, a time, or a name that the question does not have."""
    assert kind == signs.kind_matches(question, quote)


def test_names_and_words_of_the_question() -> None:
    """Shares of those that the passage holds; a first word is no name for being capitalised."""
    assert signs.names_share("Is the Rime 40 from Tarnbeck?", "The Rime 40 is here.") == pytest.approx(2 / 3)
    assert signs.names_share("Is it red?", "Nothing.") == 1

"""A question of several parts is searched in steps, each led on by what was found before."""

from collections.abc import Sequence

import pytest

from generation.steps import left_open, new_names, queries_in_steps

BAND = "Counterparts\nThe album was made in 1993. Counterparts is by the band Rush from Toronto."
DRUMMER = "Rush\nTheir drummer is Neil Peart, born in Hamilton."
QUESTION = "Where was the drummer of the band that made Counterparts born?"


def test_what_a_passage_answers_is_not_searched_again() -> None:
    """Its words go, what it leaves open stays, and so do words without content."""
    assert left_open(QUESTION, BAND) == "Where was the drummer of the that born?"


@pytest.mark.parametrize(
    ("passage", "question", "expected"),
    [
        (BAND, QUESTION, ["Rush", "Toronto"]),
        (DRUMMER, QUESTION, ["Rush", "Neil Peart", "Hamilton"]),
        ("Heading\n", "heading", []),
        ("notes\nThe Bank of England was founded in 1694.", "founded", ["The Bank of England", "1694"]),
        ("Äpfel\nÄpfel wachsen in Österreich.", "Wo wachsen Äpfel?", ["Österreich"]),
        ("", "Why?", []),
    ],
)
def test_new_names_lead_on(passage: str, question: str, expected: list[str]) -> None:
    """Of the heading and of the sentence that fits best; what the question names is not new."""
    assert new_names(passage, question) == expected


def find(queries: Sequence[str]) -> list[str]:
    """Find the drummer only for a query that names the band."""
    return [BAND, *([DRUMMER] if any("Rush" in query for query in queries) else [])]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (1, [QUESTION]),
        (2, [QUESTION, "Where was the drummer of the that born? Rush Toronto"]),
        (
            3,
            [
                QUESTION,
                "Where was the drummer of the that born? Rush Toronto",
                "Where was the of the that Rush Neil Peart Hamilton",
            ],
        ),
        (9, None),
    ],
)
def test_each_step_reads_one_passage_more(steps: int, expected: list[str] | None) -> None:
    """At most as many as are allowed, and no more when every passage was read."""
    queries = queries_in_steps(QUESTION, steps=steps, find=find)
    assert queries == (expected or queries_in_steps(QUESTION, steps=3, find=find))


@pytest.mark.parametrize("found", [[], ["counterparts\nnothing new is here."], [""]])
def test_without_anything_new_the_question_stays_alone(found: list[str]) -> None:
    """Nothing found, or no name in it."""
    assert queries_in_steps(QUESTION, steps=4, find=lambda _: found) == [QUESTION]

"""Footnote marks in the answers of the command line."""

from typing import Any

import pytest

from api.cli.questions import with_marks
from generation.citations import Citation
from tests.builders import a_passage, sources_of

SOURCE = sources_of([a_passage()])[0]


def at(index: int, number: int) -> Citation:
    return Citation(index=index, number=number, source=SOURCE, start=0, end=1, quote="S", page=None)


@pytest.mark.parametrize(
    ("text", "citations", "expected"),
    [
        ("No claim.", [], "No claim."),
        ("One claim.", [at(10, 1)], "One claim. [1]"),
        ("One. Two.", [at(4, 1), at(9, 2)], "One. [1] Two. [2]"),
        ("One. Two.", [at(9, 2), at(4, 1)], "One. [1] Two. [2]"),
        ("One.", [at(4, 2), at(4, 1)], "One. [1] [2]"),
        ("One. Two.", [at(4, 1), at(9, 1)], "One. [1] Two. [1]"),
        ("🚀 One. Two.", [at(6, 1)], "🚀 One. [1] Two."),
    ],
)
def test_marks_stand_behind_their_claims_in_the_order_of_their_numbers(
    text: str, citations: list[Any], expected: str
) -> None:
    """Whatever order the citations come in."""
    assert with_marks(text, citations) == expected


@pytest.mark.parametrize(
    ("citations", "unsupported", "expected"),
    [
        ([], [(0, 4)], "One. [no source] Two."),
        ([at(4, 1)], [(5, 9)], "One. [1] Two. [no source]"),
        ([at(9, 1)], [(0, 4), (5, 9)], "One. [no source] Two. [1] [no source]"),
    ],
)
def test_sentences_without_a_source_are_marked_so(
    citations: list[Any], unsupported: list[tuple[int, int]], expected: str
) -> None:
    """Behind the footnotes that stand in them."""
    assert with_marks("One. Two.", citations, unsupported) == expected

"""Markers are read in every form that generators write them in."""

import pytest

from generation.markers import MARKER, MAX_MARKER, ending_marker, source_numbers, without_markers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("[1]", (1,)),
        ("[ 12 ]", (12,)),
        ("[1, 3]", (1, 3)),
        ("[1,3;5]", (1, 3, 5)),
        ("[1 and 2]", (1, 2)),
        ("[1, und 2]", (1, 2)),
        ("[1 2]", (1, 2)),
        ("[1-3]", (1, 2, 3)),
        ("[2–4, 7]", (2, 3, 4, 7)),
        ("[1 to 3]", (1, 2, 3)),
        ("[3-1]", (3, 1)),
        ("【1】", (1,)),
        ("【2†source】", (2,)),
        ("【4:0†notes.txt】", ()),
        ("［１］", (1,)),
        ("[１，３]", (1, 3)),
        ("[٣]", (3,)),
        ("[²]", (2,)),
        ("[①]", (1,)),
        ("[^1]", (1,)),
        ("[#2]", (2,)),
        ("[Source 1]", (1,)),
        ("[source: 2, source: 4]", (2, 4)),
        ("[Sources 1-2]", (1, 2)),
        ("[doc_3]", (3,)),
        ("[Quelle 2]", (2,)),
        ("[1, p. 12]", (1,)),
        ("[2, pages 3-4]", (2,)),
        (r"\[1\]", (1,)),
        ("[[1]", (1,)),
        ("[ [ 1]", (1,)),
        ("[\u200b1\u2060]", (1,)),
        ("[1\u200b2]", (12,)),
        ("[none]", ()),
        ("[NONE]", ()),
        ("[0]", (0,)),
    ],
)
def test_a_marker_gives_its_numbers(text: str, numbers: tuple[int, ...]) -> None:
    """Lists are read in order, ranges are written out, digits of every script count."""
    marker = MARKER.fullmatch(text)
    assert marker
    assert numbers == source_numbers(marker)


@pytest.mark.parametrize(
    "text",
    ["(1)", "[]", "[x]", "[see 1]", "[1/2]", "[1.5]", "[12:30]", "[1234567890]", "[a-z]", "[-1]", "[1", "1]", "[^x]"],
)
def test_other_brackets_are_text(text: str) -> None:
    """What names no source for certain is no marker."""
    assert MARKER.search(text) is None


def test_a_range_is_bounded() -> None:
    """A million sources are not looked for."""
    marker = MARKER.fullmatch("[1-999999999]")
    assert marker
    assert len(source_numbers(marker)) < 100


def test_only_a_marker_at_the_end_is_found_there() -> None:
    """The longest one counts, and none that is longer than a marker can be."""
    found = ending_marker("one [2] two [ [1]")
    assert found is not None
    assert found.group() == "[ [1]"
    assert ending_marker("[1] one") is None
    assert ending_marker("[" + " " * MAX_MARKER + "1]") is None


def test_markers_of_a_source_are_blanked_out() -> None:
    """Everything else stays at its place."""
    text = "Born in 1950.[3] He sang [note 2] well."
    blanked = without_markers(text)
    assert blanked == "Born in 1950.    He sang          well."
    assert len(blanked) == len(text)

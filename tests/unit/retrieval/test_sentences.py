"""Sentences by rule: everything is in one, and a full stop is not always an end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.sentences import iterate_sentences, split_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Wait… What?! Yes.", ["Wait…", "What?!", "Yes."]),
        ('He said "No." She left.', ['He said "No."', "She left."]),
        ("It costs 3.50 euros. Fine.", ["It costs 3.50 euros.", "Fine."]),
        ("See Fig. 3, e.g. the valve. Next.", ["See Fig. 3, e.g. the valve.", "Next."]),
        ("Dr. A. Miller et al. wrote it. Good.", ["Dr. A. Miller et al. wrote it.", "Good."]),
        ("Das gilt z.B. hier. Und bzw. dort.", ["Das gilt z.B. hier.", "Und bzw. dort."]),
        ("1. Open the valve. 2. Close it.", ["1. Open the valve.", "2.", "Close it."]),
        ("1. Open the valve.\n2. Close it.", ["1. Open the valve.", "2. Close it."]),
        ("It was in 1999. Then", ["It was in 1999.", "Then"]),
        ("第一句。第二句！第三句？", ["第一句。", "第二句！", "第三句？"]),
        ("「はい。」次。", ["「はい。」", "次。"]),
        ("A title\n\nA paragraph\nof two lines", ["A title", "A paragraph\nof two lines"]),
        ("Items:\n- one\n- two\n• three", ["Items:", "- one", "- two", "• three"]),
        ("version 2.1 of www.example.org is out. Yes.", ["version 2.1 of www.example.org is out.", "Yes."]),
    ],
)
def test_text_is_cut_at_its_sentences(text: str, expected: list[str]) -> None:
    """Abbreviations, initials, numbers and steps do not end a sentence; blank lines and list items do."""
    assert expected == sentences(text)


PROSE = st.text(alphabet=st.sampled_from("ab Z1.!?。\n\"')-•|… e.g Dr"), max_size=80)


@given(st.one_of(st.text(), PROSE))
def test_sentences_hold_every_character_that_is_no_blank(text: str) -> None:
    """They ascend, do not overlap, are never blank at their ends, and lose nothing."""
    spans = split_sentences(text)
    assert all(start < end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert all(s == s.strip() for s in sentences(text))
    assert "".join(text.split()) == "".join("".join(s.split()) for s in sentences(text))


@given(PROSE, PROSE, PROSE)
def test_the_sentences_of_a_part_are_those_of_the_part_alone(before: str, part: str, after: str) -> None:
    """What stands around the part does not count, if a line ends between."""
    before, after = f"{before}\n", f"\n{after}"
    whole = f"{before}{part}{after}"
    found = [whole[s:e] for s, e in iterate_sentences(whole, len(before), len(before) + len(part))]
    assert sentences(part) == found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("." * 300_000 + "x", 1),
        ("One." + "\n" * 300_000 + "Two.", 2),
        ("One." + " " * 300_000 + "Two.", 2),
        ("One 1. " * 60_000 + "x", 60_000),
        ("\n" + "1" * 300_000, 1),
    ],
)
def test_long_runs_take_no_more_than_linear_time(text: str, count: int) -> None:
    """Leader dots, blank lines and numbers of any length; with a quadratic rule this test takes hours."""
    assert count == len(split_sentences(text))

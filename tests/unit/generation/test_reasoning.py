"""What a model thinks never reaches its reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.backends.base import Finished, FinishReason, TextDelta, Usage
from generation.reasoning import Reasoning

FINISHED = Finished(reason=FinishReason.STOP, usage=Usage(input_tokens=1, output_tokens=1))


def run(pieces: list[str], mark: str = "ANSWER:") -> tuple[str, str]:
    """Return what was given out, and what was kept back."""
    reasoning = Reasoning(mark)
    *texts, last = reasoning.answer(iter([*(TextDelta(text=piece) for piece in pieces), FINISHED]))
    assert last is FINISHED
    return "".join(piece.text for piece in texts if isinstance(piece, TextDelta)), reasoning.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let me see. ANSWER: It is 5 [1].", ("It is 5 [1].", "Let me see.")),
        ("ANSWER:It is 5.", ("It is 5.", "")),
        ("I think. ANSWER: one ANSWER: two", ("one ANSWER: two", "I think.")),
        ("I never come to the point.", ("", "I never come to the point.")),
        ("ANSW ANSWE ANSWER", ("", "ANSW ANSWE ANSWER")),
    ],
)
def test_only_what_is_behind_the_mark_is_given_out(text: str, expected: tuple[str, str]) -> None:
    """The first mark counts; without one nothing is given out."""
    assert run([text]) == expected
    assert run(list(text)) == expected


@given(st.lists(st.integers(1, 6), max_size=20))
def test_it_does_not_matter_how_the_text_is_cut_up(lengths: list[int]) -> None:
    """The mark may be spread over any pieces."""
    text, pieces, place = "So 5 is AN ANSWER. ANSWER: It is ANSWER 5.", [], 0
    for length in lengths:
        pieces.append(text[place : place + length])
        place += length
    assert run([*pieces, text[place:]]) == ("It is ANSWER 5.", "So 5 is AN ANSWER.")

"""Windows: together they hold every token, none is too long, and they end with sentences where they can."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.windows import split_windows


def words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", text)]


def windows_of(text: str, max_tokens: int) -> list[str]:
    return [text[start:end] for start, end in split_windows(text, words(text), max_tokens=max_tokens)]


@given(
    sentences=st.lists(st.integers(1, 40), max_size=20),
    size=st.integers(1, 50),
    separator=st.sampled_from([" ", "\n\n"]),
)
def test_windows_cover_every_token_within_the_limit(sentences: list[int], size: int, separator: str) -> None:
    """Each token is in exactly one window, in order, and no window is longer than asked."""
    text = separator.join(" ".join(["Word"] * length) + "." for length in sentences)
    tokens = words(text)
    ranges = split_windows(text, tokens, max_tokens=size)
    counts = [sum(start <= token[0] < end for token in tokens) for start, end in ranges]
    assert sum(counts) == len(tokens)
    assert all(0 < count <= size for count in counts)
    assert all(one[1] <= other[0] for one, other in pairwise(ranges))


@pytest.mark.parametrize(
    ("text", "max_tokens", "expected"),
    [
        ("One two.", 5, ["One two."]),
        ("One two. Three four.", 3, ["One two.", "Three four."]),
        # Two windows are needed, so they share the text evenly instead of filling the first.
        ("Go up. Go in. Sit down. Go home.", 6, ["Go up. Go in.", "Sit down. Go home."]),
        # A sentence that is too long is cut within.
        ("One two three four five.", 2, ["One two", "three four", "five."]),
        ("Short. One two three four five. End.", 3, ["Short.", "One two three", "four five. End."]),
        ("", 5, []),
    ],
)
def test_windows_end_with_sentences_where_they_can(text: str, max_tokens: int, expected: list[str]) -> None:
    """What is embedded together is whole thoughts."""
    assert expected == windows_of(text, max_tokens)

"""File names from multipart headers."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.routes.files import filename_of
from catalog.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plan.txt", "plan.txt"),
        ("  plan.txt ", "plan.txt"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("a%22b%22.txt", 'a"b".txt'),
        ("a%0D%0Ab.txt", "ab.txt"),
        ("100%.txt", "100%.txt"),
        ("a\x00b\x1bc\x7f\x85.txt", "abc.txt"),
        ("a\r\nb.txt", "ab.txt"),
        ("a\ud800.txt", "a.txt"),
        ("خطة 🚀.txt", "خطة 🚀.txt"),
        ("👩🏽\u200d🚀.txt", "👩🏽\u200d🚀.txt"),
        ("x" * 255, "x" * 255),
    ],
)
def test_a_name_is_kept_but_for_what_nobody_can_read(name: str, expected: str) -> None:
    """Control characters and halves of characters go; everything else is the user's own."""
    assert filename_of(name) == expected


@pytest.mark.parametrize("name", ["", "  ", "\x00\x01", "%0D%0A", "x" * 256])
def test_a_name_that_is_empty_or_too_long_is_refused(name: str) -> None:
    """With the number of characters that are left."""
    with pytest.raises(InvalidRequest, match="characters"):
        filename_of(name)


@given(st.text(st.characters(), max_size=300))
def test_what_is_accepted_is_clean_and_stays_as_it_is(name: str) -> None:
    """Whatever comes in: no control character comes out, and it can be written as UTF-8."""
    try:
        cleaned = filename_of(name)
    except InvalidRequest:
        return
    assert not any(unicodedata.category(character) == "Cc" for character in cleaned)
    cleaned.encode()
    assert 1 <= len(cleaned) <= 255
    assert cleaned == cleaned.strip()

"""Bytes become the text that they were, without a hint where there is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsers.decoding import decode, decode_declared, is_text, unreadable

# Without controls, and without what begins like a byte order mark.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(lambda text: text[0] != "\ufeff")


@given(TEXTS)
def test_utf_8_is_always_found(text: str) -> None:
    """Whatever the text, and in every script."""
    assert decode(text.encode()) == text


@given(st.text(alphabet='ab ,"\n', min_size=10), st.integers(min_value=0, max_value=10))
def test_a_zero_among_ascii_makes_no_chinese(text: str, place: int) -> None:
    """Two letters of ASCII are a Chinese character in UTF-16."""
    spoilt = f"{text[:place]}\0{text[place:]}"
    assert decode(spoilt.encode()) == spoilt


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        (b"\x80", "iso-8859-1", "€"),
        (b"\x80", "us-ascii", "€"),
        ("①".encode("cp932"), "shift_jis", "①"),
        ("镕".encode("gbk"), "gb2312", "镕"),
        ("ä".encode(), "UTF8", "ä"),
        ("ä".encode("utf-16"), "utf-16", "ä"),
        (b"abcd", "utf-16", None),
        ("ab cd".encode("utf-16-le"), "utf-8", None),
        (b"\xff", "utf-8", None),
        (b"abc", "martian", None),
        (b"abc", "punycode", None),
        (b"abc", "undefined", None),
        (b"abc", "base64", None),
        (b"abc", "", None),
        (b"abc", "a\0b", None),
    ],
)
def test_a_declared_charset_counts_where_it_can_be_true(content: bytes, charset: str, text: str | None) -> None:
    """Its vendor's superset decides, and codecs that are no charsets never do."""
    assert decode_declared(content, charset) == text


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("all is well", []),
        ("a\nb\ufffd\nc", ["1 character could not be decoded, the first in line 2; save the file as UTF-8"]),
        ("\ufffd" * 1500, ["1,500 characters could not be decoded, the first in line 1; save the file as UTF-8"]),
    ],
)
def test_what_could_not_be_decoded_is_counted(text: str, sentences: list[str]) -> None:
    """With the first place."""
    assert list(unreadable(text)) == sentences


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"words\n", True),
        (b"words \x07\x07\x07", False),
        (b"w" * 8000 + b"\0" * 8, True),
        (b"w" * 8000 + b"\0" * 9, False),
        ("слова и слова".encode("utf-16-le"), True),
        ("这是，文".encode("utf-16-be") + b"\0 ", True),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0d", False),
        (bytes(100), False),
    ],
)
def test_text_is_told_from_binaries(head: bytes, expected: bool) -> None:
    """A log with a few zeros from a crash is text, and so is UTF-16 without a mark."""
    assert is_text(head) is expected

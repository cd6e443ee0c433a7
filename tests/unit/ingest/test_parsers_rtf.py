"""RTF keeps paragraphs, headings and tables, in every encoding that it has for a letter."""

from pathlib import Path

import pytest

from catalog.errors import InvalidFile
from ingest.documents import Category, ParsedDocument
from ingest.parsers import parse_file
from tests.unit.ingest.parsing import elements

HEADING, TEXT, TABLE = Category.HEADING, Category.TEXT, Category.TABLE


def parse(tmp_path: Path, content: str | bytes) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content.encode("ascii") if isinstance(content, str) else content)
    return parse_file(path, "a.rtf")


def escaped(text: str, encoding: str) -> str:
    """Return `text` as RTF writes it: all bytes of a letter beyond ASCII in hexadecimal."""
    letters = (letter if letter.isascii() else letter.encode(encoding) for letter in text)
    return "".join(
        letter if isinstance(letter, str) else "".join(f"\\'{byte:02x}" for byte in letter) for letter in letters
    )


def test_rtf_paragraphs_headings_and_tables_come_in_order(tmp_path: Path) -> None:
    """Outline levels make headings, and the cells of a row keep the pipes in them."""
    document = parse(
        tmp_path,
        r"""{\rtf1\ansi{\stylesheet{\s1\outlinelevel0 heading 1;}}{\header Page head}
{\pard\outlinelevel0 Part\par}{\pard\outlinelevel1\b Detail\par}{\pard A {\b bold} word \{x\}.\par}
\trowd\cellx1\cellx2\pard\intbl a|b\cell c\cell\row\pard\intbl 1\cell\cell\row
\pard\plain End of \\cell.\par}trailing""",
    )
    assert elements(document) == [
        (HEADING, "Part"),
        (HEADING, "Detail"),
        (TEXT, "A bold word {x}."),
        (TABLE, "| a\\|b | c |\n| --- | --- |\n| 1 |  |"),
        (TEXT, "End of \\cell."),
        (TEXT, "Page head"),
    ]
    assert document.elements[2].headings == ("Part", "Detail")
    assert document.title == "Part"


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        ("Příliš žluťoučký kůň", "cp1250", 238),
        ("Однажды зимой", "cp1251", 204),
        ("Γειά σου", "cp1253", 161),
        ("日本語", "cp932", 128),
    ],
)
def test_rtf_letters_are_read_by_the_character_set_of_their_font(
    tmp_path: Path, text: str, encoding: str, charset: int
) -> None:
    """The font's character set goes before the code page of the file."""
    fonts = rf"{{\fonttbl{{\f0\fnil\fcharset0 Arial;}}{{\f1\fnil\fcharset{charset} Arial;}}}}"
    content = rf"{{\rtf1\ansi\ansicpg1252\deff0{fonts}\pard\f1 {escaped(text, encoding)}\par}}"
    assert parse(tmp_path, content).text == text


@pytest.mark.parametrize("is_escaped", [True, False])
def test_rtf_letters_are_read_by_the_code_page_of_the_file(tmp_path: Path, is_escaped: bool) -> None:
    """Some writers leave the bytes as they are."""
    text = "Однажды зимой"
    head = rb"{\rtf1\ansi\ansicpg1251 "
    body = escaped(text, "cp1251").encode() if is_escaped else text.encode("cp1251")
    assert parse(tmp_path, head + body + rb"\par}").text == text


def test_rtf_unicode_escapes_are_read_without_their_fallbacks(tmp_path: Path) -> None:
    """Characters beyond U+FFFF come in two halves, and negative numbers are those above 32767."""
    content = r"{\rtf1\ansi\uc1 \u268?\u8211- \u-10179?\u-8704? \u-225?}"
    assert parse(tmp_path, content).text == "Č– 😀 \uff1f"


def test_an_unknown_code_page_does_not_hinder(tmp_path: Path) -> None:
    """ASCII is the same in all of them."""
    assert parse(tmp_path, r"{\rtf1\ansi\ansicpg99999 word\par}").text == "word"


def test_an_rtf_title_comes_from_the_properties(tmp_path: Path) -> None:
    """It is escaped like the text, and is no part of it."""
    document = parse(tmp_path, r"{\rtf1\ansi\ansicpg1250{\info{\author A}{\title Pl\'e1n \'e8. 1}}Text\par}")
    assert (document.title, document.text) == ("Plán č. 1", "Text")


def test_an_rtf_link_is_its_text(tmp_path: Path) -> None:
    """The target is left out, and many links that never end cost no time."""
    link = r'{\field{\*\fldinst{HYPERLINK "http://example.org"}}{\fldrslt{the text}}}'
    assert parse(tmp_path, rf"{{\rtf1 see {link} and {link}.\par}}").text == "see the text and the text."
    assert parse(tmp_path, r"{\rtf1 x" + r"{\field{\*\fldinst{ HYPERLINK " * 20_000 + "}").text == "x"


def test_rtf_pictures_are_left_out(tmp_path: Path) -> None:
    """Neither their bytes nor the time to read them counts."""
    content = r"{\rtf1 before{\pict\pngblip " + "0123456789abcdef\n" * 200_000 + r"} after\par}"
    assert parse(tmp_path, content).text == "before after"


@pytest.mark.parametrize("content", [r"{\rtf1}", r"{\rtf1{\pict\pngblip 00ff}}"])
def test_rtf_without_text_is_refused(tmp_path: Path, content: str) -> None:
    """Pictures alone hold nothing to answer from."""
    with pytest.raises(InvalidFile, match=r"'a\.rtf' holds no text"):
        parse(tmp_path, content)


def test_damaged_rtf_ends_in_a_reason(tmp_path: Path) -> None:
    """A number out of range is all that striprtf minds."""
    with pytest.raises(InvalidFile, match=r"'a\.rtf' is damaged RTF"):
        parse(tmp_path, r"{\rtf1 \u9999999?}")

"""A text that is too long is cut, and its warning says where."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.documents import Category, DocumentBuilder, ParsedDocument, truncate
from ingest.parsers import parse_file
from ingest.parsers.decoding import read_lines

PARAGRAPHS = st.lists(st.text(alphabet="ab \n", min_size=1, max_size=30), min_size=1, max_size=8)


def document(paragraphs: list[str]) -> ParsedDocument:
    builder = DocumentBuilder("text/plain")
    for number, paragraph in enumerate(paragraphs, 1):
        builder.add(f"x{paragraph}", page=number)
    return builder.build(pages=len(paragraphs), pages_read=len(paragraphs))


@given(PARAGRAPHS, st.integers(min_value=1, max_value=300))
def test_what_is_kept_is_a_beginning_with_whole_elements(paragraphs: list[str], limit: int) -> None:
    """Offsets stay true, nothing is empty, and nothing is beyond the limit."""
    whole = document(paragraphs)
    cut = truncate(whole, limit)
    assert whole.text.startswith(cut.text)
    assert 0 < len(cut.text) <= limit or cut.text == whole.text
    assert cut.elements[-1].end == len(cut.text)
    assert all(element.start < element.end for element in cut.elements)
    assert [e.start for e in cut.elements] == [e.start for e in whole.elements[: len(cut.elements)]]
    assert bool(cut.warnings) == (len(whole.text) > limit)


def test_a_document_of_too_many_elements_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs the worker a hundred times the memory of its few bytes of text."""
    monkeypatch.setattr("ingest.documents._MAX_ELEMENTS", 2)
    cut = truncate(document(["one", "two", "three"]), 1000)
    assert (cut.text, len(cut.elements), len(cut.warnings)) == ("xone\n\nxtwo", 2, 1)


def test_the_warning_names_the_page() -> None:
    cut = truncate(document(["one", "two", "three"]), 9)
    assert cut.warnings == ("the text was cut on page 2: of 18 characters the first 9 are read; split the file",)
    assert (cut.pages, cut.pages_read) == (3, 2)


def test_without_pages_the_warning_names_the_heading() -> None:
    builder = DocumentBuilder("text/html")
    builder.add("Pumps", category=Category.HEADING)
    builder.add("one two three")
    (warning,) = truncate(builder.build(), 15).warnings
    assert warning == "the text was cut in 'Pumps': of 20 characters the first 14 are read; split the file"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_lines_are_read_up_to_the_limit(tmp_path: Path, encoding: str) -> None:
    """Whole ones, whatever the encoding; the file is not read much further."""
    path = tmp_path / "a.txt"
    path.write_bytes("".join(f"Zeile {number} über Öl\n" for number in range(1000)).encode(encoding))
    text, (warning,) = read_lines(path, 100)
    assert text == "".join(f"Zeile {number} über Öl\n" for number in range(6))
    assert warning == "the text was cut at line 7: more than 100 characters are not read; split the file"


def test_a_line_that_is_too_long_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("ä" * 1000)
    text, (warning,) = read_lines(path, 100)
    assert text == "ä" * 100
    assert "cut at line 1" in warning


def test_a_file_within_the_limit_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a\nb" * 10)
    assert read_lines(path, 30) == ("a\nb" * 10, [])


@pytest.mark.parametrize(
    ("name", "line"), [("a.txt", "some words"), ("a.csv", "7,8"), ("a.jsonl", '{"a": 1}'), ("a.py", "x = 1")]
)
def test_formats_of_lines_say_where_they_were_cut(tmp_path: Path, name: str, line: str) -> None:
    path = tmp_path / name
    path.write_text(f"{line}\n" * 1000)
    found = parse_file(path, name, max_chars=50)
    assert any("the text was cut at line" in warning for warning in found.warnings)
    assert len(found.text) <= 50


def test_other_formats_are_cut_when_they_have_been_read(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<h1>Pumps</h1>" + "<p>some words</p>" * 100)
    found = parse_file(path, "a.html", max_chars=50)
    assert found.warnings[0].startswith("the text was cut in 'Pumps'")
    assert len(found.text) <= 50

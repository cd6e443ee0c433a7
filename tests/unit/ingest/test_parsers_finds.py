"""Finds of the fuzzer (tests/fuzz), each reduced to the least that it takes to raise or to hang."""

from pathlib import Path

import pytest

from catalog.errors import InvalidFile
from tests.compound_files import attachment, message
from tests.fuzz.laws import broken_laws
from tests.hostile import part_of, repacked, sheet_with
from tests.samples import slides, word_file, workbook
from tests.unit.ingest.parsing import parse


def changed(package: bytes, member: str, old: bytes, new: bytes) -> bytes:
    """Return the package with the first `old` of a member replaced; it has to be there."""
    content = part_of(package, member)
    assert old in content
    return repacked(package, {member: content.replace(old, new, 1)})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.xlsx", lambda: sheet_with("<row><c><v>1</v></row>")),
        ("a.xlsx", lambda: changed(workbook(), "xl/workbook.xml", b"<sheets>", b"<sheets>\0")),
        ("a.xlsx", lambda: repacked(workbook(), {"xl/styles.xml": b"<?xml version='1.0' encoding='UTF-1e308'?><a/>"})),
        ("a.docx", lambda: changed(word_file(), "word/styles.xml", b'<w:name w:val="Normal"/>', b"<w:name/>")),
        ("a.pptx", lambda: changed(slides(), "[Content_Types].xml", b' ContentType="', b' ContentTyp="')),
        ("a.pptx", lambda: changed(slides(), "ppt/_rels/presentation.xml.rels", b" Target=", b" Targe=")),
        ("a.pptx", lambda: changed(slides(), "ppt/slides/slide1.xml", b"<p:spTree", b"<p:spTre")),
    ],
    ids=[
        *("a sheet's tags", "a zero in a workbook", "an unknown encoding", "a style without its name"),
        *("a part without its type", "a relationship without its target", "a slide without its tree"),
    ],
)  # fmt: skip
def test_broken_parts_of_office_files_are_damage(tmp_path: Path, name: str, content: object) -> None:
    """Every library has an error of its own for them."""
    assert callable(content)
    with pytest.raises(InvalidFile, match=rf"'{name}' is (?:damaged|nested)"):
        parse(tmp_path, name, content())


@pytest.mark.parametrize(
    "number", ["1111111111111111111", "99999999999", "1048577"], ids=["a quintillion", "a hundred billion", "one more"]
)
def test_a_row_beyond_the_last_one_costs_nothing(tmp_path: Path, number: str) -> None:
    """openpyxl yields a row for every number up to it."""
    rows = f'<row r="1"><c><v>1</v></c></row><row r="{number}"><c><v>2</v></c></row>'
    document = parse(tmp_path, "a.xlsx", sheet_with(rows))
    assert document.text == "Parts\n\n1"
    assert document.warnings[0] == "sheet 'Parts': 1 cell at impossible places could not be read"


@pytest.mark.parametrize(
    "page",
    [
        "<table><tr><td rowspan=2>a&#1;b</td></tr><tr><td>c</td></tr></table>",
        "x<script></script>&#2;y",
        "<p>a\x01b</p><nav>c</nav>\x02d" + " and more words" * 9,
        "<p>x</p> <?xml version='1.0' encoding='utf-8'?><p>y</p>",
        "<p>&#xFFFF;&#xD800;x</p><svg/>&#x1F;",
    ],
    ids=["in a copied cell", "after what is removed", "as themselves", "an XML declaration", "noncharacters"],
)
def test_control_characters_in_html_are_dropped(tmp_path: Path, page: str) -> None:
    """lxml reads references to them and refuses to write them."""
    assert broken_laws(parse(tmp_path, "a.html", page.encode())) == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Date", "Fri, 20 Dec 99999999999999 12:08:48 -0600"),
        ("Date", "Fri, 20 Dec 2025 12:08:48 -99999999999999999999"),
        ("From", '"'),
        ("From", ":;,<"),
        ("To", "a group: b@c.de;, <@x,"),
        ("To", "=?utf-8?b?a?= <a@b.de>"),
        ("Cc", "=?martian?q?x?="),
    ],
)
def test_malformed_headers_of_a_mail_are_shown_as_they_are(tmp_path: Path, header: str, value: str) -> None:
    """The newer policies of the standard library fail on them in half a dozen ways."""
    document = parse(tmp_path, "a.eml", f"{header}: {value}\nSubject: Hi\n\nText.\n".encode())
    assert document.text == f"Hi\n\n{header}: {value}\n\nText."


@pytest.mark.parametrize("name", ["a\0b.pdf", "\x07.pdf", "line\nbreak.pdf"])
def test_odd_names_of_attachments_are_written_out(tmp_path: Path, name: str) -> None:
    """A warning holds no control characters."""
    content = message({0x1000: "Text."}, **{"__attach_version1.0_#00000000": attachment(name)})
    document = parse(tmp_path, "a.msg", content)
    assert document.warnings == (f"attachment {name!r} was not read; upload it as a file of its own",)
    assert broken_laws(document) == []

"""Office files made by their own libraries come back whole; broken and hostile ones end in a reason."""

import datetime
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.util import Inches

from catalog.errors import InvalidFile, ParseLimitExceeded
from ingest.documents import Category, ParsedDocument
from ingest.parsers import packages, parse_file
from tests.unit.ingest.parsing import elements

Found = list[tuple[Category, str]]


def parse_saved(tmp_path: Path, save: Callable[[str], object], name: str) -> ParsedDocument:
    path = tmp_path / "upload"
    save(str(path))
    return parse_file(path, name)


def rewritten(content: bytes, member: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return the package `content` with one member changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == member else old.read(name))
    return buffer.getvalue()


def word_file(*paragraphs: str) -> bytes:
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def parse_bytes(tmp_path: Path, content: bytes, name: str) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return parse_file(path, name)


def test_word_headings_lists_and_text_come_in_order(tmp_path: Path) -> None:
    source = docx.Document()
    source.core_properties.title = "The plan"
    source.add_heading("Part", 1)
    source.add_paragraph("Some text without a verb")
    source.add_heading("Detail", 2)
    source.add_paragraph("first", style="List Bullet")
    source.add_paragraph("second", style="List Number")
    source.add_heading("Next part", 1)
    source.add_paragraph("SHORT")
    document = parse_saved(tmp_path, source.save, "a.docx")
    assert document.title == "The plan"
    assert [(category, text.removeprefix("1. ")) for category, text in elements(document)] == [
        (Category.HEADING, "Part"),
        (Category.TEXT, "Some text without a verb"),
        (Category.HEADING, "Detail"),
        (Category.LIST_ITEM, "first"),
        (Category.LIST_ITEM, "second"),
        (Category.HEADING, "Next part"),
        (Category.TEXT, "SHORT"),
    ]
    assert document.elements[4].headings == ("Part", "Detail")
    assert document.elements[6].headings == ("Next part",)


def test_word_tables_keep_their_columns_where_cells_are_merged(tmp_path: Path) -> None:
    source = docx.Document()
    table = source.add_table(3, 3)
    for row, texts in enumerate((("Region", "Q1", "Q2"), ("North", "1", "2"), ("", "3", "4"))):
        for column, text in enumerate(texts):
            table.cell(row, column).text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    table.cell(0, 1).merge(table.cell(0, 2))
    table.cell(0, 1).text = "Quarters"
    inner = table.cell(2, 2).add_table(1, 1)
    inner.cell(0, 0).text = "nested"
    lines = parse_saved(tmp_path, source.save, "a.docx").text.splitlines()
    assert lines == [
        "| Region | Quarters |  |",
        "| --- | --- | --- |",
        "| North | 1 | 2 |",
        "| North | 3 | 4 nested |",
    ]


def test_word_text_in_controls_insertions_boxes_and_footnotes_is_not_lost(tmp_path: Path) -> None:
    source = docx.Document()
    source.add_paragraph("before")
    body = source.element.body
    namespaces = nsdecls("w")
    body.insert(
        1,
        parse_xml(
            f"<w:sdt {namespaces}><w:sdtPr/><w:sdtContent><w:p><w:r><w:t>control</w:t></w:r></w:p>"
            "</w:sdtContent></w:sdt>"
        ),
    )
    body.insert(
        2, parse_xml(f"<w:p {namespaces}><w:ins w:id='1' w:author='x'><w:r><w:t>inserted</w:t></w:r></w:ins></w:p>")
    )
    body.insert(
        3,
        parse_xml(
            f"<w:p {namespaces}><w:r><w:t>anchor</w:t></w:r><w:r><w:pict>"
            "<v:shape xmlns:v='urn:schemas-microsoft-com:vml'><v:textbox><w:txbxContent>"
            "<w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent></v:textbox></v:shape></w:pict></w:r></w:p>"
        ),
    )
    assert [text for _, text in elements(parse_saved(tmp_path, source.save, "a.docx"))] == [
        "before",
        "control",
        "inserted",
        "anchor",
        "boxed",
    ]


def test_powerpoint_slides_are_pages_with_title_text_table_and_notes(tmp_path: Path) -> None:
    source = pptx.Presentation()
    first = source.slides.add_slide(source.slide_layouts[1])
    first.shapes.title.text = "Results"
    first.placeholders[1].text = "Revenue rose\nCosts fell"
    first.notes_slide.notes_text_frame.text = "Say it slowly."
    second = source.slides.add_slide(source.slide_layouts[5])
    second.shapes.title.text = "Table"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(3), Inches(4), Inches(1)).table
    for place, text in zip(((0, 0), (0, 1), (1, 0), (1, 1)), "abcd", strict=True):
        table.cell(*place).text = text
    document = parse_saved(tmp_path, source.save, "a.pptx")
    assert [(e.page, *found) for e, found in zip(document.elements, elements(document), strict=True)] == [
        (1, Category.HEADING, "Results"),
        (1, Category.TEXT, "Revenue rose"),
        (1, Category.TEXT, "Costs fell"),
        (1, Category.TEXT, "Say it slowly."),
        (2, Category.HEADING, "Table"),
        (2, Category.TABLE, "| a | b |\n| --- | --- |\n| c | d |"),
    ]
    assert (document.title, document.pages, document.pages_read) == ("Results", 2, 2)


def test_excel_sheets_are_headings_and_cells_stay_what_they_are(tmp_path: Path) -> None:
    source = openpyxl.Workbook()
    sheet = source.active
    sheet.title = "Parts"
    for row in (
        ["Price list"],
        ["Part", "Code", "Price", "Since", "Share", "Sold"],
        ["NA", "007", 4.5, datetime.date(2024, 1, 2), 0.125, True],
        ["None", "null", 10**12, datetime.datetime(2024, 1, 2, 3, 4), 1, False],
        [],
        ["Other", "Table"],
        [1.0, 0.1 + 0.2],
    ):
        sheet.append(row)
    sheet["E3"].number_format = "0.0%"
    source.create_sheet("Empty")
    source.create_sheet("Last").append(["one cell"])
    document = parse_saved(tmp_path, source.save, "a.xlsx")
    assert elements(document) == [
        (Category.HEADING, "Parts"),
        (Category.TEXT, "Price list"),
        (
            Category.TABLE,
            "| Part | Code | Price | Since | Share | Sold |\n| --- | --- | --- | --- | --- | --- |\n"
            "| NA | 007 | 4.5 | 2024-01-02 | 12.5% | TRUE |\n"
            "| None | null | 1000000000000 | 2024-01-02 03:04:00 | 1 | FALSE |",
        ),
        (Category.TABLE, "| Other | Table |\n| --- | --- |\n| 1 | 0.3 |"),
        (Category.HEADING, "Last"),
        (Category.TEXT, "one cell"),
    ]
    assert document.warnings == ("sheet 'Empty' holds no values",)


def test_formulas_without_stored_results_are_stated(tmp_path: Path) -> None:
    source = openpyxl.Workbook()
    source.active.append(["a", "=1+1"])
    assert parse_saved(tmp_path, source.save, "a.xlsx").warnings == (
        "sheet 'Sheet' has 1 formula without a stored result; open the file in a spreadsheet program and save it",
    )


def test_an_empty_workbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="holds no text: sheet 'Sheet' holds no values"):
        parse_saved(tmp_path, openpyxl.Workbook().save, "a.xlsx")


def test_a_truncated_word_file_is_damaged(tmp_path: Path) -> None:
    content = word_file("text")
    with pytest.raises(InvalidFile, match=r"'a\.docx' is a damaged zip container"):
        parse_bytes(tmp_path, content[: len(content) // 2], "a.docx")


def test_a_word_file_with_broken_xml_is_damaged(tmp_path: Path) -> None:
    content = rewritten(word_file("text"), "word/document.xml", lambda xml: xml[: len(xml) // 2])
    with pytest.raises(InvalidFile, match=r"'a\.docx' is damaged"):
        parse_bytes(tmp_path, content, "a.docx")


@pytest.mark.parametrize(
    "declaration", ["<!DOCTYPE x [<!ENTITY a 'aaaa'>]>", "<!DOCTYPE x SYSTEM 'file:///etc/passwd'>"]
)
def test_a_word_file_with_entities_is_refused(tmp_path: Path, declaration: str) -> None:
    content = rewritten(
        word_file("text"),
        "word/document.xml",
        lambda xml: xml.replace(b"<w:document", declaration.encode() + b"<w:document", 1),
    )
    with pytest.raises(InvalidFile, match=r"declares XML entities in 'word/document\.xml'"):
        parse_bytes(tmp_path, content, "a.docx")


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    content = rewritten(word_file("text"), "word/document.xml", lambda xml: xml + b" " * (32 << 20))
    with pytest.raises(ParseLimitExceeded, match=r"unpacks to 3\d MiB at 'word/document.xml'"):
        parse_bytes(tmp_path, content, "a.docx")


def test_a_package_with_too_much_xml_in_all_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_MAX_XML_BYTES", 1000)
    with pytest.raises(ParseLimitExceeded, match="split the document"):
        parse_bytes(tmp_path, word_file("text"), "a.docx")


def test_a_linked_image_is_not_fetched(tmp_path: Path) -> None:
    relation = (
        b'<Relationship Id="rId99" Type="http://x/image" Target="http://127.0.0.1:9/x.png" TargetMode="External"/>'
        b"</Relationships>"
    )
    content = rewritten(
        word_file("text"), "word/_rels/document.xml.rels", lambda xml: xml.replace(b"</Relationships>", relation)
    )
    assert parse_bytes(tmp_path, content, "a.docx").text == "text"

"""Nothing is hidden: what a file holds is in the text of its document, or a warning says what is missing."""

import base64
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import docx
import lxml.html.defs
import openpyxl
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from ingest.documents import Category, ParsedDocument
from tests.hostile import part_of, repacked, sheet_with
from tests.samples import book, open_document, slides, word_file
from tests.unit.ingest.parsing import parse

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
MATH = 'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'


def saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def texts(document: ParsedDocument) -> list[str]:
    return [document.text[e.start : e.end] for e in document.elements]


# --- HTML and Markdown ------------------------------------------------------------------------------------------------

# No text of the page, or one that is shown where something else cannot be.
SILENT = {"script", "style", "noscript", "template", "datalist", "audio", "video", "canvas", "iframe"}
STATED = {"nav": "navigation", "footer": "footer", "select": "choices in forms", "svg": "words in drawings"}
# Elements that hold no text, by the standard.
VOID = {
    *("area", "base", "basefont", "br", "col", "embed", "hr", "img", "input", "isindex", "keygen", "link", "meta"),
    *("param", "source", "track", "wbr", "command"),
}


@pytest.mark.parametrize(
    "tag", sorted(lxml.html.defs.tags - VOID - {"title"} | {"main", "dialog", "font", "my-element"})
)
def test_the_text_in_each_element_of_html_is_read_or_stated(tmp_path: Path, tag: str) -> None:
    """As a block and within a line; what stands around it always is."""
    page = f"<p>before</p><{tag}>first mark</{tag}><div>left <{tag}>second mark</{tag}> right</div><p>after</p>"
    document = parse(tmp_path, "a.html", f"<html><body>{page}</body></html>")
    for word in ("before", "left", "right", "after"):
        assert word in document.text
    if tag in STATED:
        assert document.warnings == (f"left out of the text: {STATED[tag]} (21 characters)",)
    for mark in ("first mark", "second mark"):
        assert (mark in document.text) == (tag not in SILENT | STATED.keys())


def test_two_line_breaks_part_paragraphs_within_any_element(tmp_path: Path) -> None:
    """They were joined without a blank where the page marks its fonts."""
    page = "<font>January<br><br><i>(One)</i> two.<br />\n<br>Three</font><h2>A<br><br>B</h2><pre>x<br><br>y</pre>"
    document = parse(tmp_path, "a.html", page)
    assert texts(document) == ["January", "(One) two.", "Three", "A B", "x\n\ny"]


@pytest.mark.parametrize("text", ["– 5 °C", "-5 °C", "* footnote", "-", "·", "7"])
@pytest.mark.parametrize("name", ["a.html", "a.docx", "a.pptx"])
def test_a_mark_in_front_of_a_paragraph_stays(tmp_path: Path, name: str, text: str) -> None:
    """unstructured takes it for the mark of a list item and drops it: a frost became a thaw."""
    source = docx.Document()
    source.add_paragraph(text)
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.placeholders[1].text = text
    contents = {
        "a.html": f"<p>{text}</p>".encode(),
        "a.docx": saved(source.save),
        "a.pptx": saved(presentation.save),
    }
    assert parse(tmp_path, name, contents[name]).text == text


def test_the_main_part_of_a_page_is_read_and_its_frame_is_stated(tmp_path: Path) -> None:
    """Where the main part is most of the page, and all of it where it is not."""
    frame = "<div>A cookie.</div>"
    document = parse(tmp_path, "a.html", f"{frame}<main><p>The main words of it.</p></main><main><p>More.</p></main>")
    assert texts(document) == ["The main words of it.", "More."]
    assert document.warnings == ("left out of the text: the page's frame (9 characters)",)
    document = parse(tmp_path, "a.html", f"<p>Many more words are here.</p>{frame}<main>Few.</main>")
    assert texts(document) == ["Many more words are here.", "A cookie.", "Few."]


def test_the_footer_of_an_article_belongs_to_it(tmp_path: Path) -> None:
    """Only the page's own is repeated on every other page of its site."""
    page = "<blockquote>Words.<footer>Ada, 1843</footer></blockquote><footer>Imprint</footer>"
    document = parse(tmp_path, "a.html", page)
    assert texts(document) == ["Words.", "Ada, 1843"]
    assert document.warnings == ("left out of the text: footer (7 characters)",)


def test_formulas_of_html_are_read(tmp_path: Path) -> None:
    """As TeX where that is given, else as their letters."""
    page = '<p>E=<math><mi>m</mi><mi>c</mi></math></p><p><math alttext="a^2"><mi>a</mi></math></p>'
    assert texts(parse(tmp_path, "a.html", page)) == ["E=mc", "a^2"]


def test_html_of_more_than_ten_megabytes_is_read_to_its_end(tmp_path: Path) -> None:
    """libxml2 stops there unless it is told not to."""
    assert parse(tmp_path, "a.html", "<p>" + "word " * 2_200_000 + "</p><p>end</p>").text.endswith("word\n\nend")


def test_a_placeholder_in_markdown_is_text(tmp_path: Path) -> None:
    """In the middle of a line and at its start; HTML stays HTML."""
    content = "Run `pump <id>` with <device-id> now, <b>bold</b>.\n\n<host>\n\n<div>block</div>\n"
    assert texts(parse(tmp_path, "a.md", content)) == ["Run pump <id> with <device-id> now, bold.", "<host>", "block"]


def test_markdown_lists_nest_by_two_blanks_and_change_their_kind(tmp_path: Path) -> None:
    """As everybody writes them, by the rules of CommonMark."""
    document = parse(tmp_path, "a.md", "- one\n  - two\n    - three\n1. four\n\n   still four\n2. five\n")
    assert texts(document) == ["one", "two", "three", "four", "still four", "five"]


# --- Word -------------------------------------------------------------------------------------------------------------


def word_with(body: str) -> bytes:
    """Return a Word file with `body` as XML after its first paragraph."""
    source = docx.Document()
    first = source.add_paragraph("First.")
    for element in reversed(parse_xml(f"<w:body {nsdecls('w', 'r')} {MATH}>{body}</w:body>")):
        first._p.addnext(element)
    return saved(source.save)


@pytest.mark.parametrize(
    ("body", "text", "warnings"),
    [
        ("<m:oMath><m:r><m:t>E=m</m:t></m:r><m:sSup><m:e><m:r><m:t>c</m:t></m:r></m:e></m:sSup></m:oMath>", "E=mc", ()),
        (
            "<w:r><w:ruby><w:rt><w:r><w:t>かんじ</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>漢</w:t></w:r>"
            "<w:r><w:t>字</w:t></w:r></w:rubyBase></w:ruby></w:r><w:r><w:t>だ</w:t></w:r>",
            "漢字だ",
            (),
        ),
        (
            '<w:r><w:sym w:font="Wingdings" w:char="F0FC"/><w:t>done</w:t></w:r>',
            "done",
            ("1 character of symbol fonts could not be read",),
        ),
    ],
    ids=["formula", "pronunciation", "symbol"],
)
def test_what_a_word_paragraph_holds_beside_runs_is_not_lost(
    tmp_path: Path, body: str, text: str, warnings: tuple[str, ...]
) -> None:
    """Formulas and the letters below pronunciation marks are read, symbols of a font are counted."""
    document = parse(tmp_path, "a.docx", word_with(f"<w:p>{body}</w:p>"))
    assert texts(document) == ["First.", text]
    assert document.warnings == warnings


def test_word_headers_and_footers_come_once_at_the_end(tmp_path: Path) -> None:
    """With their words, and not where they are page numbers alone; comments and pictures are stated."""
    source = docx.Document()
    source.add_paragraph("Text.")
    for _ in range(2):
        section = source.add_section()
        section.header.is_linked_to_previous = section.footer.is_linked_to_previous = False
        section.header.paragraphs[0].text = "No. 4711\tValid"
        section.footer.paragraphs[0].text = "12"
    source.add_comment(source.paragraphs[0].runs, text="A remark.")
    source.add_picture(io.BytesIO(PIXEL))
    document = parse(tmp_path, "a.docx", saved(source.save))
    assert texts(document) == ["Text.", "No. 4711 Valid"]
    assert document.warnings == ("its comments were not read", "1 picture was not read")


# --- PowerPoint and charts --------------------------------------------------------------------------------------------


def test_everything_on_a_slide_is_read(tmp_path: Path) -> None:
    """Groups within groups, text beside the slide, line breaks, merged cells, charts, and the title first."""
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[5])
    slide.shapes.title.text = "The\vtitle"
    inner = slide.shapes.add_group_shape().shapes.add_group_shape()
    inner.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "in groups"
    slide.shapes.add_textbox(Inches(-9), Inches(-9), 9, 9).text_frame.text = "off\vthe slide"
    data = CategoryChartData()
    data.categories = ["East", "West"]
    data.add_series("Sales", (19.1, 21.4))
    data.add_series("Costs", (1, None))
    chart = slide.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, 0, Inches(3), Inches(3), Inches(3), data).chart
    chart.has_title = True
    chart.chart_title.text_frame.text = "Figures"
    table = slide.shapes.add_table(2, 3, 0, Inches(2), Inches(3), Inches(1)).table
    for number, cell in enumerate(table.iter_cells()):
        cell.text = str(number)
    table.cell(0, 1).merge(table.cell(1, 2))
    document = parse(tmp_path, "a.pptx", saved(presentation.save))
    assert texts(document) == [
        "The title",
        "off\nthe slide",
        "in groups",
        "| 0 | 1 2 4 5 |\n| --- | --- |\n| 3 | 1 2 4 5 |",
        "Figures",
        "|  | Sales | Costs |\n| --- | --- | --- |\n| East | 19.1 | 1 |\n| West | 21.4 |  |",
    ]
    assert document.warnings == ()


def test_a_slide_of_pictures_alone_is_unread(tmp_path: Path) -> None:
    """It counts as a page that was not read, and the warning names it."""
    presentation = pptx.Presentation()
    for text in ("One", "", "Three"):
        slide = presentation.slides.add_slide(presentation.slide_layouts[6])
        slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = text
        slide.shapes.add_picture(io.BytesIO(PIXEL), 0, 0)
    document = parse(tmp_path, "a.pptx", saved(presentation.save))
    assert (document.pages, document.pages_read) == (3, 2)
    assert document.warnings == ("page 2 shows only pictures, which were not read", "1 picture was not read")


def test_the_words_of_a_diagram_and_of_newer_shapes_are_read(tmp_path: Path) -> None:
    """SmartArt is a part of its own; shapes in two forms are read in the first one."""
    drawing = "http://schemas.openxmlformats.org/drawingml/2006"
    point = f'<a:p xmlns:a="{drawing}/main"><a:r><a:t>Step one</a:t></a:r></a:p>'
    diagram = (
        f'<d:dataModel xmlns:d="{drawing}/diagram"><d:ptLst><d:pt><d:t>{point}</d:t></d:pt></d:ptLst></d:dataModel>'
    )
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/diagramData"
    package = slides()
    relations = part_of(package, "ppt/slides/_rels/slide1.xml.rels").replace(
        b"</Relationships>", f'<Relationship Id="d" Type="{kind}" Target="../d.xml"/></Relationships>'.encode()
    )
    content_types = part_of(package, "[Content_Types].xml").replace(
        b"</Types>", b'<Override PartName="/ppt/d.xml" ContentType="application/xml"/></Types>'
    )
    compatibility = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    slide = part_of(package, "ppt/slides/slide1.xml")
    start, end = slide.index(b"<p:graphicFrame"), slide.index(b"</p:graphicFrame>") + len(b"</p:graphicFrame>")
    opening = f'<mc:AlternateContent xmlns:mc="{compatibility}"><mc:Choice Requires="p">'.encode()
    closing = b"</mc:Choice><mc:Fallback/></mc:AlternateContent>"
    changes = {
        "ppt/slides/_rels/slide1.xml.rels": relations,
        "[Content_Types].xml": content_types,
        "ppt/d.xml": diagram.encode(),
        "ppt/slides/slide1.xml": slide[:start] + opening + slide[start:end] + closing + slide[end:],
    }
    document = parse(tmp_path, "a.pptx", repacked(package, changes))
    assert [one for one in texts(document) if one.startswith(("| Part", "Step"))] == [
        "| Part |  |\n| --- | --- |\n|  | 10 |",
        "Step one",
    ]
    assert document.warnings == ()


def test_a_chart_in_a_word_file_is_read_at_its_end(tmp_path: Path) -> None:
    """From the same part as in a presentation."""
    chart = (
        '<c:chartSpace xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"><c:ser><c:tx><c:v>Load</c:v></c:tx>'
        '<c:cat><c:pt idx="0"><c:v>May</c:v></c:pt></c:cat><c:val><c:pt idx="0"><c:v>0.30000000000000004</c:v></c:pt>'
        "</c:val></c:ser></c:chartSpace>"
    )
    package = word_file()
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/chart"
    relations = part_of(package, "word/_rels/document.xml.rels").replace(
        b"</Relationships>", f'<Relationship Id="c" Type="{kind}" Target="c.xml"/></Relationships>'.encode()
    )
    changes = {"word/_rels/document.xml.rels": relations, "word/c.xml": chart.encode()}
    document = parse(tmp_path, "a.docx", repacked(package, changes))
    assert texts(document)[-1] == "|  | Load |\n| --- | --- |\n| May | 0.3 |"


# --- Excel and OpenDocument -------------------------------------------------------------------------------------------


def test_cells_that_come_twice_or_out_of_order_are_counted(tmp_path: Path) -> None:
    """openpyxl passes over rows whose number is not higher than the last one."""
    rows = '<row r="2"><c r="A2"><v>1</v></c></row><row r="1"><c r="A1"><v>2</v></c><c r="B1"><v>3</v></c></row>'
    document = parse(tmp_path, "a.xlsx", sheet_with(rows))
    assert texts(document) == ["Parts", "1"]
    assert document.warnings[0] == "sheet 'Parts': 2 cells at impossible places could not be read"


@pytest.mark.parametrize("formula", ["<f>A1+1</f>", '<f t="shared" si="0"/>', '<f t="shared" ref="A1:A2">B1</f><v/>'])
def test_every_kind_of_formula_without_a_result_is_counted(tmp_path: Path, formula: str) -> None:
    """Also those that share the text of another one."""
    rows = f'<row r="1"><c r="A1"><v>1</v></c><c r="B1">{formula}</c></row>'
    assert parse(tmp_path, "a.xlsx", sheet_with(rows)).warnings[0] == (
        "sheet 'Parts' has 1 formula without a stored result; open the file in a spreadsheet program and save it"
    )


@pytest.mark.parametrize(("number_format", "text"), [("0%", "25%"), ('0.00"%"', "0.25"), ("0\\%", "0.25")])
def test_a_percent_sign_that_is_text_does_not_multiply(tmp_path: Path, number_format: str, text: str) -> None:
    """Only the sign as such makes a percentage of a number."""
    source = openpyxl.Workbook()
    source.active.append([0.25])
    source.active["A1"].number_format = number_format
    assert texts(parse(tmp_path, "a.xlsx", saved(source.save)))[-1] == text


def test_comments_charts_and_pictures_of_a_workbook_are_stated(tmp_path: Path) -> None:
    """A workbook's charts show what its cells say, and its comments say more."""
    source = openpyxl.Workbook()
    sheet = source.active
    sheet.append([1, 2])
    sheet["A1"].comment = openpyxl.comments.Comment("A remark.", "Ada")
    chart = openpyxl.chart.BarChart()
    chart.add_data(openpyxl.chart.Reference(sheet, min_col=1, max_col=2, min_row=1))
    sheet.add_chart(chart)
    document = parse(tmp_path, "a.xlsx", saved(source.save))
    assert document.warnings == ("1 chart was not read", "its comments were not read")


def test_what_repeats_too_often_in_a_spreadsheet_is_cut_with_its_place(tmp_path: Path) -> None:
    """Rows and cells that are filled; blank ones only keep the others in their place."""
    cells = '<table:table-cell table:number-columns-repeated="2000"><text:p>x</text:p></table:table-cell>'
    rows = (
        '<table:table-row table:number-rows-repeated="7"><table:table-cell/></table:table-row>'
        f"<table:table-row>{cells}</table:table-row>"
        '<table:table-row table:number-rows-repeated="3000"><table:table-cell><text:p>y</text:p></table:table-cell>'
        "</table:table-row>"
    )
    body = f'<table:table table:name="P">{rows}</table:table>'
    document = parse(tmp_path, "a.ods", open_document(body, kind="spreadsheet"))
    assert document.text.count("x") == document.text.count("y") == 1000
    assert document.warnings == (
        "sheet 'P': a cell of row 8 stands 2,000 times and was read 1,000 times",
        "sheet 'P': row 9 stands 3,000 times and was read 1,000 times",
    )


def test_unknown_holders_in_an_open_document_are_read_through(tmp_path: Path) -> None:
    """Bibliographies and numbered paragraphs have their text; comments and pictures are stated."""
    body = (
        "<text:bibliography><text:index-body><text:p>A book.</text:p></text:index-body></text:bibliography>"
        "<text:numbered-paragraph><text:p>Numbered.</text:p></text:numbered-paragraph>"
        "<text:table-of-content><text:index-body><text:p>Left out</text:p></text:index-body></text:table-of-content>"
        "<text:p>Text.<office:annotation><text:p>A remark.</text:p></office:annotation><draw:frame><draw:image/>"
        "</draw:frame><draw:frame><draw:object/><draw:image/></draw:frame></text:p>"
    )
    document = parse(tmp_path, "a.odt", open_document(body))
    assert texts(document) == ["A book.", "Numbered.", "Text."]
    assert document.warnings == (
        "1 embedded object such as charts could not be read",
        "1 picture was not read",
        "its comments were not read",
    )


def test_page_headers_of_an_open_document_come_once_at_the_end(tmp_path: Path) -> None:
    """From the part with the styles, and not where they are page numbers alone."""
    oasis = "urn:oasis:names:tc:opendocument:xmlns"
    heads = "".join(
        f"<style:{kind}><text:p>{text}</text:p></style:{kind}>"
        for kind, text in (("header", "No. 4711"), ("footer", "12"), ("header", "No. 4711"))
    )
    styles = f'<styles xmlns:style="{oasis}:style:1.0" xmlns:text="{oasis}:text:1.0">{heads}</styles>'
    package = repacked(open_document("<text:p>Text.</text:p>"), {"styles.xml": styles.encode()})
    assert texts(parse(tmp_path, "a.odt", package)) == ["Text.", "No. 4711"]


def test_pictures_of_a_book_are_counted(tmp_path: Path) -> None:
    """Those that it holds."""
    package = book({"a.xhtml": "<p>Text.</p>"})
    items = "".join(f'<item id="{name}" href="{name}.png" media-type="image/png"/>' for name in "ij") + "</manifest>"
    changes = {"o/c.opf": part_of(package, "o/c.opf").replace(b"</manifest>", items.encode()), "o/i.png": PIXEL}
    assert parse(tmp_path, "a.epub", repacked(package, changes)).warnings == ("1 picture was not read",)


# --- RTF, CSV, XML and others -----------------------------------------------------------------------------------------


def test_what_stands_apart_in_rtf_comes_at_its_end(tmp_path: Path) -> None:
    """Page headers, footnotes and text boxes, each once; comments and pictures are stated."""
    box = r"{\shp{\*\shpinst{\sp{\sn a}}{\shptxt In a box\par}}{\shprslt{\*\do{\dptxbxtext In a box\par}}}}"
    note = r"{\super\chftn{\footnote\pard \chftn A note {\b in bold}.}}"
    content = (
        rf"{{\rtf1\ansi{{\header Page head\par}}Text{note} more.\par{box}End{{\header Page head\par}}"
        r"{\*\annotation A remark}{\pict 00}\par}"
    )
    document = parse(tmp_path, "a.rtf", content)
    assert texts(document) == ["Text more.", "End", "Page head", "A note in bold.", "In a box"]
    assert document.warnings == ("its pictures were not read", "its comments were not read")


def test_rtf_that_ends_early_says_so(tmp_path: Path) -> None:
    """An open footnote is read to where the file ends."""
    document = parse(tmp_path, "a.rtf", r"{\rtf1 Text.\par{\footnote A no")
    assert texts(document) == ["Text.", "A no"]
    assert document.warnings == ("the file ends in the middle of its text; what followed is missing",)


@pytest.mark.parametrize(
    ("name", "content", "rows", "warning"),
    [
        ("a.tsv", 'size\tx\n"5 inch\t1\n"6 inch\t2\n', [["size", "x"], ['"5 inch', "1"], ['"6 inch', "2"]], "pair up"),
        ("a.tsv", 'a\t"b\nc"\td\n', [["a", "b c", "d"]], ""),
        ("a.csv", 'a,b\n"open,1\n2,3\n', [["a", "b"], ['"open', "1"], ["2", "3"]], "pair up"),
        ("a.csv", 'a,b\n"x" y,1\n"p, q",3\n', [["a", "b"], ["x y", "1"], ["p, q", "3"]], ""),
        ("a.csv", "a\u2028b,c\x85d\n1,2\n", [["a b", "c d"], ["1", "2"]], ""),
        ("a.csv", "a,b\rc,d\r", [["a", "b"], ["c", "d"]], ""),
        ("a.csv", f"{'x' * 200_000},b\n", [["x" * 200_000, "b"]], ""),
    ],
    ids=["inches", "lines in a cell", "open", "text after a quotation", "line separators", "old Macintosh", "long"],
)
def test_rows_of_delimited_text_stay_rows(
    tmp_path: Path, name: str, content: str, rows: list[list[str]], warning: str
) -> None:
    """Quotation marks that do not pair up join no rows, and other line separators part none."""
    document = parse(tmp_path, name, content)
    lines = document.text.split("\n")
    assert [line.strip("| ").split(" | ") for line in lines[:1] + lines[2:]] == rows
    assert warning in "; ".join(document.warnings)


def test_attributes_of_xml_are_read_with_their_element(tmp_path: Path) -> None:
    """Of records, of what holds others, and of single values; but not those that only say how it looks."""
    content = (
        '<list><part id="P-1"><size unit="mm">10</size><sub n="2"><x>1</x><y>2</y></sub></part>'
        '<price currency="EUR" class="big">12</price><price currency="USD">14</price></list>'
    )
    assert texts(parse(tmp_path, "a.xml", content)) == [
        *("id: P-1", "10 (unit: mm)", "n: 2\nx: 1\ny: 2", "12 (currency: EUR)", "14 (currency: USD)"),
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.csv", "a.json", "a.xml", "a.py", "a.eml"])
def test_characters_that_cannot_be_decoded_are_stated_in_every_text_format(tmp_path: Path, name: str) -> None:
    """With their number and the first line that has one."""
    contents = {
        "a.json": '["x",\n"\ufffd"]',
        "a.xml": "<a>no end\n\ufffd",
        "a.eml": "Subject: x\n\nwords\n\ufffd",
        "a.html": "<p>x\n\ufffd",
    }
    document = parse(tmp_path, name, contents.get(name, "words\n\ufffd"))
    assert document.warnings[-1] == ("1 character could not be decoded, the first in line 2; save the file as UTF-8")


def test_a_package_that_is_read_whole_has_no_warnings(tmp_path: Path) -> None:
    """A warning is worth reading: what is read is not mentioned."""
    with zipfile.ZipFile(io.BytesIO(word_file())) as package:
        assert "word/footer1.xml" not in package.namelist()
    document = parse(tmp_path, "a.docx", word_file())
    assert document.warnings == ()
    assert document.elements[-1].category is Category.TEXT

"""PDF pages become paragraphs, headings and tables with page and box, in reading order."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

from catalog.errors import InvalidFile
from ingest.documents import Box, Category, ParsedDocument
from ingest.parsers import parse_file
from ingest.parsers.page_text import block_text
from ingest.parsers.pdf_columns import in_reading_order
from ingest.parsers.pdf_layout import Block, Style, group_lines
from ingest.parsers.pdf_lines import Line, Segment
from tests.unit.ingest.parsing import elements

WIDTH, HEIGHT = A4
STYLE = Style(size=10.0, weight=400, leading=1.2)


def pdf(draw: Callable[[Canvas], None], **options: object) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, **options)  # type: ignore[arg-type]
    draw(canvas)
    canvas.save()
    return buffer.getvalue()


def write(canvas: Canvas, x: float, top: float, *lines: str, size: float = 10, font: str = "Helvetica") -> None:
    """Write `lines` downwards; `top` in points from the top of the page."""
    canvas.setFont(font, size)
    for number, line in enumerate(lines):
        canvas.drawString(x, HEIGHT - top - number * 1.2 * size, line)


def parse(tmp_path: Path, content: bytes, name: str = "a.pdf") -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return parse_file(path, name)


def line(text: str, box: Box = (72, 100, 300, 110), **overrides: object) -> Line:
    values: dict[str, object] = {
        "text": text,
        "box": box,
        "size": 10.0,
        "weight": 400,
        "segments": (Segment(text=text, left=box[0], right=box[2]),),
    }
    return Line(**{**values, **overrides})  # type: ignore[arg-type]


def test_wrapped_lines_are_one_paragraph_and_headings_have_levels(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        write(canvas, 72, 80, "Annual report", size=20)
        write(canvas, 72, 120, "Results", size=14)
        write(canvas, 72, 150, "The first paragraph goes over two lines of", "text and ends here.")
        write(canvas, 72, 190, "The second paragraph is separate from the", "first one by a gap.")
        write(canvas, 72, 230, "Bold head", font="Helvetica-Bold")
        write(canvas, 72, 250, "The third paragraph is the last one here.")

    document = parse(tmp_path, pdf(draw))
    assert elements(document) == [
        (Category.HEADING, "Annual report"),
        (Category.HEADING, "Results"),
        (Category.TEXT, "The first paragraph goes over two lines of text and ends here."),
        (Category.TEXT, "The second paragraph is separate from the first one by a gap."),
        (Category.HEADING, "Bold head"),
        (Category.TEXT, "The third paragraph is the last one here."),
    ]
    assert document.elements[-1].headings == ("Annual report", "Results", "Bold head")
    assert document.title == "Annual report"


def test_boxes_are_in_points_from_the_top_left(tmp_path: Path) -> None:
    box = parse(tmp_path, pdf(lambda canvas: write(canvas, 72, 100, "Some words"))).elements[0].box
    assert box is not None
    left, top, right, bottom = box
    assert left == pytest.approx(72, abs=2)
    assert 88 < top < 95
    assert 100 < bottom < 105
    assert right == pytest.approx(72 + 51, abs=6)


@pytest.mark.parametrize("angle", [90, 180, 270])
def test_boxes_follow_the_rotation_of_the_page(tmp_path: Path, angle: int) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.setPageRotation(angle)
        canvas.drawString(72, 100, "Some words")

    box = parse(tmp_path, pdf(draw)).elements[0].box
    assert box is not None
    # Where the first letter, 72 from the left and 100 from the bottom, comes to lie when the page is turned clockwise;
    # reportlab lays pages turned by 90 and 270 degrees on their side before.
    x, y = {90: (100, 72), 180: (WIDTH - 72, 100), 270: (WIDTH - 100, HEIGHT - 72)}[angle]
    assert box[0] - 3 <= x <= box[2] + 3
    assert box[1] - 3 <= y <= box[3] + 3


def test_two_columns_are_read_one_after_the_other_however_they_are_drawn(tmp_path: Path) -> None:
    left = [f"Left column line {n} with some more words" for n in range(12)]
    right = [f"Right column line {n} with some more words" for n in range(12)]

    def draw(canvas: Canvas) -> None:
        write(canvas, 72, 80, "A title over both of the columns", size=18)
        for number, (a, b) in enumerate(zip(left, right, strict=True)):
            write(canvas, 60, 120 + 12 * number, a)
            write(canvas, 320, 120 + 12 * number, b)

    assert [text for _, text in elements(parse(tmp_path, pdf(draw)))] == [
        "A title over both of the columns",
        " ".join(left),
        " ".join(right),
    ]


def test_running_heads_and_page_numbers_are_left_out(tmp_path: Path) -> None:
    words = ("one", "two", "three", "four", "five")

    def draw(canvas: Canvas) -> None:
        for number, word in enumerate(words, 1):
            write(canvas, 72, 40, "Handbook of everything")
            write(canvas, 72, 200, f"Text that only page {word} has.")
            write(canvas, 290, 810, f"Page {number} of 5")
            canvas.showPage()

    document = parse(tmp_path, pdf(draw))
    assert [text for _, text in elements(document)] == [f"Text that only page {word} has." for word in words]
    assert [element.page for element in document.elements] == [1, 2, 3, 4, 5]


def test_a_page_without_text_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    def draw(canvas: Canvas) -> None:
        write(canvas, 72, 100, "Words")
        canvas.showPage()
        for _ in range(2):
            canvas.rect(100, 100, 200, 200, fill=1)
            canvas.showPage()
        canvas.showPage()

    document = parse(tmp_path, pdf(draw))
    assert document.warnings == ("pages 2 to 3 have no text layer and no OCR is installed (apt install tesseract-ocr)",)
    assert (document.pages, document.pages_read) == (4, 2)


def test_a_pdf_without_any_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InvalidFile, match=r"'a\.pdf' holds no text: page 1 has no text layer"):
        parse(tmp_path, pdf(lambda canvas: canvas.rect(100, 100, 200, 200, fill=1)))


def test_an_encrypted_pdf_is_refused_with_the_way_out(tmp_path: Path) -> None:
    content = pdf(lambda canvas: write(canvas, 72, 100, "secret"), encrypt=StandardEncryption("password"))
    with pytest.raises(InvalidFile, match=r"'a\.pdf' is encrypted; remove the password and upload again"):
        parse(tmp_path, content)


def test_a_pdf_that_only_forbids_printing_is_read(tmp_path: Path) -> None:
    encryption = StandardEncryption("", ownerPassword="owner", canPrint=0, canCopy=0)
    assert parse(tmp_path, pdf(lambda canvas: write(canvas, 72, 100, "open"), encrypt=encryption)).text == "open"


def test_a_damaged_pdf_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"'a\.pdf' is damaged"):
        parse(tmp_path, b"%PDF-1.4\n" + b"junk" * 100)


def test_the_title_of_the_metadata_is_used_unless_a_program_made_it_up(tmp_path: Path) -> None:
    def draw(title: str) -> Callable[[Canvas], None]:
        def page(canvas: Canvas) -> None:
            canvas.setTitle(title)
            write(canvas, 72, 100, "Real heading", size=20)
            write(canvas, 72, 150, "The body of the text is longer than its heading.")

        return page

    assert parse(tmp_path, pdf(draw("From metadata"))).title == "From metadata"
    assert parse(tmp_path, pdf(draw("Microsoft Word - draft3.doc"))).title == "Real heading"
    assert parse(tmp_path, pdf(draw("0000764478-23-000006"))).title == "Real heading"


@pytest.mark.parametrize(
    ("first", "second", "words", "expected"),
    [
        ("the exam", "ple is", {"example"}, "the example is"),
        ("the exam", "ple is", set(), "the example is"),
        ("we pre", "train models", {"pre-train"}, "we pre-train models"),
        ("left-to", "right order", set(), "left-to-right order"),
        ("the Anglo", "Saxon way", set(), "the Anglo-Saxon way"),
        ("pages 12", "14 only", set(), "pages 12-14 only"),
    ],
)
def test_a_hyphen_at_a_line_end_is_resolved_as_the_document_spells_it(
    first: str, second: str, words: set[str], expected: str
) -> None:
    block = Block(lines=(line(first, is_hyphenated=True), line(second)), category=Category.TEXT)
    assert block_text(block, frozenset(words)) == expected


def test_a_broken_ligature_is_mended_only_into_a_word_of_the_document() -> None:
    block = Block(lines=(line("it did not af ect the proof in a set of ice"),), category=Category.TEXT)
    words = frozenset({"affect", "office"})
    assert block_text(block, words) == "it did not affect the proof in a set of ice"


def test_list_items_are_elements_of_their_own() -> None:
    lines = [
        line("We need the following:", (72, 100, 300, 110)),
        line("• bread from the", (72, 112, 300, 122)),
        line("baker", (82, 124, 120, 134)),
        line("• milk", (72, 136, 120, 146)),
    ]
    assert [(block.category, block_text(block, frozenset())) for block in group_lines(lines, STYLE)] == [
        (Category.TEXT, "We need the following:"),
        (Category.LIST_ITEM, "• bread from the baker"),
        (Category.LIST_ITEM, "• milk"),
    ]


boxes = st.tuples(st.integers(0, 500), st.integers(0, 700), st.integers(5, 400)).map(
    lambda place: (float(place[0]), float(place[1]), float(place[0] + place[2]), float(place[1] + 10))
)


@given(st.lists(st.tuples(st.text("ab. -•", min_size=1, max_size=8), boxes), max_size=40))
def test_no_line_is_lost_or_doubled_by_the_layout(lines: list[tuple[str, Box]]) -> None:
    given_lines = [line(text, box) for text, box in lines]
    ordered = in_reading_order(given_lines)
    grouped = [line for block in group_lines(ordered, STYLE) for line in block.lines]
    assert grouped == ordered
    assert sorted("".join(one.text for one in ordered).replace(" ", "")) == sorted(
        "".join(text for text, _ in lines).replace(" ", "")
    )

"""Tables of PDF pages become Markdown rows, from their rules or from how text is aligned; prose stays prose."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reportlab.lib.styles import ParagraphStyle
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, Table

from ingest.documents import Box, Category, ParsedDocument
from ingest.parsers.pdf_grid import place_tables
from ingest.parsers.pdf_lines import Line, Segment
from ingest.parsers.pdf_rules import find_grids
from ingest.parsers.pdf_tables import place_unruled
from tests.unit.ingest.test_parsers_pdf import HEIGHT, elements, parse, pdf, write

CODES = [
    ("Code", "Meaning", "What to do"),
    ("E34", "Discharge temperature above the limit", "Let it cool for an hour, then start again once"),
    ("E36", "Expansion valve does not answer", "Restart; if it stays, replace the cable"),
    ("E38", "Leak", "Leave the room"),
]
PROSE = "This sentence stands before or after a table and is long enough to be a line of the page's body text."


def markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def tables(document: ParsedDocument) -> list[str]:
    return [text for category, text in elements(document) if category is Category.TABLE]


def ruled(canvas: Canvas, top: float, rows: Sequence[Sequence[str]], widths: Sequence[float], *style: Any) -> float:
    """Draw a table with wrapped cells and rules around each; return its lower edge from the top of the page."""
    cell = ParagraphStyle("cell", fontName="Helvetica", fontSize=9, leading=11)
    table = Table([[Paragraph(text, cell) for text in row] for row in rows], colWidths=widths)
    table.setStyle([("GRID", (0, 0), (-1, -1), 0.4, "grey"), ("VALIGN", (0, 0), (-1, -1), "TOP"), *style])
    _, height = table.wrapOn(canvas, 500, 700)
    table.drawOn(canvas, 72, HEIGHT - top - height)
    return float(top + height)


def aligned(canvas: Canvas, top: float, rows: Sequence[Sequence[str]], places: Sequence[float]) -> None:
    """Write the first column from its left edge and the others to their right edge."""
    canvas.setFont("Helvetica", 10)
    for number, (first, *others) in enumerate(rows):
        y = HEIGHT - top - 14 * number
        canvas.drawString(places[0], y, first)
        for x, cell in zip(places[1:], others, strict=True):
            canvas.drawRightString(x, y, cell)


# --- with rules -------------------------------------------------------------------------------------------------------


def test_a_ruled_table_has_a_row_for_each_of_its_rows_however_its_cells_wrap(tmp_path: Path) -> None:
    bottom = 0.0

    def draw(canvas: Canvas) -> None:
        nonlocal bottom
        write(canvas, 72, 80, PROSE)
        bottom = ruled(canvas, 100, CODES, (40, 100, 110))

    document = parse(tmp_path, pdf(draw))
    assert elements(document) == [(Category.TEXT, PROSE), (Category.TABLE, markdown(CODES))]
    box = document.elements[1].box
    assert box == pytest.approx((72, 100, 322, bottom), abs=2)


def test_a_heading_between_two_ruled_tables_is_a_heading(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        bottom = ruled(canvas, 100, CODES[:3], (40, 150, 180))
        write(canvas, 72, bottom + 20, "17.3 Codes of the sensors", font="Helvetica-Bold")
        bottom = ruled(canvas, bottom + 28, [CODES[0], CODES[3]], (40, 150, 180))
        write(canvas, 72, bottom + 30, PROSE, PROSE, PROSE)

    document = parse(tmp_path, pdf(draw))
    assert elements(document)[:3] == [
        (Category.TABLE, markdown(CODES[:3])),
        (Category.HEADING, "17.3 Codes of the sensors"),
        (Category.TABLE, markdown([CODES[0], CODES[3]])),
    ]
    assert document.elements[2].headings == ("17.3 Codes of the sensors",)


def test_a_table_over_two_pages_is_an_element_on_each(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        ruled(canvas, 100, CODES[:3], (40, 150, 180))
        canvas.showPage()
        ruled(canvas, 60, CODES[2:], (40, 150, 180))

    document = parse(tmp_path, pdf(draw))
    assert elements(document) == [(Category.TABLE, markdown(CODES[:3])), (Category.TABLE, markdown(CODES[2:]))]
    assert [element.page for element in document.elements] == [1, 2]


def test_merged_cells_stand_in_their_first_column_and_row_and_heads_in_one_row(tmp_path: Path) -> None:
    rows = [("", "Cold", ""), ("Model", "Low", "High"), ("K12", "-20", "5"), ("K12", "-30", "4"), ("K9", "0", "12")]
    drawn = [*rows[:3], ("", *rows[3][1:]), rows[4]]

    def draw(canvas: Canvas) -> None:
        ruled(canvas, 100, drawn, (80, 60, 60), ("SPAN", (1, 0), (2, 0)), ("SPAN", (0, 2), (0, 3)))

    assert tables(parse(tmp_path, pdf(draw))) == [markdown([("Model", "Cold Low", "High"), *drawn[2:]])]


def test_rows_within_one_pair_of_rules_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    rows = [("Item", "2023", "2022"), ("Sales", "1,200", "1,100"), ("Costs", "900", "850"), ("Profit", "300", "250")]

    def draw(canvas: Canvas) -> None:
        for y in (100, 118, 170):
            canvas.line(72, HEIGHT - y, 372, HEIGHT - y)
        for x in (72, 200, 290, 372):
            canvas.line(x, HEIGHT - 100, x, HEIGHT - 170)
        aligned(canvas, 113, rows, (80, 280, 362))

    assert tables(parse(tmp_path, pdf(draw))) == [markdown(rows)]


def test_a_frame_around_prose_is_not_a_table(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        canvas.rect(60, HEIGHT - 300, 400, 220)
        canvas.line(260, HEIGHT - 300, 260, HEIGHT - 80)
        write(canvas, 66, 100, *(f"left line {n} of the framed text" for n in range(12)))
        write(canvas, 266, 100, *(f"right line {n} of the framed text" for n in range(12)))

    assert tables(parse(tmp_path, pdf(draw))) == []


# --- without rules ----------------------------------------------------------------------------------------------------


def test_numbers_aligned_at_their_right_edge_are_columns(tmp_path: Path) -> None:
    rows = [
        ("", "2023", "2022"),
        ("Net sales", "14,694", "9"),
        ("Cost of sales", "(11,969)", "8"),
        ("Profit", "7", "1"),
    ]

    def draw(canvas: Canvas) -> None:
        write(canvas, 72, 80, PROSE)
        aligned(canvas, 120, rows, (72, 300, 380))

    assert elements(parse(tmp_path, pdf(draw))) == [(Category.TEXT, PROSE), (Category.TABLE, markdown(rows))]


def test_a_sign_set_apart_belongs_to_its_number(tmp_path: Path) -> None:
    rows = [("Sales", "$", "1,200"), ("Costs", "", "900"), ("Other", "", "20"), ("Profit", "$", "280")]

    def draw(canvas: Canvas) -> None:
        aligned(canvas, 120, rows, (72, 250, 320))

    assert tables(parse(tmp_path, pdf(draw))) == [
        markdown([("Sales", "$1,200"), ("Costs", "900"), ("Other", "20"), ("Profit", "$280")])
    ]


def test_lines_with_an_empty_first_column_go_on_with_the_row_above(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        write(canvas, 72, 80, PROSE)
        for number, (code, meaning) in enumerate(
            [
                ("Code", "Meaning"),
                ("E34", "Discharge temperature above"),
                ("", "the limit"),
                ("E36", "Valve does not answer"),
                ("E38", "Leak"),
            ]
        ):
            write(canvas, 72, 120 + 12 * number, code)
            write(canvas, 160, 120 + 12 * number, meaning)

    assert tables(parse(tmp_path, pdf(draw))) == [
        markdown(
            [
                ("Code", "Meaning"),
                ("E34", "Discharge temperature above the limit"),
                ("E36", "Valve does not answer"),
                ("E38", "Leak"),
            ]
        )
    ]


def test_a_row_of_totals_without_a_label_is_a_row(tmp_path: Path) -> None:
    rows = [("Sales", "1,200", "1,100"), ("Costs", "(900)", "(850)"), ("", "300", "250"), ("Tax", "30", "20")]
    document = parse(tmp_path, pdf(lambda canvas: aligned(canvas, 120, rows, (72, 300, 380))))
    assert tables(document) == [markdown(rows)]


def test_a_title_between_two_unruled_tables_divides_them(tmp_path: Path) -> None:
    rows = [("Sales", "1,200", "1,100"), ("Costs", "900", "850"), ("Profit", "300", "250")]

    def draw(canvas: Canvas) -> None:
        aligned(canvas, 100, rows, (72, 300, 380))
        write(canvas, 170, 170, "Statement of income")
        write(canvas, 190, 182, "in millions")
        aligned(canvas, 210, rows, (72, 300, 380))

    document = parse(tmp_path, pdf(draw))
    assert tables(document) == [markdown(rows)] * 2
    assert "Statement of income in millions" in document.text


def test_columns_of_prose_stay_prose(tmp_path: Path) -> None:
    left = [f"The left column has line {n} of its text." for n in range(8)]
    right = [f"The right column has line {n} of its text." for n in range(8)]

    def draw(canvas: Canvas) -> None:
        for number, (a, b) in enumerate(zip(left, right, strict=True)):
            write(canvas, 60, 100 + 12 * number, a)
            write(canvas, 310, 100 + 12 * number, b)

    assert elements(parse(tmp_path, pdf(draw))) == [(Category.TEXT, " ".join(left)), (Category.TEXT, " ".join(right))]


def test_a_table_of_contents_stays_lines_and_its_dots_are_cut_short(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for number, title in enumerate(("Safety", "Transport", "Refrigerant", "Spare parts")):
            write(canvas, 72, 100 + 14 * number, f"{number + 1} {title} " + ". " * (50 - len(title)))
            canvas.drawRightString(480, HEIGHT - 100 - 14 * number, str(3 + number))

    assert elements(parse(tmp_path, pdf(draw))) == [
        (Category.TEXT, "1 Safety ... 3\n2 Transport ... 4\n3 Refrigerant ... 5\n4 Spare parts ... 6")
    ]


def test_numbered_equations_are_not_a_table(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for number in range(4):
            write(canvas, 200, 100 + 20 * number, f"a{number} = b{number} + c")
            write(canvas, 450, 100 + 20 * number, f"({number + 1})")

    assert not any(text.startswith("|") for _, text in elements(parse(tmp_path, pdf(draw))))


# --- for any text -----------------------------------------------------------------------------------------------------

words = st.text("ab. -$1", min_size=1, max_size=6)


@st.composite
def rows_of_segments(draw: st.DrawFn) -> list[Line]:
    lines = []
    for number in range(draw(st.integers(0, 12))):
        starts = sorted(draw(st.sets(st.sampled_from((50, 150, 250, 350)), min_size=1)))
        segments = tuple(Segment(draw(words), float(x), x + draw(st.integers(5, 90))) for x in starts)
        box: Box = (segments[0].left, 100.0 + 13 * number, segments[-1].right, 110.0 + 13 * number)
        text = " ".join(segment.text for segment in segments)
        lines.append(Line(text=text, box=box, size=10.0, weight=400, segments=segments))
    return lines


def letters(lines: Sequence[Line]) -> list[str]:
    return sorted("".join(line.text for line in lines).replace(" ", ""))


@given(rows_of_segments())
def test_no_text_is_lost_in_a_table(lines: list[Line]) -> None:
    assert letters(place_unruled(lines)) == letters(lines)
    rules = [(40.0, y, 450.0, y + 0.5) for y in (95.0, 150.0, 200.0)]
    rules += [(x, 95.0, x + 0.5, 200.0) for x in (40.0, 140.0, 450.0)]
    assert letters(place_tables(lines, find_grids(rules))) == letters(lines)

"""Typeset a sample source as a PDF: cover, contents, numbered chapters, running head, outline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    NextPageTemplate,
    PageBreak,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)
from reportlab.platypus.tableofcontents import TableOfContents
from sample_source import Block, Source

MARGIN = 16 * mm
HEAD = 12 * mm
LONG_DOCUMENT = 40  # blocks from which on a document gets a cover, a contents page and a new page per chapter
CELL_PADDING = 13  # points, both sides of a table cell together
INK = colors.HexColor("#15364a")

BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=13, spaceAfter=6)
CELL = ParagraphStyle("cell", parent=BODY, fontSize=8.5, leading=10.5, spaceAfter=0)
HEAD_CELL = ParagraphStyle("head-cell", parent=CELL, fontName="Helvetica-Bold")
STYLES = {
    "title": ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=24, leading=29, textColor=INK, spaceAfter=8),
    "subtitle": ParagraphStyle("subtitle", fontName="Helvetica", fontSize=14, leading=18, spaceAfter=8),
    "chapter": ParagraphStyle(
        "chapter", fontName="Helvetica-Bold", fontSize=15, leading=19, textColor=INK, spaceBefore=8, spaceAfter=8
    ),
    "section": ParagraphStyle(
        "section", fontName="Helvetica-Bold", fontSize=10.5, leading=14, spaceBefore=7, spaceAfter=3, keepWithNext=1
    ),
    "text": BODY,
    "warning": ParagraphStyle(
        "warning",
        parent=BODY,
        backColor=colors.HexColor("#fdf0d5"),
        borderColor=colors.HexColor("#c1121f"),
        borderWidth=0.8,
        borderPadding=5,
        leftIndent=6,
        rightIndent=6,
        spaceBefore=8,
        spaceAfter=12,
    ),
    "bullet": ParagraphStyle("bullet", parent=BODY, leftIndent=12, bulletIndent=2, spaceAfter=3),
}
TOC_STYLE = ParagraphStyle("toc", parent=BODY, leading=11, spaceAfter=1, rightIndent=14)


class SampleDocument(BaseDocTemplate):
    """A document with a running head that names the chapter, page numbers and an outline of two levels."""

    def __init__(self, source: Source, path: Path, *, long: bool) -> None:
        super().__init__(
            str(path),
            pagesize=A5,
            title=f"{source.title}: {source.subtitle}",
            author=source.publisher,
            subject=source.edition,
            invariant=1,
            lang="en",
        )
        self.source = source
        self.long = long
        self.chapter = ""
        width, height = A5[0] - 2 * MARGIN, A5[1] - 2 * MARGIN - HEAD
        gap = 6 * mm
        column = (width - gap) / 2
        one = [Frame(MARGIN, MARGIN, width, height, 0, 0, 0, 0, id="one")]
        two = [
            Frame(MARGIN, MARGIN, column, height, 0, 0, 0, 0, id="left"),
            Frame(MARGIN + column + gap, MARGIN, column, height, 0, 0, 0, 0, id="right"),
        ]
        self.addPageTemplates(
            [
                PageTemplate("cover", [Frame(MARGIN, MARGIN, width, height, 0, 0, 0, 0, id="cover")]),
                PageTemplate("one-column", one, onPageEnd=self.running_head),
                PageTemplate("two-columns", two, onPageEnd=self.running_head),
            ]
        )

    def beforeDocument(self) -> None:
        """Forget the chapter of the pass before: the contents page needs several passes."""
        self.chapter = ""

    def running_head(self, canvas: Canvas, _: BaseDocTemplate) -> None:
        """Draw the head and foot of a page."""
        canvas.saveState()
        canvas.setFont("Helvetica", 7.5)
        canvas.setFillColor(INK)
        top = A5[1] - MARGIN
        canvas.drawString(MARGIN, top, self.source.title)
        canvas.drawRightString(A5[0] - MARGIN, top, self.chapter)
        canvas.line(MARGIN, top - 4, A5[0] - MARGIN, top - 4)
        canvas.drawString(MARGIN, 9 * mm, self.source.edition)
        canvas.drawRightString(A5[0] - MARGIN, 9 * mm, f"Page {self.page}")
        canvas.restoreState()

    def afterFlowable(self, flowable: Flowable) -> None:
        """Enter headings into the outline, chapters into the contents page and the running head as well."""
        level = {"chapter": 0, "section": 1}.get(getattr(getattr(flowable, "style", None), "name", ""))
        if level is None or not isinstance(flowable, Paragraph):
            return
        text = flowable.getPlainText()
        key = f"h{self.page}-{text}"
        self.canv.bookmarkPage(key)
        self.canv.addOutlineEntry(text, key, level, closed=True)
        if level == 0:
            self.chapter = text
            self.notify("TOCEntry", (0, escape(text), self.page, key))


def _column_widths(rows: list[list[str]], width: float) -> list[float]:
    """Share ``width`` out: no column narrower than its longest word, the rest by the length of the texts."""
    columns = list(zip(*rows, strict=True))
    words = [" ".join(column).split() for column in columns]
    font, size = HEAD_CELL.fontName, HEAD_CELL.fontSize
    least = [max(stringWidth(word, font, size) for word in column) + CELL_PADDING for column in words]
    shares = [min(max(len(cell) for cell in column), 34) for column in columns]
    rest = width - sum(least)
    return [narrow + rest * share / sum(shares) for narrow, share in zip(least, shares, strict=True)]


def _table(rows: list[list[str]], width: float) -> Table:
    cells = [
        [Paragraph(escape(cell), HEAD_CELL if number == 0 else CELL) for cell in row] for number, row in enumerate(rows)
    ]
    style: list[Any] = [
        ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor("#dbe7ee")),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
    return Table(
        cells,
        colWidths=_column_widths(rows, width),
        repeatRows=1,
        style=TableStyle(style),
        spaceBefore=3,
        spaceAfter=9,
    )


def _list(block: Block) -> Iterator[Flowable]:
    for number, line in enumerate(block.lines, start=1):
        mark = "\u2022" if block.kind == "bullet" else f"{number}."
        yield Paragraph(escape(line), STYLES["bullet"], bulletText=mark)


def _flow(block: Block, width: float) -> Iterator[Flowable]:
    if block.kind == "row":
        yield _table(block.rows, width)
    elif block.kind in ("bullet", "step"):
        yield from _list(block)
    else:
        if block.kind == "section":
            yield CondPageBreak(32 * mm)
        for line in block.lines:
            yield Paragraph(escape(line), STYLES[block.kind])


def _front(source: Source, *, long: bool) -> Iterator[Flowable]:
    if long:
        yield Spacer(1, 45 * mm)
    yield Paragraph(escape(source.title), STYLES["title"])
    yield Paragraph(escape(source.subtitle), STYLES["subtitle"])
    yield Paragraph(escape(source.edition), BODY)
    yield Paragraph(escape(source.publisher), BODY)
    if long:
        yield NextPageTemplate("one-column")
        yield PageBreak()
        yield Paragraph("Contents", STYLES["subtitle"])
        yield TableOfContents(levelStyles=[TOC_STYLE], dotsMinLevel=0)


def _story(source: Source, width: float, *, long: bool) -> Iterator[Flowable]:
    yield from _front(source, long=long)
    template = "one-column"
    for block in source.blocks:
        if block.kind == "directive":
            template = block.text.strip("{}")
            continue
        if block.kind == "chapter" and long:
            yield NextPageTemplate(template)
            yield PageBreak()
            template = "one-column"
        yield from _flow(block, width)


def write_pdf(source: Source, path: Path) -> None:
    """Typeset ``source`` as a PDF at ``path``."""
    long = len(source.blocks) > LONG_DOCUMENT
    document = SampleDocument(source, path, long=long)
    if not long:
        document.pageTemplates.pop(0)
    document.multiBuild(list(_story(source, A5[0] - 2 * MARGIN, long=long)))

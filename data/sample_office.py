"""Write a sample source as DOCX, PPTX or XLSX, without a trace of the clock."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from itertools import count
from pathlib import Path

import docx
import openpyxl
import pptx
from docx.document import Document as WordDocument
from openpyxl.styles import Font
from pptx.slide import Slide
from pptx.util import Inches, Pt
from sample_source import Block, Source

_ZIP_DATE = (2025, 1, 1, 0, 0, 0)
_MODIFIED = re.compile(rb"(<dcterms:(created|modified)[^>]*>)[^<]*")
_NUMBER = re.compile(r"\d+")
DOCX_STYLES = {"chapter": "Heading 1", "section": "Heading 2", "bullet": "List Bullet", "step": "List Number"}


def _save(package: BytesIO, path: Path, source: Source) -> None:
    """Copy an office package to ``path`` with the date of the source in place of the current one."""
    stamp = source.date.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = _MODIFIED.sub(rb"\g<1>" + stamp, content)
            info = zipfile.ZipInfo(name, _ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, content)


def _docx_table(document: WordDocument, rows: list[list[str]]) -> None:
    table = document.add_table(rows=len(rows), cols=len(rows[0]), style="Light Grid Accent 1")
    for row, cells in zip(rows, table.rows, strict=True):
        for text, cell in zip(row, cells.cells, strict=True):
            cell.text = text
    document.add_paragraph()


def write_docx(source: Source, path: Path) -> None:
    """Write ``source`` as a Word document with a title, headings, lists, tables, a header and a footer."""
    document = docx.Document()
    properties = document.core_properties
    properties.title, properties.author, properties.comments = source.title, source.publisher, source.edition
    document.sections[0].header.paragraphs[0].text = f"{source.publisher} \u2013 {source.title}"
    document.sections[0].footer.paragraphs[0].text = source.edition
    document.add_heading(source.title, level=0)
    for line in (source.subtitle, source.edition):
        document.add_paragraph(line)
    for block in source.blocks:
        if block.kind == "row":
            _docx_table(document, block.rows)
            continue
        for line in block.lines:
            document.add_paragraph(line, style=DOCX_STYLES.get(block.kind))
    buffer = BytesIO()
    document.save(buffer)
    _save(buffer, path, source)


def _slide_table(slide: Slide, rows: list[list[str]]) -> None:
    shape = slide.shapes.add_table(len(rows), len(rows[0]), Inches(0.6), Inches(1.8), Inches(8.8), Inches(4))
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            cell = shape.table.cell(number, column)
            cell.text = text
            cell.text_frame.paragraphs[0].font.size = Pt(16)


def _fill_slide(slide: Slide, blocks: list[Block]) -> None:
    for block in blocks:
        if block.kind == "row":
            _slide_table(slide, block.rows)
        elif block.kind == "notes":
            slide.notes_slide.notes_text_frame.text = block.text
        else:
            slide.placeholders[1].text_frame.text = "\n".join(block.lines)


def write_pptx(source: Source, path: Path) -> None:
    """Write ``source`` as a deck: a title slide and one slide per chapter, with speaker notes."""
    deck = pptx.Presentation()
    properties = deck.core_properties
    properties.title, properties.author, properties.comments = source.title, source.publisher, source.edition
    title = deck.slides.add_slide(deck.slide_layouts[0])
    title.shapes.title.text = source.title
    title.placeholders[1].text = f"{source.subtitle}\n{source.edition}"
    starts = [number for number, block in enumerate(source.blocks) if block.kind == "chapter"]
    for start, end in zip(starts, [*starts[1:], len(source.blocks)], strict=True):
        blocks = list(source.blocks[start + 1 : end])
        layout = 5 if any(block.kind == "row" for block in blocks) else 1
        slide = deck.slides.add_slide(deck.slide_layouts[layout])
        slide.shapes.title.text = source.blocks[start].text
        _fill_slide(slide, blocks)
    buffer = BytesIO()
    deck.save(buffer)
    _save(buffer, path, source)


def write_xlsx(source: Source, path: Path) -> None:
    """Write ``source`` as a workbook: a sheet about the list and one sheet per chapter."""
    book = openpyxl.Workbook()
    book.properties.title, book.properties.creator = source.title, source.publisher
    sheet = book.active
    assert sheet is not None
    sheet.title = "About"
    lines = (source.title, source.subtitle, source.edition, source.publisher)
    for number, line in zip(count(1), lines, strict=False):
        sheet.cell(number, 1, line)
    for block in source.blocks:
        if block.kind == "chapter":
            sheet = book.create_sheet(block.text)
        elif block.kind == "row":
            for row in block.rows:
                sheet.append([int(cell) if _NUMBER.fullmatch(cell) else cell for cell in row])
            for cell in sheet[1]:
                cell.font = Font(bold=True)
            sheet.column_dimensions["A"].width = 30
    buffer = BytesIO()
    book.save(buffer)
    _save(buffer, path, source)

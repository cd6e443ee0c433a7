"""PDF, on PDFium: lines, columns, paragraphs and headings from the text layer. Scans need OCR, which is not here."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.pdf_columns import in_reading_order
from ingest.parsers.pdf_grid import place_tables
from ingest.parsers.pdf_heads import drop_running_heads
from ingest.parsers.pdf_layout import Block, Style, group_lines, measure_style
from ingest.parsers.pdf_lines import Line, Page, read_page
from ingest.parsers.pdf_outline import Outline, heading_levels, outline_key, read_outline
from ingest.parsers.pdf_tables import LEADERS, has_leaders, place_unruled, with_page_numbers
from ingest.parsers.tables import markdown_table

# What programs write into the title by themselves.
_NO_TITLE = re.compile(
    r"(?i)untitled|microsoft word|powerpoint|\.(docx?|pptx?|xlsx?|pdf|tex|dvi|qxd|indd|html?)$|^[\W\d_]*$"
)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LAST_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*$")
_FIRST_WORD = re.compile(r"^[^\W\d_]+(?:-[^\W\d_]+)*")
# PDFium gives the ligature ff of some fonts as "f" and a blank: "af ect". "of" and "if" are words of their own.
_BROKEN_FF = re.compile(r"\b(?!(?:of|if)\b)([^\W\d_]+f) ([a-z]+)")


class PdfParser:
    """Born-digital PDF with pages and boxes."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        document = _open(path, filename)
        try:
            title = document.get_metadata_value("Title").strip()
            outline = read_outline(document)
            pages, broken = _read_pages(document)
            count = len(document)
        finally:
            document.close()
        builder = DocumentBuilder(media_type)
        first_heading = _add_pages(builder, pages, outline)
        unread = [page.number for page in pages if not page.lines and not page.is_blank]
        warnings = [
            *_page_warnings(unread, "no text layer; OCR is not available in this version"),
            *_page_warnings(broken, "damaged content that could not be read"),
        ]
        return builder.build(
            title=first_heading if not title or _NO_TITLE.search(title) else title,
            pages=count,
            pages_read=count - len(unread) - len(broken),
            warnings=warnings,
        )


def _open(path: Path, filename: str) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as exc:
        if pdfium.FPDF_GetLastError() in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise InvalidFile(f"{filename!r} is encrypted; remove the password and upload again") from exc
        raise InvalidFile(f"{filename!r} is damaged ({exc}); print it to a new PDF and upload that") from exc


def _read_pages(document: pypdfium2.PdfDocument) -> tuple[list[Page], list[int]]:
    """Return the pages that can be read, and the numbers of the others."""
    pages: list[Page] = []
    broken: list[int] = []
    for index in range(len(document)):
        try:
            page = read_page(document, index)
            pages.append(replace(page, lines=place_tables(page.lines, page.grids)))
        except pypdfium2.PdfiumError:
            broken.append(index + 1)
    return pages, broken


def _add_pages(builder: DocumentBuilder, pages: Sequence[Page], outline: Outline) -> str | None:
    """Add the text of `pages`; return the largest heading of the first one that has any."""
    style = measure_style(pages)
    words = frozenset(word.lower() for page in pages for line in page.lines for word in _WORD.findall(line.text))
    blocks = list(_blocks(pages, style, outline, words))
    headings = [entry for entry in blocks if entry[1].category is Category.HEADING]
    levels = iter(heading_levels(headings, outline))
    for number, block, text in blocks:
        level = next(levels) if block.category is Category.HEADING else 1
        builder.add(text, category=block.category, level=level, page=number, box=block.box)
    on_first_page = [entry for entry in headings if entry[0] == headings[0][0]]
    return max(on_first_page, key=lambda entry: entry[1].size)[2] if on_first_page else None


def _blocks(
    pages: Sequence[Page], style: Style, outline: Outline, words: frozenset[str]
) -> Iterator[tuple[int, Block, str]]:
    """Yield page, block and its text; a paragraph that the outline names is a heading."""
    titles = frozenset(key for _, key in outline)
    for page in drop_running_heads(pages, style, titles):
        for block in group_lines(place_unruled(with_page_numbers(in_reading_order(page.lines))), style):
            text = block_text(block, words)
            is_named = (
                block.category in (Category.TEXT, Category.LIST_ITEM) and (page.number, outline_key(text)) in outline
            )
            yield page.number, replace(block, category=Category.HEADING) if is_named else block, text


def block_text(block: Block, words: frozenset[str]) -> str:
    """Return a block's text: rows of a table stay lines, wrapped lines become one, with their hyphens resolved.

    `words` are the document's own, lower case: how it spells a word elsewhere decides about a hyphen.
    """
    if block.rows:
        return markdown_table([_joined(cell, words) for cell in row] for row in block.rows)
    if block.category is Category.TABLE:
        return "\n".join(line.text + ("-" if line.is_hyphenated else "") for line in block.lines)
    if has_leaders(block.lines[0]):
        return "\n".join(LEADERS.sub(" ...", line.text) for line in block.lines)
    return _joined(block.lines, words)


def _joined(lines: Sequence[Line], words: frozenset[str]) -> str:
    if not lines:
        return ""
    text = "".join(line.text + _line_joint(line, following, words) for line, following in pairwise(lines))
    text += lines[-1].text + ("-" if lines[-1].is_hyphenated else "")
    return _BROKEN_FF.sub(lambda match: _mended_ff(match, words), text)


def _mended_ff(match: re.Match[str], words: frozenset[str]) -> str:
    """Return the word with its second f where the document has that word elsewhere, else the text as it is."""
    mended = f"{match.group(1)}f{match.group(2)}"
    return mended if mended.lower() in words else match.group()


def _line_joint(line: Line, following: Line, words: frozenset[str]) -> str:
    """Return what stands between two lines of a paragraph: a blank, a hyphen, or nothing in a divided word."""
    if not line.is_hyphenated:
        return " "
    before, after = _LAST_WORD.search(line.text), _FIRST_WORD.search(following.text)
    if not before or not after:
        return "-"
    left, right = before.group().lower(), after.group()
    if left + right.lower() in words:
        return ""
    if f"{left}-{right.lower()}" in words or "-" in left or not right[0].islower():
        return "-"
    return ""


def _page_warnings(numbers: Sequence[int], what: str) -> Iterator[str]:
    """Yield one sentence for each run of pages."""
    start = 0
    for end in range(1, len(numbers) + 1):
        if end < len(numbers) and numbers[end] == numbers[end - 1] + 1:
            continue
        first, last = numbers[start], numbers[end - 1]
        yield f"page {first} has {what}" if first == last else f"pages {first} to {last} have {what}"
        start = end

"""From pages with lines to the elements of a document: what the text layer and OCR have in common. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from ingest.documents import Category, DocumentBuilder
from ingest.parsers.pdf_columns import in_reading_order
from ingest.parsers.pdf_heads import drop_running_heads
from ingest.parsers.pdf_layout import Block, Style, group_lines, measure_style
from ingest.parsers.pdf_lines import Line, Page
from ingest.parsers.pdf_outline import Outline, heading_levels, outline_key
from ingest.parsers.pdf_tables import LEADERS, has_leaders, place_unruled, with_page_numbers
from ingest.parsers.tables import markdown_table

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LAST_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*$")
_FIRST_WORD = re.compile(r"^[^\W\d_]+(?:-[^\W\d_]+)*")
# PDFium gives the ligature ff of some fonts as "f" and a blank: "af ect". "of" and "if" are words of their own.
_BROKEN_FF = re.compile(r"\b(?!(?:of|if)\b)([^\W\d_]+f) ([a-z]+)")


def add_pages(builder: DocumentBuilder, pages: Sequence[Page], outline: Outline | None = None) -> str | None:
    """Add the text of `pages`; return the largest heading of the first one that has any."""
    outline = outline or {}
    style = measure_style(pages)
    words = frozenset(word.lower() for page in pages for line in page.lines for word in _WORD.findall(line.text))
    blocks = list(_blocks(pages, style, outline, words))
    headings = [entry for entry in blocks if entry[1].category is Category.HEADING]
    levels = iter(heading_levels(headings, outline))
    by_number = {page.number: page for page in pages}
    for number, block, text in blocks:
        level = next(levels) if block.category is Category.HEADING else 1
        box = by_number[number].shown(block.box)
        builder.add(text, category=block.category, level=level, page=number, box=box)
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

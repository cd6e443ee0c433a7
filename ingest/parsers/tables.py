"""Rows of cells as Markdown: the one form that tables of every format take in a document's text."""

from collections.abc import Iterable, Sequence
from itertools import groupby, takewhile

from ingest.documents import Category, DocumentBuilder


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Return `rows` as `| a | b |` lines with a separator after the first; an empty string without any text.

    Rows are padded to the widest; cells become one line each and their pipes are escaped. Empty rows and empty
    columns go.
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    filled = [c for c in range(width) if any(c < len(row) and row[c] for row in cells)]
    lines = ["| " + " | ".join(row[c] if c < len(row) else "" for c in filled) + " |" for row in cells]
    if lines:
        lines.insert(1, "|" + " --- |" * len(filled))
    return "\n".join(lines)


def _one_line(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")


def add_sheet(builder: DocumentBuilder, name: str, rows: Iterable[Sequence[str]]) -> bool:
    """Add one sheet: its name as a heading, then its tables, which blank rows separate.

    Return whether it held anything; an empty one leaves no heading behind.
    """
    is_added = False
    for is_filled, block in groupby(rows, key=any):
        if not is_filled:
            continue
        if not is_added:
            builder.add(name, category=Category.HEADING)
            is_added = True
        table = list(block)
        captions = list(takewhile(lambda row: _filled_cells(row) == 1, table))
        for row in captions:
            builder.add("".join(row))
        builder.add(markdown_table(table[len(captions) :]), category=Category.TABLE)
    return is_added


def _filled_cells(row: Sequence[str]) -> int:
    return sum(map(bool, row))

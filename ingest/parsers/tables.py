"""Rows of cells as Markdown: the one form that tables of every format take in a document's text."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, takewhile

from ingest.documents import Category, DocumentBuilder

# Blank cells that a table may be filled up with; rows of a wider or more ragged one end where their text does.
_MAX_PADDING = 1_000_000
# Cells of one workbook, blank ones before a filled one included. More filled ones than that pass the limit of a
# package's XML; blank ones are only claimed, by a row of a few bytes.
_MAX_CELLS = 10_000_000


def markdown_table(rows: Iterable[Sequence[str]]) -> str:
    """Return `rows` as `| a | b |` lines with a separator after the first; an empty string without any text.

    Rows are padded to the widest; cells become one line each and their pipes are escaped. Empty rows and empty
    columns go.
    """
    cells = [[_one_line(cell) for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    filled = sorted({column for row in cells for column, cell in enumerate(row) if cell})
    is_padded = len(filled) * len(cells) - sum(map(len, cells)) <= _MAX_PADDING
    # The first row says how many columns there are.
    lines = [_line(row, filled, is_padded=is_padded or not number) for number, row in enumerate(cells)]
    if lines:
        lines.insert(1, "|" + " --- |" * len(filled))
    return "\n".join(lines)


def _line(row: Sequence[str], columns: Sequence[int], *, is_padded: bool) -> str:
    present = bisect_left(columns, len(row))
    padding = len(columns) - present if is_padded else 0
    return "| " + " | ".join([*(row[column] for column in columns[:present]), *[""] * padding]) + " |"


def _one_line(cell: str) -> str:
    return " ".join(cell.split()).replace("|", "\\|")


class SheetWriter:
    """Adds the sheets of a workbook, up to a number of cells over all."""

    def __init__(self, builder: DocumentBuilder, *, max_cells: int = _MAX_CELLS) -> None:
        self._builder = builder
        self._max_cells = max_cells
        self._cells_left = max_cells

    def add(self, name: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
        """Add one sheet: its name as a heading, then its tables, which blank rows separate.

        Yield a sentence for what is not there: an empty sheet leaves no heading behind, and one that is too large ends
        early. `rows` begin with row 1.
        """
        is_added = False
        reader = _RowReader(rows, max_cells=self._cells_left)
        for is_filled, block in groupby(reader, key=any):
            if not is_filled:
                continue
            if not is_added:
                self._builder.add(name, category=Category.HEADING)
                is_added = True
            table = list(block)
            captions = list(takewhile(lambda row: _filled_cells(row) == 1, table))
            for row in captions:
                self._builder.add("".join(row))
            self._builder.add(markdown_table(table[len(captions) :]), category=Category.TABLE)
        self._cells_left -= reader.cells
        if reader.is_cut:
            yield (
                f"sheet {name!r}: rows after {reader.rows:,} were not read, as the workbook claims more than "
                f"{self._max_cells:,} cells; split it"
            )
        elif not is_added:
            yield f"sheet {name!r} holds no values"


class _RowReader:
    """Iterates over rows, without their blank ends, until there are too many cells."""

    def __init__(self, rows: Iterable[Sequence[str]], *, max_cells: int) -> None:
        self._all = rows
        self._max_cells = max_cells
        self.rows = 0
        self.cells = 0
        self.is_cut = False

    def __iter__(self) -> Iterator[Sequence[str]]:
        for row in self._all:
            width = len(row)
            while width and not row[width - 1]:
                width -= 1
            self.is_cut = self.cells + width > self._max_cells
            if self.is_cut:
                return
            self.cells += width
            self.rows += 1
            yield row[:width]


def _filled_cells(row: Sequence[str]) -> int:
    return sum(map(bool, row))

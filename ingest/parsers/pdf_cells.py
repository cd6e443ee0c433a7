"""Rows and cells of the tables of a PDF, however they were found. Pure."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from ingest.documents import Box
from ingest.parsers.pdf_lines import Line, Row, Segment

Cell = tuple[Line, ...]

NUMBER = re.compile(r"[$€£¥(+-]*\s?\d[\d.,]*\s?[)%]*|[-–—]+")
# Signs that programs put into narrow cells of their own, before and after the number that they belong to.
_BEFORE_NUMBER = re.compile(r"(?:US)?[$€£¥]|[($€£¥]+")
_AFTER_NUMBER = re.compile(r"[)%]+")
# What is framed with more lines than this in its usual cell is a part of the page.
_CELL_LINES = 8
# Share of the cells of a table that have text; of a chart's or a form's few have.
_FILLED = 0.2


def levels(pieces: Sequence[Line]) -> list[list[Line]]:
    """Return `pieces` by the height they stand at, from top to bottom."""
    found: list[list[Line]] = []
    for piece in sorted(pieces, key=lambda piece: piece.box[1] + piece.box[3]):
        if found and (piece.box[1] + piece.box[3] - found[-1][0].box[1] - found[-1][0].box[3]) < piece.size:
            found[-1].append(piece)
        else:
            found.append([piece])
    return found


def is_table(rows: Sequence[Row]) -> bool:
    """Tell whether cells are those of a table and not of a frame, a chart or a form."""
    filled = [cell for row in rows for cell in row if cell]
    columns = sum(any(column) for column in zip(*rows, strict=True))
    full_rows = sum(sum(map(bool, row)) > 1 for row in rows)
    return (
        full_rows >= 2
        and len(filled) >= max(4, _FILLED * columns * len(rows))
        and median(map(len, filled)) <= _CELL_LINES
    )


def table_line(rows: Sequence[Row], box: Box) -> Line:
    """Return the line that stands for the table of `rows`."""
    pieces = [piece for row in rows for cell in row for piece in cell]
    return Line(
        text=" ".join(piece.text for piece in pieces),
        box=box,
        size=median(piece.size for piece in pieces),
        weight=min(piece.weight for piece in pieces),
        rows=tuple(rows),
    )


def normalized(rows: Sequence[Row]) -> list[Row]:
    """Return `rows` with signs ($, %) joined to their numbers and columns joined that are one."""
    columns = [list(column) for column in zip(*(_signs_joined(row) for row in rows), strict=True) if any(column)]
    found = columns[:2]
    for column in columns[2:]:
        if _are_one_column(found[-1], column):
            found[-1] = [a or b for a, b in zip(found[-1], column, strict=True)]
        else:
            found.append(column)
    return list(zip(*found, strict=True))


def joined_signs(segments: Sequence[Segment]) -> list[Segment]:
    """Return the segments of a line with signs ($, %) joined to their numbers; places are those of the numbers."""
    found: list[Segment] = []
    for segment in segments:
        before = found[-1] if found else None
        if before and _BEFORE_NUMBER.fullmatch(before.text) and NUMBER.fullmatch(segment.text):
            found[-1] = Segment(before.text + segment.text, segment.left, segment.right)
        elif before and NUMBER.fullmatch(before.text) and _AFTER_NUMBER.fullmatch(segment.text):
            found[-1] = Segment(before.text + segment.text, before.left, before.right)
        else:
            found.append(segment)
    return found


def _signs_joined(row: Row) -> Row:
    cells = [tuple(_without_blanks(piece) for piece in cell) for cell in row]
    filled = [index for index, cell in enumerate(cells) if cell]
    for before, index in pairwise(filled):
        if _is_sign(cells[before], _BEFORE_NUMBER) and _is_number(cells[index]):
            cells[before], cells[index] = (), (_pair(cells[before][0], cells[index][0]),)
        elif _is_sign(cells[index], _AFTER_NUMBER) and _is_number(cells[before]):
            cells[before], cells[index] = (_pair(cells[before][0], cells[index][0]),), ()
    return tuple(cells)


def _without_blanks(piece: Line) -> Line:
    """Return a number as one word: "$ 5" and "7 %" are "$5" and "7%" in every row then."""
    is_apart = " " in piece.text and NUMBER.fullmatch(piece.text)
    return replace(piece, text=piece.text.replace(" ", "")) if is_apart else piece


def _is_sign(cell: Cell, sign: re.Pattern[str]) -> bool:
    return len(cell) == 1 and sign.fullmatch(cell[0].text) is not None


def _is_number(cell: Cell) -> bool:
    return len(cell) == 1 and NUMBER.fullmatch(cell[0].text) is not None


def _pair(a: Line, b: Line) -> Line:
    box = (a.box[0], min(a.box[1], b.box[1]), b.box[2], max(a.box[3], b.box[3]))
    return replace(b, text=a.text + b.text, box=box)


def _are_one_column(a: Sequence[Cell], b: Sequence[Cell]) -> bool:
    """Tell whether no row has text in both and they lie over each other: cells merged in some rows alone."""
    if any(x and y for x, y in zip(a, b, strict=True)):
        return False
    (left, right), (other_left, other_right) = _extent(a), _extent(b)
    return min(right, other_right) - max(left, other_left) > 1


def _extent(column: Sequence[Cell]) -> tuple[float, float]:
    boxes = [piece.box for cell in column for piece in cell]
    return min(box[0] for box in boxes), max(box[2] for box in boxes)

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
_YEAR = re.compile(r"(?:FY\s?)?(?:19|20)\d\d[AE]?")
# Rows that heads of columns take at most.
_MOST_HEADS = 5
# Rows that can hold heads, and the points by which a head can lie beside its numbers.
_HEAD_ROWS = 2
_HEAD_APART = 30.0
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
    for number in range(len(found) - 2, 0, -1):
        if len(found[number]) > _HEAD_ROWS + 1 and _is_head_alone(found[number]):
            head = found.pop(number)
            target = max(number - 1, 1)  # The first column is that of the labels.
            found[target] = _over(head, found[target])
    return list(zip(*found, strict=True))


def _over(head: Sequence[Cell], column: Sequence[Cell]) -> list[Cell]:
    """Return `column` with the head that stands over it and the columns to its right."""
    return [tuple(sorted(a + b, key=lambda piece: piece.box[1])) for a, b in zip(head, column, strict=True)]


def parted_head(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the rows that head the columns as one, and the others; the first list is empty where that is not known.

    They have nothing above the labels, but for the last of them where heads over several columns stand above it.
    """
    count = 0
    while count < min(len(rows) - 1, _MOST_HEADS) and not rows[count][0] and _has_no_figures(rows[count]):
        count += 1
    if 0 < count < len(rows) - 1 and not all(rows[0][1:]) and any(rows[count][1:]) and _has_no_figures(rows[count]):
        count += 1
    return ([joined_rows(rows[:count])] if count else []), list(rows[count:])


def joined_rows(rows: Sequence[Row]) -> Row:
    return tuple(tuple(piece for cell in column for piece in cell) for column in zip(*rows, strict=True))


def _has_no_figures(row: Row) -> bool:
    texts = [piece.text for cell in row[1:] for piece in cell]
    return not any(NUMBER.fullmatch(text) and not _YEAR.fullmatch(text) for text in texts)


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
    """Tell whether no row has text in both and they lie over each other: cells merged in some rows alone.

    A head in the middle over narrow cells may lie beside the numbers instead.
    """
    if any(x and y for x, y in zip(a, b, strict=True)):
        return False
    (left, right), (other_left, other_right) = _extent(a), _extent(b)
    apart = max(left, other_left) - min(right, other_right)
    return apart < -1 or (_is_head_alone(a) != _is_head_alone(b) and apart < _HEAD_APART)


def _is_head_alone(column: Sequence[Cell]) -> bool:
    return not any(column[_HEAD_ROWS:])


def _extent(column: Sequence[Cell]) -> tuple[float, float]:
    boxes = [piece.box for cell in column for piece in cell]
    return min(box[0] for box in boxes), max(box[2] for box in boxes)

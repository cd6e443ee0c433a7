"""Tables without ruling lines: rows and columns from how text is aligned. Pure.

A false table in prose is worse than a missed one: what does not stand in columns stays lines.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from ingest.parsers.pdf_cells import (
    NUMBER,
    is_table,
    joined_rows,
    joined_signs,
    levels,
    normalized,
    parted_head,
    table_line,
)
from ingest.parsers.pdf_columns import are_level, merged, split
from ingest.parsers.pdf_lines import Line, Row

# What stands before an item of a list, and is no cell: a bullet, "2", "(a)", "iv.", "4.2".
_LABEL = re.compile(r"(?:[•●▪■◦‣∙·○➢❖►–-]|\(?[\dA-Za-z.]{1,5}[.)]|\d{1,2}|\d+(?:\.\d+)+|[A-Za-z]|[ivx]+)$")
_PAGE_NUMBER = re.compile(r"(?:\d{1,4}|[ivxlc]+)$")
LEADERS = re.compile(r"(?:\s?\.){5,}|(?:\s?…){2,}")
_EQUATION_NUMBER = re.compile(r"\(\w{1,5}(?:\.\d+)?\)")
# A table has at least this many rows with a wide gap, and between two of them at most this many lines without,
# each at most this share of the rows' width.
_TABLE_ROWS = 3
_TABLE_INTERRUPTION = 5
_LABEL_WIDTH = 0.7
# Share of rows that may cross the gap between two columns, as heads over several columns do.
_CROSSING = 0.12
# Share of the cells of a column that have one left or right edge, and of columns that are such.
_ALIGNED = 0.6
_ALIGNED_COLUMNS = 0.7
# Mean length of cells, in characters, from which on a column looks like one of prose.
_PROSE = 30
# Mean length below which cells that are no numbers are labels in a drawing.
_LABEL_CHARS = 6
# Gap, in sizes, to a line above that can head the columns or below that can end the last row.
_NEAR = 0.8


@dataclass(frozen=True, slots=True)
class _Column:
    left: float
    right: float


def place_unruled(lines: Sequence[Line]) -> list[Line]:
    """Return `lines`, in reading order, with each run that stands in columns replaced by a line with its cells."""
    placed: list[Line] = []
    done = 0
    for start, end in table_runs(lines):
        columns = _columns(lines[start : end + 1])
        if start < done or not columns:
            continue
        first, last = _extended(lines, max(start, done), end, columns, done)
        by_level = [_row(level, columns) for level in levels(lines[first : last + 1])]
        if len(columns) == 2 and _is_prose(by_level):
            placed += [
                *lines[done:first],
                *(p for column in zip(*by_level, strict=True) for cell in column for p in cell),
            ]
            done = last + 1
            continue
        table = _table(lines[first : last + 1], by_level)
        if table is None:
            continue
        placed += [*lines[done:first], table]
        done = last + 1
    return [*placed, *lines[done:]]


def with_page_numbers(lines: Sequence[Line]) -> list[Line]:
    """Return `lines` with the page numbers of a table of contents on the lines that lead to them."""
    found: list[Line] = []
    for line in lines:
        if (
            found
            and has_leaders(found[-1])
            and _PAGE_NUMBER.match(line.text)
            and are_level(found[-1].box, line.box)
            and line.box[0] > found[-1].box[2]
        ):
            found[-1] = merged([found[-1], line])
        else:
            found.append(line)
    return found


def table_runs(lines: Sequence[Line]) -> list[tuple[int, int]]:
    """Return first and last index of each run of rows with wide gaps, with the few lines between them."""
    found: list[list[int]] = [[]]
    for index, line in enumerate(lines):
        if not _is_row(line):
            continue
        if found[-1] and not _is_same_table(lines[found[-1][-1] : index + 1]):
            found.append([])
        found[-1].append(index)
    return [(rows[0], rows[-1]) for rows in found if len(rows) >= _TABLE_ROWS]


def has_leaders(line: Line) -> bool:
    """Tell whether dots lead from the left to the right of a line, as in a table of contents."""
    text = line.text  # Most lines have none, which is told faster without the pattern.
    return (".." in text or ". ." in text or "…" in text) and LEADERS.search(text) is not None


def _is_row(line: Line) -> bool:
    """Tell whether a line has several cells; the number or bullet of a list item is not one."""
    segments = line.segments
    if segments and _LABEL.match(segments[0].text):
        segments = segments[1:]
    return len(segments) > 1 and not line.rows


def _is_same_table(lines: Sequence[Line]) -> bool:
    """Tell whether the first and the last of `lines`, which are rows, and what is between them are of one table.

    Labels may stand between rows, such as a group's name; they are narrow, and lines of a paragraph are not.
    """
    row, *labels, line = lines
    if _starts_table(row, labels):
        return False
    distance = line.box[1] - row.box[1]
    width = max(row.box[2], line.box[2]) - min(row.box[0], line.box[0])
    return (
        -row.size <= distance <= 12 * row.size
        and len(labels) <= _TABLE_INTERRUPTION
        and all(label.box[2] - label.box[0] <= _LABEL_WIDTH * width and not label.rows for label in labels)
    )


def _starts_table(row: Line, labels: Sequence[Line]) -> bool:
    """Tell whether `labels` below `row` head another table: set apart, and not where the labels of rows begin."""
    if len(labels) < 2 or labels[0].box[1] - row.box[3] < _NEAR * row.size:
        return False
    beyond = row.box[0] + 0.2 * (row.box[2] - row.box[0])
    return sum(label.box[0] > beyond for label in labels) > 1


def _columns(lines: Sequence[Line]) -> list[_Column]:
    """Return the strips, from left to right, between the gaps that hardly a row crosses."""
    rows = [row for row in levels(lines) if sum(len(line.segments) for line in row) > 1]
    segments = [segment for row in rows for line in row for segment in joined_signs(line.segments)]
    allowed = max(int(_CROSSING * len(rows)), len(rows) > _TABLE_ROWS)
    edges = sorted([(s.left, 1) for s in segments] + [(s.right, -1) for s in segments])
    columns: list[_Column] = []
    covering, left = 0, None
    for place, step in edges:
        covering += step
        if left is None and step > 0 and covering == allowed + 1:
            left = place
        elif left is not None and step < 0 and covering == allowed:
            columns.append(_Column(left, place))
            left = None
    size = median(line.size for line in lines)
    return _without_slits(columns, 0.4 * size)


def _without_slits(columns: Sequence[_Column], width: float) -> list[_Column]:
    """Return `columns` with those joined that a gap narrower than `width` divides."""
    found: list[_Column] = []
    for column in columns:
        if found and column.left - found[-1].right < width:
            found[-1] = _Column(found[-1].left, column.right)
        else:
            found.append(column)
    return found if len(found) > 1 else []


def _extended(lines: Sequence[Line], start: int, end: int, columns: Sequence[_Column], least: int) -> tuple[int, int]:
    """Return the run with the heads of columns above it and the rest of the last row's cells below it."""
    top = min(line.box[1] for line in lines[start : end + 1])
    while start > least and _heads(lines[start - 1], top, columns):
        start -= 1
        top = min(top, lines[start].box[1])
    bottom = max(line.box[3] for line in lines[start : end + 1])
    while end + 1 < len(lines) and _ends(lines[end + 1], bottom, columns):
        end += 1
        bottom = max(bottom, lines[end].box[3])
    return start, end


def _heads(line: Line, top: float, columns: Sequence[_Column]) -> bool:
    gap = top - line.box[3]
    if line.rows or not -3 * line.size <= gap <= _NEAR * line.size:
        return False
    is_level = gap < -0.5 * line.size
    is_over_later = (
        max(columns[0].right, columns[1].left - 4 * line.size) < line.box[0]
        and line.box[2] <= columns[-1].right + line.size
    )
    return is_over_later or (is_level and line.box[2] < columns[1].left)


def _ends(line: Line, bottom: float, columns: Sequence[_Column]) -> bool:
    """Tell whether `line` goes on in a later column below the last row."""
    gap = line.box[1] - bottom
    if line.rows or not -2 * line.size <= gap <= 0.5 * line.size:
        return False
    return any(c.left - 2 <= line.box[0] and line.box[2] <= c.right + line.size for c in columns[1:])


def _table(lines: Sequence[Line], by_level: Sequence[Row]) -> Line | None:
    """Return the line that stands for the table, or None where `lines` are not one."""
    if sum(map(has_leaders, lines)) > 1:
        return None
    if not _are_in_columns(by_level) or _is_prose(by_level) or _are_equations(by_level) or _is_figure(by_level):
        return None
    rows = normalized(_logical_rows(by_level))
    if len(rows) < _TABLE_ROWS or not is_table(rows):
        return None
    boxes = [line.box for line in lines]
    box = (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes))
    return table_line(rows, box)


def _row(level: Iterable[Line], columns: Sequence[_Column]) -> Row:
    """Return the pieces of the lines at one height by column."""
    cells: list[list[Line]] = [[] for _ in columns]
    for piece in sorted(
        (p for line in level for p in split(line, joined_signs(line.segments))), key=lambda piece: piece.box[0]
    ):
        overlaps = [min(piece.box[2], c.right) - max(piece.box[0], c.left) for c in columns]
        cells[overlaps.index(max(overlaps))].append(piece)
    return tuple(map(tuple, cells))


def _are_in_columns(rows: Sequence[Row]) -> bool:
    """Tell whether most columns are of numbers, or of pieces with one left, right or middle."""
    columns = [[piece for cell in column for piece in cell] for column in zip(*rows, strict=True)]
    later = [column for column in columns[1:] if column]
    return sum(map(_is_aligned, later)) >= max(1, _ALIGNED_COLUMNS * len(later))


def _is_aligned(pieces: Sequence[Line]) -> bool:
    if sum(NUMBER.fullmatch(piece.text) is not None for piece in pieces) >= _ALIGNED * len(pieces):
        return True
    if len(pieces) < 2:
        return False
    tolerance = 0.5 * pieces[0].size
    places = (
        [piece.box[0] for piece in pieces],
        [piece.box[2] for piece in pieces],
        [(piece.box[0] + piece.box[2]) / 2 for piece in pieces],
    )
    return any(sum(abs(place - median(edge)) <= tolerance for place in edge) >= _ALIGNED * len(edge) for edge in places)


def _is_prose(rows: Sequence[Row]) -> bool:
    """Tell whether two columns have long cells in line after line: columns of an article next to each other."""
    long_columns = 0
    for column in zip(*rows, strict=True):
        texts = [piece.text for cell in column for piece in cell]
        long_columns += len(texts) >= 3 and fmean(map(len, texts)) >= _PROSE
    return long_columns > 1


def _are_equations(rows: Sequence[Row]) -> bool:
    last = [cell[-1].text for row in rows if (cell := row[-1])]
    return len(last) > 1 and all(_EQUATION_NUMBER.fullmatch(text) for text in last)


def _is_figure(rows: Sequence[Row]) -> bool:
    """Tell whether the cells are hardly more than letters, as those of a drawing are."""
    texts = [piece.text for row in rows for cell in row for piece in cell]
    numbers = sum(NUMBER.fullmatch(text) is not None for text in texts)
    return numbers < 0.3 * len(texts) and fmean(map(len, texts)) < _LABEL_CHARS


def _logical_rows(rows: Sequence[Row]) -> list[Row]:
    """Return `rows`, one for each printed line, with those joined that are one row."""
    head, rest = parted_head(rows)
    found = list(head)
    for row in rest:
        if len(found) > len(head) and _continues(found[-1], row):
            found[-1] = joined_rows([found[-1], row])
        else:
            found.append(row)
    return found


def _continues(above: Row, row: Row) -> bool:
    """Tell whether `row` is a further line of the cells of `above`."""
    gap = min(p.box[1] for c in row for p in c) - max(p.box[3] for c in above for p in c)
    if gap > _NEAR * next(p.size for c in row for p in c):
        return False
    if row[0]:
        is_rest = row[0][0].text[:1].islower()
        return is_rest and (not any(row[1:]) or not any(above[1:]))
    return not any(
        a and b and (NUMBER.fullmatch(a[-1].text) or NUMBER.fullmatch(b[0].text))
        for a, b in zip(above, row, strict=True)
    )

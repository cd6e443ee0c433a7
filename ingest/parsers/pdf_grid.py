"""Tables whose cells are drawn: text goes to the cell of the grid it lies in. Pure."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ingest.documents import Box
from ingest.parsers.pdf_cells import is_table, levels, normalized, parted_head, table_line
from ingest.parsers.pdf_columns import split
from ingest.parsers.pdf_lines import Line, Row, Segment
from ingest.parsers.pdf_rules import Grid, Rule, places

# Points by which text may stick out of its cell, and rules miss each other.
_TOLERANCE = 3.0
# Points between grids side by side that are one table, and the share of their rows that are at one height then.
_GUTTER = 24.0
_SHARED = 0.7
# Lines above a grid that can be its column heads, and the gap to each in sizes.
_HEAD_LINES = 4
_HEAD_GAP = 0.8
# From this many lines on, with cells of at most this many characters on average, lines without rules are rows.
_LIST_ROWS = 4
_SHORT = 40
_HAS_DIGIT = re.compile(r"\d")


def place_tables(lines: Sequence[Line], grids: Iterable[Grid]) -> tuple[Line, ...]:
    """Return `lines` with those inside a grid replaced by one line that has their cells, where the first one was.

    A grid that frames something else than a table leaves its lines as they are.
    """
    for grid in _merged(_side_by_side(list(grids)), lines):
        divided = [piece for line in lines for piece in _divided(line, grid)]
        inside = [piece for piece in divided if _is_inside(piece, grid.box)]
        heads = _heads(divided, grid) if inside else []
        table = _table(grid, inside, heads)
        if table is None:
            continue
        taken = {id(piece) for piece in (*inside, *heads)}
        first = next(index for index, piece in enumerate(divided) if id(piece) in taken)
        rest = [piece for piece in divided[first:] if id(piece) not in taken]
        lines = [*divided[:first], table, *rest]
    return tuple(lines)


def _side_by_side(grids: Sequence[Grid]) -> list[Grid]:
    """Return grids with those joined that stand next to each other at the same height: halves of one table."""
    found: list[Grid] = []
    for grid in sorted(grids, key=lambda grid: grid.box[0]):
        for index, left in enumerate(found):
            if _is_half(left, grid):
                found[index] = Grid(
                    xs=left.xs + tuple(x for x in grid.xs if x > left.xs[-1] + _TOLERANCE),
                    ys=places((*left.ys, *grid.ys)),
                    vertical=left.vertical + grid.vertical,
                    horizontal=left.horizontal + grid.horizontal,
                )
                break
        else:
            found.append(grid)
    return found


def _is_half(left: Grid, right: Grid) -> bool:
    """Tell whether two grids next to each other have most of their rows at the same heights."""
    if not -_TOLERANCE <= right.box[0] - left.box[2] <= _GUTTER:
        return False
    few, many = sorted((left.ys, right.ys), key=len)
    shared = sum(any(abs(y - other) <= _TOLERANCE for other in many) for y in few)
    return shared >= max(3, _SHARED * len(few))


def _heads(lines: Sequence[Line], grid: Grid) -> list[Line]:
    """Return the lines right above the grid that head its columns: divided as they are, or above the later ones."""
    left, top, right, _ = grid.box
    above = [line for line in lines if line.box[3] <= top + _TOLERANCE and not line.rows]
    found: list[Line] = []
    for level in reversed(levels(above)[-_HEAD_LINES:]):
        bottom = max(line.box[3] for line in level)
        starts = [segment.left for line in level for segment in line.segments]
        fits = all(left - _TOLERANCE <= line.box[0] and line.box[2] <= right + _TOLERANCE for line in level)
        heads_columns = len(starts) > 1 or (bool(found) and min(starts) >= grid.xs[1] - _TOLERANCE)
        if not fits or not heads_columns or top - bottom > _HEAD_GAP * level[0].size:
            break
        found += level
        top = min(line.box[1] for line in level)
    return found


def _merged(grids: list[Grid], lines: Sequence[Line]) -> list[Grid]:
    """Return grids with those joined that are one table: the same columns, and nothing but rows in between."""
    found: list[Grid] = []
    for grid in sorted(grids, key=lambda grid: grid.box[1]):
        above = found[-1] if found else None
        if above is None or not _are_one_table(above, grid, lines):
            found.append(grid)
            continue
        found[-1] = replace(
            above,
            ys=tuple(sorted({*above.ys, *(y for y in grid.ys if y > above.ys[-1] + _TOLERANCE)})),
            vertical=above.vertical + grid.vertical,
            horizontal=above.horizontal + grid.horizontal,
        )
    return found


def _are_one_table(above: Grid, below: Grid, lines: Sequence[Line]) -> bool:
    if len(above.xs) != len(below.xs) or any(abs(a - b) > _TOLERANCE for a, b in zip(above.xs, below.xs, strict=True)):
        return False
    top, bottom = above.box[3], below.box[1]
    between = [line for line in lines if top < (line.box[1] + line.box[3]) / 2 < bottom]
    return (
        top - _TOLERANCE <= bottom <= top + 3 * _TOLERANCE
        if not between
        else all(len(line.segments) > 1 and not line.rows for line in between)
    )


def _divided(line: Line, grid: Grid) -> list[Line]:
    """Return `line` as one piece for each segment inside the grid and one for each run of others."""
    left, top, right, bottom = grid.box
    middle = (line.box[1] + line.box[3]) / 2
    if line.rows or not top <= middle <= bottom or line.box[2] < left or line.box[0] > right:
        return [line]
    parts: list[Segment] = []
    was_outside = False
    for segment in line.segments:
        is_outside = not left <= (segment.left + segment.right) / 2 <= right
        if is_outside and was_outside:
            before = parts[-1]
            parts[-1] = Segment(f"{before.text} {segment.text}", before.left, segment.right)
        else:
            parts.append(segment)
        was_outside = is_outside
    return split(line, parts)


def _is_inside(line: Line, box: Box) -> bool:
    x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
    return not line.rows and box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _table(grid: Grid, pieces: Sequence[Line], heads: Sequence[Line]) -> Line | None:
    """Return the line that stands for the table, or None where the grid does not frame one."""
    cells: dict[tuple[int, int], list[Line]] = {}
    ordered = (piece for level in levels(pieces) for piece in sorted(level, key=lambda piece: piece.box[0]))
    for piece in ordered:
        cells.setdefault(_cell(grid, piece), []).append(piece)
    _raise_merged(cells, grid)
    rows = [row for band in range(len(grid.ys) - 1) for row in _band_rows(cells, band, len(grid.xs) - 1)]
    rows = [row for row in rows if any(row)]
    if not is_table(rows):
        return None
    if heads:
        rows.insert(0, _head_row(heads, grid))
    left, top, right, bottom = grid.box
    head, rest = parted_head(normalized(rows))
    return table_line([*head, *rest], (left, min([top, *(head.box[1] for head in heads)]), right, bottom))


def _head_row(heads: Sequence[Line], grid: Grid) -> Row:
    columns: list[list[Line]] = [[] for _ in grid.xs[1:]]
    for line in sorted(heads, key=lambda line: line.box[1]):
        for piece in split(line, line.segments):
            middle = (piece.box[0] + piece.box[2]) / 2
            columns[min(max(bisect_right(grid.xs, middle) - 1, 0), len(columns) - 1)].append(piece)
    return tuple(map(tuple, columns))


def _cell(grid: Grid, piece: Line) -> tuple[int, int]:
    """Return row and column of the cell that `piece` lies in; of merged cells, the leftmost."""
    left, top, right, bottom = piece.box
    y = (top + bottom) / 2
    row = min(max(bisect_right(grid.ys, y) - 1, 0), len(grid.ys) - 2)
    column = min(max(bisect_right(grid.xs, (left + right) / 2) - 1, 0), len(grid.xs) - 2)
    while column and not _covers(grid.vertical, grid.xs[column], y):
        column -= 1
    return row, column


def _covers(rules: Iterable[Rule], at: float, place: float) -> bool:
    return any(
        abs(rule.at - at) <= _TOLERANCE and rule.start - _TOLERANCE <= place <= rule.end + _TOLERANCE for rule in rules
    )


def _raise_merged(cells: dict[tuple[int, int], list[Line]], grid: Grid) -> None:
    """Move what stands in the middle of a cell over several rows to the first of them."""
    for row, column in sorted(cells):
        x = (grid.xs[column] + grid.xs[column + 1]) / 2
        target = row
        while target and (target - 1, column) not in cells and not _covers(grid.horizontal, grid.ys[target], x):
            target -= 1
        if target != row and any(key[0] == target for key in cells):
            cells[target, column] = cells.pop((row, column))


def _band_rows(cells: dict[tuple[int, int], list[Line]], band: int, width: int) -> list[Row]:
    """Return the rows between two rules: one, or where no rule divides them, one for each line of numbers."""
    row = tuple(tuple(cells.get((band, column), ())) for column in range(width))
    heights = levels([piece for cell in row for piece in cell])
    by_level = [tuple(tuple(p for p in cell if p in level) for cell in row) for level in heights]
    return by_level if len(heights) > 1 and _are_rows(by_level) else [row]


def _are_rows(rows: Sequence[Row]) -> bool:
    """Tell whether each of `rows` is one: the same columns filled, with numbers, or short texts line by line."""
    filled = sum(any(cell) for row in rows for cell in row)
    columns = sum(any(column) for column in zip(*rows, strict=True))
    with_number = sum(
        any(_HAS_DIGIT.search(piece.text) for cell in row[1:] for piece in cell) and any(row[0]) for row in rows
    )
    if with_number >= 0.7 * len(rows) and filled >= 0.7 * columns * len(rows):
        return True
    lengths = [len(piece.text) for row in rows for cell in row for piece in cell]
    return (
        len(rows) >= _LIST_ROWS
        and all(row[0] for row in rows)
        and filled >= 0.9 * columns * len(rows)
        and sum(lengths) <= _SHORT * len(lengths)
    )

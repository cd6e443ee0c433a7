"""Reading order on a PDF page: columns and rows that the file's own order mixes up. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

from ingest.documents import Box
from ingest.parsers.pdf_lines import Line, Segment

# Fewer lines than this on a side are a caption or a marginal note, not a column.
_COLUMN_LINES = 5
# Share of a region's width that the lines of a column fill on average; the cells of a table are narrower.
_COLUMN_FILL = 0.22
# Titles and tables may cross a gutter; a page where more lines do has none.
_CROSSING_SHARE = 0.4
# More steps back up than this share of lines: the file draws the page in an order that nobody reads.
_DISORDER_SHARE = 0.1


def in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Return `lines` in reading order; lines that PDFium ran together across a gutter come back as two.

    The file's own order stays where it reads column by column or from top to bottom.
    """
    gutter = _find_gutter(lines)
    if gutter is None:
        divided = [piece for line in lines for piece in split(line, line.segments)]
        gutter = _find_gutter(divided) if len(divided) > len(lines) else None
        if gutter is not None:
            lines = [piece for line in lines for piece in _split_at(line, gutter)]
    if gutter is None:
        return _merged_rows(lines) if _is_disordered(lines) else list(lines)
    if _reads_by_column(lines, gutter):
        return list(lines)
    return _by_column(lines, gutter)


def _find_gutter(lines: Sequence[Line]) -> float | None:
    """Return the x of the vertical strip that the fewest lines cross, with text columns on both sides, or None."""
    if len(lines) < 2 * _COLUMN_LINES:
        return None
    start, end = min(line.box[0] for line in lines), max(line.box[2] for line in lines)
    candidates = (start + (end - start) * percent / 100 for percent in range(25, 76))
    found = [(crossing, x) for x in candidates if (crossing := _crossing(lines, x, end - start)) is not None]
    if not found:
        return None
    least = min(crossing for crossing, _ in found)
    best = [x for crossing, x in found if crossing == least]
    return best[len(best) // 2]


def _crossing(lines: Sequence[Line], x: float, width: float) -> int | None:
    """Return how many lines cross `x`, or None where the sides are not two columns next to each other."""
    left = [line.box for line in lines if line.box[2] <= x + 1]
    right = [line.box for line in lines if line.box[0] >= x - 1]
    if min(len(left), len(right)) < _COLUMN_LINES:
        return None
    crossing = len(lines) - len(left) - len(right)
    fill = min(fmean(box[2] - box[0] for box in side) for side in (left, right))
    if crossing > _CROSSING_SHARE * len(lines) or fill < _COLUMN_FILL * width or not _are_side_by_side(left, right):
        return None
    return crossing


def _are_side_by_side(left: Sequence[Box], right: Sequence[Box]) -> bool:
    top = max(min(box[1] for box in left), min(box[1] for box in right))
    bottom = min(max(box[3] for box in left), max(box[3] for box in right))
    return bottom - top > 0.5 * min(max(b[3] for b in side) - min(b[1] for b in side) for side in (left, right))


def split(line: Line, segments: Sequence[Segment]) -> list[Line]:
    """Return one line for each of `segments`, which are all of the line's or stand for all of it."""
    if len(segments) < 2:
        return [line]
    _, top, _, bottom = line.box
    last = len(segments) - 1
    return [
        replace(
            line,
            text=segment.text,
            box=(segment.left, top, segment.right, bottom),
            is_hyphenated=line.is_hyphenated and index == last,
            segments=(segment,),
        )
        for index, segment in enumerate(segments)
        if segment.text
    ]


def _split_at(line: Line, x: float) -> list[Line]:
    """Divide `line` at the wide gap around `x`, where it has one."""
    left = [segment for segment in line.segments if segment.right <= x + 1]
    right = [segment for segment in line.segments if segment.left >= x - 1]
    if not left or not right or len(left) + len(right) < len(line.segments):
        return [line]
    return split(line, [_joined(left), _joined(right)])


def _joined(segments: Sequence[Segment]) -> Segment:
    text = " ".join(segment.text for segment in segments)
    return Segment(text=text, left=segments[0].left, right=segments[-1].right)


def _reads_by_column(lines: Sequence[Line], gutter: float) -> bool:
    """Tell whether the file's own order goes back from right to left only where a line across the gutter allows."""
    crossings = sum(line.box[0] < gutter - 1 and line.box[2] > gutter + 1 for line in lines)
    sides = [line.box[0] >= gutter - 1 for line in lines]
    returns = sum(a and not b for a, b in pairwise(sides))
    return returns <= crossings + 2


def _by_column(lines: Sequence[Line], gutter: float) -> list[Line]:
    """Order by bands between the lines that cross the gutter, in each band the left column first."""
    ordered: list[Line] = []
    left: list[Line] = []
    right: list[Line] = []
    for line in sorted(lines, key=lambda line: line.box[1]):
        if line.box[2] <= gutter + 1:
            left.append(line)
        elif line.box[0] >= gutter - 1:
            right.append(line)
        else:
            ordered += [*in_reading_order(left), *in_reading_order(right), line]
            left, right = [], []
    return [*ordered, *in_reading_order(left), *in_reading_order(right)]


def _is_disordered(lines: Sequence[Line]) -> bool:
    steps_up = sum(b.box[3] < a.box[1] for a, b in pairwise(lines))
    return steps_up > max(3, _DISORDER_SHARE * len(lines))


def _merged_rows(lines: Sequence[Line]) -> list[Line]:
    """Return lines from top to bottom, those at one height joined from left to right: a table drawn by columns."""
    rows: list[list[Line]] = []
    vertical = [line for line in lines if line.is_vertical]
    horizontal = (line for line in lines if not line.is_vertical)
    for line in sorted(horizontal, key=lambda line: (_height(line), line.box[0])):
        if rows and not line.rows and not rows[-1][0].rows and are_level(rows[-1][0].box, line.box):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [*(merged(sorted(row, key=lambda line: line.box[0])) for row in rows), *vertical]


def _height(line: Line) -> float:
    """Return what to sort a line by; a table begins where its first row is."""
    return 2 * line.box[1] + line.size if line.rows else line.box[1] + line.box[3]


def are_level(a: Box, b: Box) -> bool:
    """Tell whether two lines stand at one height."""
    apart = abs((a[1] + a[3]) - (b[1] + b[3])) / 2
    return apart < 0.5 * min(a[3] - a[1], b[3] - b[1])


def merged(row: Sequence[Line]) -> Line:
    """Return lines at one height, from left to right, as one."""
    if len(row) == 1:
        return row[0]
    tops, bottoms = [line.box[1] for line in row], [line.box[3] for line in row]
    return replace(
        row[0],
        text=" ".join(line.text for line in row),
        box=(row[0].box[0], min(tops), max(line.box[2] for line in row), max(bottoms)),
        is_hyphenated=row[-1].is_hyphenated,
        segments=tuple(segment for line in row for segment in line.segments),
    )

"""Grids of ruling lines on a PDF page, from its path objects: what says exactly where the cells of a table are."""

import ctypes
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.documents import Box

# Points; ends of rules that meet are drawn this inexactly, and a rule is at most this thick.
_TOLERANCE = 3.0
# Objects looked at on a page. Pages printed from HTML have thousands, a text object each word, and their paths first.
_MAX_OBJECTS = 2000
# A page with more straight strokes than this, or rules once those of cells are joined, is a plan or a chart.
_MAX_STROKES = 8000
_MAX_RULES = 600
# Rules shorter than this are ticks and strokes of letters.
_MIN_LENGTH = 6.0
# Left, bottom, right, top in PDF coordinates.
_Rect = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Rule:
    """A straight line along one axis, `at` its place on the other one; in points of the page as shown."""

    at: float
    start: float
    end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Rules that meet: `xs` and `ys` are the places of vertical and horizontal ones, ascending, ends included."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    vertical: tuple[Rule, ...]
    horizontal: tuple[Rule, ...]

    @property
    def box(self) -> Box:
        return (self.xs[0], self.ys[0], self.xs[-1], self.ys[-1])


def read_rules(page: pypdfium2.PdfPage) -> Iterator[_Rect]:
    """Yield the thin boxes that the straight lines and the sides of the rectangles on `page` take."""
    bounds = tuple(ctypes.c_float() for _ in range(4))
    for index in range(min(pdfium.FPDFPage_CountObjects(page), _MAX_OBJECTS)):
        found = pdfium.FPDFPage_GetObject(page, index)
        if pdfium.FPDFPageObj_GetType(found) != pdfium.FPDF_PAGEOBJ_PATH:
            continue
        if not pdfium.FPDFPageObj_GetBounds(found, *bounds):
            continue
        left, bottom, right, top = (value.value for value in bounds)
        if _is_thin((left, bottom, right, top)):
            yield (left, bottom, right, top)
        else:
            yield from _sides(found)


def _is_thin(box: _Rect) -> bool:
    left, bottom, right, top = box
    return min(right - left, top - bottom) <= _TOLERANCE < _MIN_LENGTH <= max(right - left, top - bottom)


def _sides(path: pdfium.FPDF_PAGEOBJECT) -> Iterator[_Rect]:
    """Yield the straight horizontal and vertical strokes of a path of many."""
    matrix = pdfium.FS_MATRIX()
    count = pdfium.FPDFPath_CountSegments(path)
    if not 2 <= count <= _MAX_STROKES or not pdfium.FPDFPageObj_GetMatrix(path, matrix):
        return
    x, y = ctypes.c_float(), ctypes.c_float()
    here = begin = (0.0, 0.0)
    for index in range(count):
        segment = pdfium.FPDFPath_GetPathSegment(path, index)
        pdfium.FPDFPathSegment_GetPoint(segment, x, y)
        there = (
            matrix.a * x.value + matrix.c * y.value + matrix.e,
            matrix.b * x.value + matrix.d * y.value + matrix.f,
        )
        match pdfium.FPDFPathSegment_GetType(segment):
            case pdfium.FPDF_SEGMENT_MOVETO:
                begin = there
            case pdfium.FPDF_SEGMENT_LINETO:
                yield from _stroke(here, there)
        here = there
        if pdfium.FPDFPathSegment_GetClose(segment):
            yield from _stroke(here, begin)


def _stroke(a: tuple[float, float], b: tuple[float, float]) -> Iterator[_Rect]:
    box = (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1]))
    if _is_thin(box):
        yield box


def find_grids(boxes: Iterable[Box]) -> list[Grid]:
    """Return the grids of at least two columns and two rows among thin `boxes`."""
    boxes = list(islice(boxes, _MAX_STROKES + 1))
    if not 4 <= len(boxes) <= _MAX_STROKES:
        return []
    wide = [box for box in boxes if box[2] - box[0] > box[3] - box[1]]
    tall = [box for box in boxes if box[2] - box[0] <= box[3] - box[1]]
    horizontal = _joined(Rule((box[1] + box[3]) / 2, box[0], box[2]) for box in wide)
    vertical = _joined(Rule((box[0] + box[2]) / 2, box[1], box[3]) for box in tall)
    if len(horizontal) + len(vertical) > _MAX_RULES:
        return []
    grids = (_grid(across, down) for across, down in _connected(horizontal, vertical))
    return [grid for grid in grids if grid is not None]


def _joined(rules: Iterable[Rule]) -> list[Rule]:
    """Return rules at one place that touch as one: many programs draw the sides of each cell."""
    lanes: list[list[Rule]] = []
    for rule in sorted(rules, key=lambda rule: (rule.at, rule.start)):
        if lanes and rule.at - lanes[-1][0].at <= _TOLERANCE / 2:
            lanes[-1].append(rule)
        else:
            lanes.append([rule])
    found: list[Rule] = []
    for lane in lanes:
        at, start, end = lane[0].at, *min((rule.start, rule.end) for rule in lane)
        for rule in sorted(lane, key=lambda rule: rule.start):
            if rule.start > end + _TOLERANCE:
                found.append(Rule(at, start, end))
                start = rule.start
                end = rule.end
            end = max(end, rule.end)
        found.append(Rule(at, start, end))
    return found


def _connected(horizontal: Sequence[Rule], vertical: Sequence[Rule]) -> Iterator[tuple[list[Rule], list[Rule]]]:
    """Yield the rules, across and down, that hang together."""
    waiting_across, waiting_down = list(horizontal), list(vertical)
    while waiting_down:
        across: list[Rule] = []
        down = [waiting_down.pop()]
        for one in down:  # It grows while it is read.
            met, waiting_across = _parted(waiting_across, partial(_meet, down=one))
            across += met
            reached, waiting_down = _parted(waiting_down, partial(_meets_any, across=met))
            down += reached
        yield across, down


def _parted(rules: Iterable[Rule], is_wanted: Callable[[Rule], bool]) -> tuple[list[Rule], list[Rule]]:
    """Return the rules that are wanted, and the others."""
    parts: tuple[list[Rule], list[Rule]] = ([], [])
    for rule in rules:
        parts[not is_wanted(rule)].append(rule)
    return parts


def _meet(across: Rule, down: Rule) -> bool:
    return (
        across.start - _TOLERANCE <= down.at <= across.end + _TOLERANCE
        and down.start - _TOLERANCE <= across.at <= down.end + _TOLERANCE
    )


def _meets_any(down: Rule, across: Iterable[Rule]) -> bool:
    return any(_meet(rule, down) for rule in across)


def _grid(across: Sequence[Rule], down: Sequence[Rule]) -> Grid | None:
    if not across or not down:
        return None
    xs = places([*(r.at for r in down), min(r.start for r in across), max(r.end for r in across)])
    ys = places([*(r.at for r in across), min(r.start for r in down), max(r.end for r in down)])
    if len(xs) < 3 or len(ys) < 3:
        return None
    return Grid(xs=xs, ys=ys, vertical=tuple(down), horizontal=tuple(across))


def places(values: Iterable[float]) -> tuple[float, ...]:
    """Return `values` ascending without those that lie as close to the one before as a double rule does."""
    ordered = sorted(values)
    return (ordered[0], *(b for a, b in pairwise(ordered) if b - a > _TOLERANCE))

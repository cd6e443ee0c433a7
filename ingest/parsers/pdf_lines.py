"""Lines of text of a PDF page with their place and size, straight from PDFium.

PDFium's own text order is kept: it follows the content stream, which in born-digital files is the reading order
far more often than any rule over boxes. Asking per line and not per character is what makes it fast.
"""

import ctypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.documents import Box
from ingest.parsers.pdf_rules import Grid, find_grids, read_rules

# PDFium puts this in place of a hyphen at a line end, with the next line following without a break.
HYPHEN_BREAK = "\ufffe"
# A gap of this many font sizes between two pieces of a line separates columns or table cells, not words.
WIDE_GAP = 1.5
# The same where a rule passes through the gap; words of a sentence have less.
_CELL_GAP = 0.4
# The same between two numbers or a number and a sign, in a line that has a wide gap as well.
_NUMBER_GAP = 0.5
# Width of a character, in sizes, from which on the words of a line may have wide gaps that PDFium does not tell.
_LOOSE = 0.6
# What is a wide gap in such a line.
_LOOSE_GAP = 1.0
_NUMBER_END = re.compile(r"(?:^|\s)\S*\d\S*$|(?:^|\s)[–—-]$")
_NUMBER_START = re.compile(r"[$€£¥(+-]*\d|[$€£¥–—-](?:\s|$)")
# Points that a run of characters steps back to the left in a new line; kerning and accents step back less.
_WRAP_BACK = 10.0
_BOLD = 700
_BOLD_NAME = re.compile(rb"(?i)bold|black|heavy")
_FONT_NAME_BYTES = 128
# Left, bottom, right, top in PDF coordinates.
Rect = tuple[float, float, float, float]
# A hyphen that PDFium did not take for one, at the end of a line and after a letter.
_PLAIN_HYPHEN = re.compile(r"[^\W\d_][-\u2010\x02]$")
_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "\x02": "-", "\u00a0": " "}
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of words of a line without a wide gap."""

    text: str
    left: float
    right: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One printed line; coordinates in points from the top left corner of the page as it is read."""

    text: str
    box: Box
    # Height of the font's line in points; comparable within a document.
    size: float
    # 0 (unknown) to 1000; what counts as bold depends on the document's usual weight.
    weight: int
    # The line ended in a hyphen, which `text` no longer has.
    is_hyphenated: bool = False
    # At least one; more where wide gaps divide the line.
    segments: tuple[Segment, ...] = ()
    # Cells with their lines, by row, where this stands for a whole table.
    rows: "tuple[Row, ...]" = ()

    @property
    def is_vertical(self) -> bool:
        """Whether the line runs up or down the page, as a stamp in the margin does."""
        left, top, right, bottom = self.box
        return not self.rows and len(self.text) > 3 and bottom - top > 2 * (right - left)


# Of a table: for each column the lines of its cell, all rows of the same length.
Row = tuple[tuple[Line, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Text of one page; `number` is 1-based, width and height in points.

    A page with a text layer is read as it is shown; OCR may turn and straighten it before: `shown` leads back.
    """

    number: int
    width: float
    height: float
    lines: tuple[Line, ...]
    # Nothing is drawn on it: without text it is blank, not unread.
    is_blank: bool
    # Grids of rules, in which tables stand.
    grids: tuple[Grid, ...] = ()
    # Degrees by which it was turned clockwise to be read, and by how much its lines fell then, for each point to the
    # right, before they were straightened.
    angle: int = 0
    slope: float = 0.0

    def shown(self, box: Box) -> Box:
        """Return where `box`, of the page as it was read, is on the page as it is shown."""
        if not self.angle and not self.slope:
            return box
        left, top, right, bottom = box
        falls = (self.slope * left, self.slope * right)
        top, bottom = (min(max(y, 0.0), self.height) for y in (top + min(falls), bottom + max(falls)))
        left, top, right, bottom = turned((left, top, right, bottom), (self.width, self.height), -self.angle % 360)
        return (round(left, 2), round(top, 2), round(right, 2), round(bottom, 2))


def turned(box: Box, size: tuple[float, float], angle: int) -> Box:
    """Return where `box` comes to lie when a page of `size` (width, height) is turned by `angle` degrees, clockwise."""
    (left, top, right, bottom), (width, height) = box, size
    match angle:
        case 90:
            return (height - bottom, left, height - top, right)
        case 180:
            return (width - right, height - bottom, width - left, height - top)
        case 270:
            return (top, width - right, bottom, width - left)
        case _:
            return box


def read_page(document: pypdfium2.PdfDocument, index: int) -> Page:
    """Return the page at `index` (0-based). Raises pypdfium2.PdfiumError where the page cannot be loaded."""
    page = document[index]
    try:
        textpage = page.get_textpage()
        try:
            frame = _Frame(page)
            frame.grids = tuple(find_grids(frame.box(*rule) for rule in read_rules(page)))
            lines = tuple(_lines(textpage, frame))
        finally:
            textpage.close()
        is_blank = not lines and pdfium.FPDFPage_CountObjects(page) == 0
        return Page(
            number=index + 1, width=frame.width, height=frame.height, lines=lines, is_blank=is_blank, grids=frame.grids
        )
    finally:
        page.close()


class _Frame:
    """Turns PDF coordinates (origin bottom left, before rotation) into those of the page as shown."""

    def __init__(self, page: pypdfium2.PdfPage) -> None:
        self.grids: tuple[Grid, ...] = ()
        self.width, self.height = page.get_size()
        self._rotation = page.get_rotation()
        self._left, self._bottom, self._right, self._top = page.get_cropbox()

    def rules_at(self, y: float) -> list[float]:
        """Return the places of the vertical rules that pass at `y`, counted from the top of the page as shown."""
        return [r.at for grid in self.grids for r in grid.vertical if r.start <= y <= r.end]

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        match self._rotation:
            case 90:
                return (bottom - self._bottom, left - self._left, top - self._bottom, right - self._left)
            case 180:
                return (self._right - right, bottom - self._bottom, self._right - left, top - self._bottom)
            case 270:
                return (self._top - top, self._right - right, self._top - bottom, self._right - left)
            case _:
                return (left - self._left, self._top - top, right - self._left, self._top - bottom)


def _lines(textpage: pypdfium2.PdfTextPage, frame: _Frame) -> Iterator[Line]:
    text = _page_text(textpage)
    start = 0
    for printed in text.split("\r\n"):
        pieces = printed.split(HYPHEN_BREAK)
        for number, piece in enumerate(pieces):
            yield from _printed(textpage, frame, piece, start, is_hyphenated=number < len(pieces) - 1)
            start += len(piece) + 1
        start += 1  # With the one above, the two characters of the line end.


def _page_text(textpage: pypdfium2.PdfTextPage) -> str:
    """Return one character per index of PDFium, so that offsets in the text are its indexes."""
    count = max(pdfium.FPDFText_CountChars(textpage), 0)
    buffer = (ctypes.c_ushort * (2 * count + 1))()
    units = pdfium.FPDFText_GetText(textpage, 0, count, buffer)
    text = bytes(buffer)[: 2 * max(units - 1, 0)].decode("utf-16-le", "replace")
    if len(text) == count:
        return text
    # Characters that have no Unicode value are left out above.
    codes = (pdfium.FPDFText_GetUnicode(textpage, i) for i in range(count))
    return "".join(chr(code) if 0 < code < 0xD800 or 0xE000 <= code <= 0x10FFFF else "\ufffd" for code in codes)


def _printed(
    textpage: pypdfium2.PdfTextPage, frame: _Frame, text: str, start: int, *, is_hyphenated: bool
) -> Iterator[Line]:
    """Yield the line that the characters from `start` are, or the lines where PDFium missed a line end."""
    visible = text.strip()
    first = start + len(text) - len(text.lstrip())
    rects = _rects(textpage, first, len(visible)) if visible else []
    wrap = next((a for a, b in pairwise(rects) if b[3] <= a[1] + 1 and b[0] < a[2] - _WRAP_BACK), None)
    cut = _offset_below(textpage, visible, first, wrap[1]) if wrap else 0
    if cut:
        yield from _printed(textpage, frame, visible[:cut], first, is_hyphenated=False)
        yield from _printed(textpage, frame, visible[cut:], first + cut, is_hyphenated=is_hyphenated)
    elif rects:
        yield _line(textpage, frame, visible, first, rects, is_hyphenated=is_hyphenated)


def _offset_below(textpage: pypdfium2.PdfTextPage, text: str, start: int, y: float) -> int:
    """Return the offset of the first character whose middle is below `y`; 0 where there is none."""
    box = pdfium.FS_RECTF()
    for offset, char in enumerate(text):
        pdfium.FPDFText_GetLooseCharBox(textpage, start + offset, box)
        if not char.isspace() and (box.top + box.bottom) / 2 < y:
            return offset
    return 0


def _line(
    textpage: pypdfium2.PdfTextPage,
    frame: _Frame,
    visible: str,
    first: int,
    rects: list[Rect],
    *,
    is_hyphenated: bool,
) -> Line:
    # A character from the middle: the first may be a drop cap or a footnote mark, the last a superscript.
    middle = first + next(i for i in range(len(visible) // 2, -1, -1) if not visible[i].isspace())
    font_box = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(textpage, middle, font_box)
    # Bold is a line that is bold from end to end; a bold word at its start is emphasis.
    weights = (_weight(textpage, index) for index in (first, middle, first + len(visible) - 1))
    # Glyph boxes give the sides; the font's line box gives top and bottom, the same for "on" and "jg".
    top = max(font_box.top, *(rect[3] for rect in rects))
    bottom = min(font_box.bottom, *(rect[1] for rect in rects))
    size = abs(font_box.top - font_box.bottom) or top - bottom
    if top - bottom > 2 * size:  # Upright on a turned page, or a formula: its own extent is all there is.
        size = min(rect[3] - rect[1] for rect in rects) or size
    visible, has_hyphen = without_hyphen(visible)
    return Line(
        text=plain_text(visible),
        box=frame.box(min(r[0] for r in rects), bottom, max(r[2] for r in rects), top),
        size=size,
        weight=min(weights),
        is_hyphenated=is_hyphenated or has_hyphen,
        segments=_segments(textpage, frame, visible, first, rects, size),
    )


def _weight(textpage: pypdfium2.PdfTextPage, index: int) -> int:
    """Return the weight of a character's font; many fonts state it in their name alone."""
    name = ctypes.create_string_buffer(_FONT_NAME_BYTES)
    pdfium.FPDFText_GetFontInfo(textpage, index, name, _FONT_NAME_BYTES, ctypes.c_int())
    if _BOLD_NAME.search(name.value):
        return _BOLD
    return max(int(pdfium.FPDFText_GetFontWeight(textpage, index)), 0)


def _rects(textpage: pypdfium2.PdfTextPage, start: int, count: int) -> list[Rect]:
    """Return left, bottom, right, top of the runs that PDFium sees in the characters, in PDF coordinates."""
    left, top, right, bottom = (ctypes.c_double() for _ in range(4))
    rects = []
    for index in range(pdfium.FPDFText_CountRects(textpage, start, count)):
        pdfium.FPDFText_GetRect(textpage, index, left, top, right, bottom)
        rects.append((left.value, bottom.value, right.value, top.value))
    return rects


def _segments(
    textpage: pypdfium2.PdfTextPage,
    frame: _Frame,
    text: str,
    start: int,
    rects: list[Rect],
    size: float,
) -> tuple[Segment, ...]:
    """Divide a line at its wide gaps, and where a rule between cells stands.

    Characters are looked at one by one only in lines that have such a gap.
    """
    boxes = [frame.box(*rect) for rect in rects]
    wide = WIDE_GAP * size
    if " " in text and sum(box[2] - box[0] for box in boxes) > _LOOSE * size * len(text):
        boxes = list(_words(textpage, frame, text, start))
        wide = _LOOSE_GAP * size
    rules = frame.rules_at((boxes[0][1] + boxes[0][3]) / 2)
    gaps = [(a[2], b[0]) for a, b in pairwise(boxes) if b[0] - a[2] > _NUMBER_GAP * size or _divides(rules, a, b, size)]
    if not gaps or not (rules or any(b - a > wide for a, b in gaps)):
        return (Segment(text=plain_text(text), left=boxes[0][0], right=boxes[-1][2]),)
    cuts = [0, *_cuts(textpage, frame, text, start, [left for _, left in gaps]), len(text)]
    edges = [boxes[0][0], *(left for _, left in gaps)]
    ends = [*(right for right, _ in gaps), boxes[-1][2]]
    pieces = zip((plain_text(text[a:b]) for a, b in pairwise(cuts)), edges, ends, strict=False)
    return tuple(_without_narrow_gaps([Segment(*piece) for piece in pieces], rules, wide))


def _words(textpage: pypdfium2.PdfTextPage, frame: _Frame, text: str, start: int) -> Iterator[Box]:
    """Yield the box of each word: TeX sets the cells of a row as one text with wide blanks."""
    first, last = pdfium.FS_RECTF(), pdfium.FS_RECTF()
    for word in re.finditer(r"\S+", text):
        pdfium.FPDFText_GetLooseCharBox(textpage, start + word.start(), first)
        pdfium.FPDFText_GetLooseCharBox(textpage, start + word.end() - 1, last)
        yield frame.box(first.left, first.bottom, last.right, first.top)


def _without_narrow_gaps(pieces: Sequence[Segment], rules: Sequence[float], wide: float) -> list[Segment]:
    """Join pieces that words' distance divides; between two numbers, less than elsewhere is a gap."""
    found = [pieces[0]]
    for piece in pieces[1:]:
        before = found[-1]
        is_gap = piece.left - before.right > wide or any(before.right - 1 <= rule <= piece.left + 1 for rule in rules)
        if is_gap or (_NUMBER_END.search(before.text) and _NUMBER_START.match(piece.text)):
            found.append(piece)
        else:
            found[-1] = Segment(f"{before.text} {piece.text}".strip(), before.left, piece.right)
    return found


def _divides(rules: Sequence[float], a: Box, b: Box, size: float) -> bool:
    return bool(rules) and b[0] - a[2] > _CELL_GAP * size and any(a[2] - 1 <= rule <= b[0] + 1 for rule in rules)


def _cuts(textpage: pypdfium2.PdfTextPage, frame: _Frame, text: str, start: int, lefts: list[float]) -> Iterator[int]:
    """Yield for each of `lefts`, ascending, the offset in `text` of the first character at or right of it."""
    char_box = pdfium.FS_RECTF()
    waiting = iter(lefts)
    left = next(waiting, None)
    for offset, char in enumerate(text):
        if left is None:
            return
        if char.isspace():
            continue
        pdfium.FPDFText_GetLooseCharBox(textpage, start + offset, char_box)
        box = frame.box(char_box.left, char_box.bottom, char_box.right, char_box.top)
        if box[2] > left and box[0] > left - 2:
            yield offset
            left = next(waiting, None)


def without_hyphen(text: str) -> tuple[str, bool]:
    """Return a line's text without the hyphen that divides its last word, and whether there was one."""
    return (text[:-1], True) if _PLAIN_HYPHEN.search(text) else (text, False)


def plain_text(text: str) -> str:
    """Return `text` with ligatures as letters and with single blanks."""
    return " ".join(text.translate(_LIGATURES).split())

"""From the lines of PDF pages to paragraphs, tables and headings. Pure: geometry in, blocks out."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ingest.documents import Box, Category
from ingest.parsers.pdf_lines import Line, Page, Row
from ingest.parsers.pdf_tables import has_leaders, table_runs

# A line this much larger than the body text, or this much heavier, can be a heading.
_LARGER = 1.12
_BOLDER = 1.25
_HEADING_CHARS = 200
_HEADING_LINES = 3
# Distance to the previous line, in usual distances, that begins a new paragraph.
_PARAGRAPH_GAP = 1.35
_BULLET = re.compile(r"[•●▪■◦‣∙·○➢❖►o–-]\s")
_ENUMERATOR = re.compile(r"\(?(?:\d{1,2}|[a-zA-Z]|[ivxIVX]{1,4})[.)]\s")
_SENTENCE_END = (".", "!", "?", ":", ";", "。", "”", ".)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """What is usual in a document; everything else is judged against it."""

    size: float
    weight: int
    # From one line's top to the next one's, in sizes.
    leading: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Lines that are one element."""

    lines: tuple[Line, ...]
    category: Category
    # Cells of a table whose columns are known.
    rows: tuple[Row, ...] = ()

    @property
    def size(self) -> float:
        return max(line.size for line in self.lines)

    @property
    def box(self) -> Box:
        return union(line.box for line in self.lines)


def union(boxes: Iterable[Box]) -> Box:
    """Return the smallest box around `boxes`, rounded to a hundredth of a point."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return (round(min(lefts), 2), round(min(tops), 2), round(max(rights), 2), round(max(bottoms), 2))


def measure_style(pages: Iterable[Page]) -> Style:
    """Return the size and weight that most characters have, and the usual distance of lines."""
    sizes: Counter[float] = Counter()
    weights: Counter[int] = Counter()
    distances: list[float] = []
    for page in pages:
        previous: Line | None = None
        for line in page.lines:
            sizes[rounded(line.size)] += len(line.text)
            weights[line.weight] += len(line.text)
            if previous and 0.5 * line.size < line.box[1] - previous.box[1] < 2.5 * line.size:
                distances.append((line.box[1] - previous.box[1]) / line.size)
            previous = line
    return Style(
        size=max(sizes, key=lambda size: (sizes[size], size), default=10.0),
        weight=max(weights, key=lambda weight: (weights[weight], -weight), default=0),
        leading=median(distances) if distances else 1.2,
    )


def rounded(size: float) -> float:
    """Return a font size to half a point: fonts of one size differ by less in their line heights."""
    return round(size * 2) / 2


def group_lines(lines: Sequence[Line], style: Style) -> list[Block]:
    """Return the blocks of one page's `lines`, which are in reading order; each line is in exactly one."""
    table = {index for start, end in table_runs(lines) for index in range(start, end + 1)} - {
        index for index, line in enumerate(lines) if has_leaders(line)
    }
    edges = _right_edges(lines)
    blocks: list[Block] = []
    open_lines: list[Line] = []
    was_table = False

    def close() -> None:
        if open_lines:
            blocks.append(_block(tuple(open_lines), style, is_table=was_table))
            open_lines.clear()

    for index, line in enumerate(lines):
        if line.rows:
            close()
            blocks.append(Block(lines=(line,), category=Category.TABLE, rows=line.rows))
            continue
        is_table = index in table
        joins = is_table or (bool(open_lines) and _continues(open_lines, line, style, edges))
        if is_table != was_table or not joins:
            close()
        was_table = is_table
        open_lines.append(line)
    close()
    return blocks


def _block(lines: tuple[Line, ...], style: Style, *, is_table: bool) -> Block:
    if is_table:
        category = Category.TABLE
    elif _is_heading(lines, style):
        category = Category.HEADING
    elif _BULLET.match(lines[0].text) or (_ENUMERATOR.match(lines[0].text) and not stands_out(lines[0], style)):
        category = Category.LIST_ITEM
    else:
        category = Category.TEXT
    return Block(lines=lines, category=category)


def stands_out(line: Line, style: Style) -> bool:
    """Tell whether a line is larger or heavier than the body text; one that runs up the margin never is."""
    if line.is_vertical:
        return False
    return line.size >= _LARGER * style.size or is_bold(line, style)


def is_bold(line: Line, style: Style) -> bool:
    """Tell whether a line of at least the body's size is heavier than the body text."""
    return line.weight >= _BOLDER * max(style.weight, 300) and line.size >= 0.95 * style.size


def _is_heading(lines: tuple[Line, ...], style: Style) -> bool:
    text = " ".join(line.text for line in lines)
    return (
        len(lines) <= _HEADING_LINES
        and len(text) <= _HEADING_CHARS
        and sum(char.isalpha() for char in text) >= 0.4 * len(text)
        and not text.endswith((".", ",", ";"))
        and not _BULLET.match(text)
        and all(stands_out(line, style) for line in lines)
    )


def _continues(block: list[Line], line: Line, style: Style, edges: dict[int, float]) -> bool:
    """Tell whether `line` goes on with the paragraph in `block`."""
    previous = block[-1]
    if line.is_vertical != previous.is_vertical or has_leaders(line) != has_leaders(previous):
        return False
    distance = line.box[1] - previous.box[1]
    # Beside it is a footnote mark or a piece of a formula.
    if has_leaders(line) or previous.is_hyphenated or abs(distance) < 0.5 * style.size:
        return True
    if not _looks_alike(previous, line, style) or _starts_item(line, block):
        return False
    ended = previous.text.endswith(_SENTENCE_END)
    if distance < 0:  # The next column.
        return not ended and line.text[:1].islower()
    if distance > _PARAGRAPH_GAP * style.leading * line.size:
        return False
    return stands_out(line, style) or not (ended and _begins_paragraph(block, line, edges))


def _looks_alike(a: Line, b: Line, style: Style) -> bool:
    return stands_out(a, style) == stands_out(b, style) and abs(a.size - b.size) <= 0.15 * b.size


def _begins_paragraph(block: list[Line], line: Line, edges: dict[int, float]) -> bool:
    """Tell whether an indentation, or a line before that ends early, sets `line` apart from `block`."""
    left, _, right, _ = block[-1].box
    is_short = right < edges.get(_column(block[-1]), 0) - 0.12 * (right - left) - line.size
    return is_short or (line.box[0] > left + 0.8 * line.size and not _is_item(block[0]))


def _starts_item(line: Line, block: list[Line]) -> bool:
    if _BULLET.match(line.text):
        return True
    is_plausible = _is_item(block[0]) or block[-1].text.endswith(_SENTENCE_END)
    return bool(_ENUMERATOR.match(line.text)) and is_plausible


def _is_item(line: Line) -> bool:
    return bool(_BULLET.match(line.text) or _ENUMERATOR.match(line.text))


def _column(line: Line) -> int:
    """Return a key that lines with about the same left edge share."""
    return int(line.box[0] // 20)


def _right_edges(lines: Iterable[Line]) -> dict[int, float]:
    edges: dict[int, float] = {}
    for line in lines:
        if line.rows:
            continue
        edges[_column(line)] = max(edges.get(_column(line), 0.0), line.box[2])
    return edges

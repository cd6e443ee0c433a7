"""Running heads and feet: what stands at the edge of page after page and is no part of the text. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace

from ingest.parsers.pdf_cells import levels
from ingest.parsers.pdf_layout import Style, stands_out
from ingest.parsers.pdf_lines import Line, Page

_NUMBER = re.compile(r"\d+|\b[ivxl]+$")
_PAGE_NUMBER = re.compile(r"(?i)[\s\-–—|/.]*(?:\d{1,4}|[ivxl]+)[\s\-–—|/.]*")
_WORD = re.compile(r"[^\W\d_]+")
# Share of a page's height at its top and bottom where running heads stand.
_MARGIN = 0.12
# Pages before and after with which a line is compared, and the share of them that must have one at its place.
_NEIGHBOURS = 4
_RECURS = 0.5
# At least this many of them must have the same, where there are as many.
_ALIKE = 3
# A running head is a block of at most this many lines, and this far from the text, in sizes.
_HEAD_LINES = 4
_APART = 0.7
# Cells of a row in which a line does not say the chapter but heads a table that goes on.
_CELLS = 3
# Points by which the place, and the size, of a running head may differ between pages.
_PLACE = 3.0
_SIZE = 0.6


@dataclass(frozen=True, slots=True)
class _Margin:
    """A line near the edge of a page, in the forms that are compared."""

    line: Line
    # Of each segment; without numbers, so that page numbers are empty.
    texts: tuple[str, ...]
    words: frozenset[str]


def drop_running_heads(pages: Sequence[Page], style: Style, titles: Set[str] = frozenset()) -> list[Page]:
    """Return `pages` without the lines that repeat near the top or bottom of most pages; numbers in them may differ.

    They repeat at one place, or as the first or last line of pages of different length. Where they differ from chapter
    to chapter, they share words with those of the pages around or are one of `titles`.
    A page's only line stays.
    """
    repeated = _repeated(pages)
    margins = [_margins(page) for page in pages]
    known = {_title_key(title) for title in titles} | {
        _title_key(line.text) for page in pages for line in page.lines if stands_out(line, style)
    }
    found: list[Page] = []
    for index, page in enumerate(pages):
        around = [*margins[max(0, index - _NEIGHBOURS) : index], *margins[index + 1 : index + 1 + _NEIGHBOURS]]
        running = repeated[index] | {
            id(margin.line) for margin in margins[index] if _is_running(margin, around, known, style)
        }
        kept = page.lines if len(page.lines) == 1 else tuple(line for line in page.lines if id(line) not in running)
        found.append(replace(page, lines=kept))
    return found


def _title_key(text: str) -> str:
    """Return letters alone, which a running head and a heading share; a page number has none."""
    return re.sub(r"[\W\d_]+", "", _NUMBER.sub(" ", text)).casefold()


def _margins(page: Page) -> list[_Margin]:
    return [
        _Margin(
            line,
            tuple("" if _PAGE_NUMBER.fullmatch(s.text) else _title_key(s.text) or s.text for s in line.segments),
            frozenset(word.casefold() for word in _WORD.findall(line.text)),
        )
        for line in _edge(page.lines, page.height, from_top=True) + _edge(page.lines, page.height, from_top=False)
    ]


def _edge(lines: Sequence[Line], height: float, *, from_top: bool) -> list[Line]:
    """Return the lines at the top or bottom of a page that a gap sets apart from its text."""
    near = 2 * _MARGIN * height  # Beyond it nothing decides.
    outer = (line for line in lines if (line.box[1] < near if from_top else line.box[3] > height - near))
    heights = levels([line for line in outer if not line.is_vertical])
    found: list[Line] = []
    inner = 0.0
    for count, level in enumerate(heights if from_top else reversed(heights)):
        top, bottom = min(line.box[1] for line in level), max(line.box[3] for line in level)
        outer_side, inner_side = (top, bottom) if from_top else (height - bottom, height - top)
        if count and outer_side - inner > _APART * level[0].size:
            return found
        if count == _HEAD_LINES or inner_side > _MARGIN * height or any(line.rows for line in level):
            return []
        found += level
        inner = inner_side
    return found


def _is_running(margin: _Margin, around: Sequence[Sequence[_Margin]], titles: Set[str], style: Style) -> bool:
    """Tell whether lines at the place of `margin` on the pages around are like it, or say which chapter this is."""
    level = [peer for peer in (_at_place(margin, other) for other in around) if peer is not None]
    if len(level) < max(min(2, len(around)), _RECURS * len(around), 1):
        return False
    # A title where slides, or chapters, have theirs stands out; it is one of many that share words.
    is_title = stands_out(margin.line, style)
    can_vary = not is_title and len(around) >= _ALIKE
    alike = sum(margin.texts == peer.texts or (can_vary and _share_words(margin, peer)) for peer in level)
    if alike >= min(_ALIKE, len(around)) and alike >= _RECURS * len(level):
        return len(margin.texts) < _CELLS or "" in margin.texts
    if is_title:
        return False
    repeated = {text for peer in level for text in peer.texts}
    return all(not text or text in titles or text in repeated for text in margin.texts)


def _at_place(margin: _Margin, others: Sequence[_Margin]) -> _Margin | None:
    top, size = margin.line.box[1], margin.line.size
    return next(
        (o for o in others if abs(o.line.box[1] - top) <= _PLACE and abs(o.line.size - size) <= _SIZE),
        None,
    )


def _share_words(a: _Margin, b: _Margin) -> bool:
    return 2 * len(a.words & b.words) > max(len(a.words), len(b.words))


def _repeated(pages: Sequence[Page]) -> list[set[int]]:
    """Return for each page the ids of the lines that many pages of the document have."""
    margins = [dict(_keys(page)) for page in pages]
    seen = Counter(key for lines in margins for key in {key for keys in lines.values() for key in keys})
    # Left and right pages may have different ones.
    often = max(3, 0.4 * len(pages))
    return [
        {id(page.lines[index]) for index, keys in lines.items() if any(seen[key] >= often for key in keys)}
        for page, lines in zip(pages, margins, strict=True)
    ]


def _keys(page: Page) -> Iterator[tuple[int, list[str]]]:
    """Yield the index of each line that may be a running head, with its comparable forms."""
    lines = [(index, line) for index, line in enumerate(page.lines) if not line.rows]
    if not lines:
        return
    outer = _MARGIN * page.height
    first = min(lines, key=lambda item: item[1].box[1])[0]
    last = max(lines, key=lambda item: item[1].box[1])[0]
    for index, line in lines:
        text = _NUMBER.sub("#", line.text)
        keys = []
        if line.box[3] < outer or line.box[1] > page.height - outer:
            keys.append(f"{round(line.box[1] / 4)} {text}")
        if index in (first, last):
            keys.append(f"{'first' if index == first else 'last'} {text}")
        if keys:
            yield index, keys

"""From Tesseract's hOCR, and the picture that it read, to the lines of a page in points. Pure."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from ingest.documents import Box
from ingest.parsers.pdf_lines import WIDE_GAP, Line, Page, Segment, plain_text, without_hyphen

# Kinds of lines; the others in hOCR are pages, areas, paragraphs, words and pictures.
_LINES = frozenset({"ocr_line", "ocr_header", "ocr_caption", "ocr_textfloat"})
_WORD = "ocrx_word"
_PROPERTY = re.compile(r"(\w+) ([^;]+)")
# Per cent below which a line is left out, a word, and one without a letter or digit: what Tesseract sees in pictures
# and specks. More would leave out more words of noisy pages (measured: 30 for all words, 0.3 % of them).
_SURE_LINE = 50.0
_SURE_WORD = 10.0
_SURE_SIGN = 50.0
_LETTER = re.compile(r"[^\W_]")
# What rules between the cells of a table are read as, but also the letter I: that is as high as a letter, in heights
# of its line, where rules are dots of a tenth or higher than 1.8.
_RULE = re.compile(r"[|¦_]+$")
_LETTER_I = re.compile(r"^\|(?=$|['’])")
_LEAST_LETTER, _HIGHEST_LETTER = 0.5, 1.5
# Words of a line from which on its slope says how the page is skewed.
_SLOPE_WORDS = 4
# Strokes this much thicker than most of the page's are bold. For their height, those of bold type are 1.5 times as
# thick, with noise 1.25 times; those of plain type differ by a fifth.
_BOLDER = 1.3
_REGULAR, _BOLD = 400, 700
# Share of pixels that are darker than ink, or lighter than paper: specks.
_SPECKS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What OCR made of one picture of a page."""

    page: Page
    # How many, and how sure of them Tesseract is on average, in per cent.
    letters: int
    confidence: float
    # Of half of the lines at least, in pixels of the picture; 0 without any line.
    line_height: float
    # By how many degrees the picture has to be turned clockwise to be upright.
    angle: int = 0

    @property
    def certainty(self) -> float:
        """What tells the better of two readings."""
        return self.letters * self.confidence


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    box: Box
    confidence: float


@dataclass(frozen=True, slots=True)
class _Printed:
    """A line as Tesseract tells it, in pixels; `angle` is 90 where it runs up the picture, 270 where down."""

    words: tuple[_Word, ...]
    height: float
    angle: int

    @property
    def letters(self) -> int:
        return sum(len(word.text) for word in self.words)

    @property
    def certainty(self) -> float:
        """Per cent, times letters."""
        return sum(word.confidence * len(word.text) for word in self.words)


def read_hocr(hocr: bytes, pixels: NDArray[np.uint8], *, number: int, scale: float) -> Reading:
    """Return the text in `hocr` as the page `number`.

    `pixels` is the picture, shape (height, width), with `scale` pixels to a point. Lines are in Tesseract's order,
    straightened where the page is skewed, and without what Tesseract is least sure of.
    """
    printed = [line for line in _printed(hocr) if _is_text(line)]
    letters = sum(line.letters for line in printed)
    angles: Counter[int] = Counter()
    for line in printed:
        angles[line.angle] += line.letters
    return Reading(
        page=_page(printed, pixels, number, scale),
        letters=letters,
        confidence=sum(line.certainty for line in printed) / letters if letters else 0.0,
        line_height=median(line.height for line in printed) if printed else 0.0,
        angle=max(angles, key=lambda angle: angles[angle], default=0),
    )


def _printed(hocr: bytes) -> Iterator[_Printed]:
    # Not always well-formed: Tesseract may read a stain as a control character.
    root = etree.fromstring(
        hocr.strip() or b"<html/>", etree.XMLParser(recover=True, resolve_entities=False, no_network=True)
    )
    for node in [] if root is None else root.iter("{*}span"):
        if node.get("class") in _LINES:
            found = _properties(node)
            height = float(found.get("x_size", "0"))
            words = tuple(_words(node, height))
            if words:
                yield _Printed(words, height, int(found.get("textangle", "0")) % 360)


def _words(line: etree._Element, height: float) -> Iterator[_Word]:
    """Yield the words of a line of that height but for rules and noise."""
    for node in line.iter("{*}span"):
        if node.get("class") != _WORD:
            continue
        found = _properties(node)
        left, top, right, bottom = (float(value) for value in found["bbox"].split())
        text = plain_text("".join(map(str, node.itertext())))
        if _LEAST_LETTER * height < bottom - top < _HIGHEST_LETTER * height:
            text = _LETTER_I.sub("I", text)
        confidence = float(found["x_wconf"])
        is_sure = confidence >= (_SURE_WORD if _LETTER.search(text) else _SURE_SIGN)
        if text and is_sure and not _RULE.match(text):
            yield _Word(text, (left, top, right, bottom), confidence)


def _properties(node: etree._Element) -> dict[str, str]:
    return dict(_PROPERTY.findall(node.get("title", "")))


def _is_text(line: _Printed) -> bool:
    is_sure = line.certainty >= _SURE_LINE * line.letters
    return is_sure and any(_LETTER.search(word.text) for word in line.words)


def _page(printed: Sequence[_Printed], pixels: NDArray[np.uint8], number: int, scale: float) -> Page:
    height, width = pixels.shape
    slope = median([_slope(line.words) for line in printed if len(line.words) >= _SLOPE_WORDS] or [0.0])
    strokes = [_stroke(pixels, _around([word.box for word in line.words])) / max(line.height, 1.0) for line in printed]
    bold = _BOLDER * median(strokes or [0.0])
    return Page(
        number=number,
        width=width / scale,
        height=height / scale,
        lines=tuple(
            _line(line, slope, scale, _BOLD if stroke > bold else _REGULAR)
            for line, stroke in zip(printed, strokes, strict=True)
        ),
        is_blank=False,
        slope=slope,
    )


def _slope(words: Sequence[_Word]) -> float:
    """Return by how many pixels a line falls for each that it goes to the right."""
    first, last = words[0].box, words[-1].box
    return (last[1] + last[3] - first[1] - first[3]) / max(last[0] + last[2] - first[0] - first[2], 1.0)


def _around(boxes: Sequence[Box]) -> Box:
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _stroke(pixels: NDArray[np.uint8], box: Box) -> float:
    """Return the mean length, in pixels, of what is dark without a break in the rows of a line's picture."""
    left, top, right, bottom = (int(edge) for edge in box)
    shades = pixels[top:bottom, left:right]
    if not shades.size:
        return 0.0
    ink, paper = (float(shade) for shade in np.percentile(shades, (_SPECKS, 100 - _SPECKS)))
    dark = shades < (ink + paper) / 2
    if dark.mean() > 0.5:  # Light on dark.
        dark = ~dark
    runs = int(np.count_nonzero(dark[:, 1:] & ~dark[:, :-1]) + np.count_nonzero(dark[:, 0]))
    return int(np.count_nonzero(dark)) / max(runs, 1)


def _line(line: _Printed, slope: float, scale: float, weight: int) -> Line:
    boxes = [_in_points(word.box, slope, scale) for word in line.words]
    size = line.height / scale
    starts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(boxes)) if b[0] - a[2] > WIDE_GAP * size), len(boxes)]
    texts = [word.text for word in line.words]
    texts[-1], is_hyphenated = without_hyphen(texts[-1])
    return Line(
        text=" ".join(texts),
        box=_around(boxes),
        size=size,
        weight=weight,
        is_hyphenated=is_hyphenated,
        segments=tuple(
            Segment(text=" ".join(texts[a:b]), left=boxes[a][0], right=boxes[b - 1][2]) for a, b in pairwise(starts)
        ),
    )


def _in_points(box: Box, slope: float, scale: float) -> Box:
    left, top, right, bottom = box
    fall = slope * (left + right) / 2
    return (left / scale, (top - fall) / scale, right / scale, (bottom - fall) / scale)

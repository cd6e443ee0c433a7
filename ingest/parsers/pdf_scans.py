"""Pages of a PDF that are pictures: which ones they are, and what OCR reads on them.

OCR reads a page that shows something and has no text layer, and one whose text layer is doubtful: where many of its
characters are unknown (a font that does not say which letters its shapes are), or where pictures cover the page and
it has only a few words (the stamp of a scanner or of a court). A doubtful text layer stays unless OCR finds clearly
more letters.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import pypdfium2
import pypdfium2.raw as pdfium

from ingest.parsers.base import OcrOptions
from ingest.parsers.ocr import OcrUnavailable, Scan, Unread, ocr_warnings, open_tesseract, read_scans
from ingest.parsers.page_warnings import about_pages
from ingest.parsers.pdf_layout import measure_style
from ingest.parsers.pdf_lines import Page

# Pixels per point of a page that is drawn, and the most of one that is a scan: 300 dpi.
_SHARP = 300 / 72
# Pixels of a page that is drawn, and of a picture on it, which PDFium takes into memory.
_MAX_DRAWN = 30_000_000
_MAX_PIXELS = 200_000_000
# A picture with fewer pixels is a background or an ornament: A4 at 72 dpi has half a million.
_LEAST_PIXELS = 400_000
# Objects of a page that are looked at, and how deep in one another.
_MAX_OBJECTS = 2000
_MAX_DEPTH = 4
# Share of a page that pictures cover where it is a scan.
_COVERED = 0.6
# Words from which on the text layer of a scan is believed; the stamp of a court has a dozen.
_ENOUGH_WORDS = 20
# Share of unknown characters from which on a text layer is doubtful.
_UNKNOWN = 0.3
# OCR finds this many times the letters of a doubtful text layer where it is the better one.
_MORE = 1.3


@dataclass(frozen=True, kw_only=True, slots=True)
class ScansRead:
    """The pages of a document after OCR."""

    pages: tuple[Page, ...]
    # Numbers of pages that show text, or may, which was not read.
    unread: frozenset[int]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pictures:
    """Share of the page that they cover, and their pixels per point."""

    share: float
    scale: float


def read_scanned_pages(document: pypdfium2.PdfDocument, pages: Sequence[Page], options: OcrOptions) -> ScansRead:
    """Return `pages` with the lines that OCR reads on those without a text layer or with a doubtful one."""
    empty = {page.number for page in pages if not page.lines and not page.is_blank}
    doubtful = {page.number for page in pages if page.lines and _is_doubtful(document, page)}
    wanted = sorted(empty | doubtful)
    if not wanted:
        return ScansRead(pages=tuple(pages), unread=frozenset(), warnings=())
    try:
        tesseract = open_tesseract(options)
    except OcrUnavailable as exc:
        return ScansRead(
            pages=tuple(pages), unread=frozenset(wanted), warnings=tuple(_unavailable(empty, doubtful, str(exc)))
        )
    result = read_scans(tesseract, wanted, lambda number: _draw(document, number))
    layers = {page.number: page for page in pages}
    better = {
        number: reading
        for number, reading in result.readings.items()
        if number in empty or reading.letters > _MORE * _letters(layers[number])
    }
    read = {number: reading.page for number, reading in better.items()}
    silent = {number for number, page in read.items() if not page.lines and not page.is_blank}
    return ScansRead(
        pages=tuple(_like_text_layers([read.get(page.number, page) for page in pages], set(read))),
        unread=frozenset(silent | set(wanted) - set(result.readings)),
        warnings=tuple(ocr_warnings(replace(result, readings=better), tesseract)),
    )


def _unavailable(empty: set[int], doubtful: set[int], reason: str) -> Iterator[str]:
    yield from about_pages(sorted(empty), f" has no text layer and {reason}", f" have no text layer and {reason}")
    yield from about_pages(
        sorted(doubtful),
        f" may show more than its text layer says, and {reason}",
        f" may show more than their text layers say, and {reason}",
    )


def _is_doubtful(document: pypdfium2.PdfDocument, page: Page) -> bool:
    text = "".join(line.text for line in page.lines)
    if sum(map(_is_unknown, text)) >= _UNKNOWN * len(text):
        return True
    words = sum(len(line.text.split()) for line in page.lines)
    try:
        return words < _ENOUGH_WORDS and _pictures_of(document, page.number).share >= _COVERED
    except (pypdfium2.PdfiumError, Unread):
        return True


def _is_unknown(char: str) -> bool:
    """Tell whether `char` stands for a shape alone: a replacement, for private use, or a control character."""
    return char == "\ufffd" or "\ue000" <= char <= "\uf8ff" or char < " "


def _letters(page: Page) -> int:
    return sum(not char.isspace() and not _is_unknown(char) for line in page.lines for char in line.text)


@contextmanager
def _opened(document: pypdfium2.PdfDocument, number: int) -> Iterator[pypdfium2.PdfPage]:
    page = document[number - 1]
    try:
        yield page
    finally:
        page.close()


def _pictures_of(document: pypdfium2.PdfDocument, number: int) -> _Pictures:
    """Return what the pictures of a page are together. Raises PdfiumError, and Unread where one is too large."""
    with _opened(document, number) as page:
        width, height = page.get_size()
        covered, scale = 0.0, 0.0
        for found in islice(page.get_objects(max_depth=_MAX_DEPTH), _MAX_OBJECTS):
            if found.type != pdfium.FPDF_PAGEOBJ_IMAGE:
                continue
            across, down = found.get_px_size()
            if across * down > _MAX_PIXELS:
                raise Unread(f"it has a picture of {across} x {down} pixels; the limit is {_MAX_PIXELS} pixels")
            left, bottom, right, top = _outermost(found).get_bounds()
            area = max(right - left, 0.0) * max(top - bottom, 0.0)
            covered += min(area, width * height)
            if across * down >= _LEAST_PIXELS:
                scale = max(scale, math.sqrt(across * down / max(area, 1.0)))
        return _Pictures(share=covered / max(width * height, 1.0), scale=scale)


def _outermost(found: pypdfium2.PdfObject) -> pypdfium2.PdfObject:
    """Return the form on the page that `found` is in: within a form, places are the form's own."""
    while found.container is not None:
        found = found.container
    return found


def _draw(document: pypdfium2.PdfDocument, number: int) -> Scan:
    """Return the picture of a page: a scan as sharp as it is, for enlarging noise helps nobody, or else at 300 dpi."""
    try:
        pictures = _pictures_of(document, number)
        with _opened(document, number) as page:
            width, height = page.get_size()
            is_scan = pictures.share >= _COVERED and pictures.scale > 0
            scale = min(pictures.scale, _SHARP) if is_scan else _SHARP
            scale = min(scale, math.sqrt(_MAX_DRAWN / max(width * height, 1.0)))
            bitmap = page.render(scale=scale, grayscale=True)
            try:
                # A copy: the bitmap's memory goes with it.
                return Scan(bitmap.to_pil().copy(), bitmap.width / width)
            finally:
                bitmap.close()
    except pypdfium2.PdfiumError as exc:
        raise Unread(f"it could not be drawn ({exc})") from exc


def _like_text_layers(pages: Sequence[Page], read: set[int]) -> list[Page]:
    """Return `pages` with the body text of those in `read` as large as that of the others.

    OCR measures letters, PDFium the line of the font; headings are told by size among both.
    """
    by_ocr = [page for page in pages if page.number in read and page.lines]
    others = [page for page in pages if page.number not in read and page.lines]
    if not by_ocr or not others:
        return list(pages)
    factor = measure_style(others).size / measure_style(by_ocr).size
    return [
        replace(page, lines=tuple(replace(line, size=line.size * factor) for line in page.lines))
        if page.number in read
        else page
        for page in pages
    ]

"""OCR by Tesseract: pictures of pages in, pages with lines out.

Tesseract is a program of its own, not a part of Footnote. What it finds is read as hOCR and not as TSV, which does
not tell the size of the letters, by which headings are known, nor on which side a page lies.
"""

import io
import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image

from ingest.parsers.base import OcrOptions
from ingest.parsers.hocr import Reading, read_hocr
from ingest.parsers.page_warnings import about_pages
from ingest.parsers.pdf_lines import Page

# Pixels of a picture that Tesseract gets; A4 at 300 dpi has 9 million.
_OCR_PIXELS = 30_000_000
# Pages that are read at the same time, each by one Tesseract with one thread: more of its threads cost more than they
# gain.
_AT_ONCE = min(2, os.cpu_count() or 1)
# Orientation first, where its data is there; then layout and text.
_LAYOUT_AND_ORIENTATION = ("--psm", "1")
_LAYOUT = ("--psm", "3")
_CLOCKWISE = {90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}
_ORIENTATION_DATA = "osd"
# Sauvola's threshold follows uneven light. With noise at 200 dpi, Tesseract's own finds nothing on a page of few lines.
_THRESHOLD = ("-c", "thresholding_method=2")
# Lines this low, in pixels, read with less certainty than this, in per cent, are read again at twice the size. Text of
# 10 points at 72 dpi: 98 % of the words instead of 63 %. With noise the first reading is the better one.
_LOW_LINE = 24.0
_DOUBTFUL = 93.0
_ENLARGEMENT = 2.0
# Certainty in per cent below which many words of a page are wrong.
_UNSURE = 80.0
# Levels of grey by which a blank page may vary where each pixel is the mean of 8 by 8.
_BLANK_RANGE = 24
_BLANK_REDUCTION = 8
# A page takes 1 to 5 s.
_PAGE_TIMEOUT_S = 60.0
_LIST_TIMEOUT_S = 10.0


class OcrUnavailable(Exception):
    """No page can be read. The message goes on after "page 7 has no text layer and"."""


class Unread(Exception):
    """One page could not be read. The message goes on after "page 7 was not read:"."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A picture of a page, in grey; `scale` is its pixels per point."""

    image: Image.Image
    scale: float


@dataclass(frozen=True, kw_only=True)
class OcrResult:
    """What became of the pages that were to be read."""

    readings: dict[int, Reading] = field(default_factory=dict)
    # Numbers of pages by why they were not read.
    unread: dict[str, list[int]] = field(default_factory=dict)

    @contextmanager
    def noting(self, number: int) -> Iterator[None]:
        """Take an Unread from within as the reason why the page `number` was not read."""
        try:
            yield
        except Unread as exc:
            self.unread.setdefault(str(exc), []).append(number)


@dataclass(frozen=True, kw_only=True)
class Tesseract:
    """The installed program, with the languages and until the time that the options say."""

    executable: str
    languages: tuple[str, ...]
    # Asked for, but not installed.
    missing_languages: tuple[str, ...]
    has_orientation: bool
    options: OcrOptions

    def read(self, number: int, scan: Scan) -> Reading:
        """Return what `scan` shows, as the page `number`. Raises Unread. May be called from several threads."""
        width, height = scan.image.size
        if _is_blank(scan.image):
            page = Page(number=number, width=width / scan.scale, height=height / scan.scale, lines=(), is_blank=True)
            return Reading(page=page, letters=0, confidence=0.0, line_height=0.0)
        reading = self._recognize(number, scan)
        is_low = reading.line_height < _LOW_LINE and reading.confidence < _DOUBTFUL
        if is_low and _ENLARGEMENT**2 * width * height <= _OCR_PIXELS:
            scan = _resized(scan, _ENLARGEMENT)
            reading = max(reading, self._recognize(number, scan), key=lambda found: found.certainty)
        if reading.angle:  # As it lies, Tesseract has taken its columns and tables apart.
            upright = Scan(scan.image.transpose(_CLOCKWISE[reading.angle]), scan.scale)
            turned = self._recognize(number, upright)
            return replace(turned, page=replace(turned.page, angle=reading.angle))
        return reading

    def check_time(self) -> float:
        """Return the seconds that are left. Raises Unread where none are."""
        remaining = self.options.deadline - time.monotonic()
        if remaining <= 0:
            raise Unread(f"the time limit of {self.options.limit_s:g} s was reached; split the document")
        return remaining

    def _recognize(self, number: int, scan: Scan) -> Reading:
        picture = io.BytesIO()
        scan.image.save(picture, "PPM")
        # No resolution: Tesseract estimates it, which does better than one that is too high.
        layout = _LAYOUT_AND_ORIENTATION if self.has_orientation else _LAYOUT
        command = [self.executable, "stdin", "stdout", "-l", "+".join(self.languages), *layout, *_THRESHOLD, "hocr"]
        try:
            ended = _run(command, timeout_s=min(self.check_time(), _PAGE_TIMEOUT_S), given=picture.getvalue())
        except subprocess.TimeoutExpired:
            self.check_time()
            raise Unread(f"OCR took more than {_PAGE_TIMEOUT_S:g} s for it") from None
        except OSError as exc:
            raise Unread(f"OCR failed on it ({exc})") from exc
        if ended.returncode:
            raise Unread(f"OCR failed on it ({_cause(ended)})")
        return read_hocr(ended.stdout, np.asarray(scan.image), number=number, scale=scan.scale)


def open_tesseract(options: OcrOptions) -> Tesseract:
    """Return the installed Tesseract. Raises OcrUnavailable where it, or the data for every language, is missing."""
    executable = shutil.which("tesseract")
    if executable is None:
        raise OcrUnavailable("no OCR is installed (apt install tesseract-ocr)")
    try:
        listed = _run([executable, "--list-langs"], timeout_s=_LIST_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise OcrUnavailable(f"the OCR program {executable!r} does not run ({exc})") from exc
    if listed.returncode:
        raise OcrUnavailable(f"the OCR program {executable!r} does not run ({_cause(listed)})")
    installed = {line.strip() for line in listed.stdout.decode(errors="replace").splitlines()[1:]}
    languages = tuple(dict.fromkeys(name for name in options.languages if name in installed))
    missing = tuple(dict.fromkeys(name for name in options.languages if name not in installed))
    if not languages:
        raise OcrUnavailable(f"OCR has {_no_data_for(missing)}")
    return Tesseract(
        executable=executable,
        languages=languages,
        missing_languages=missing,
        has_orientation=_ORIENTATION_DATA in installed,
        options=options,
    )


def read_scans(tesseract: Tesseract, numbers: Sequence[int], take: Callable[[int], Scan]) -> OcrResult:
    """Return what the pages `numbers` show; `take` returns the picture of one, or raises Unread.

    Pictures are taken by the calling thread, a few at a time. The pages that are left when the time is over are unread.
    """
    result = OcrResult()
    running: deque[tuple[int, Future[Reading]]] = deque()

    def finish(remaining: int) -> None:
        while len(running) > remaining:
            number, reading = running.popleft()
            with result.noting(number):
                result.readings[number] = reading.result()

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number in numbers:
            with result.noting(number):
                tesseract.check_time()
                scan = _bounded(take(number))
                running.append((number, pool.submit(tesseract.read, number, scan)))
            finish(_AT_ONCE)
        finish(0)
    return result


def ocr_warnings(result: OcrResult, tesseract: Tesseract) -> Iterator[str]:
    """Yield what the uploader should know about the pages in `result`."""
    found = {number: reading for number, reading in sorted(result.readings.items()) if reading.letters}
    sure = [number for number, reading in found.items() if reading.confidence >= _UNSURE]
    unsure = [number for number in found if number not in sure]
    textless = [n for n, reading in sorted(result.readings.items()) if n not in found and not reading.page.is_blank]
    yield from about_pages(sure, *_was_were(" read by OCR; errors are possible"))
    yield from about_pages(unsure, *_was_were(" read by OCR with little certainty; many errors are likely"))
    if found and tesseract.missing_languages:
        yield f"OCR read {_listed(tesseract.languages)} alone: it has {_no_data_for(tesseract.missing_languages)}"
    yield from about_pages(textless, ": OCR found no text", ": OCR found no text")
    yield from unread_warnings(result.unread)


def unread_warnings(unread: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield a sentence for each reason."""
    for reason, numbers in unread.items():
        yield from about_pages(sorted(numbers), *_was_were(f" not read: {reason}"))


def _was_were(predicate: str) -> tuple[str, str]:
    return f" was{predicate}", f" were{predicate}"


def _no_data_for(languages: Sequence[str]) -> str:
    packages = " ".join(f"tesseract-ocr-{name.lower().replace('_', '-')}" for name in languages)
    return f"no data for {_listed(languages)} (apt install {packages})"


def _listed(languages: Sequence[str]) -> str:
    return ", ".join(map(repr, languages))


def _bounded(scan: Scan) -> Scan:
    pixels = scan.image.width * scan.image.height
    return scan if pixels <= _OCR_PIXELS else _resized(scan, (_OCR_PIXELS / pixels) ** 0.5)


def _resized(scan: Scan, factor: float) -> Scan:
    width, height = scan.image.size
    size = (max(round(width * factor), 1), max(round(height * factor), 1))
    return Scan(scan.image.resize(size, Image.Resampling.BICUBIC), scan.scale * factor)


def _is_blank(image: Image.Image) -> bool:
    """Tell whether a picture is of one shade, but for noise."""
    shades = np.asarray(image.reduce(_BLANK_REDUCTION))
    return int(shades.max()) - int(shades.min()) < _BLANK_RANGE


def _run(command: Sequence[str], *, timeout_s: float, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    one_thread = os.environ | {"OMP_THREAD_LIMIT": "1"}
    return subprocess.run(command, input=given, capture_output=True, timeout=timeout_s, env=one_thread, check=False)


def _cause(ended: subprocess.CompletedProcess[bytes]) -> str:
    """Return why a program ended: its last words, or the signal that killed it."""
    if ended.returncode < 0:
        return signal.Signals(-ended.returncode).name
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {ended.returncode}"

"""Images, on Pillow: each frame is a page, read by OCR."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base as ExifTag

from catalog.errors import InvalidFile, ParseLimitExceeded
from ingest.documents import DocumentBuilder, ParsedDocument
from ingest.parsers import media_types
from ingest.parsers.base import OcrOptions
from ingest.parsers.ocr import OcrUnavailable, Scan, Unread, ocr_warnings, open_tesseract, read_scans
from ingest.parsers.page_text import add_pages

# Pillow's names. It is not to try others: some of those start programs.
_FORMATS = {
    media_types.BMP: "BMP",
    media_types.GIF: "GIF",
    media_types.JPEG: "JPEG",
    media_types.PNG: "PNG",
    media_types.TIFF: "TIFF",
    media_types.WEBP: "WEBP",
}
_POINTS_PER_INCH = 72.0
# Dots per inch that are believed; programs write 0 or 1 for "unknown".
_LEAST_DPI, _MOST_DPI = 30.0, 2400.0
# Share by which the resolutions of both axes differ where they do: a fax has half as many lines as it has columns.
_SQUARE = 0.1
# Orientations of EXIF from this on exchange width and height.
_LYING = 5
# What Pillow raises on damaged images, by format.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, ArithmeticError, RuntimeError)


class ImageParser:
    """A page is as large as the image's dots per inch say; without them, each pixel is a point (72 dpi).

    Boxes are in points of the image as programs show it, that is after the rotation that a camera noted.
    """

    def __init__(self, ocr: OcrOptions) -> None:
        self._ocr = ocr

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        with _opened(path, filename, media_type) as image:
            try:
                tesseract = open_tesseract(self._ocr)
            except OcrUnavailable as exc:
                raise InvalidFile(f"{filename!r} is an image, and {exc}; or upload its text") from exc
            count = _frames(image)
            result = read_scans(tesseract, range(1, count + 1), lambda number: _scan(image, number))
        pages = [reading.page for _, reading in sorted(result.readings.items())]
        builder = DocumentBuilder(media_type)
        title = add_pages(builder, pages)
        return builder.build(
            title=title,
            pages=count,
            pages_read=sum(page.is_blank or bool(page.lines) for page in pages),
            warnings=tuple(ocr_warnings(result, tesseract)),
        )


@contextmanager
def _opened(path: Path, filename: str, media_type: str) -> Iterator[Image.Image]:
    """Open the image, of which nothing is decoded yet. Raises InvalidFile, and ParseLimitExceeded also from within."""
    kind = _FORMATS[media_type]
    try:
        # The limit is the one of the error, twice as high.
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path, formats=[kind]) as image,
        ):
            yield image
    except Image.DecompressionBombError as exc:
        reason = str(exc).partition(", could")[0]
        raise ParseLimitExceeded(f"{filename!r} is too large to read: {reason}; upload it scaled down") from exc
    except UnidentifiedImageError as exc:  # Its own words name our path.
        raise InvalidFile(f"{filename!r} is a damaged {kind} image; save it anew and upload again") from exc
    except _DAMAGE as exc:
        raise InvalidFile(f"{filename!r} is a damaged {kind} image ({exc}); save it anew and upload again") from exc


def _frames(image: Image.Image) -> int:
    # The further frames of a photo in this format are the same one, smaller or from another lens.
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


def _scan(image: Image.Image, number: int) -> Scan:
    """Return the picture of the frame `number`, upright as EXIF has it and with square pixels. Raises Unread."""
    try:
        image.seek(number - 1)
        horizontal, vertical = _resolution(image)
        grey = _grey(ImageOps.exif_transpose(image))
    except _DAMAGE as exc:
        raise Unread(f"it is damaged ({exc})") from exc
    if abs(horizontal / vertical - 1) > _SQUARE:
        grey = grey.resize((grey.width, max(round(grey.height * horizontal / vertical), 1)))
    return Scan(grey, horizontal / _POINTS_PER_INCH)


def _resolution(image: Image.Image) -> tuple[float, float]:
    """Return the dots per inch across and down the image as it is shown."""
    stated = image.info.get("dpi", (0, 0))
    across, down = (float(dpi) if _LEAST_DPI <= dpi <= _MOST_DPI else 0.0 for dpi in stated)
    if not across or not down:
        return (_POINTS_PER_INCH, _POINTS_PER_INCH)
    return (down, across) if image.getexif().get(ExifTag.Orientation, 1) >= _LYING else (across, down)


def _grey(image: Image.Image) -> Image.Image:
    """Return `image` with one byte per pixel, on white where it is transparent."""
    if image.mode.startswith(("I", "F")):  # Converting cuts off what is above 255.
        values = np.asarray(image, dtype=np.float32)
        lowest, highest = float(values.min()), float(values.max())
        return Image.fromarray(((values - lowest) * (255 / max(highest - lowest, 1e-9))).astype(np.uint8))
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque)
    return image.convert("L")

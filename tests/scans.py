"""Pictures of text, PDF made of them, hOCR, and programs that stand in for Tesseract."""

import io
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract-ocr is not installed")

# Of the pictures, where they are on a page of a PDF.
DPI = 150
_MARGIN = 60
_TEXT_SIZE = 28
_LISTED = 'List of available languages in "/tessdata/" (3):\\neng\\ndeu\\nosd\\n'


def a_picture(*lines: str, size: tuple[int, int] = (1000, 500), text_size: int = _TEXT_SIZE) -> Image.Image:
    """Return a picture in grey with `lines` from the top left corner downwards; an empty one leaves a gap."""
    image = Image.new("L", size, "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(text_size)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + 1.5 * text_size * number), line, fill="black", font=font)
    return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def draw_scan(canvas: Canvas, image: Image.Image) -> None:
    """Make the page at hand as large as `image` is at DPI dots per inch, and put it there."""
    width, height = image.width * 72 / DPI, image.height * 72 / DPI
    canvas.setPageSize((width, height))
    canvas.drawImage(ImageReader(image), 0, 0, width, height)


def scanned_pdf(*images: Image.Image) -> bytes:
    """Return a PDF with a page for each of `images`, and without a text layer."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for image in images:
        draw_scan(canvas, image)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def hocr_word(text: str, box: tuple[int, int, int, int], confidence: int = 96) -> str:
    return f"<span class='ocrx_word' title='bbox {' '.join(map(str, box))}; x_wconf {confidence}'>{text}</span>"


def hocr_line(*words: str, size: float = 20, angle: int = 0) -> str:
    turned = f"; textangle {angle}" if angle else ""
    return f"<span class='ocr_line' title='bbox 0 0 1 1{turned}; x_size {size}'>{''.join(words)}</span>"


def hocr(*lines: str) -> str:
    """Return what Tesseract writes: `lines` are of `hocr_line`, their words of `hocr_word`."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><html xmlns="http://www.w3.org/1999/xhtml"><body>'
        f"<div class='ocr_page'><p class='ocr_par'>{''.join(lines)}</p></div></body></html>"
    )


def stand_in(folder: Path, script: str, *, listed: str = _LISTED) -> str:
    """Make a program `tesseract` in `folder` that runs a shell `script` for a page; return the PATH that finds it."""
    program = folder / "tesseract"
    program.write_text(f"#!/bin/sh\nif [ \"$1\" = --list-langs ]; then printf '{listed}'; exit; fi\n{script}\n")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"

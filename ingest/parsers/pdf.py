"""PDF, on PDFium: lines, columns, paragraphs and headings from the text layer, or from OCR where there is none."""

import re
from dataclasses import replace
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

from catalog.errors import InvalidFile
from ingest.documents import DocumentBuilder, ParsedDocument
from ingest.parsers.base import OcrOptions
from ingest.parsers.page_text import add_pages
from ingest.parsers.page_warnings import about_pages
from ingest.parsers.pdf_grid import place_tables
from ingest.parsers.pdf_lines import Page, read_page
from ingest.parsers.pdf_outline import read_outline
from ingest.parsers.pdf_scans import read_scanned_pages

# What programs write into the title by themselves.
_NO_TITLE = re.compile(
    r"(?i)untitled|microsoft word|powerpoint|\.(docx?|pptx?|xlsx?|pdf|tex|dvi|qxd|indd|html?)$|^[\W\d_]*$"
)


class PdfParser:
    """Pages with boxes; scanned ones are read where Tesseract is installed, and stated where not."""

    def __init__(self, ocr: OcrOptions) -> None:
        self._ocr = ocr

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        document = _open(path, filename)
        try:
            title = document.get_metadata_value("Title").strip()
            outline = read_outline(document)
            pages, broken = _read_pages(document)
            read = read_scanned_pages(document, pages, self._ocr)
            count = len(document)
        finally:
            document.close()
        builder = DocumentBuilder(media_type)
        first_heading = add_pages(builder, read.pages, outline)
        damage = " damaged content that could not be read"
        return builder.build(
            title=first_heading if not title or _NO_TITLE.search(title) else title,
            pages=count,
            pages_read=count - len(read.unread) - len(broken),
            warnings=[*read.warnings, *about_pages(broken, f" has{damage}", f" have{damage}")],
        )


def _open(path: Path, filename: str) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as exc:
        if pdfium.FPDF_GetLastError() in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise InvalidFile(f"{filename!r} is encrypted; remove the password and upload again") from exc
        raise InvalidFile(f"{filename!r} is damaged ({exc}); print it to a new PDF and upload that") from exc


def _read_pages(document: pypdfium2.PdfDocument) -> tuple[list[Page], list[int]]:
    """Return the pages that can be read, and the numbers of the others."""
    pages: list[Page] = []
    broken: list[int] = []
    for index in range(len(document)):
        try:
            page = read_page(document, index)
            pages.append(replace(page, lines=place_tables(page.lines, page.grids)))
        except pypdfium2.PdfiumError:
            broken.append(index + 1)
    return pages, broken

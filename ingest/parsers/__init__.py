"""Files to documents: `parse_file` finds out what a file is and reads it."""

from pathlib import Path

from catalog.errors import InvalidFile, UnsupportedFile
from ingest.documents import MAX_TEXT_CHARS, ParsedDocument, truncate
from ingest.parsers import media_types
from ingest.parsers.base import OcrOptions, Parser
from ingest.parsers.detect import detect_media_type
from ingest.unpacking import Unpacking

__all__ = ["OcrOptions", "Parser", "open_parser", "parse_file"]

_ANY_TIME = OcrOptions()


def parse_file(
    path: Path,
    filename: str,
    *,
    ocr: OcrOptions = _ANY_TIME,
    unpacking: Unpacking | None = None,
    max_chars: int = MAX_TEXT_CHARS,
) -> ParsedDocument:
    """Return the document in the file at `path`, which its uploader called `filename`.

    The content decides the format. `ocr` says how pages without text are read, `unpacking` where the files of an
    archive go. A text longer than `max_chars` is cut, with a warning. Raises InvalidFile, UnsupportedFile and
    ParseLimitExceeded, with a message for the uploader. Untrusted files belong into `ingest.sandbox.parse_in_child`,
    which calls this.
    """
    media_type = detect_media_type(path, filename)
    parser = open_parser(media_type, ocr=ocr, unpacking=unpacking, max_chars=max_chars)
    document = parser.parse(path, filename=filename, media_type=media_type)
    if not document.text:
        reasons = "; ".join(document.warnings) or "it is blank"
        raise InvalidFile(f"{filename!r} holds no text: {reasons}")
    return truncate(document, max_chars)


def open_parser(
    media_type: str,
    *,
    ocr: OcrOptions = _ANY_TIME,
    unpacking: Unpacking | None = None,
    max_chars: int = MAX_TEXT_CHARS,
) -> Parser:
    """Return the parser for `media_type`; its libraries are imported here and not before."""
    match media_type:
        case media_types.PDF:
            from ingest.parsers.pdf import PdfParser

            return PdfParser(ocr)
        case _ if media_type in media_types.IMAGES:
            from ingest.parsers.image import ImageParser

            return ImageParser(ocr)
        case media_types.ZIP:
            from ingest.parsers.archive import ArchiveParser

            return ArchiveParser(unpacking)
        case _:
            return _open_office_parser(media_type, max_chars)


def _open_office_parser(media_type: str, max_chars: int) -> Parser:
    match media_type:
        case media_types.DOCX:
            from ingest.parsers.docx import DocxParser

            return DocxParser()
        case media_types.PPTX:
            from ingest.parsers.pptx import PptxParser

            return PptxParser()
        case media_types.XLSX:
            from ingest.parsers.xlsx import XlsxParser

            return XlsxParser()
        case _:
            return _open_book_parser(media_type, max_chars)


def _open_book_parser(media_type: str, max_chars: int) -> Parser:
    match media_type:
        case media_types.ODT | media_types.ODP | media_types.ODS:
            from ingest.parsers.opendocument import OpenDocumentParser

            return OpenDocumentParser()
        case media_types.EPUB:
            from ingest.parsers.epub import EpubParser

            return EpubParser()
        case media_types.RTF:
            from ingest.parsers.rtf import RtfParser

            return RtfParser()
        case media_types.OUTLOOK:
            from ingest.parsers.outlook import OutlookParser

            return OutlookParser()
        case _:
            return _open_text_parser(media_type, max_chars)


def _open_text_parser(media_type: str, max_chars: int) -> Parser:
    match media_type:
        case media_types.HTML:
            from ingest.parsers.html import HtmlParser

            return HtmlParser()
        case media_types.MARKDOWN:
            from ingest.parsers.markdown import MarkdownParser

            return MarkdownParser()
        case media_types.CSV:
            from ingest.parsers.delimited import DelimitedParser

            return DelimitedParser(max_chars)
        case media_types.EMAIL:
            from ingest.parsers.email import EmailParser

            return EmailParser()
        case _:
            return _open_data_parser(media_type, max_chars)


def _open_data_parser(media_type: str, max_chars: int) -> Parser:
    match media_type:
        case media_types.JSON | media_types.JSON_LINES:
            from ingest.parsers.json import JsonParser

            return JsonParser(max_chars)
        case media_types.XML:
            from ingest.parsers.xml import XmlParser

            return XmlParser()
        case _ if media_type in media_types.KNOWN:
            from ingest.parsers.text import TextParser

            return TextParser(max_chars)
        case _:
            known = ", ".join(sorted(media_types.KNOWN))
            raise UnsupportedFile(f"no parser reads {media_type!r}; known are {known}")

"""What a parser produces: one normalised text, and elements that point into it."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

# Between two elements; never part of one, so that spans of elements do not touch.
ELEMENT_SEPARATOR = "\n\n"

# Characters of one document that are read unless somebody says otherwise: some 40,000 pages.
MAX_TEXT_CHARS = 100_000_000
# Elements of one document: 340 bytes of memory each, on their way to the worker.
_MAX_ELEMENTS = 2_000_000

# Left, top, right, bottom in PDF points from the top left corner of the page.
Box = tuple[float, float, float, float]


class Category(StrEnum):
    """What an element is; chunking cuts at headings and keeps tables whole."""

    HEADING = "heading"
    TEXT = "text"
    LIST_ITEM = "list_item"
    TABLE = "table"
    CODE = "code"


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """A span of `ParsedDocument.text`, in characters."""

    start: int
    end: int
    category: Category
    # 1-based; None where the format has no pages.
    page: int | None = None
    box: Box | None = None
    # Headings above this element, outermost first, the element itself not included.
    headings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file that was unpacked from an archive."""

    # Inside the archive, with forward slashes; data, never opened.
    path: str
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedDocument:
    """One document as text. Every later offset (chunk, citation) refers to `text`.

    Elements are in reading order, ascend, do not overlap, and are never empty; the text between two of
    them is ELEMENT_SEPARATOR.
    """

    text: str
    elements: tuple[Element, ...]
    media_type: str
    title: str | None = None
    # Pages of the file and how many of them gave text; None where the format has no pages.
    pages: int | None = None
    pages_read: int | None = None
    # What could not be read, in words for the person who uploaded the file.
    warnings: tuple[str, ...] = ()
    # The files of an archive, whose bytes the parser wrote to a folder: each becomes a document of its own.
    members: tuple[Member, ...] = ()


def truncate(document: ParsedDocument, max_chars: int) -> ParsedDocument:
    """Return `document` without what lies beyond its first `max_chars` characters, and a warning of where that is.

    It is cut earlier where it has millions of elements.
    """
    text = document.text
    if len(document.elements) > _MAX_ELEMENTS:
        max_chars = min(max_chars, document.elements[_MAX_ELEMENTS - 1].end)
    if len(text) <= max_chars:
        return document
    kept = [element for element in document.elements if element.end <= max_chars]
    cut = document.elements[len(kept)]
    if cut.start < max_chars:
        # Rather between lines, then between words.
        ends = (text.rfind(mark, cut.start, max_chars) for mark in "\n ")
        end = next((end for end in ends if end > cut.start), max_chars)
        kept.append(replace(cut, end=cut.start + len(text[cut.start : end].rstrip())))
    end = kept[-1].end
    place = f" on page {cut.page:,}" if cut.page else f" in {cut.headings[-1]!r}" if cut.headings else ""
    warning = f"the text was cut{place}: of {len(text):,} characters the first {end:,} are read; split the file"
    pages_read, last_page = document.pages_read, kept[-1].page
    return replace(
        document,
        text=text[:end],
        elements=tuple(kept),
        pages_read=min(pages_read, last_page) if pages_read and last_page else pages_read,
        warnings=(warning, *document.warnings),
    )


# Unicode categories Cc (but tab and newline) and Cs, the byte order mark and the soft hyphen. A compiled class and
# not unicodedata.category per character: ten times as fast, which a log of 200 MB needs.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\ufeff\ud800-\udfff]+")


def normalize_text(text: str) -> str:
    """Return `text` in Unicode NFC with `\\n` line ends and without control characters but tab and newline.

    Line ends lose trailing blanks; soft hyphens and byte order marks go. Idempotent.
    """
    text = _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    # After the removal, which can bring a letter and its accent together.
    return "\n".join(line.rstrip() for line in unicodedata.normalize("NFC", text).split("\n"))


class DocumentBuilder:
    """Joins elements into a ParsedDocument, keeping offsets and the heading path."""

    def __init__(self, media_type: str) -> None:
        self._media_type = media_type
        self._parts: list[str] = []
        self._elements: list[Element] = []
        self._length = 0
        # (level, text) of the headings that are open at this point.
        self._headings: list[tuple[int, str]] = []

    def add(
        self,
        text: str,
        *,
        category: Category = Category.TEXT,
        level: int = 1,
        page: int | None = None,
        box: Box | None = None,
    ) -> None:
        """Append one element; blank text is ignored. `level` (1 = outermost) counts for headings only."""
        text = normalize_text(text).strip()
        if not text:
            return
        if category is Category.HEADING:
            self._headings = [(above, title) for above, title in self._headings if above < level]
        start = self._length + (len(ELEMENT_SEPARATOR) if self._parts else 0)
        self._elements.append(
            Element(
                start=start,
                end=start + len(text),
                category=category,
                page=page,
                box=box,
                headings=tuple(title for _, title in self._headings),
            )
        )
        self._parts.append(text)
        self._length = start + len(text)
        if category is Category.HEADING:
            self._headings.append((level, " ".join(text.split())))

    def build(
        self,
        *,
        title: str | None = None,
        pages: int | None = None,
        pages_read: int | None = None,
        warnings: Sequence[str] = (),
        members: Sequence[Member] = (),
    ) -> ParsedDocument:
        """Return the document; without a `title`, the first outermost heading is it."""
        first_heading = next(
            (self._parts[i] for i, e in enumerate(self._elements) if e.category is Category.HEADING), None
        )
        return ParsedDocument(
            text=ELEMENT_SEPARATOR.join(self._parts),
            elements=tuple(self._elements),
            media_type=self._media_type,
            title=(title and normalize_text(title).strip()) or first_heading,
            pages=pages,
            pages_read=pages_read,
            warnings=tuple(warnings),
            members=tuple(members),
        )

"""OpenDocument text, presentations and spreadsheets, with lxml."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers import media_types
from ingest.parsers.packages import check_package, reading
from ingest.parsers.tables import SheetWriter, markdown_table
from ingest.parsers.xml import parse_xml

_NAMESPACES = {
    "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
    "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
    "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
    "presentation": "urn:oasis:names:tc:opendocument:xmlns:presentation:1.0",
    "style": "urn:oasis:names:tc:opendocument:xmlns:style:1.0",
    "manifest": "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0",
    "dc": "http://purl.org/dc/elements/1.1/",
}
_MANIFEST = "META-INF/manifest.xml"
# A spreadsheet states its million blank rows as one that repeats; a filled one repeats by far less.
_MAX_REPEATED = 1000
_MAX_ROWS = 1_048_576


def _tag(name: str) -> str:
    prefix, local = name.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


_INDEXES = ("table-of-content", "alphabetical-index", "illustration-index", "table-index", "object-index", "user-index")
# Deleted text of tracked changes, comments, and lists of what stands elsewhere in the document.
_LEFT_OUT = frozenset(
    map(_tag, ("text:tracked-changes", "office:annotation", *(f"text:{index}" for index in _INDEXES)))
)
_BLOCKS_IN_TEXT = frozenset(map(_tag, ("text:note", "draw:frame", "draw:custom-shape", "draw:rect", "draw:g")))
_BLANKS = {_tag("text:tab"): "\t", _tag("text:line-break"): "\n"}


class OpenDocumentParser:
    """Headings with levels, paragraphs, lists, tables; a slide is a page, a sheet a heading with its tables.

    Footnotes, then page headers and footers, come after the text.
    """

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_package(path, filename)
        builder = DocumentBuilder(media_type)
        pages = None
        with reading(filename), zipfile.ZipFile(path) as archive:
            _refuse_encrypted(archive, filename)
            body = parse_xml(archive.read("content.xml"), filename).find(f"{_tag('office:body')}/*")
            if body is None:
                raise ValueError("content.xml has no body")
            warnings: list[str] = []
            if media_type == media_types.ODS:
                warnings += _add_sheets(builder, body)
            elif media_type == media_types.ODP:
                pages = _add_slides(builder, body, warnings)
            else:
                _TextWriter(builder, warnings).add_document(body)
                _add_running_heads(builder, archive, filename)
            title = _title(archive, filename)
        return builder.build(title=title, pages=pages, pages_read=pages, warnings=[*warnings, *_unread(body)])


def _refuse_encrypted(archive: zipfile.ZipFile, filename: str) -> None:
    if _MANIFEST in archive.namelist():
        manifest = parse_xml(archive.read(_MANIFEST), filename)
        if next(manifest.iter(_tag("manifest:encryption-data")), None) is not None:
            raise InvalidFile(f"{filename!r} is encrypted; remove the password and upload again")


def _title(archive: zipfile.ZipFile, filename: str) -> str | None:
    if "meta.xml" not in archive.namelist():
        return None
    return parse_xml(archive.read("meta.xml"), filename).findtext(f".//{_tag('dc:title')}")


def _add_running_heads(builder: DocumentBuilder, archive: zipfile.ZipFile, filename: str) -> None:
    """Add each page header and footer once: a date or a number of the document often stands there alone."""
    if "styles.xml" not in archive.namelist():
        return
    styles = parse_xml(archive.read("styles.xml"), filename)
    heads = styles.iter(*map(_tag, ("style:header", "style:footer", "style:header-first", "style:footer-first")))
    lines = ("\n".join(_text(paragraph) for paragraph in head.iter(_tag("text:p"))) for head in heads)
    for text in dict.fromkeys(lines):
        # Page numbers alone say nothing.
        if any(map(str.isalpha, text)):
            builder.add(text)


def _unread(body: etree._Element) -> Iterator[str]:
    """Yield a sentence for each kind of content that is not text."""
    objects = sum(1 for _ in body.iter(_tag("draw:object"), _tag("draw:object-ole")))
    # An object comes with a picture of itself.
    pictures = sum(1 for _ in body.iter(_tag("draw:image"))) - objects
    if objects:
        yield f"{objects} embedded {'object' if objects == 1 else 'objects'} such as charts could not be read"
    if pictures > 0:
        yield "1 picture was not read" if pictures == 1 else f"{pictures} pictures were not read"
    if next(body.iter(_tag("office:annotation")), None) is not None:
        yield "its comments were not read"


def _add_sheets(builder: DocumentBuilder, body: etree._Element) -> Iterator[str]:
    """Add every sheet; yield a sentence for each that is empty or not read to its end."""
    writer = SheetWriter(builder)
    for sheet in body.iter(_tag("table:table")):
        name = str(sheet.get(_tag("table:name")) or "")
        cuts: list[str] = []
        yield from writer.add(name, _rows(sheet, cuts))
        yield from (f"sheet {name!r}: {cut}" for cut in cuts)


def _add_slides(builder: DocumentBuilder, body: etree._Element, warnings: list[str]) -> int:
    """Add the slides, each followed by its speaker notes; return how many there are."""
    slides = body.findall(_tag("draw:page"))
    for number, slide in enumerate(slides, 1):
        writer = _TextWriter(builder, warnings, page=number)
        for shape in slide:
            if shape.get(_tag("presentation:class")) == "title":
                title = " ".join(_text(part) for part in shape.iter(_tag("text:p")))
                builder.add(title, category=Category.HEADING, page=number)
            elif shape.tag != _tag("presentation:notes"):
                writer.add_block(shape)
        notes = slide.find(_tag("presentation:notes"))
        for shape in notes if notes is not None else ():
            writer.add_block(shape)
        writer.add_notes()
    return len(slides)


class _TextWriter:
    """Adds blocks in reading order; footnotes wait for the end."""

    def __init__(self, builder: DocumentBuilder, warnings: list[str], *, page: int | None = None) -> None:
        self._builder = builder
        self._warnings = warnings
        self._page = page
        self._notes: list[str] = []

    def add_document(self, body: etree._Element) -> None:
        for block in body:
            self.add_block(block)
        self.add_notes()

    def add_block(self, block: etree._Element, category: Category = Category.TEXT) -> None:
        """Add `block`; `category` is what its paragraphs are. An unknown element is a holder of others."""
        if block.tag == _tag("text:h"):
            level = int(block.get(_tag("text:outline-level")) or 1)
            self._builder.add(_text(block), category=Category.HEADING, level=level, page=self._page)
        elif block.tag == _tag("text:p"):
            self._builder.add(_text(block), category=category, page=self._page)
        elif block.tag == _tag("table:table"):
            cuts: list[str] = []
            self._builder.add(markdown_table(_rows(block, cuts)), category=Category.TABLE, page=self._page)
            self._warnings.extend(f"a table: {cut}" for cut in cuts)
        else:
            inner = Category.LIST_ITEM if block.tag == _tag("text:list") else category
            for part in block if block.tag not in _LEFT_OUT else ():
                self.add_block(part, inner)
            return
        self._add_anchored(block)

    def add_notes(self) -> None:
        for note in self._notes:
            self._builder.add(note, page=self._page)
        self._notes.clear()

    def _add_anchored(self, block: etree._Element) -> None:
        """Add the text boxes that are anchored in `block` and keep its footnotes."""
        for note in block.iter(_tag("text:note")):
            paragraphs = note.iterfind(f"{_tag('text:note-body')}/{_tag('text:p')}")
            self._notes.append("\n".join(map(_text, paragraphs)))
        if block.tag != _tag("table:table"):
            for part in block.iterdescendants(*_BLOCKS_IN_TEXT - {_tag("text:note")}):
                if not any(above.tag in _BLOCKS_IN_TEXT for above in _between(part, block)):
                    self.add_block(part)


def _between(part: etree._Element, block: etree._Element) -> Iterator[etree._Element]:
    for above in part.iterancestors():
        if above is block:
            return
        yield above


def _rows(table: etree._Element, cuts: list[str]) -> Iterator[list[str]]:
    """Yield a table's rows; a cell over several columns counts in its first, one over several rows likewise.

    What repeats more often than content does is cut; `cuts` gets a sentence with the place.
    """
    number = 1
    for row in table.iter(_tag("table:table-row")):
        if next(row.iterancestors(_tag("table:table"))) is not table:
            continue
        cells = [text for cell in row for text in _cell(cell, number, cuts)]
        while cells and not cells[-1]:
            cells.pop()
        repeated = _repeated(row, "table:number-rows-repeated")
        if cells and repeated > _MAX_REPEATED:
            cuts.append(f"row {number:,} stands {repeated:,} times and was read {_MAX_REPEATED:,} times")
        for _ in range(min(repeated, _MAX_REPEATED if cells else max(_MAX_ROWS - number, 1))):
            yield cells
        number += repeated


def _cell(cell: etree._Element, row: int, cuts: list[str]) -> list[str]:
    """Return the text of `cell` as often as it repeats; a covered one counts as blank."""
    if cell.tag not in (_tag("table:table-cell"), _tag("table:covered-table-cell")):
        return []
    paragraphs = (part for part in cell.iter(_tag("text:p"), _tag("text:h")) if not _is_left_out(part))
    text = "\n".join(_text(part) for part in paragraphs) if cell.tag == _tag("table:table-cell") else ""
    repeated = _repeated(cell, "table:number-columns-repeated")
    if text and repeated > _MAX_REPEATED:
        cuts.append(f"a cell of row {row:,} stands {repeated:,} times and was read {_MAX_REPEATED:,} times")
    return [text] * min(repeated, _MAX_REPEATED)


def _repeated(node: etree._Element, attribute: str) -> int:
    return max(int(node.get(_tag(attribute)) or 1), 1)


def _is_left_out(part: etree._Element) -> bool:
    return any(above.tag in _LEFT_OUT or above.tag == _tag("text:note") for above in part.iterancestors())


def _text(node: etree._Element) -> str:
    """Return the text of a paragraph; blanks have elements of their own, and notes and boxes come apart."""
    parts = [node.text or ""]
    for child in node:
        if child.tag == _tag("text:s"):
            parts.append(" " * min(int(child.get(_tag("text:c")) or 1), _MAX_REPEATED))
        elif child.tag in _BLANKS:
            parts.append(_BLANKS[child.tag])
        elif child.tag not in _LEFT_OUT | _BLOCKS_IN_TEXT:
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)

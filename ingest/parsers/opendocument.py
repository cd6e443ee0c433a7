"""OpenDocument text, presentations and spreadsheets, with lxml."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers import media_types
from ingest.parsers.packages import check_package, reading
from ingest.parsers.tables import add_sheet, markdown_table
from ingest.parsers.xml import parse_xml

_NAMESPACES = {
    "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
    "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
    "draw": "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0",
    "presentation": "urn:oasis:names:tc:opendocument:xmlns:presentation:1.0",
    "manifest": "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0",
    "dc": "http://purl.org/dc/elements/1.1/",
}
_MANIFEST = "META-INF/manifest.xml"
# A spreadsheet states its million blank rows as one that repeats; a filled one repeats by far less.
_MAX_REPEATED = 1000


def _tag(name: str) -> str:
    prefix, local = name.split(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"


# Holders of blocks that are no blocks themselves; any other unknown element is passed by.
_PASSED_THROUGH = frozenset(
    map(_tag, ("text:section", "draw:frame", "draw:text-box", "draw:g", "draw:custom-shape", "draw:rect", "draw:a"))
)
# Deleted text of tracked changes, comments, and lists of what stands elsewhere in the document.
_LEFT_OUT = frozenset(
    map(_tag, ("text:tracked-changes", "office:annotation", "text:table-of-content", "text:alphabetical-index"))
)
_BLOCKS_IN_TEXT = frozenset(map(_tag, ("text:note", "draw:frame", "draw:custom-shape", "draw:rect", "draw:g")))
_BLANKS = {_tag("text:tab"): "\t", _tag("text:line-break"): "\n"}


class OpenDocumentParser:
    """Headings with levels, paragraphs, lists, tables; a slide is a page, a sheet a heading with its tables."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_package(path, filename)
        builder = DocumentBuilder(media_type)
        pages = None
        with reading(filename), zipfile.ZipFile(path) as archive:
            _refuse_encrypted(archive, filename)
            body = parse_xml(archive.read("content.xml"), filename).find(f"{_tag('office:body')}/*")
            if body is None:
                raise ValueError("content.xml has no body")
            warnings = []
            if media_type == media_types.ODS:
                warnings = list(_add_sheets(builder, body))
            elif media_type == media_types.ODP:
                pages = _add_slides(builder, body)
            else:
                _TextWriter(builder).add_document(body)
            title = _title(archive, filename)
        return builder.build(title=title, pages=pages, pages_read=pages, warnings=warnings)


def _refuse_encrypted(archive: zipfile.ZipFile, filename: str) -> None:
    if _MANIFEST in archive.namelist():
        manifest = parse_xml(archive.read(_MANIFEST), filename)
        if next(manifest.iter(_tag("manifest:encryption-data")), None) is not None:
            raise InvalidFile(f"{filename!r} is encrypted; remove the password and upload again")


def _title(archive: zipfile.ZipFile, filename: str) -> str | None:
    if "meta.xml" not in archive.namelist():
        return None
    return parse_xml(archive.read("meta.xml"), filename).findtext(f".//{_tag('dc:title')}")


def _add_sheets(builder: DocumentBuilder, body: etree._Element) -> Iterator[str]:
    """Add every sheet; yield a sentence for each empty one."""
    for sheet in body.iter(_tag("table:table")):
        name = str(sheet.get(_tag("table:name")) or "")
        if not add_sheet(builder, name, _rows(sheet)):
            yield f"sheet {name!r} holds no values"


def _add_slides(builder: DocumentBuilder, body: etree._Element) -> int:
    """Add the slides, each followed by its speaker notes; return how many there are."""
    slides = body.findall(_tag("draw:page"))
    for number, slide in enumerate(slides, 1):
        writer = _TextWriter(builder, page=number)
        for shape in slide:
            if shape.get(_tag("presentation:class")) == "title":
                title = " ".join(_text(part) for part in shape.iter(_tag("text:p")))
                builder.add(title, category=Category.HEADING, page=number)
            else:
                writer.add_block(shape)
        notes = slide.find(_tag("presentation:notes"))
        for shape in notes if notes is not None else ():
            writer.add_block(shape)
        writer.add_notes()
    return len(slides)


class _TextWriter:
    """Adds blocks in reading order; footnotes wait for the end."""

    def __init__(self, builder: DocumentBuilder, *, page: int | None = None) -> None:
        self._builder = builder
        self._page = page
        self._notes: list[str] = []

    def add_document(self, body: etree._Element) -> None:
        for block in body:
            self.add_block(block)
        self.add_notes()

    def add_block(self, block: etree._Element, category: Category = Category.TEXT) -> None:
        """Add `block`; `category` is what its paragraphs are."""
        if block.tag == _tag("text:h"):
            level = int(block.get(_tag("text:outline-level")) or 1)
            self._builder.add(_text(block), category=Category.HEADING, level=level, page=self._page)
        elif block.tag == _tag("text:p"):
            self._builder.add(_text(block), category=category, page=self._page)
        elif block.tag == _tag("table:table"):
            self._builder.add(markdown_table(_rows(block)), category=Category.TABLE, page=self._page)
        elif block.tag == _tag("text:list"):
            for part in (part for item in block for part in item):
                self.add_block(part, Category.LIST_ITEM)
            return
        elif block.tag in _PASSED_THROUGH:
            for part in block:
                self.add_block(part, category)
            return
        else:
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


def _rows(table: etree._Element) -> Iterator[list[str]]:
    """Yield a table's rows; a cell over several columns counts in its first, one over several rows likewise."""
    for row in table.iter(_tag("table:table-row")):
        if next(row.iterancestors(_tag("table:table"))) is not table:
            continue
        cells = [text for cell in row for text in _cell(cell)]
        while cells and not cells[-1]:
            cells.pop()
        repeated = int(row.get(_tag("table:number-rows-repeated")) or 1)
        for _ in range(min(repeated, _MAX_REPEATED) if cells else 1):
            yield cells


def _cell(cell: etree._Element) -> list[str]:
    """Return the text of `cell` as often as it repeats; a covered one counts as blank."""
    if cell.tag not in (_tag("table:table-cell"), _tag("table:covered-table-cell")):
        return []
    paragraphs = (part for part in cell.iter(_tag("text:p"), _tag("text:h")) if not _is_left_out(part))
    text = "\n".join(_text(part) for part in paragraphs) if cell.tag == _tag("table:table-cell") else ""
    repeated = int(cell.get(_tag("table:number-columns-repeated")) or 1)
    return [text] * min(repeated, _MAX_REPEATED)


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

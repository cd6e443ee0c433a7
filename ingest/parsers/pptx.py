"""PowerPoint, on python-pptx; a slide is a page.

Not through unstructured: it leaves out charts, diagrams and text beside the slide, and joins words at line breaks.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pptx
from lxml import etree
from pptx.enum.shapes import PP_PLACEHOLDER
from pptx.exc import PythonPptxError
from pptx.shapes.base import BaseShape
from pptx.shapes.group import GroupShape
from pptx.slide import Slide
from pptx.table import Table

from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.drawings import CHART, DIAGRAM, add_drawing
from ingest.parsers.embedded import unread_parts
from ingest.parsers.packages import check_package, reading
from ingest.parsers.page_warnings import about_pages
from ingest.parsers.tables import markdown_table
from ingest.parsers.xml import parse_xml

_PICTURE = "image"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_COMPATIBILITY = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_BULLETS = (f"{_DRAWING}pPr/{_DRAWING}buChar", f"{_DRAWING}pPr/{_DRAWING}buAutoNum")


class PptxParser:
    """Slides from top to bottom and left to right, each followed by its charts, its diagrams and its speaker notes."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_package(path, filename)
        builder = DocumentBuilder(media_type)
        with reading(filename, PythonPptxError):
            presentation = pptx.Presentation(str(path))
            slides = list(presentation.slides)
            with_pictures = []
            for number, slide in enumerate(slides, 1):
                writer = _SlideWriter(builder, number)
                writer.add(slide)
                for part in _related(slide, CHART, DIAGRAM):
                    add_drawing(builder, parse_xml(part, filename), page=number)
                writer.add_notes(slide)
                if any(True for _ in _related(slide, _PICTURE)):
                    with_pictures.append(number)
            title = _real_title(presentation.core_properties.title)
            warnings = list(unread_parts(path, filename, read=(CHART, DIAGRAM)))
        document = builder.build(title=title, pages=len(slides), pages_read=len(slides), warnings=warnings)
        return _without_unread_pages(document, with_pictures)


def _without_unread_pages(document: ParsedDocument, with_pictures: Sequence[int]) -> ParsedDocument:
    """Return the document with the slides counted as unread that show pictures and no text."""
    with_text = {element.page for element in document.elements}
    unread = [number for number in with_pictures if number not in with_text]
    reason = "only pictures, which were not read"
    return replace(
        document,
        pages_read=(document.pages or 0) - len(unread),
        warnings=(*about_pages(unread, f" shows {reason}", f" show {reason}"), *document.warnings),
    )


class _SlideWriter:
    """Adds one slide to a builder."""

    def __init__(self, builder: DocumentBuilder, number: int) -> None:
        self._builder = builder
        self._number = number

    def add(self, slide: Slide) -> None:
        """Add the title, then the other shapes."""
        _unwrap(slide)
        title = slide.shapes.title
        if title is not None:
            words = " ".join(_lines(title._element)).split()
            self._builder.add(" ".join(words), category=Category.HEADING, page=self._number)
        self._add_shapes(shape for shape in slide.shapes if shape != title)

    def add_notes(self, slide: Slide) -> None:
        frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if frame is not None:
            self._builder.add("\n".join(_lines(frame._txBody)), page=self._number)

    def _add_shapes(self, shapes: Iterable[BaseShape]) -> None:
        """Add shapes; those of a group stay together, as their places are relative to it."""
        for shape in sorted(shapes, key=lambda shape: (shape.top or 0, shape.left or 0)):
            if isinstance(shape, GroupShape):
                self._add_shapes(shape.shapes)
            elif shape.has_table:
                table = markdown_table(_rows(shape.table))  # type: ignore[attr-defined]
                self._builder.add(table, category=Category.TABLE, page=self._number)
            elif not _is_slide_number(shape):
                for paragraph in shape._element.iter(f"{_DRAWING}p"):
                    is_item = any(paragraph.find(bullet) is not None for bullet in _BULLETS)
                    category = Category.LIST_ITEM if is_item else Category.TEXT
                    self._builder.add(_text(paragraph), category=category, page=self._number)


def _unwrap(slide: Slide) -> None:
    """Put shapes that come in two forms, for newer and older programs, in their place in the first form."""
    for choice in list(slide._element.iter(f"{_COMPATIBILITY}AlternateContent")):
        parent, form = choice.getparent(), next(iter(choice), None)
        if parent is not None and form is not None:
            place = parent.index(choice)
            parent[place : place + 1] = list(form)


def _related(slide: Slide, *kinds: str) -> Iterator[bytes]:
    """Yield the parts that a slide refers to by these kinds of relationship."""
    for relation in slide.part.rels.values():
        if relation.reltype.rpartition("/")[2] in kinds and not relation.is_external:
            yield relation.target_part.blob


def _is_slide_number(shape: BaseShape) -> bool:
    return shape.is_placeholder and shape.placeholder_format.type == PP_PLACEHOLDER.SLIDE_NUMBER


def _rows(table: Table) -> Iterator[list[str]]:
    """Yield a table's rows: a cell over several rows counts in each, one over several columns in its first."""
    above: list[str] = []
    for row in table.rows:
        texts: list[str] = []
        for column, cell in enumerate(row.cells):
            is_continued = cell._tc.vMerge and not cell._tc.hMerge and column < len(above)
            texts.append(above[column] if is_continued else "\n".join(_lines(cell._tc)))
        yield texts
        above = texts


def _lines(node: etree._Element) -> Iterator[str]:
    return map(_text, node.iter(f"{_DRAWING}p"))


def _text(paragraph: etree._Element) -> str:
    """Return a paragraph's text with its line breaks, fields and formulas."""
    pieces = paragraph.iter(f"{_DRAWING}t", f"{_DRAWING}br", f"{_MATH}t")
    return "".join("\n" if piece.tag == f"{_DRAWING}br" else piece.text or "" for piece in pieces)


def _real_title(title: str | None) -> str | None:
    """Return the title unless it is the one that the program's template came with."""
    return None if title in ("PowerPoint Presentation", "PowerPoint-Präsentation", "Presentation") else title

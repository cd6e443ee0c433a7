"""Word, on unstructured."""

import copy
import io
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import docx
from docx.document import Document
from docx.exceptions import PythonDocxError
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.exceptions import XmlchemyError
from docx.oxml.ns import qn
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph
from lxml import etree
from unstructured.documents import elements as un
from unstructured.partition.docx import partition_docx

from ingest.documents import DocumentBuilder, ParsedDocument
from ingest.parsers import partitioning
from ingest.parsers.drawings import CHART, DIAGRAM, add_drawing
from ingest.parsers.embedded import unread_parts
from ingest.parsers.packages import check_package, reading
from ingest.parsers.tables import markdown_table

# Wrappers whose content python-docx (and so unstructured) does not see: content controls, tracked insertions,
# simple fields, smart tags.
_WRAPPERS = ("w:sdt", "w:ins", "w:moveTo", "w:fldSimple", "w:smartTag", "w:customXml")
# In a wrapper but not content.
_PROPERTIES = {qn(tag) for tag in ("w:sdtPr", "w:sdtEndPr", "w:smartTagPr", "w:customXmlPr")}
_NOTES = (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES)


_RUNNING_HEADS = (RELATIONSHIP_TYPE.HEADER, RELATIONSHIP_TYPE.FOOTER)
_DRAWINGS = (RELATIONSHIP_TYPE.CHART, RELATIONSHIP_TYPE.DIAGRAM_DATA)
_MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
# Word's own limit of columns. A damaged or hostile file claims billions, and every column would become a cell.
_MAX_COLUMNS = 63


class DocxParser:
    """Headings by style, lists, tables, text boxes; at the end footnotes, page headers and footers once, and charts."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_package(path, filename)
        builder = DocumentBuilder(media_type)
        with reading(filename, PythonDocxError, XmlchemyError):
            document = docx.Document(str(path))
            _limit_columns(document)
            _unwrap(document)
            _write_out(document)
            _lift_text_boxes(document)
            prepared = io.BytesIO()
            document.save(prepared)
            elements = partition_docx(
                file=prepared, languages=partitioning.NO_LANGUAGE_DETECTION, include_page_breaks=False
            )
            _restore_tables(document, elements)
            partitioning.add_elements(builder, elements)
            for text in (*_notes(document), *_running_heads(document)):
                builder.add(text)
            for drawing in _related(document, _DRAWINGS):
                add_drawing(builder, drawing)
            title = document.core_properties.title
            warnings = [*_symbols(document), *unread_parts(path, filename, read=(CHART, DIAGRAM))]
        return builder.build(title=title, warnings=warnings)


def _limit_columns(document: Document) -> None:
    for span in document.element.body.iter(qn("w:gridSpan"), qn("w:gridBefore"), qn("w:gridAfter")):
        if int(span.get(qn("w:val")) or 1) > _MAX_COLUMNS:
            span.set(qn("w:val"), str(_MAX_COLUMNS))


def _unwrap(document: Document) -> None:
    """Put the content of every wrapper in the wrapper's place, innermost first."""
    body = document.element.body
    for wrapper in reversed(list(body.iter(*(qn(tag) for tag in _WRAPPERS)))):
        parent = wrapper.getparent()
        if parent is None or parent.tag == qn("w:rPr"):
            continue  # w:ins inside run properties marks an inserted paragraph end and holds nothing.
        content = wrapper.find(qn("w:sdtContent")) if wrapper.tag == qn("w:sdt") else wrapper
        place = parent.index(wrapper)
        kept = [child for child in (content if content is not None else ()) if child.tag not in _PROPERTIES]
        parent[place : place + 1] = kept


def _write_out(document: Document) -> None:
    """Make runs of formulas and of text with pronunciation marks, in which python-docx sees no text."""
    body = document.element.body
    for formula in list(body.iter(f"{_MATH}oMath")):
        run = OxmlElement("w:r")
        run.text = "".join(map(str, formula.itertext(f"{_MATH}t")))
        formula.getparent().replace(formula, run)
    for ruby in reversed(list(body.iter(qn("w:ruby")))):
        run = ruby.getparent()
        for base in reversed([part for holder in ruby.iter(qn("w:rubyBase")) for part in holder]):
            run.addnext(base)
        run.remove(ruby)


def _symbols(document: Document) -> Iterator[str]:
    """Yield a sentence where letters of a symbol font stand: they have a meaning in that font alone."""
    count = sum(1 for _ in document.element.body.iter(qn("w:sym")))
    if count:
        yield f"{count} {'character' if count == 1 else 'characters'} of symbol fonts could not be read"


def _lift_text_boxes(document: Document) -> None:
    """Put the paragraphs of text boxes after the paragraph that anchors them."""
    for box in reversed(list(document.element.body.iter(qn("w:txbxContent")))):
        if any(ancestor.tag.endswith("}Fallback") for ancestor in box.iterancestors()):
            continue  # The same box once more, for programs that do not know the first form.
        anchor = next((a for a in box.iterancestors(qn("w:p"))), None)
        if anchor is not None:
            for block in reversed([child for child in box if child.tag in (qn("w:p"), qn("w:tbl"))]):
                anchor.addnext(copy.deepcopy(block))


def _restore_tables(document: Document, elements: Iterable[un.Element]) -> None:
    """Give table elements their cells by column: unstructured leaves merged ones out, and the rest moves left."""
    # One element for each table of the body, in order, also for an empty one.
    tables = (element for element in elements if isinstance(element, un.Table))
    for table, element in zip(document.tables, tables, strict=True):
        element.text = markdown_table(_rows(table))
        element.metadata.text_as_html = None


def _rows(table: Table) -> Iterator[list[str]]:
    """Yield a table's rows: a cell over several rows counts in each, one over several columns in its first."""
    for row in table.rows:
        texts: list[str] = [""] * row.grid_cols_before
        previous = None
        for cell in row.cells:
            texts.append("" if previous is not None and cell._tc is previous else _cell_text(cell))
            previous = cell._tc
        yield texts


def _cell_text(cell: _Cell) -> str:
    """Return a cell's paragraphs and, within them, the tables nested in it."""
    blocks = cell.iter_inner_content()
    return " ".join(
        block.text if isinstance(block, Paragraph) else " ".join(text for row in _rows(block) for text in row)
        for block in blocks
    )


def _notes(document: Document) -> Iterator[str]:
    """Yield the text of each footnote and endnote, in the order of the file."""
    for part in _related(document, _NOTES):
        for note in part:
            # Separators between text and notes are notes too, of a type; real ones have none.
            if note.get(qn("w:type")) is None:
                yield _lines(note)


def _running_heads(document: Document) -> list[str]:
    """Return each page header and footer once: a date or a number of the document often stands there alone."""
    texts = dict.fromkeys(map(_lines, _related(document, _RUNNING_HEADS)))
    # Page numbers alone say nothing.
    return [text for text in texts if any(map(str.isalpha, text))]


def _related(document: Document, kinds: Collection[str]) -> Iterator[etree._Element]:
    """Yield the roots of the parts of these kinds of relationship."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    for relation in document.part.rels.values():
        if relation.reltype in kinds and not relation.is_external:
            yield etree.fromstring(relation.target_part.blob, parser)


def _lines(node: etree._Element) -> str:
    """Return the text of the paragraphs in `node`, a line each."""
    pieces = (paragraph.iter(qn("w:t"), qn("w:tab"), qn("w:br")) for paragraph in node.iter(qn("w:p")))
    lines = ("".join(piece.text or " " for piece in line).strip() for line in pieces)
    return "\n".join(filter(None, lines))

"""HTML, also as what Markdown and e-mail turn into."""

import re
from contextlib import suppress
from pathlib import Path

import lxml.etree
import lxml.html
from unstructured.partition.html import partition_html

from catalog.errors import InvalidFile
from ingest.documents import DocumentBuilder, ParsedDocument
from ingest.parsers import partitioning
from ingest.parsers.decoding import decode

_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
# Old pages make paragraphs by two line breaks, which unstructured reads as one blank.
_BLANK_LINES = re.compile(r"(?:<br\s*/?>\s*){2,}", re.IGNORECASE)
# Not document text: code, navigation, and what a page repeats on every other page of its site.
_REMOVED = ("script", "style", "noscript", "template", "nav", "footer", "head", "iframe", "svg")
# unstructured drops these with all they hold, but whole pages sit in a form and whole tables in a figure.
_UNWRAPPED = ("form", "figure", "details", "label", "button", "object")
_AS_PARAGRAPH = ("figcaption", "summary", "legend", "caption")
# Browsers take up to 1000; a table of a document has no more, and a hostile one costs no more than this per cell.
_MAX_SPAN = 100


class HtmlParser:
    """Main content of a page with its headings, lists, tables and code."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        builder = DocumentBuilder(media_type)
        title = add_html(builder, decode_html(path.read_bytes()), filename=filename)
        return builder.build(title=title)


def decode_html(data: bytes) -> str:
    """Return `data` as text, by its declared charset where that is one and decodes it, else as any other text."""
    declared = _CHARSET.search(data[:4096])
    if declared:
        # Declared wrongly, as in pages that were converted: the bytes themselves decide.
        with suppress(LookupError, UnicodeDecodeError):
            return data.decode(declared.group(1).decode("ascii"))
    return decode(data)


def add_html(builder: DocumentBuilder, html: str, *, filename: str) -> str | None:
    """Add the content of a page or fragment to `builder`; return the text of its `<title>`."""
    html = _BLANK_LINES.sub("<p></p>", _XML_DECLARATION.sub("", html))
    if not html.strip():
        return None
    tree = _parse(html, filename)
    title: str | None = tree.findtext(".//title")
    _prepare(tree)
    try:
        cleaned = lxml.html.tostring(tree, encoding="unicode")
        elements = partition_html(text=cleaned, languages=partitioning.NO_LANGUAGE_DETECTION)
    except RecursionError as exc:
        raise InvalidFile(f"{filename!r} is nested too deeply to be read; flatten its mark-up") from exc
    partitioning.add_elements(builder, elements)
    return title


def _parse(html: str, filename: str) -> lxml.html.HtmlElement:
    parser = lxml.html.HTMLParser()
    try:
        tree = lxml.html.document_fromstring(html, parser=parser)
    except lxml.etree.ParserError as exc:
        raise InvalidFile(f"{filename!r} is not readable as HTML ({exc}); upload the file again") from exc
    if any("depth" in error.message for error in parser.error_log):
        # libxml2 stops at its depth limit and would return only what came before.
        raise InvalidFile(f"{filename!r} is nested too deeply to be read; flatten its mark-up")
    return tree


def _prepare(tree: lxml.html.HtmlElement) -> None:
    """Remove what is not document text, and keep what unstructured would drop."""
    for element in list(tree.iter(*_REMOVED)):
        element.drop_tree()
    for tag in _UNWRAPPED:
        for element in tree.iter(tag):
            element.tag = "div" if tag not in ("label", "button") else "span"
    for table in list(tree.iter("table")):
        _move_caption_before(table)
        if _is_layout(table):
            for part in (table, *table.iter("thead", "tbody", "tfoot", "tr", "td")):
                part.tag = "div"
        else:
            _spread_cells(table)
    for element in tree.iter(*_AS_PARAGRAPH):
        element.tag = "p"
    for item in tree.iter("li"):
        # "<li><p>text</p><ul>": a loose Markdown list; its text is the item's own.
        if len(item) and item[0].tag == "p" and not (item.text or "").strip():
            item[0].tag = "span"


def _move_caption_before(table: lxml.html.HtmlElement) -> None:
    """Make a table's caption a paragraph above it: in the table's text it would be lost to the rows."""
    caption = table.find("caption")
    if caption is not None and table.getparent() is not None:
        caption.tail = None
        table.addprevious(caption)


def _is_layout(table: lxml.html.HtmlElement) -> bool:
    """Tell whether a table only places text on the page, as those of mails and old sites do."""
    if table.find(".//th") is not None:
        return False
    has_blocks = any(table.find(f".//{tag}") is not None for tag in ("table", "h1", "h2", "h3", "h4"))
    return has_blocks or all(len(row.findall("td")) < 2 for row in table.iter("tr"))


def _spread_cells(table: lxml.html.HtmlElement) -> None:
    """Put empty cells beside a cell over several columns, and a copy in each row of one over several rows."""
    waiting: dict[int, tuple[int, str]] = {}
    own_rows = [row for row in table.iter("tr") if next(row.iterancestors("table")) is table]
    for row in own_rows:
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        column = 0
        for cell in cells:
            while column in waiting:
                cell.addprevious(_copied_cell(waiting, column))
                column += 1
            width, height = _span(cell, "colspan"), _span(cell, "rowspan")
            if height > 1:
                waiting[column] = (height - 1, cell.text_content())
            for _ in range(width - 1):
                cell.addnext(lxml.html.Element("td"))
            column += width
        for after in sorted(place for place in waiting if place >= column):
            row.append(_copied_cell(waiting, after))


def _copied_cell(waiting: dict[int, tuple[int, str]], column: int) -> lxml.html.HtmlElement:
    rows_left, text = waiting.pop(column)
    if rows_left > 1:
        waiting[column] = (rows_left - 1, text)
    cell = lxml.html.Element("td")
    cell.text = text
    return cell


def _span(cell: lxml.html.HtmlElement, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(int(value), _MAX_SPAN) if value.isdecimal() and int(value) else 1

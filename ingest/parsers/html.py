"""HTML, also as what Markdown and e-mail turn into."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import lxml.etree
import lxml.html
from unstructured.partition.html import partition_html

from catalog.errors import InvalidFile
from ingest.documents import DocumentBuilder, ParsedDocument
from ingest.parsers import partitioning
from ingest.parsers.decoding import decode, decode_declared, unreadable

_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?([\w-]+)", re.IGNORECASE)
# Old pages make paragraphs by two line breaks, which unstructured reads as one blank.
_BLANK_LINES = re.compile(r"(?:<br\s*/?>\s*){2,}", re.IGNORECASE)
# What lxml does not take as text: what references such as `&#1;` stand for.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
# No text of the page, or one that is shown where something else cannot be.
_SILENT = (
    *("script", "style", "noscript", "template", "head", "datalist"),
    *("audio", "video", "canvas", "iframe", "noembed", "noframes"),
)
# What a page repeats on every other page of its site, and what only works by pointing and clicking.
_LEFT_OUT = {"nav": "navigation", "footer": "footer", "select": "choices in forms", "svg": "words in drawings"}
# A footer in one of these is its own, such as the source of a quotation.
_WITH_FOOTER = ("article", "section", "blockquote", "figure", "main", "td")
# unstructured drops these with all they hold, but whole pages sit in a form and whole tables in a figure; and all that
# is outside of the first `main`.
_UNWRAPPED = {
    **dict.fromkeys(("form", "figure", "details", "object", "dialog", "textarea", "main"), "div"),
    **dict.fromkeys(("label", "button", "math"), "span"),
    # Shown struck through, as `s` is.
    "del": "s",
}
_AS_PARAGRAPH = ("figcaption", "summary", "legend", "caption")
# Columns or rows of one cell, as in browsers, and what all cells may add to a document.
_MAX_SPAN = 1000
_MAX_ADDED_CELLS = 1_000_000


class HtmlParser:
    """Main content of a page with its headings, lists, tables and code."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        builder = DocumentBuilder(media_type)
        html = decode_html(path.read_bytes())
        reader = HtmlReader(builder, filename=filename)
        title = reader.add(html)
        return builder.build(title=title, warnings=[*unreadable(html), *reader.warnings()])


def decode_html(data: bytes) -> str:
    """Return `data` as text, by its declared charset where that is one and decodes it, else as any other text."""
    declared = _CHARSET.search(data[:4096])
    # Declared wrongly, as in pages that were converted: the bytes themselves decide.
    text = decode_declared(data, declared.group(1).decode("ascii", "replace")) if declared else None
    return decode(data) if text is None else text


class HtmlReader:
    """Adds pages or fragments to a builder, and knows what it left out."""

    def __init__(self, builder: DocumentBuilder, *, filename: str) -> None:
        self._builder = builder
        self._filename = filename
        # Characters by what they are.
        self._left_out: Counter[str] = Counter()
        self._cells = _CellSpreader()

    def add(self, html: str) -> str | None:
        """Add the content of `html`; return the text of its `<title>`. Raises InvalidFile."""
        html = _BLANK_LINES.sub(partitioning.PARAGRAPH_MARK, html)
        if not html.strip():
            return None
        tree = _parse(html, self._filename)
        title: str | None = tree.findtext(".//title")
        self._remove(tree)
        tree = self._main_part(tree)
        self._prepare(tree)
        try:
            cleaned = lxml.html.tostring(tree, encoding="unicode")
            elements = partition_html(text=cleaned, languages=partitioning.NO_LANGUAGE_DETECTION)
        except RecursionError as exc:
            raise _nested_too_deeply(self._filename) from exc
        partitioning.add_elements(self._builder, elements)
        return title

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for what is not in the text of all pages, or not in its place."""
        parts = [f"{what} ({count:,} characters)" for what, count in sorted(self._left_out.items())]
        if parts:
            yield f"left out of the text: {', '.join(parts)}"
        if self._cells.is_cut:
            yield "in some tables, cells over several rows or columns stand in the first of them alone"

    def _remove(self, tree: lxml.html.HtmlElement) -> None:
        for element in list(tree.iter(*_SILENT)):
            element.drop_tree()
        for element in list(tree.iter(*_LEFT_OUT)):
            if element.tag == "footer" and next(element.iterancestors(*_WITH_FOOTER), None) is not None:
                element.tag = "div"
                continue
            self._count(_LEFT_OUT[element.tag], _size(element))
            element.drop_tree()

    def _main_part(self, tree: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
        """Return what the page declares its main part to be, where that is most of it, else all."""
        parts = [main for main in tree.iter("main") if next(main.iterancestors("main"), None) is None]
        total, kept = _size(tree), sum(map(_size, parts))
        if 2 * kept <= total:
            return tree
        self._count("the page's frame", total - kept)
        whole = lxml.html.Element("div")
        for part in parts:
            part.tail = None
            whole.append(part)
        return whole

    def _prepare(self, tree: lxml.html.HtmlElement) -> None:
        """Keep what unstructured would drop."""
        for element in tree.iter(*_UNWRAPPED):
            if element.tag != "math" or not _states_formula(element):
                element.tag = _UNWRAPPED[element.tag]
        for table in list(tree.iter("table")):
            _move_caption_before(table)
            if _is_layout(table):
                for part in (table, *table.iter("thead", "tbody", "tfoot", "tr", "td")):
                    part.tag = "div"
            else:
                self._cells.spread(table)
        for element in tree.iter(*_AS_PARAGRAPH):
            element.tag = "p"
        for item in tree.iter("li"):
            # "<li><p>text</p><ul>": a loose Markdown list; its text is the item's own.
            if len(item) and item[0].tag == "p" and not (item.text or "").strip():
                item[0].tag = "span"

    def _count(self, what: str, characters: int) -> None:
        if characters:
            self._left_out[what] += characters


def _size(element: lxml.html.HtmlElement) -> int:
    return len(" ".join(element.text_content().split()))


def _nested_too_deeply(filename: str) -> InvalidFile:
    return InvalidFile(f"{filename!r} is nested too deeply to be read; flatten its mark-up")


def _parse(html: str, filename: str) -> lxml.html.HtmlElement:
    # Bytes: lxml refuses a text that declares its encoding. Without `huge_tree` libxml2 ends after 10 MB of text.
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True)
    try:
        tree = lxml.html.document_fromstring(html.encode("utf-8", "replace"), parser=parser)
    except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError) as exc:
        raise InvalidFile(f"{filename!r} is not readable as HTML ({exc}); upload the file again") from exc
    fatal = next((error for error in parser.error_log if error.level_name == "FATAL"), None)
    if fatal is not None:
        # libxml2 stops at its limits and would return only what came before.
        if "depth" in fatal.message:
            raise _nested_too_deeply(filename)
        raise InvalidFile(f"{filename!r} is not readable as HTML ({fatal.message.strip()}); split it")
    for element in tree.iter():
        if element.text and _NOT_XML.search(element.text):
            element.text = _NOT_XML.sub("", element.text)
        if element.tail and _NOT_XML.search(element.tail):
            element.tail = _NOT_XML.sub("", element.tail)
    return tree


def _states_formula(math: lxml.html.HtmlElement) -> bool:
    """Tell whether a formula is there as TeX too, which unstructured takes; of others it takes nothing."""
    return bool((math.get("alttext") or "").strip()) or math.find(".//annotation") is not None


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


class _CellSpreader:
    """Gives each row of a table a cell for each column, up to a number of added cells in all tables of a document."""

    def __init__(self) -> None:
        self._left = _MAX_ADDED_CELLS
        self.is_cut = False

    def spread(self, table: lxml.html.HtmlElement) -> None:
        """Put empty cells beside a cell over several columns, and a copy in each row of one over several rows."""
        # By column: rows that the cell is still over, and its text.
        waiting: dict[int, tuple[int, str]] = {}
        own_rows = [row for row in table.iter("tr") if next(row.iterancestors("table")) is table]
        for row in own_rows:
            column = 0
            for cell in [cell for cell in row if cell.tag in ("td", "th")]:
                while column in waiting:
                    self._add(cell.addprevious, _next_row(waiting, column))
                    column += 1
                width, height = _span(cell, "colspan"), _span(cell, "rowspan")
                if height > 1:
                    waiting[column] = (height - 1, cell.text_content())
                for _ in range(width - 1):
                    self._add(cell.addnext)
                column += width
            for after in sorted(place for place in waiting if place >= column):
                self._add(row.append, _next_row(waiting, after))

    def _add(self, place: Callable[[lxml.html.HtmlElement], None], text: str = "") -> None:
        self._left -= 1
        self.is_cut = self._left < 0
        if not self.is_cut:
            cell = lxml.html.Element("td")
            cell.text = text
            place(cell)


def _next_row(waiting: dict[int, tuple[int, str]], column: int) -> str:
    """Return the text that a cell above has in this row too."""
    rows_left, text = waiting.pop(column)
    if rows_left > 1:
        waiting[column] = (rows_left - 1, text)
    return text


def _span(cell: lxml.html.HtmlElement, name: str) -> int:
    value = (cell.get(name) or "1").strip()
    return min(int(value), _MAX_SPAN) if value.isascii() and value.isdecimal() and int(value) else 1

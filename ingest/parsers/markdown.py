"""Markdown by the rules of CommonMark, through HTML, which keeps its nesting, its tables and the HTML in it."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import lxml.html.defs
from markdown_it import MarkdownIt
from markdown_it.token import Token

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import read_text, unreadable
from ingest.parsers.html import HtmlReader

# Metadata between lines of dashes at the top; as Markdown it would be a rule and a heading.
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
# Levels of lists and quotations; what is deeper the library leaves out without a word.
_MAX_NESTING = 100
# A tag of HTML, or one with a prefix for the inline XBRL and the like. Any other word in angle brackets is a
# placeholder ("ping <host>"), which a browser would hide.
_TAG = re.compile(r"\s*</?([A-Za-z][\w.:-]*)")
_KNOWN_TAGS = lxml.html.defs.tags | {"main", "bdi", "data", "dialog", "picture", "template", "nobr", "slot", "search"}


class MarkdownParser:
    """Headings, paragraphs, lists, tables and fenced code."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
        builder = DocumentBuilder(media_type)
        title = None
        front = _FRONT_MATTER.match(text)
        if front:
            builder.add(front.group(1), category=Category.CODE)
            found = _FRONT_TITLE.search(front.group(1))
            title = found.group(1).strip("\"'") if found else None
            text = text[front.end() :]
        reader = HtmlReader(builder, filename=filename)
        reader.add(_to_html(text, filename))
        return builder.build(title=title, warnings=[*unreadable(text), *reader.warnings()])


def _to_html(text: str, filename: str) -> str:
    converter = MarkdownIt("commonmark", {"maxNesting": _MAX_NESTING}).enable(["table", "strikethrough"])
    tokens = converter.parse(text)
    if any(token.level >= _MAX_NESTING - 1 for token in tokens):
        raise InvalidFile(f"{filename!r} is nested too deeply to be read; flatten its lists and quotations")
    for token in _html_tokens(tokens):
        tag = _TAG.match(token.content)
        if tag and tag.group(1).lower() not in _KNOWN_TAGS and ":" not in tag.group(1):
            token.type = "text"
    return str(converter.renderer.render(tokens, converter.options, {}))


def _html_tokens(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        if token.type in ("html_block", "html_inline"):
            yield token
        yield from _html_tokens(token.children or ())

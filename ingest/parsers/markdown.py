"""Markdown, through HTML: the one way in which its nesting, tables and inline HTML are read right."""

import re
from pathlib import Path

import markdown

from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import read_text
from ingest.parsers.html import add_html

# Metadata between lines of dashes at the top; as Markdown it would be a rule and a heading.
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)


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
        add_html(
            builder, markdown.markdown(text, extensions=["tables", "fenced_code", "sane_lists"]), filename=filename
        )
        return builder.build(title=title)

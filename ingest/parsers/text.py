"""Plain text and source code, without unstructured: it would cost minutes on a large log."""

import re
from collections.abc import Iterator
from pathlib import Path

from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import read_lines, unreadable
from ingest.parsers.media_types import is_code

_BLANK_LINES = re.compile(r"\n[^\S\n]*(?:\n[^\S\n]*)+")
_LINE_ENDS = re.compile(r"\r\n?|\f")
# Blocks of code are joined up to about this size: one function and its neighbours, a chunk or two.
_CODE_BLOCK_CHARS = 2000


class TextParser:
    """Paragraphs at blank lines; source code in blocks that keep lines and indentation."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        text, warnings = read_lines(path, self._max_chars)
        builder = DocumentBuilder(media_type)
        if is_code(media_type):
            for block in _code_blocks(_LINE_ENDS.sub("\n", text)):
                builder.add(block, category=Category.CODE)
        else:
            add_paragraphs(builder, text)
        return builder.build(warnings=[*warnings, *unreadable(text)])


def add_paragraphs(builder: DocumentBuilder, text: str) -> None:
    """Add `text` to `builder`, one element for each run of lines between blank ones."""
    for paragraph in split_paragraphs(_LINE_ENDS.sub("\n", text)):
        builder.add(paragraph)


def split_paragraphs(text: str) -> Iterator[str]:
    """Yield the runs of lines between blank lines; `text` has `\\n` line ends. Linear, one paragraph at a time."""
    start = 0
    for gap in _BLANK_LINES.finditer(text):
        yield text[start : gap.start()]
        # The last blank line's indentation belongs to the line that follows it.
        start = gap.start() + gap.group().rindex("\n") + 1
    yield text[start:]


def _code_blocks(text: str) -> Iterator[str]:
    """Yield blocks of whole paragraphs of code; a new one begins at an unindented line once there is enough."""
    block: list[str] = []
    size = 0
    for paragraph in split_paragraphs(text):
        if block and size + len(paragraph) > _CODE_BLOCK_CHARS and not paragraph[:1].isspace():
            yield "\n\n".join(block)
            block, size = [], 0
        block.append(paragraph)
        size += len(paragraph)
    yield "\n\n".join(block)

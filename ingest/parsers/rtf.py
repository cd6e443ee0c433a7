"""RTF, on striprtf: paragraphs, headings by outline level, and tables."""

import re
from itertools import groupby
from pathlib import Path

from striprtf.striprtf import rtf_to_text

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.tables import markdown_table

_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_DEFAULT_CODE_PAGE = "cp1252"
# Pictures in hexadecimal, the bulk of large files; striprtf takes a second for each megabyte of them.
_PICTURE = re.compile(r"[0-9a-fA-F\r\n]{4096,}")
# Characters for private use mark what striprtf leaves out: the end of a cell, and from U+E001 the outline levels.
_CELL_END = "\ue000"
_LEVELS = 9
_LEVEL_MARKS = {chr(0xE001 + level): level + 1 for level in range(_LEVELS)}
_CELL = re.compile(r"(?<!\\)\\(?:nest)?cell(?![a-z])")
_OUTLINE_LEVEL = re.compile(r"(?<!\\)\\outlinelevel([0-8])(?!\d)")
_TITLE = re.compile(r"\{\\title\s([^{}]*)\}")
_INFO_CHARS = 8192


class RtfParser:
    """A paragraph is an element; page headers, footnotes and pictures are left out."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        source = _decode(path.read_bytes())
        try:
            text = _to_text(_marked(source))
            title = _title(source)
        except (ValueError, TypeError, LookupError, OverflowError) as exc:
            raise InvalidFile(f"{filename!r} is damaged RTF ({exc}); save it anew and upload again") from exc
        builder = DocumentBuilder(media_type)
        for is_row, lines in groupby(text.split("\n"), key=lambda line: _CELL_END in line):
            if is_row:
                builder.add(markdown_table([_cells(line) for line in lines]), category=Category.TABLE)
            else:
                for line in lines:
                    _add_paragraph(builder, line)
        return builder.build(title=title)


def _decode(data: bytes) -> str:
    """Return the source: ASCII by the standard, in the code page that it declares where a writer did not care."""
    declared = _CODE_PAGE.search(data[:4096])
    try:
        return data.decode(f"cp{declared.group(1).decode()}" if declared else _DEFAULT_CODE_PAGE, "replace")
    except LookupError:
        return data.decode(_DEFAULT_CODE_PAGE, "replace")


def _marked(source: str) -> str:
    """Return the source without pictures and with marks in its text, as groups that need no fallback character."""
    # The blank keeps striprtf from writing targets after links, by an expression that takes cubic time.
    source = _PICTURE.sub("", source).replace("\\fldinst{", "\\fldinst {")
    source = _CELL.sub(lambda found: f"{{\\uc0\\u{ord(_CELL_END)} }}{found.group()}", source)
    return _OUTLINE_LEVEL.sub(lambda found: f"{found.group()}{{\\uc0\\u{0xE001 + int(found.group(1))} }}", source)


def _to_text(source: str) -> str:
    """Return the text of `source`, where characters beyond U+FFFF are written as two halves."""
    text: str = rtf_to_text(source, errors="replace")  # type: ignore[no-untyped-call] # It has no annotations.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _title(source: str) -> str | None:
    """Return the title in the document's properties, which may have escapes as the text has."""
    start = source.find("{\\info")
    found = _TITLE.search(source[start : start + _INFO_CHARS]) if start >= 0 else None
    code_page = _CODE_PAGE.search(source[:4096].encode("utf-8"))
    prefix = f"\\ansicpg{code_page.group(1).decode()}" if code_page else ""
    return _to_text(f"{{\\rtf1{prefix} {found.group(1)}}}") if found else None


def _cells(line: str) -> list[str]:
    """Return the cells of a table row; striprtf ends each by a pipe."""
    return [cell.strip() for cell in _plain(line.replace(_CELL_END + "|", "\0")).split("\0")]


def _add_paragraph(builder: DocumentBuilder, line: str) -> None:
    level = next((_LEVEL_MARKS[mark] for mark in line if mark in _LEVEL_MARKS), None)
    category = Category.HEADING if level else Category.TEXT
    builder.add(_plain(line), category=category, level=level or 1)


def _plain(line: str) -> str:
    return line.translate(dict.fromkeys(map(ord, _LEVEL_MARKS)))

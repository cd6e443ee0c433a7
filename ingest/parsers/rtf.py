"""RTF, on striprtf: paragraphs, headings by outline level, tables, and then what stands apart from the text."""

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from striprtf import striprtf

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import unreadable
from ingest.parsers.tables import markdown_table

# Its own expressions take quadratic and cubic time on files that are made for it. Links come without their targets.
striprtf.FONTTABLE = re.compile(
    r"\\f(\d++)(?:(?!\\f(?:charset|\d))[^;])*+\\fcharset(\d++)((?:(?!\\f\d)[^;])*+);", re.DOTALL
)
striprtf.HYPERLINKS = re.compile(r"(?!)()()")

_CODE_PAGE = re.compile(rb"\\ansicpg(\d{1,5})")
_DEFAULT_CODE_PAGE = "cp1252"
# Pictures in hexadecimal, the bulk of large files; striprtf takes a second for each megabyte of them.
_PICTURE = re.compile(r"(?<![0-9a-fA-F\r\n])[0-9a-fA-F\r\n]{4096,}")
# Characters for private use mark what striprtf leaves out: the end of a cell, and from U+E001 the outline levels.
_CELL_END = "\ue000"
_LEVELS = 9
_LEVEL_MARKS = {chr(0xE001 + level): level + 1 for level in range(_LEVELS)}
_CELL = re.compile(r"(?<!\\)\\(?:nest)?cell(?![a-z])")
_OUTLINE_LEVEL = re.compile(r"(?<!\\)\\outlinelevel([0-8])(?!\d)")
_TITLE = re.compile(r"\{\\title\s([^{}]*)\}")
_INFO_CHARS = 8192
# Groups that striprtf passes over with their text: footnotes, page headers and footers, text boxes.
_APART = r"\\(?:footnote|(?:header|footer)[lrf]?|shptxt)(?![a-z])"
_APART_WORD = re.compile(rf"(?:\\\*)?{_APART}")
_GROUPING = re.compile(rf"\\[\\{{}}]|[{{}}]|{_APART}")
_UNREAD = (
    (re.compile(r"\\pict(?![a-z])"), "its pictures were not read"),
    (re.compile(r"\\object(?![a-z])"), "its embedded objects were not read; upload them as files of their own"),
    (re.compile(r"\\moMath(?![a-z])"), "its formulas were not read"),
    (re.compile(r"\\annotation(?![a-z])"), "its comments were not read"),
)


class RtfParser:
    """A paragraph is an element; footnotes, page headers and footers and text boxes come after the text."""

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
        warnings = [sentence for pattern, sentence in _UNREAD if pattern.search(source)]
        if not _is_whole(source):
            warnings.append("the file ends in the middle of its text; what followed is missing")
        return builder.build(title=title, warnings=[*warnings, *unreadable(text)])


def _decode(data: bytes) -> str:
    """Return the source: ASCII by the standard, in the code page that it declares where a writer did not care."""
    declared = _CODE_PAGE.search(data[:4096])
    try:
        return data.decode(f"cp{declared.group(1).decode()}" if declared else _DEFAULT_CODE_PAGE, "replace")
    except LookupError:
        return data.decode(_DEFAULT_CODE_PAGE, "replace")


def _marked(source: str) -> str:
    """Return the source without pictures and with marks in its text, as groups that need no fallback character."""
    source = _lifted(_PICTURE.sub("", source))
    source = _CELL.sub(lambda found: f"{{\\uc0\\u{ord(_CELL_END)} }}{found.group()}", source)
    return _OUTLINE_LEVEL.sub(lambda found: f"{found.group()}{{\\uc0\\u{0xE001 + int(found.group(1))} }}", source)


def _lifted(source: str) -> str:
    """Return the source with the groups that stand apart from the text as paragraphs at its end, each once."""
    kept, apart, end = [], [], 0
    for start, stop in _groups_apart(source):
        # In place of the group an empty one: it ended a control word.
        kept.append(source[end:start] + "{}")
        apart.append(_APART_WORD.sub(r"\\plain ", source[start:stop]))
        end = stop
    kept.append(source[end:])
    body, brace, trailing = "".join(kept).rpartition("}") if _is_whole(source) else ("".join(kept), "", "")
    return "".join([body, *(f"\\par {group}" for group in dict.fromkeys(apart)), brace, trailing])


def _is_whole(source: str) -> bool:
    """Tell whether the outermost group, which is the document, is closed."""
    depth = 0
    for found in _GROUPING.finditer(source):
        depth += {"{": 1, "}": -1}.get(found.group(), 0)
        if depth == 0 and found.group() == "}":
            return True
    return False


def _groups_apart(source: str) -> Iterator[tuple[int, int]]:
    """Yield start and end of each outermost group that stands apart from the text."""
    open_groups: list[int] = []
    # Depth of the outermost group that is apart, 0 where none is open.
    depth = 0
    for found in _GROUPING.finditer(source):
        token = found.group()
        if token == "{":
            open_groups.append(found.start())
        elif token == "}" and open_groups:
            start = open_groups.pop()
            if depth and len(open_groups) < depth:
                yield start, found.end()
                depth = 0
        # Depth 1 is the document itself.
        elif len(token) > 2 and not depth and len(open_groups) > 1:
            depth = len(open_groups)
    if depth:
        yield open_groups[depth - 1], len(source)


def _to_text(source: str) -> str:
    """Return the text of `source`, where characters beyond U+FFFF are written as two halves."""
    text: str = striprtf.rtf_to_text(source, errors="replace")  # type: ignore[no-untyped-call] # It has no annotations.
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

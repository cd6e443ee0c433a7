"""CSV and its relatives, with the standard library.

Not through unstructured: it reads with pandas, which drops the cells NA, None and null, and makes 007 a 7
(0.27.32, measured); a part number has to stay what it is.
"""

import csv
import io
import itertools
import re
from pathlib import Path

from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import read_lines, unreadable
from ingest.parsers.media_types import suffix_of
from ingest.parsers.tables import markdown_table

_DELIMITERS = ",;\t|"
# The line by which Excel is told the delimiter.
_DECLARATION = re.compile(r"sep=([^\w\s\"]|\t)\r?\n")
# The name settles it for these: their cells are often texts with many commas.
_DELIMITER_BY_SUFFIX = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
_SNIFF_LINES = 20
# The most that there is: a cell may be a whole document, and the file itself is limited.
_MAX_FIELD_CHARS = 2**31 - 1
# A row after the last one; within an open quotation it would be part of a cell.
_END = "\ufdd0"


class DelimitedParser:
    """One table; ragged rows are padded."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        text, cuts = read_lines(path, self._max_chars)
        declared = _DECLARATION.match(text)
        delimiter = declared.group(1) if declared else _delimiter(text, filename)
        rows, warnings = _rows(text[declared.end() if declared else 0 :], delimiter)
        builder = DocumentBuilder(media_type)
        builder.add(markdown_table(rows), category=Category.TABLE)
        return builder.build(warnings=[*cuts, *warnings, *unreadable(text)])


def _rows(text: str, delimiter: str) -> tuple[list[list[str]], list[str]]:
    """Return the rows and warnings. Quotation marks that do not pair up are text: as marks they would join rows."""
    csv.field_size_limit(_MAX_FIELD_CHARS)
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)), []
    except csv.Error as exc:
        if delimiter != "\t" and (rows := _loosely(text, delimiter)):
            return rows, []
        unquoted = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=csv.QUOTE_NONE)
        return list(unquoted), [f"quotation marks do not pair up ({exc}) and were read as text"]


def _loosely(text: str, delimiter: str) -> list[list[str]] | None:
    """Return the rows where text may follow a closing quotation mark, or None where the last one is never closed."""
    end = [_END]
    try:
        *rows, last = csv.reader(itertools.chain(io.StringIO(text, newline=""), end), delimiter=delimiter)
    except csv.Error:
        return None
    return rows if last == end else None


def _delimiter(text: str, filename: str) -> str:
    """Return the delimiter that the name stands for, else the one that splits the first lines most evenly.

    The comma where none does. csv.Sniffer guesses letters on short files; the question here is only which of four
    characters.
    """
    lines = text[: 1 << 16].splitlines()[:_SNIFF_LINES]
    by_name = _DELIMITER_BY_SUFFIX.get(suffix_of(filename))
    if by_name and any(by_name in line for line in lines):
        return by_name
    return max(_DELIMITERS, key=lambda mark: sum(min(line.count(mark), lines[0].count(mark)) for line in lines))

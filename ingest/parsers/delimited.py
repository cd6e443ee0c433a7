"""CSV and its relatives, with the standard library.

Not through unstructured: it reads with pandas, which drops the cells NA, None and null, and makes 007 a 7
(0.27.32, measured); a part number has to stay what it is.
"""

import csv
from pathlib import Path

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import read_text
from ingest.parsers.media_types import suffix_of
from ingest.parsers.tables import markdown_table

_DELIMITERS = ",;\t|"
# The name settles it for these: their cells are often texts with many commas.
_DELIMITER_BY_SUFFIX = {".tsv": "\t", ".tab": "\t", ".psv": "|"}
_SNIFF_LINES = 20
# A cell that is a whole document; the default of 128 KiB refuses exports of tickets and mails.
_MAX_FIELD_CHARS = 16 * 1024 * 1024


class DelimitedParser:
    """One table; ragged rows are padded."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        text = read_text(path)
        csv.field_size_limit(_MAX_FIELD_CHARS)
        try:
            rows = list(csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text, filename)))
        except csv.Error as exc:
            raise InvalidFile(f"{filename!r} is not a readable table ({exc}); save it as CSV (UTF-8) again") from exc
        builder = DocumentBuilder(media_type)
        builder.add(markdown_table(rows), category=Category.TABLE)
        return builder.build()


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

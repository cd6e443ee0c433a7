"""Parses a file as the pipeline does, and shows what it became."""

from pathlib import Path

from ingest.documents import Category, ParsedDocument
from ingest.parsers import parse_file


def parse(folder: Path, name: str, content: str | bytes) -> ParsedDocument:
    """Parse `content` as a file of this name."""
    path = folder / "upload"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return parse_file(path, name)


def elements(document: ParsedDocument) -> list[tuple[Category, str]]:
    """Return category and text of each element, in order."""
    return [(e.category, document.text[e.start : e.end]) for e in document.elements]

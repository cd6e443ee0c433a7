"""Read the source texts of the sample documents: a small Markdown dialect.

A file begins with a header of ``key: value`` lines between two ``---`` lines. The body has headings (``#``, ``##``),
paragraphs, bullets (``-``), numbered steps (``1.``), tables (lines that begin with ``|``, the first row is the
head), boxed warnings (``>``), speaker notes (``Notes:``) and the directive ``{two-columns}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Literal

Kind = Literal["chapter", "section", "text", "bullet", "step", "row", "warning", "notes", "directive"]
_MARKS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"## +"), "section"),
    (re.compile(r"# +"), "chapter"),
    (re.compile(r"- +"), "bullet"),
    (re.compile(r"\d+\. +"), "step"),
    (re.compile(r"\| *"), "row"),
    (re.compile(r"> +"), "warning"),
    (re.compile(r"Notes: +"), "notes"),
    (re.compile(r"(?=\{)"), "directive"),
)


@dataclass(frozen=True)
class Block:
    """A run of lines of one kind. A heading or a paragraph has one line, a list or a table as many as it has."""

    kind: Kind
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The first line, which is the only one of a heading or paragraph."""
        return self.lines[0]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table, row by row."""
        return [[cell.strip() for cell in line.rstrip().removesuffix("|").split("|")] for line in self.lines]


@dataclass(frozen=True)
class Source:
    """A parsed source text."""

    title: str
    subtitle: str
    edition: str
    publisher: str
    date: datetime
    blocks: tuple[Block, ...]


def _classify(line: str) -> tuple[Kind, str]:
    for pattern, kind in _MARKS:
        if match := pattern.match(line):
            return kind, line[match.end() :].strip()
    return "text", line.strip()


def _blocks(body: str) -> Iterator[Block]:
    for paragraph in re.split(r"\n\s*\n", body.strip()):
        classified = [_classify(line) for line in paragraph.splitlines()]
        for kind, group in groupby(classified, key=lambda item: item[0]):
            yield Block(kind, tuple(text for _, text in group))


def read_source(path: Path) -> Source:
    """Parse the source text at ``path``."""
    _, header, body = path.read_text(encoding="utf-8").split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in header.strip().splitlines())
    date = datetime.fromisoformat(fields.pop("date"))
    return Source(date=date, blocks=tuple(_blocks(body)), **fields)

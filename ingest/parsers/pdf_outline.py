"""Levels of headings, from the outline (bookmarks) of a PDF where it has one, else from their sizes."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import pypdfium2

from ingest.parsers.pdf_layout import Block, rounded

# Deeper headings than this are not told apart; chunking cuts at all of them alike.
MAX_LEVELS = 6
# Entries read; an outline of more is an index of every term.
_MAX_ENTRIES = 10_000
# Headings of the document that its outline must name to be believed: some have one entry per page or file.
_LEAST_NAMED = 2

# Level (1 = outermost) by page number and key of the title.
Outline = Mapping[tuple[int, str], int]


def read_outline(document: pypdfium2.PdfDocument) -> dict[tuple[int, str], int]:
    """Return the bookmarks of `document` that lead to a page of it; damaged ones are left out."""
    found: dict[tuple[int, str], int] = {}
    for bookmark in islice(document.get_toc(max_depth=MAX_LEVELS), _MAX_ENTRIES):
        target = bookmark.get_dest()
        index = target.get_index() if target else None
        if index is not None and index >= 0:
            found.setdefault((index + 1, outline_key(bookmark.get_title())), bookmark.level + 1)
    return found


def outline_key(text: str) -> str:
    """Return what is equal in a title on the page and in the outline: letters and digits alone."""
    return re.sub(r"[\W_]+", "", text).casefold()


def heading_levels(headings: Sequence[tuple[int, Block, str]], outline: Outline) -> list[int]:
    """Return the level of each heading, given with its page and text.

    The outline decides for those that it names, and by their size for others. A title that is larger than all of
    those is not above them: it is no part of what the outline orders. Without an outline the largest is level 1.
    """
    named = [outline.get((page, outline_key(text))) for page, _, text in headings]
    if sum(level is not None for level in named) < _LEAST_NAMED:
        by_size = _by_size(block for _, block, _ in headings)
        return [by_size[rounded(block.size)] for _, block, _ in headings]
    sizes: dict[float, int] = {}
    for level, (_, block, _) in zip(named, headings, strict=True):
        if level is not None:
            sizes[rounded(block.size)] = min(level, sizes.get(rounded(block.size), MAX_LEVELS))
    return [
        level if level is not None else _level_among(rounded(block.size), sizes)
        for level, (_, block, _) in zip(named, headings, strict=True)
    ]


def _by_size(headings: Iterable[Block]) -> dict[float, int]:
    """Return the level for each size of heading: the largest is 1. Bold text of the body's size comes last by that."""
    sizes = sorted({rounded(block.size) for block in headings}, reverse=True)
    return {size: min(level, MAX_LEVELS) for level, size in enumerate(sizes, 1)}


def _level_among(size: float, sizes: Mapping[float, int]) -> int:
    """Return the level of a heading that the outline lacks: that of its size, or one below the next larger one's."""
    if size in sizes:
        return sizes[size]
    larger = [other for other in sizes if other > size]
    return min(sizes[min(larger)] + 1, MAX_LEVELS) if larger else min(sizes.values())

"""Cutting a document into chunks. Pure: the same document and strategy give the same spans."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.errors import InvalidRequest
from ingest.documents import Box, Category, Element, ParsedDocument
from retrieval.sentences import split_sentences

# Returns where the tokens of a text lie; the embedder's own `token_spans`.
Tokenize = Callable[[str], Sequence[tuple[int, int]]]

# Size of our own chunks, of which none is longer than the default embedder reads (254) with its context in front.
AUTO_MAX_TOKENS: Final = 200
# A heading does not start a new chunk before the current one has this many: sections of one line stay together.
AUTO_MIN_TOKENS: Final = 60
# OpenAI's limits for the `static` strategy.
STATIC_TOKENS: Final = (100, 4096)
# Texts are tokenised in pieces of about this many characters, which bounds memory for a file without line ends.
_PIECE_CHARACTERS: Final = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoStrategy:
    """Our own: cut at headings, then paragraphs, then sentences; no overlap."""

    max_tokens: int = AUTO_MAX_TOKENS


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticStrategy:
    """OpenAI's: windows of exactly `max_tokens` tokens, of which neighbours share `overlap_tokens`."""

    max_tokens: int
    overlap_tokens: int


Strategy = AutoStrategy | StaticStrategy


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkSpan:
    """A chunk as a span of the document's text, in characters; never blank at its ends."""

    start: int
    end: int
    tokens: int
    headings: tuple[str, ...]
    # Header row of the table that this chunk continues, else "".
    table_header: str
    page: int | None
    box: Box | None


def parse_strategy(raw: Mapping[str, Any]) -> Strategy:
    """Read OpenAI's `chunking_strategy`. Raises InvalidRequest that names the unknown key or the value out of range."""
    _check_keys(raw, {"type", "static"} if raw.get("type") == "static" else {"type"})
    match raw.get("type"):
        case "auto":
            return AutoStrategy()
        case "static":
            return _parse_static(raw.get("static"))
        case other:
            raise InvalidRequest(
                f"chunking_strategy.type is {other!r}; use 'auto' or 'static'.", param="chunking_strategy"
            )


def _parse_static(values: Any) -> StaticStrategy:
    values = values if isinstance(values, Mapping) else {}
    _check_keys(values, {"max_chunk_size_tokens", "chunk_overlap_tokens"})
    size, overlap = values.get("max_chunk_size_tokens"), values.get("chunk_overlap_tokens")
    low, high = STATIC_TOKENS
    if type(size) is not int or not low <= size <= high:
        raise InvalidRequest(
            f"max_chunk_size_tokens is {size!r}; it must be {low} to {high}.", param="chunking_strategy"
        )
    if type(overlap) is not int or not 0 <= overlap <= size // 2:
        raise InvalidRequest(
            f"chunk_overlap_tokens is {overlap!r}; it must be 0 to half of max_chunk_size_tokens ({size // 2}).",
            param="chunking_strategy",
        )
    return StaticStrategy(max_tokens=size, overlap_tokens=overlap)


def _check_keys(values: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(values.keys() - known):
        raise InvalidRequest(f"chunking_strategy has the unknown key {unknown[0]!r}.", param="chunking_strategy")


def chunk(document: ParsedDocument, strategy: Strategy, tokenize: Tokenize) -> list[ChunkSpan]:
    """Return the chunks of `document` in order; every character of an element that belongs to a token is in one."""
    if isinstance(strategy, StaticStrategy):
        return list(_static_chunks(document, strategy, tokenize))
    return list(_auto_chunks(document, strategy.max_tokens, tokenize))


# --- static -----------------------------------------------------------------------------------------------------------


def _static_chunks(document: ParsedDocument, strategy: StaticStrategy, tokenize: Tokenize) -> Iterator[ChunkSpan]:
    spans = list(_token_spans(document.text, 0, len(document.text), tokenize))
    starts = [element.start for element in document.elements]
    step = strategy.max_tokens - strategy.overlap_tokens
    for first in range(0, max(1, len(spans) - strategy.overlap_tokens), step):
        window = spans[first : first + strategy.max_tokens]
        if not window:
            return
        at = document.elements[max(0, bisect_left(starts, window[0][0] + 1) - 1)]
        yield ChunkSpan(
            start=window[0][0],
            end=window[-1][1],
            tokens=len(window),
            headings=at.headings,
            table_header="",
            page=at.page,
            box=at.box,
        )


# --- auto -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A part of one element that fits into a chunk."""

    start: int
    end: int
    tokens: int
    element: Element
    table_header: str = ""


def _auto_chunks(document: ParsedDocument, max_tokens: int, tokenize: Tokenize) -> Iterator[ChunkSpan]:
    open_pieces: list[_Piece] = []
    open_tokens = 0
    for element in document.elements:
        for piece in _pieces(document.text, element, max_tokens, tokenize):
            starts_section = element.category is Category.HEADING and open_tokens >= AUTO_MIN_TOKENS
            if open_pieces and (starts_section or open_tokens + piece.tokens > max_tokens):
                yield from _close(_without_trailing_headings(open_pieces))
                open_pieces = open_pieces[len(_without_trailing_headings(open_pieces)) :]
                open_tokens = sum(p.tokens for p in open_pieces)
                if open_pieces and open_tokens + piece.tokens > max_tokens:
                    yield from _close(open_pieces)
                    open_pieces, open_tokens = [], 0
            open_pieces.append(piece)
            open_tokens += piece.tokens
    yield from _close(open_pieces)


def _without_trailing_headings(pieces: list[_Piece]) -> list[_Piece]:
    """A heading belongs to what follows it; a chunk of headings alone stays as it is."""
    end = len(pieces)
    while end and pieces[end - 1].element.category is Category.HEADING:
        end -= 1
    return pieces[:end] if end else pieces


def _close(pieces: Sequence[_Piece]) -> Iterator[ChunkSpan]:
    if not pieces:
        return
    first = pieces[0]
    yield ChunkSpan(
        start=first.start,
        end=pieces[-1].end,
        tokens=sum(piece.tokens for piece in pieces),
        headings=first.element.headings,
        table_header=first.table_header,
        page=first.element.page,
        box=_union([p.element.box for p in pieces if p.element.page == first.element.page and p.element.box]),
    )


def _union(boxes: Sequence[Box]) -> Box | None:
    if not boxes:
        return None
    return min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)


def _pieces(text: str, element: Element, max_tokens: int, tokenize: Tokenize) -> Iterator[_Piece]:
    spans = list(_token_spans(text, element.start, element.end, tokenize))
    if not spans:
        return
    if len(spans) <= max_tokens:
        yield _Piece(start=element.start, end=element.end, tokens=len(spans), element=element)
        return
    whole = text[element.start : element.end]
    is_table = element.category is Category.TABLE
    parts = _rows(whole) if is_table or element.category is Category.CODE else split_sentences(whole)
    header = _header_row(whole) if is_table else ""
    budget = max(max_tokens // 2, max_tokens - len(tokenize(header)))
    for start, end, tokens in _pack([(element.start + s, element.start + e) for s, e in parts], spans, budget):
        repeats = "" if start == element.start else header
        yield _Piece(start=start, end=end, tokens=tokens, element=element, table_header=repeats)


def _pack(
    parts: Sequence[tuple[int, int]], spans: Sequence[tuple[int, int]], max_tokens: int
) -> Iterator[tuple[int, int, int]]:
    """Join neighbouring parts while they fit; cut one that alone is too long at token boundaries."""
    starts = [span[0] for span in spans]
    open_start, open_end, open_tokens = 0, 0, 0
    for start, end in parts:
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        if open_tokens and open_tokens + last - first > max_tokens:
            yield open_start, open_end, open_tokens
            open_tokens = 0
        while last - first > max_tokens:
            yield spans[first][0], spans[first + max_tokens - 1][1], max_tokens
            first += max_tokens
        if not open_tokens:
            open_start = spans[first][0]
        open_end, open_tokens = end, open_tokens + last - first
    if open_tokens:
        yield open_start, open_end, open_tokens


def _rows(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"[^\n]*\S[^\n]*", text)]


def _header_row(table: str) -> str:
    """Return the first row of a Markdown table when a rule (`| --- |`) follows it, else ""."""
    lines = table.split("\n", 2)
    has_rule = len(lines) > 2 and re.fullmatch(r"[\s|:-]+", lines[1]) is not None
    return lines[0] if has_rule else ""


def _token_spans(text: str, start: int, end: int, tokenize: Tokenize) -> Iterator[tuple[int, int]]:
    """Yield the tokens of text[start:end] as spans of `text`, piece by piece, cut at blanks."""
    while start < end:
        stop = min(start + _PIECE_CHARACTERS, end)
        if stop < end:
            blank = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop))
            stop = blank if blank > start else stop
        for token_start, token_end in tokenize(text[start:stop]):
            if token_end > token_start:
                yield start + token_start, start + token_end
        start = stop

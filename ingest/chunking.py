"""Cutting a document into chunks. Pure: the same document and strategy give the same spans.

The text is read once, from front to back; what is held beside it is one piece of tokens and the chunk that is open.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any, Final

from catalog.errors import InvalidRequest
from ingest.documents import Box, Category, Element, ParsedDocument
from retrieval.sentences import iterate_sentences, trim

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
# A longer token, such as a line of hexadecimal digits that the tokenizer takes for one unknown word, counts as several:
# no number of tokens would bound a chunk otherwise. No word of a vocabulary is as long.
_TOKEN_CHARACTERS: Final = 32
# Between the header and the rows of a Markdown table.
_RULE: Final = re.compile(r"[\s|:-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoStrategy:
    """Our own: cut at headings, then paragraphs, then sentences, then lines; no overlap."""

    max_tokens: int = AUTO_MAX_TOKENS
    min_tokens: int = AUTO_MIN_TOKENS


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


def chunk(document: ParsedDocument, strategy: Strategy, tokenize: Tokenize) -> Iterator[ChunkSpan]:
    """Yield the chunks of `document` in order; every character of an element that belongs to a token is in one."""
    tokens = _Tokens(document.text, tokenize)
    if isinstance(strategy, StaticStrategy):
        return _static_chunks(document.elements, tokens, strategy)
    return _auto_chunks(document.elements, tokens, strategy)


def context_of(title: str, span: ChunkSpan, tokenize: Tokenize, *, max_tokens: int) -> str:
    """Return what is embedded in front of a chunk: title › headings, and a table's header row in the next line.

    It keeps its last `max_tokens` tokens.
    """
    path = " › ".join(dict.fromkeys((title, *span.headings)))
    context = f"{path}\n{span.table_header}" if span.table_header else path
    tokens = tokenize(context)
    return context[tokens[-max_tokens][0] :] if len(tokens) > max_tokens else context


# --- tokens -----------------------------------------------------------------------------------------------------------


class _Tokens:
    """The tokens of a text as spans of it, read piece by piece, front to back."""

    def __init__(self, text: str, tokenize: Tokenize) -> None:
        self.text = text
        self.tokenize = tokenize
        self._read_to = 0
        self._ahead: deque[tuple[int, int]] = deque()

    def ahead(self, end: int, *, limit: int) -> int:
        """Return how many of the next tokens start before `end`, counted up to `limit`."""
        while len(self._ahead) < limit and self._read_to < end:
            self._read_piece()
        return sum(1 for _ in takewhile(lambda span: span[0] < end, islice(self._ahead, limit)))

    def span(self, count: int) -> tuple[int, int]:
        """Return where the next `count` tokens lie; they have to be `ahead`."""
        return self._ahead[0][0], self._ahead[count - 1][1]

    def whole_words(self, count: int) -> int:
        """Return how many of the next `count` tokens to take so that a blank follows; all where none does in a half.

        One more token than `count` has to be `ahead`.
        """
        cuts = (n for n in range(count, count // 2, -1) if self._ahead[n - 1][1] < self._ahead[n][0])
        return next(cuts, count)

    def drop(self, count: int) -> None:
        """Go past the next `count` tokens, or past those that were read if they are fewer."""
        for _ in range(min(count, len(self._ahead))):
            self._ahead.popleft()

    def _read_piece(self) -> None:
        start = self._read_to
        self._read_to = _piece_end(self.text, start)
        for token_start, token_end in self.tokenize(self.text[start : self._read_to]):
            # Some tokenizers count the blank before a word as its part.
            first, last = trim(self.text, start + token_start, start + token_end)
            while first < last:
                self._ahead.append((first, min(last, first + _TOKEN_CHARACTERS)))
                first += _TOKEN_CHARACTERS


def _piece_end(text: str, start: int) -> int:
    """Return where the piece that begins at `start` ends: at a blank, unless there is none."""
    stop = start + _PIECE_CHARACTERS
    if stop >= len(text):
        return len(text)
    blank = max(text.rfind(" ", start, stop), text.rfind("\n", start, stop))
    return blank if blank > start else stop


# --- static -----------------------------------------------------------------------------------------------------------


def _static_chunks(elements: Sequence[Element], tokens: _Tokens, strategy: StaticStrategy) -> Iterator[ChunkSpan]:
    size, overlap, length = strategy.max_tokens, strategy.overlap_tokens, len(tokens.text)
    at = 0
    count = tokens.ahead(length, limit=size)
    while count:
        start, end = tokens.span(count)
        while at + 1 < len(elements) and elements[at + 1].start <= start:
            at += 1
        yield ChunkSpan(
            start=start,
            end=end,
            tokens=count,
            headings=elements[at].headings,
            table_header="",
            page=elements[at].page,
            box=elements[at].box,
        )
        tokens.drop(size - overlap)
        following = tokens.ahead(length, limit=size)
        # The last window holds something that the one before does not.
        count = following if following > overlap else 0


# --- auto -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """A part of one element that fits into a chunk."""

    start: int
    end: int
    tokens: int
    element: Element
    table_header: str = ""


def _auto_chunks(elements: Sequence[Element], tokens: _Tokens, strategy: AutoStrategy) -> Iterator[ChunkSpan]:
    max_tokens = strategy.max_tokens
    open_pieces: list[_Piece] = []
    open_tokens = 0
    for element in elements:
        for piece in _pieces(element, tokens, max_tokens):
            starts_section = element.category is Category.HEADING and open_tokens >= strategy.min_tokens
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


def _pieces(element: Element, tokens: _Tokens, max_tokens: int) -> Iterator[_Piece]:
    count = tokens.ahead(element.end, limit=max_tokens + 1)
    if count <= max_tokens:
        tokens.drop(count)
        if count:
            yield _Piece(start=element.start, end=element.end, tokens=count, element=element)
        return
    is_table = element.category is Category.TABLE
    cut = _rows if is_table or element.category is Category.CODE else iterate_sentences
    header = _header_row(tokens.text, element) if is_table else ""
    if len(header) > max_tokens * _TOKEN_CHARACTERS:
        header = ""
    budget = max(max_tokens // 2, max_tokens - len(tokens.tokenize(header)))
    parts = _fitting(cut(tokens.text, element.start, element.end), tokens, budget)
    for start, end, size in _pack(parts, tokens, budget):
        repeats = "" if start == element.start else header
        yield _Piece(start=start, end=end, tokens=size, element=element, table_header=repeats)


def _fitting(parts: Iterable[tuple[int, int]], tokens: _Tokens, max_tokens: int) -> Iterator[tuple[int, int]]:
    """Yield the lines of a part that is too long in its place; all tokens before the part are dropped by then."""
    for start, end in parts:
        if tokens.ahead(end, limit=max_tokens + 1) > max_tokens:
            yield from _rows(tokens.text, start, end)
        else:
            yield start, end


def _pack(parts: Iterable[tuple[int, int]], tokens: _Tokens, max_tokens: int) -> Iterator[tuple[int, int, int]]:
    """Join neighbouring parts while they fit; cut one that alone is too long between words, or else tokens."""
    open_start, open_end, open_tokens = 0, 0, 0
    for _, part_end in parts:
        count = tokens.ahead(part_end, limit=max_tokens + 1)
        if open_tokens and open_tokens + count > max_tokens:
            yield open_start, open_end, open_tokens
            open_tokens = 0
        while count > max_tokens:
            taken = tokens.whole_words(max_tokens)
            yield *tokens.span(taken), taken
            tokens.drop(taken)
            count = tokens.ahead(part_end, limit=max_tokens + 1)
        if count and not open_tokens:
            open_start = tokens.span(count)[0]
        tokens.drop(count)
        open_end, open_tokens = part_end, open_tokens + count
    if open_tokens:
        yield open_start, open_end, open_tokens


def _rows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the lines of text[start:end] that are not blank, as ranges of `text` without the blanks around them."""
    while start < end:
        line_end = text.find("\n", start, end)
        line_end = end if line_end < 0 else line_end
        row = trim(text, start, line_end)
        if row[0] < row[1]:
            yield row
        start = line_end + 1


def _header_row(text: str, table: Element) -> str:
    """Return the first row of a Markdown table when a rule (`| --- |`) follows it, else ""."""
    rows = _rows(text, table.start, table.end)
    header, rule = next(rows, None), next(rows, None)
    has_rule = rule is not None and next(rows, None) is not None and _RULE.fullmatch(text, *rule) is not None
    return text[slice(*header)] if header and has_rule else ""

"""Markers become citations: parsed while the answer streams, mapped to the narrowest span that supports the claim."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from generation.backends.base import NO_ANSWER, Source
from generation.evidence import content_terms
from retrieval.analysis import fold, terms
from retrieval.sentences import split_sentences

# More than one opening bracket belongs to it: what is left of `[[1]2]` must not be a marker again.
_MARKER: Final = re.compile(r"[ \t]*\[+(\d{1,4}|none)\]")
# Text at the end of what has arrived that may yet become a marker.
_UNFINISHED: Final = re.compile(r"[ \t]*(?:\[+(?:\d{0,4}|n|no|non|none)?)?\Z")
# Punctuation behind a marker that still belongs to its claim.
_CLOSING: Final = re.compile(r"[.!?,;:…。！？]*")
# Share of a claim's words that a sentence must hold to support it when it is not quoted word for word.
_MIN_SUPPORT: Final = 0.5
_DIGIT: Final = re.compile(r"\d")
# `1.5`, `1,000`, `4.3.1`: a number with its decimals, of which a part is another number.
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Citation:
    """A footnote: characters [start, end) of the document's stored text, which are `quote`."""

    # Position in the answer's text, in characters, at which the mark goes.
    index: int
    # 1-based; the same span has the same number wherever it is cited.
    number: int
    source: Source
    start: int
    end: int
    quote: str
    page: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """Answer text that has been given out, and the source numbers that stood behind it."""

    # The part since the last claim; may be the whole rest without a marker.
    text: str
    # Characters of the answer up to the end of this claim.
    end: int
    source_numbers: Sequence[int]


class MarkerParser:
    """Takes the pieces of a generator's text and gives back clean text and claims, as early as it safely can.

    Markers never leave: a piece that may be the beginning of one is held back until it is decided.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._claim = ""
        self._length = 0
        self._numbers: list[int] = []
        self.is_refusal = False

    def feed(self, piece: str) -> Iterator[str | Claim]:
        """Yield text to give out and claims that are complete, in order."""
        self._pending += piece
        yield from self._drain(is_last=False)

    def finish(self) -> Iterator[str | Claim]:
        """Yield the rest."""
        yield from self._drain(is_last=True)
        if self._claim.strip() or self._numbers:
            yield self._close_claim()

    def _drain(self, *, is_last: bool) -> Iterator[str | Claim]:
        if self._length == 0 and not self._numbers and NO_ANSWER.startswith(self._pending.strip()[: len(NO_ANSWER)]):
            # May be the sign for "no answer": it counts only when nothing else was said.
            if not is_last:
                return
            self.is_refusal = self._pending.strip() == NO_ANSWER
            self._pending = "" if self.is_refusal else self._pending
        while match := _MARKER.search(self._pending):
            if match.end() == len(self._pending) and not is_last:
                # More markers of the same claim may follow.
                yield from self._text(self._pending[: match.start()])
                self._pending = self._pending[match.start() :]
                return
            yield from self._text(self._pending[: match.start()])
            if match.group(1).isdigit():
                self._numbers.append(int(match.group(1)))
            self._pending = self._pending[match.end() :]
        unfinished = _UNFINISHED.search(self._pending)
        keep = len(self._pending) if is_last or unfinished is None else unfinished.start()
        if self._numbers and not is_last and _CLOSING.fullmatch(self._pending, 0, keep):
            # More punctuation of the same claim may follow.
            return
        yield from self._text(self._pending[:keep])
        self._pending = self._pending[keep:]

    def _text(self, text: str) -> Iterator[str | Claim]:
        if not text:
            return
        if self._numbers:
            closing = _CLOSING.match(text)
            tail = closing.group() if closing else ""
            if tail:
                yield from self._emit(tail)
            yield self._close_claim()
            text = text[len(tail) :]
        if text:
            yield from self._emit(text)

    def _emit(self, text: str) -> Iterator[str]:
        self._claim += text
        self._length += len(text)
        yield text

    def _close_claim(self) -> Claim:
        claim = Claim(text=self._claim, end=self._length, source_numbers=tuple(dict.fromkeys(self._numbers)))
        self._claim, self._numbers = "", []
        return claim


def cite(claim: Claim, sources: Mapping[int, Source], numbers: dict[tuple[int, int, int], int]) -> list[Citation]:
    """Return the citations that hold for a claim: a source that does not exist or does not support it gives none.

    `numbers` maps (document, start, end) to the footnote number; new spans are added to it.
    """
    citations = []
    for number in claim.source_numbers:
        source = sources.get(number)
        span = locate(claim.text, source.text) if source else None
        if source is None or span is None:
            continue
        start, end = source.passage.chunk.start + span[0], source.passage.chunk.start + span[1]
        key = (source.passage.chunk.document_id, start, end)
        citations.append(
            Citation(
                index=claim.end,
                number=numbers.setdefault(key, len(numbers) + 1),
                source=source,
                start=start,
                end=end,
                quote=source.text[span[0] : span[1]],
                page=page_at(source.passage.chunk.page_spans, start),
            )
        )
    return citations


def locate(claim: str, text: str) -> tuple[int, int] | None:
    """Return the narrowest span of `text` that supports `claim`, or None.

    First choice: the claim word for word, blanks and case apart. Else the sentence, or two neighbouring ones, that hold
    at least half of the words of the claim's last sentence and every number in it.
    """
    sentences = [claim[start:end] for start, end in split_sentences(claim)]
    if not sentences:
        return None
    for wording in (claim.strip(), sentences[-1]):
        if span := _find_words(wording.strip(" \"'“”„«»"), text):
            return span
    return _best_support(sentences[-1], text)


def _find_words(quoted: str, text: str) -> tuple[int, int] | None:
    words = quoted.split()
    if not words:
        return None
    # Not inside of a longer word or number: `is 5` does not stand in `is 50`, nor in `is 5.5`.
    before = r"(?<!\w)(?<!\d[.,])" if words[0][0].isalnum() else ""
    last = words[-1][-1]
    after = r"(?!\w)(?![.,]\d)" if last.isalnum() else r"(?!\d)" if last in ".," else ""
    wording = r"\s+".join(re.escape(word) for word in words)
    match = re.search(f"{before}{wording}{after}", text, re.IGNORECASE)
    return match.span() if match else None


def _best_support(claim: str, text: str) -> tuple[int, int] | None:
    wanted = set(content_terms(claim))
    figures, numbers = {term for term in wanted if _DIGIT.search(term)}, _numbers(claim)
    spans = split_sentences(text)
    best: tuple[float, int, tuple[int, int]] | None = None
    # Single sentences first, then pairs: a pair wins only by holding more.
    for first, last in [*((span, span) for span in spans), *pairwise(spans)]:
        span = (first[0], last[1])
        held = wanted.intersection(terms(text[span[0] : span[1]]))
        share = len(held) / len(wanted) if wanted else 0.0
        candidate = (share, -(span[1] - span[0]), span)
        is_supported = share >= _MIN_SUPPORT and figures <= held and numbers <= _numbers(text[span[0] : span[1]])
        if is_supported and (best is None or candidate[0] > best[0]):
            best = candidate
    return best[2] if best else None


def _numbers(text: str) -> set[str]:
    """Return the numbers in `text`; a decimal comma is a decimal point."""
    return {number.replace(",", ".") for number in _NUMBER.findall(fold(text))}


def page_at(page_spans: Sequence[tuple[int, int, int]], position: int) -> int | None:
    """Return the page on which the character at `position` stands; None in a document without pages."""
    return next((page for page, start, end in page_spans if start <= position < end), None)

"""Claims of an answer, and which of its sentences have no support. Pure."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from generation.citations import Citation
from generation.links import Link
from generation.scanning import Index
from generation.support import Span, is_claim
from retrieval.sentences import split_sentences

# Punctuation behind a marker that still belongs to its claim.
CLOSING_PUNCTUATION: Final = re.compile(r"[.!?,;:…。！？]*")
_GLUED: Final = re.compile(r"(?<=[^\W\d_A-Z]{2})[.!?…]+(?=[A-ZÀ-Þ])")
_SENTENCE_END: Final = re.compile(r"""[.!?…:。！？]["'”’»)\]*_]*\s*\Z|\n\s*\Z""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A part of an answer that ends with its markers, or with the answer."""

    # As it is given out.
    text: str
    # Those that hold.
    citations: Sequence[Citation]
    # Source numbers that did not stand.
    rejected: Sequence[int]

    @property
    def ends_sentence(self) -> bool:
        return bool(_SENTENCE_END.search(self.text))

    @property
    def begins_line(self) -> bool:
        return self.text.lstrip(" \t").startswith("\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """A sentence that was given out and that no cited source supports: characters [start, end) of the answer's text."""

    start: int
    end: int


def unsupported_sentences(claims: Sequence[Claim], locate: Callable[[str, str], Span | None]) -> list[Span]:
    """Return the ranges of the sentences in some claims' texts, joined, that no cited source supports.

    A sentence is supported by the sources that its group of claims cites: as a whole, or each of the claims that it
    consists of by one of them. What says nothing, as a line of hyphens, needs no support.
    """
    text = "".join(claim.text for claim in claims)
    sources = [citation.source.text for claim in claims for citation in claim.citations]

    def holds(words: str) -> bool:
        return not is_claim(words) or any(locate(words, source) for source in sources)

    return [
        (start, end)
        for start, end in _sentences(text)
        if not holds(text[start:end]) and not all(map(holds, _fragments(claims, start, end)))
    ]


def _sentences(text: str) -> Iterator[Span]:
    """Yield the sentences; a blank that is missing between two does not make them one."""
    for start, end in split_sentences(text):
        cuts = [match.end() for match in _GLUED.finditer(text, start, end)]
        yield from pairwise([start, *cuts, end])


def _fragments(claims: Sequence[Claim], start: int, end: int) -> list[str]:
    """Return the parts of the claims' joined text in [start, end), one for each claim that reaches into it."""
    fragments, position = [], 0
    for claim in claims:
        fragments.append(claim.text[max(0, start - position) : max(0, end - position)])
        position += len(claim.text)
    return fragments


def without(text: str, start: int, dropped: Sequence[Span]) -> str:
    """Return `text`, which begins at `start` of a longer one, without that one's ranges `dropped`, which ascend."""
    kept, position = [], start
    for first, last in dropped:
        if last > position and first < start + len(text):
            kept.append(text[position - start : max(0, first - start)])
            position = max(position, last)
    return "".join(kept) + text[position - start :]


def with_blanks_before(spans: Sequence[Span], text: str) -> list[Span]:
    """Return the ranges, each with the blanks in front of it."""
    return [(len(text[:start].rstrip()), end) for start, end in spans]


# What waits for its claim's sources.
Guarded = Link | Index


def shown(part: str | Guarded, cited: Sequence[tuple[str, frozenset[str]]]) -> str:
    """Return what is given out of a part; `cited`: text and links of each source that is cited.

    A link leaves only where one of these leads to the same place, an index in code only where one holds its words.
    """
    match part:
        case str():
            return part
        case Link():
            return part.text if any(part.url in links for _, links in cited) else part.instead
        case Index():
            return part.text if any(part.words in text for text, _ in cited) else part.instead

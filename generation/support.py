"""Whether a source supports a claim, and by which of its words."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from generation.evidence import content_terms
from generation.markers import without_markers
from retrieval.analysis import fold, terms
from retrieval.embedders.base import Embedder, Vectors
from retrieval.sentences import split_sentences

# Share of a claim's words that a sentence must hold to support it when it is not quoted word for word.
MIN_SHARE: Final = 0.6
# And how many of them at least, if not all: "the pump is new" is not supported by what else is said of the pump.
MIN_WORDS: Final = 2
# Their share where the sentence is also this near to it in meaning (cosine). Measured: docs/benchmarks.md, "Support".
MIN_SHARE_IF_NEAR: Final = 0.4
MIN_NEARNESS: Final = 0.75
_DIGIT: Final = re.compile(r"\d")
# `1.5`, `1,000`, `4.3.1`: a number with its decimals, of which a part is another number.
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_WORD: Final = re.compile(r"\w")
# Words that turn a statement round, folded.
_NEGATING: Final = (
    "not no never none nobody nothing neither nor without cannot nicht kein keine keinen keinem keiner keines nie "
    "niemals niemand nichts ohne ne pas jamais aucun aucune sans nunca ningun ninguna sin не нет никогда без"
)
_NEGATIONS: Final = frozenset(_NEGATING.split())
_CONTRACTED_NEGATION: Final = re.compile(r"n['’]t\b")
_QUOTATION_MARKS: Final = " \"'“”„«»‘’*_`#>"

# Characters [start, end) of a text.
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Support:
    """How far the best span of a text supports a sentence."""

    span: Span
    # Words of the sentence that it holds, and their share, 0 to 1.
    words: int
    share: float
    # Cosine of sentence and span; 0 where nobody measured it.
    nearness: float

    @property
    def is_enough(self) -> bool:
        is_near = self.share >= MIN_SHARE_IF_NEAR and self.nearness >= MIN_NEARNESS
        return self.share == 1 or (self.words >= MIN_WORDS and (self.share >= MIN_SHARE or is_near))


class SupportFinder:
    """Finds the narrowest span of a source that supports a claim: by its words and, with an embedder, by its meaning.

    Keeps the vectors of the sources of one answer: each answer has a finder of its own.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._vectors: dict[str, Vectors] = {}

    def locate(self, claim: str, text: str) -> Span | None:
        """Return the narrowest span of `text` that supports `claim`, or None.

        First choice: the claim word for word, blanks, case and markers apart. Else the sentence, or two neighbouring
        ones, that support the claim's last sentence; see `judge`.
        """
        claim, plain = without_markers(claim), without_markers(text)
        sentences = [claim[start:end] for start, end in split_sentences(claim)]
        if not sentences:
            return None
        for wording in (claim.strip(), sentences[-1]):
            if span := _find_words(wording.strip(_QUOTATION_MARKS), plain):
                return span
        support = self.judge(sentences[-1], text)
        return support.span if support and support.is_enough else None

    def judge(self, sentence: str, text: str) -> Support | None:
        """Return how far `text` supports one sentence that it does not hold word for word.

        None when no span of it holds every number of the sentence, or when one of the two denies and the other does
        not.
        """
        plain = without_markers(text)
        spans = split_sentences(plain)
        # Single sentences first, then pairs: a pair wins only by holding more.
        candidates = [*((span, span) for span in spans), *pairwise(spans)]
        found = [s for first, last in candidates if (s := _compare(sentence, plain, (first[0], last[1])))]
        best = max(found, key=lambda support: (support.share, support.span[0] - support.span[1]), default=None)
        if best is None or best.share >= MIN_SHARE or best.share < MIN_SHARE_IF_NEAR or self._embedder is None:
            return best
        return replace(best, nearness=self._nearness(sentence, plain, best.span))

    def _nearness(self, sentence: str, text: str, span: Span) -> float:
        if self._embedder is None:
            return 0.0
        one, other = (self._vector(words) for words in (sentence, text[span[0] : span[1]]))
        return max(0.0, float(one @ other))

    def _vector(self, words: str) -> Vectors:
        if self._embedder is not None and words not in self._vectors:
            self._vectors[words] = self._embedder.embed_documents([words])[0]
        return self._vectors[words]


def is_claim(text: str) -> bool:
    """Whether a text says anything: punctuation and marks of a layout do not."""
    return bool(_WORD.search(text))


def numbers_in(text: str) -> set[str]:
    """Return the numbers in `text`; a decimal comma is a decimal point."""
    return {number.replace(",", ".") for number in _NUMBER.findall(fold(text))}


def _find_words(quoted: str, text: str) -> Span | None:
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


def _compare(sentence: str, text: str, span: Span) -> Support | None:
    words = text[span[0] : span[1]]
    wanted, there = set(content_terms(sentence)), set(terms(words))
    figures = {term for term in wanted if _DIGIT.search(term)}
    if not figures <= there or not numbers_in(sentence) <= numbers_in(words) or _denies(sentence) != _denies(words):
        return None
    held = len(wanted & there)
    return Support(span=span, words=held, share=held / len(wanted) if wanted else 0.0, nearness=0.0)


def _denies(text: str) -> bool:
    return bool(_NEGATIONS.intersection(terms(text)) or _CONTRACTED_NEGATION.search(fold(text)))

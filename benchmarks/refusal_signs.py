"""What may speak for a quote beside its evidence, for benchmarks/refusal.py. Pure."""

import re
from collections.abc import Sequence
from typing import Final

from generation.backends.base import Source
from generation.backends.extractive import Candidate
from generation.evidence import content_terms, names_all
from retrieval.analysis import fold, terms

# What is asked for, by the words of the question, folded; and what an answer of the kind holds.
_ASKS_NUMBER: Final = re.compile(
    r"\bhow (?:many|much|long|old|far|often|high|large|big|tall)\b|\bwie ?viele?\b|多少|几"
)
_ASKS_TIME: Final = re.compile(
    r"\b(?:when|what (?:year|date|day|month|time)|which year|wann|in welchem jahr)\b|何时|哪年|什么时候"
)
_ASKS_NAME: Final = re.compile(r"\b(?:who|whom|whose|where|wer|wem|wo)\b|谁|哪里")
_NUMBER: Final = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|hundred|thousand|million|billion|half|"
    r"once|twice|every|daily|weekly|eins|zwei|drei|vier|zehn|hundert|tausend)\b|[一二三四五六七八九十百千万]"
)
_TIME: Final = re.compile(
    r"\d|\b(?:january|february|march|april|may|june|july|august|september|october|november|december|monday|tuesday|"
    r"wednesday|thursday|friday|saturday|sunday|spring|summer|autumn|winter|century|morning|evening|januar|februar|"
    r"marz|mai|juni|juli|oktober|dezember)\b|[年月日]"
)
# Capitalised within a sentence, where a word is not so for being its first; also `20` and `DP-90`.
_NAME: Final = re.compile(r"(?<=[^.?!:\s] )[A-ZÀ-ÞА-Я][\w'’-]+|\b\w*\d[\w.-]*")

NAMES: Final = ("evidence", "lead", "passage words", "names", "kind", "dense", "dense lead")


def signs_of(question: str, candidates: Sequence[Candidate], sources: Sequence[Source]) -> tuple[float, ...]:
    """Return the signs of the best of the candidates, which are sorted, in the order of NAMES.

    lead: by how much its evidence is above that of the next quote from another place. passage words, names: shares of
    those of the question in its passage. kind: see kind_matches. dense lead: by how much the passage's cosine is above
    the mean of all.
    """
    if not candidates:
        return (0.0,) * len(NAMES)
    best = candidates[0]
    second = next((one.evidence for one in candidates if not _is_same_place(one, best)), 0.0)
    chunk = best.source.passage.chunk
    passage = f"{chunk.filename} {chunk.context} {chunk.text}"
    cosines = [source.passage.dense or 0.0 for source in sources]
    dense = best.source.passage.dense or 0.0
    return (
        best.evidence,
        best.evidence - second,
        words_share(question, passage),
        names_share(question, passage),
        kind_matches(question, best.text),
        dense,
        dense - sum(cosines) / len(cosines),
    )


def names_share(question: str, passage: str) -> float:
    """Return the share of the question's names and numbers that the passage holds; 1 when it has none."""
    names = list(dict.fromkeys(fold(name) for name in _NAME.findall(question)))
    return sum(names_all(passage, [name]) for name in names) / len(names) if names else 1.0


def words_share(question: str, passage: str) -> float:
    """Return the share of the question's words that the passage holds."""
    wanted = content_terms(question)
    return len(set(wanted).intersection(terms(passage))) / len(wanted) if wanted else 0.0


def kind_matches(question: str, quote: str) -> float:
    """Return 1 when the quote holds what the question asks for by its first words, -1 when not, 0 for other questions.

    A name has to be another one than those of the question.
    """
    asked, said = fold(question), fold(quote)
    if _ASKS_NUMBER.search(asked):
        return 1.0 if _NUMBER.search(said) else -1.0
    if _ASKS_TIME.search(asked):
        return 1.0 if _TIME.search(said) else -1.0
    if _ASKS_NAME.search(asked):
        known = set(terms(question))
        names = [name for name in re.findall(r"[A-ZÀ-ÞА-Я][\w'’-]+", quote) if not known.intersection(terms(name))]
        return 1.0 if names or not said.isascii() else -1.0
    return 0.0


def _is_same_place(one: Candidate, other: Candidate) -> bool:
    is_near = one.start < other.end and other.start < one.end
    return one.text == other.text or (one.source is other.source and is_near)

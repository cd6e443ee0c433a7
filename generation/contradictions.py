"""Footnotes that contradict each other: the same subject with another number. Pure."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from generation.citations import Citation
from generation.evidence import content_terms
from retrieval.analysis import fold
from retrieval.function_words import function_words

_CURRENCIES: Final = r"eur|usd|gbp|chf|€|\$|£|¥"
# A number with what it counts, in front of it or behind it.
_QUANTITY: Final = re.compile(
    rf"(?P<before>{_CURRENCIES})?[ \u00a0]?(?<![\w.,/-])(?P<number>[+-]?\d+(?:[.,]\d+)*)(?![\w/]*\d)"
    r"(?:[ \u00a0-]?(?P<behind>[^\W\d_]+|[%‰°€$£]\w?))?"
)
_DIGIT: Final = re.compile(r"\d")
# Share of the words of the quote that has fewer of them which the other one must have for both to be about the same.
_SAME_SUBJECT: Final = 0.4
_MIN_SHARED_WORDS: Final = 2


def contradictions(citations: Sequence[Citation]) -> list[tuple[int, int]]:
    """Return the pairs of footnote numbers, ascending, whose quotes contradict each other.

    They are of different documents, share words, and give other numbers of the same unit: `EUR 34` and `EUR 42`, `30
    days` and `60 days`. What differs in words alone is not found.
    """
    quotes = {citation.number: citation for citation in sorted(citations, key=lambda each: each.number)}
    return [
        (one.number, other.number)
        for one, other in combinations(quotes.values(), 2)
        if one.source.passage.chunk.document_id != other.source.passage.chunk.document_id
        and contradict(one.quote, other.quote)
    ]


def contradict(one: str, other: str) -> bool:
    """Whether two texts give different numbers of the same unit for the same subject."""
    return _is_same_subject(one, other) and _differ(quantities(one), quantities(other))


def quantities(text: str) -> Mapping[str, frozenset[str]]:
    """Return the numbers in `text` by their unit, both folded; "" is the unit of a number without one."""
    found: dict[str, frozenset[str]] = {}
    for match in _QUANTITY.finditer(fold(text)):
        behind = match["behind"] or ""
        unit = match["before"] or ("" if behind in function_words() else behind.rstrip("s"))
        number = match["number"].replace(",", ".")
        found[unit] = found.get(unit, frozenset()) | {number}
    return found


def _differ(one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]) -> bool:
    shared = [unit for unit in one.keys() & other.keys() if unit]
    return any(not one[unit] & other[unit] for unit in shared)


def _is_same_subject(one: str, other: str) -> bool:
    words = [{term for term in content_terms(text) if not _DIGIT.search(term)} for text in (one, other)]
    shared = len(words[0] & words[1])
    return shared >= _MIN_SHARED_WORDS and shared >= _SAME_SUBJECT * min(map(len, words))

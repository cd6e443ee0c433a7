"""Which words of a question are looked up."""

import re
from typing import Final

from retrieval.analysis import fold, index_terms, terms
from retrieval.function_words import function_words_among

_WORD: Final = re.compile(r"[^\W\d_]+")
# More distinct terms than this in a question add cost and no sense.
_MOST: Final = 256


def query_terms(query: str) -> list[str]:
    """Return what is looked up for a query: its index terms without function words, each once, in order; at most 256.

    Function words stand in a tenth and more of all passages, so they cost most of a search; and in collections of few
    documents, of code or of tables, where they are rare, they outweigh the words that matter (docs/benchmarks.md).
    """
    idle = function_words_among(terms(query)) - _names(query)
    return list(dict.fromkeys(index_terms(query, without=idle)))[:_MOST]


def _names(query: str) -> set[str]:
    """Return what is written in capitals among other words, folded: `IT` and `WHO`, the `A` of `vitamin A`."""
    if query.isupper():
        return set()
    words = list(_WORD.finditer(query))
    return {
        fold(word.group())
        for word in words
        if word.group().isupper() and (len(word.group()) > 1 or (word.group() != "I" and word is not words[0]))
    }

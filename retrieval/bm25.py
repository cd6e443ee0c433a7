"""BM25 with Lucene's idf, as tantivy computes it."""

import math
from typing import Final

K1: Final = 1.2
B: Final = 0.75


def idf(passages: int, holders: int) -> float:
    """Return the weight of a term that `holders` of `passages` have: above 0, also when all have it."""
    return math.log1p((passages - holders + 0.5) / (holders + 0.5))


def term_weight(frequency: int, length: int, average_length: float) -> float:
    """Return what `frequency` occurrences in a passage of `length` terms count, in units of the term's idf."""
    return frequency * (K1 + 1) / (frequency + K1 * (1 - B + B * length / average_length))


def stored_length(length: int) -> int:
    """Return `length` as an index keeps it, in one byte: exact below 40, then in eight steps to each doubling.

    Lucene's SmallFloat.intToByte4, which tantivy uses too.
    """
    if length < 40:
        return length
    shift = (length - 24).bit_length() - 4
    return ((length - 24) >> shift << shift) + 24

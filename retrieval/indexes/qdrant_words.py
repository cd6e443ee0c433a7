"""Words as sparse vectors: BM25 in the form that Qdrant can finish with the IDF that it knows."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Final

from qdrant_client.models import SparseVector

from retrieval.analysis import index_terms
from retrieval.query_terms import query_terms

_K1: Final = 1.2
_B: Final = 0.75
# Terms of a chunk, in place of the collection's average, which the server does not know. Measured: docs/benchmarks.md.
USUAL_LENGTH: Final = 128


def document_vector(text: str) -> SparseVector:
    """Return BM25's term-frequency factor, in (0, k1 + 1), of each distinct term of `text`; empty without terms."""
    bag = Counter(index_terms(text))
    length = 1 - _B + _B * bag.total() / USUAL_LENGTH
    return _vector((term, count * (_K1 + 1) / (count + _K1 * length)) for term, count in bag.items())


def query_vector(query: str) -> SparseVector:
    """Return 1 for each term that is looked up: the score is then the sum of IDF times the factor above.

    Empty without terms.
    """
    return _vector((term, 1.0) for term in query_terms(query))


def _vector(weights: Iterable[tuple[str, float]]) -> SparseVector:
    # An index may occur once; terms whose numbers collide count as one term.
    values: dict[int, float] = {}
    for term, weight in weights:
        number = term_number(term)
        values[number] = max(weight, values.get(number, 0.0))
    return SparseVector(indices=list(values), values=list(values.values()))


def term_number(term: str) -> int:
    """Return 32 bits for a term, the width of Qdrant's indices.

    Among a million different terms a given one shares its number with another at a probability of 0.0002.
    """
    return int.from_bytes(hashlib.blake2b(term.encode(), digest_size=4).digest())

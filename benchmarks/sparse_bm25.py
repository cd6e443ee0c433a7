"""nDCG@10 of words alone: exact BM25 against its sparse form for Qdrant, by the length that stands for the average.

.venv/bin/python -m benchmarks.sparse_bm25 ../shared/eval/scifact ../shared/eval/covidqa
"""

import argparse
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import ir_measures
from ir_measures import nDCG
from rich.console import Console
from rich.table import Table

from evaluation.collections import Collection, load_collection
from retrieval.analysis import index_terms
from retrieval.indexes.qdrant_words import USUAL_LENGTH
from retrieval.query_terms import query_terms

_K1: Final = 1.2
_B: Final = 0.75
_LENGTHS: Final = (64, 128, 256, 512)
_LIMIT: Final = 100


class Words:
    """The terms of a collection, by term: passage number and count."""

    def __init__(self, passages: Sequence[str]) -> None:
        bags = [Counter(index_terms(text)) for text in passages]
        self.lengths = [bag.total() for bag in bags]
        self.average = sum(self.lengths) / len(bags)
        self._postings: dict[str, list[tuple[int, int]]] = {}
        for number, bag in enumerate(bags):
            for term, count in bag.items():
                self._postings.setdefault(term, []).append((number, count))

    def search(self, query: str, *, average: float, is_server: bool) -> dict[int, float]:
        """Return the best passages. `is_server`: with the IDF of Qdrant instead of FTS5's."""
        scores: dict[int, float] = {}
        total = len(self.lengths)
        for term in query_terms(query):
            postings = self._postings.get(term, [])
            odds = (total - len(postings) + 0.5) / (len(postings) + 0.5)
            rarity = math.log(odds + 1) if is_server else max(1e-6, math.log(odds))
            for number, count in postings:
                norm = _K1 * (1 - _B + _B * self.lengths[number] / average)
                scores[number] = scores.get(number, 0.0) + rarity * count * (_K1 + 1) / (count + norm)
        return dict(sorted(scores.items(), key=lambda item: -item[1])[:_LIMIT])


def measured(collection: Collection, words: Words, *, average: float, is_server: bool) -> float:
    ids = list(collection.corpus)
    run = {
        query_id: {
            ids[number]: score for number, score in words.search(text, average=average, is_server=is_server).items()
        }
        for query_id, text in collection.queries.items()
    }
    qrels: Mapping[str, dict[str, int]] = {query_id: dict(collection.qrels[query_id]) for query_id in run}
    return float(ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collections", type=Path, nargs="+")
    arguments = parser.parse_args()
    lengths = sorted({*_LENGTHS, USUAL_LENGTH})
    table = Table("Collection", "Terms", "Exact", "Qdrant's IDF", *map(str, lengths), box=None, pad_edge=False)
    for folder in arguments.collections:
        collection = load_collection(folder)
        words = Words(list(collection.corpus.values()))
        scores = [
            measured(collection, words, average=words.average, is_server=False),
            measured(collection, words, average=words.average, is_server=True),
            *(measured(collection, words, average=length, is_server=True) for length in lengths),
        ]
        table.add_row(collection.name, f"{words.average:.0f}", *(f"{score:.3f}" for score in scores))
    Console(highlight=False).print("nDCG@10 of words alone; the last columns take every average for that length", table)


if __name__ == "__main__":
    main()

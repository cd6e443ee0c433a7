"""nDCG@10 and recall of every passage that a question of several parts needs, searched at once and in steps.

.venv/bin/python -m benchmarks.steps ../shared/eval/hotpotqa_mini ../shared/eval/nq_open+pool_wikipedia --steps 1 2 3

The first of --steps is what the others are compared with, question by question. FOLDER+POOL searches FOLDER's queries
over its own passages and those of the folder POOL beside it.
"""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ir_measures
import numpy as np
from ir_measures import R, nDCG
from rich.console import Console
from rich.table import Table

from api.models import make_embedder
from api.settings import load_settings
from benchmarks.embedding_cache import CachedEmbedder
from benchmarks.fusion import load, sample
from evaluation.collections import Collection
from evaluation.ranking import index_collection, search_scope
from evaluation.statistics import Difference, difference
from generation.steps import queries_in_steps
from retrieval.embedders.base import Embedder
from retrieval.fusion import fuse
from retrieval.indexes.faiss import FaissIndex
from retrieval.searcher import gather

_MEASURES: Final = (nDCG @ 10, R @ 5, R @ 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a number of steps gives."""

    # Queries for each question, in the mean.
    queries: float
    # Measure → value of each question, in the order of the collection.
    values: Mapping[str, Sequence[float]]

    def mean(self, measure: str) -> float:
        return float(np.mean(self.values[measure]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--queries", type=int, help="at most so many of each part, drawn with a fixed seed")
    parser.add_argument("--cache", type=Path, help="SQLite file that keeps vectors for the next run")
    arguments = parser.parse_args()
    embedder: Embedder = make_embedder(load_settings(log_level="error"))
    if arguments.cache:
        embedder = CachedEmbedder(embedder, arguments.cache)
    compared = [f"{measure}, difference" for measure in _MEASURES[:2]]
    table = Table("Collection", "Questions", "Steps", "Queries", *map(str, _MEASURES), *compared, box=None)
    for folder in arguments.collections:
        for collection in (sample(part, arguments.queries) for part in load(folder)):
            searched = Searched(collection, embedder)
            first = searched.measure(arguments.steps[0])
            for steps in arguments.steps:
                found = first if steps == arguments.steps[0] else searched.measure(steps)
                row = (collection.name, str(len(collection.queries)), str(steps), f"{found.queries:.2f}")
                means = (f"{found.mean(str(measure)):.3f}" for measure in _MEASURES)
                changes = (shown(compare(first, found, str(measure))) for measure in _MEASURES[:2])
                table.add_row(*row, *means, *(changes if found is not first else ()))
            searched.close()
    Console(highlight=False, width=160).print(table)


def compare(old: Measured, new: Measured, measure: str) -> Difference:
    """Return what `new` is better by, with the interval of the paired bootstrap."""
    samples = (np.array(each.values[measure], dtype=np.float64)[:, np.newaxis] for each in (old, new))
    return difference(*samples)


def shown(change: Difference) -> str:
    return f"{change.value:+.3f} ({change.low:+.3f} to {change.high:+.3f})"


class Searched:
    """A collection in an index."""

    def __init__(self, collection: Collection, embedder: Embedder) -> None:
        self._collection = collection
        self._embedder = embedder
        self._index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
        self._ids = index_collection(collection, embedder, self._index)
        self._pool = ThreadPoolExecutor(2)

    def measure(self, steps: int) -> Measured:
        run, count = {}, 0
        for query_id, question in self._collection.queries.items():
            queries = queries_in_steps(question, steps=steps, find=self._texts)
            run[query_id] = self._scores(queries)
            count += len(queries)
        qrels = {query_id: dict(self._collection.qrels[query_id]) for query_id in run}
        values = {str(measure): dict.fromkeys(run, 0.0) for measure in _MEASURES}
        for metric in ir_measures.iter_calc(_MEASURES, qrels, run):
            values[str(metric.measure)][metric.query_id] = float(metric.value)
        return Measured(
            queries=count / len(run), values={name: list(of_query.values()) for name, of_query in values.items()}
        )

    def close(self) -> None:
        self._index.close()
        self._pool.shutdown()

    def _texts(self, queries: Sequence[str]) -> list[str]:
        scores = self._scores(queries)
        return [self._collection.corpus[passage] for passage in sorted(scores, key=lambda one: -scores[one])[:10]]

    def _scores(self, queries: Sequence[str]) -> dict[str, float]:
        """Return what a search for these queries gives: a passage counts by the query that it fits best."""
        best: dict[str, float] = {}
        for both in gather(self._index, self._embedder, queries, scope=search_scope(), pool=self._pool):
            for hit in fuse(both, dense_weight="auto"):
                passage = self._ids[hit.chunk_id - 1]
                best[passage] = max(best.get(passage, 0.0), hit.score)
        return best


if __name__ == "__main__":
    main()

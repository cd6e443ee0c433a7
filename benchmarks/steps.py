"""nDCG@10 and recall of every passage that a question of several parts needs, searched at once and in steps.

.venv/bin/python -m benchmarks.steps ../shared/eval/hotpotqa_mini ../shared/eval/musique_mini --steps 1 2 3
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import ir_measures
from ir_measures import R, nDCG
from rich.console import Console
from rich.table import Table

from api.models import make_embedder
from api.settings import load_settings
from benchmarks.embedding_cache import CachedEmbedder
from evaluation.collections import Collection, load_parts
from evaluation.ranking import index_collection, search_scope
from generation.steps import queries_in_steps
from retrieval.embedders.base import Embedder
from retrieval.fusion import fuse
from retrieval.indexes.faiss import FaissIndex
from retrieval.searcher import gather

_MEASURES: Final = (nDCG @ 10, R @ 5, R @ 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--cache", type=Path, help="SQLite file that keeps vectors for the next run")
    arguments = parser.parse_args()
    embedder: Embedder = make_embedder(load_settings(log_level="error"))
    if arguments.cache:
        embedder = CachedEmbedder(embedder, arguments.cache)
    table = Table("Collection", "Steps", "Queries", *map(str, _MEASURES), box=None)
    for folder in arguments.collections:
        for collection in load_parts(folder, pool=None):
            searched = Searched(collection, embedder)
            for steps in arguments.steps:
                queries, values = searched.measure(steps)
                table.add_row(
                    collection.name, str(steps), f"{queries:.2f}", *(f"{values[name]:.3f}" for name in _MEASURES)
                )
            searched.close()
    Console(highlight=False).print(table)


class Searched:
    """A collection in an index."""

    def __init__(self, collection: Collection, embedder: Embedder) -> None:
        self._collection = collection
        self._embedder = embedder
        self._index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
        self._ids = index_collection(collection, embedder, self._index)
        self._pool = ThreadPoolExecutor(2)

    def measure(self, steps: int) -> tuple[float, dict[object, float]]:
        """Return the queries for each question in the mean, and the measures."""
        run, count = {}, 0
        for query_id, question in self._collection.queries.items():
            queries = queries_in_steps(question, steps=steps, find=self._texts)
            run[query_id] = self._scores(queries)
            count += len(queries)
        qrels = {query_id: dict(self._collection.qrels[query_id]) for query_id in run}
        return count / len(run), dict(ir_measures.calc_aggregate(_MEASURES, qrels, run))

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

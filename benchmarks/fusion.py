"""nDCG@10 of dense, lexical and fused ranking on judged collections; fits the weight that is chosen for each query.

.venv/bin/python -m benchmarks.fusion ../shared/eval/scifact ../shared/eval/nq_open+pool_wikipedia \
    --cache vectors.sqlite

FOLDER+POOL searches FOLDER's queries over its own passages and those of the folder POOL beside it.
"""

import argparse
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import ir_measures
import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from api.models import make_embedder
from api.settings import load_settings
from benchmarks.embedding_cache import CachedEmbedder
from benchmarks.weight_fit import GRID, Part, fit, fit_without
from evaluation.collections import Collection, load_parts
from evaluation.ranking import candidates, index_collection
from ingest.pipeline import WINDOW_TOKENS
from retrieval.embedders.base import Embedder
from retrieval.fusion import WEIGHT_MODEL, Candidates, FusedHit, fuse, signals
from retrieval.indexes.faiss import FaissIndex

_MEASURE: Final = nDCG @ 10
_DEPTH: Final = 10
_HALF: Final = int(np.argmin(np.abs(GRID - 0.5)))
_SAMPLES: Final = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--cache", type=Path, help="SQLite file that keeps vectors for the next run")
    parser.add_argument("--window", type=int, default=WINDOW_TOKENS, help="tokens that are embedded at once")
    parser.add_argument("--queries", type=int, help="at most so many of each part, drawn with a fixed seed")
    arguments = parser.parse_args()
    embedder: Embedder = make_embedder(load_settings(log_level="error"))
    if arguments.cache:
        embedder = CachedEmbedder(embedder, arguments.cache)
    parts = [
        _part(sample(collection, arguments.queries), folder.name, embedder, window_tokens=arguments.window)
        for folder in track(arguments.collections, "collections", console=Console(stderr=True))
        for collection in load(folder)
    ]
    console = Console(highlight=False, width=160)
    console.print("nDCG@10 by weight of the dense side", _weights_table(parts))
    console.print("nDCG@10 by how the weight is chosen", _choices_table(parts))
    console.print(f"Fitted on all: {fit(parts)}\nIn use:        {WEIGHT_MODEL}")


def load(folder: Path) -> list[Collection]:
    """Return the parts of FOLDER, or of FOLDER+POOL."""
    name, _, pool = folder.name.partition("+")
    return load_parts(folder.with_name(name), pool=folder.with_name(pool) if pool else None)


def sample(collection: Collection, queries: int | None) -> Collection:
    """Return the collection with so many of its queries, always the same ones."""
    if queries is None or len(collection.queries) <= queries:
        return collection
    drawn = sorted(random.Random(0).sample(sorted(collection.queries), queries))
    return Collection(
        name=collection.name,
        corpus=collection.corpus,
        queries={query_id: collection.queries[query_id] for query_id in drawn},
        qrels={query_id: collection.qrels[query_id] for query_id in drawn},
    )


def _part(collection: Collection, family: str, embedder: Embedder, *, window_tokens: int) -> Part:
    index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
    ids = index_collection(collection, embedder, index, window_tokens=window_tokens)
    found = candidates(collection, embedder, index)
    index.close()

    def measure(rankings: Iterable[list[FusedHit]]) -> NDArray[np.float64]:
        """Return each query's nDCG@10, in the order of `found`."""
        run = {
            query_id: {ids[hit.chunk_id - 1]: hit.score for hit in hits[:_DEPTH]}
            for query_id, hits in zip(found, rankings, strict=True)
        }
        qrels = {query_id: dict(collection.qrels[query_id]) for query_id in found}
        values = {metric.query_id: metric.value for metric in ir_measures.iter_calc([_MEASURE], qrels, run)}
        return np.array([values.get(query_id, 0.0) for query_id in found])

    return Part(
        name=collection.name,
        family=family,
        signals=np.array([_signals(both) for both in found.values()]),
        curves=np.column_stack(
            [measure(fuse(both, dense_weight=weight) for both in found.values()) for weight in GRID.tolist()]
        ),
        reciprocal=measure(fuse(both, dense_weight="auto", fusion="rrf") for both in found.values()),
    )


def _signals(both: Candidates) -> tuple[float, float, float]:
    """A query without words that occur has one side alone, whatever the weight."""
    if not both.dense or not both.lexical:
        return 0.0, 0.0, 0.0
    found = signals(both)
    return found.prominence, found.foreignness, found.lead


def _weights_table(parts: Sequence[Part]) -> Table:
    columns = range(0, len(GRID), 2)
    table = Table("Collection", "Queries", *(f"{GRID[i]:.1f}" for i in columns), box=None, pad_edge=False)
    for part in parts:
        means = part.curves.mean(axis=0)
        table.add_row(part.name, str(len(part.curves)), *(f"{means[i]:.3f}" for i in columns))
    return table


def _choices_table(parts: Sequence[Part]) -> Table:
    """Beside our choices: the gap to the better side with its 95 % interval, and the best that weights could do."""
    table = Table(
        "Collection", "Queries", "words", "meaning", "0.5", "RRF", "in use", "left out", "all", "in use - better side",
        "best for each query", box=None, pad_edge=False,
    )  # fmt: skip
    in_use, everything = WEIGHT_MODEL, fit(parts)
    left_out = {family: fit_without(parts, family) for family in {part.family for part in parts}} if parts[1:] else {}
    for part in parts:
        used, sides = part.fused(in_use), part.curves[:, [0, -1]]
        better = sides[:, int(np.argmax(sides.mean(axis=0)))]
        choices = (
            *sides.T, part.curves[:, _HALF], part.reciprocal, used,
            part.fused(left_out.get(part.family, in_use)), part.fused(everything),
        )  # fmt: skip
        table.add_row(
            part.name,
            str(len(used)),
            *(f"{choice.mean():.3f}" for choice in choices),
            _interval(used - better),
            f"{part.curves.max(axis=1).mean():.3f}",
        )
    return table


def _interval(differences: NDArray[np.float64]) -> str:
    """Mean and 95 % interval, by bootstrap over queries."""
    generator = np.random.default_rng(0)
    means = [generator.choice(differences, len(differences)).mean() for _ in range(_SAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{differences.mean():+.3f} ({low:+.3f} to {high:+.3f})"


if __name__ == "__main__":
    main()

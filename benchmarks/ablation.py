"""What each stage of ranking adds: nDCG@10 on judged collections with the stage and without it.

.venv/bin/python -m benchmarks.ablation ../shared/eval/scifact ../shared/eval/nq_open --cache vectors.sqlite

Each column but the first changes one thing in what a search does by default. A reranker is not among them: which one is
best is the operator's model to say, and `footnote eval ranking` measures it.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
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
from benchmarks.fusion import load, sample
from evaluation.collections import Collection
from evaluation.ranking import candidates, index_collection
from ingest.pipeline import WINDOW_TOKENS
from retrieval import stages
from retrieval.embedders.base import Embedder
from retrieval.fusion import Candidates, FusedHit, fuse
from retrieval.indexes.faiss import FaissIndex
from retrieval.passages import Passage
from retrieval.searcher import POOL
from tests.builders import a_passage

_MEASURE: Final = nDCG @ 10
_DEPTH: Final = 10
_DIVERSITY: Final = 0.3

# Passage ids, best first.
Ranked = list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--cache", type=Path, help="SQLite file that keeps vectors for the next run")
    parser.add_argument("--queries", type=int, help="at most so many of each part, drawn with a fixed seed")
    arguments = parser.parse_args()
    embedder: Embedder = make_embedder(load_settings(log_level="error"))
    if arguments.cache:
        embedder = CachedEmbedder(embedder, arguments.cache)
    means = {
        collection.name: ablate(sample(collection, arguments.queries), embedder)
        for folder in track(arguments.collections, "collections", console=Console(stderr=True))
        for collection in load(folder)
    }
    table = Table("Collection", *next(iter(means.values())), box=None, pad_edge=False)
    for name, by_change in means.items():
        table.add_row(name, *(f"{mean:.3f}" for mean in by_change.values()))
    Console(highlight=False, width=180).print("nDCG@10", table)


def ablate(collection: Collection, embedder: Embedder) -> dict[str, float]:
    """Return the mean nDCG@10 over the queries, by what was changed; `default` first."""
    found, ids, vectors = _searched(collection, embedder)
    untitled, untitled_ids, _ = _searched(_without_titles(collection), embedder)
    wide, wide_ids, _ = _searched(collection, embedder, window_tokens=embedder.max_tokens)

    def ranked(both: Candidates, **how: object) -> list[FusedHit]:
        return fuse(both, **{"dense_weight": "auto", **how})  # type: ignore[arg-type]

    def passages(both: Candidates) -> list[Passage]:
        hits = ranked(both)[:POOL]
        texts = [collection.corpus[ids[hit.chunk_id - 1]] for hit in hits]
        return [a_passage(text, score=hit.score, chunk_id=hit.chunk_id) for hit, text in zip(hits, texts, strict=True)]

    def numbered(hits: Iterable[FusedHit], names: Sequence[str] = ids) -> Ranked:
        return [names[hit.chunk_id - 1] for hit in hits]

    def read(left: Iterable[Passage]) -> Ranked:
        return [ids[passage.chunk.chunk_id - 1] for passage in left]

    def diverse(both: Candidates) -> list[Passage]:
        return stages.diversify(passages(both), vectors, diversity=_DIVERSITY, limit=_DEPTH)

    ways: dict[str, Callable[[str], Ranked]] = {
        "default": lambda query: numbered(ranked(found[query])),
        "words alone": lambda query: numbered(ranked(found[query], dense_weight=0.0)),
        "meaning alone": lambda query: numbered(ranked(found[query], dense_weight=1.0)),
        "weight .5": lambda query: numbered(ranked(found[query], dense_weight=0.5)),
        "RRF": lambda query: numbered(ranked(found[query], fusion="rrf")),
        "no title": lambda query: numbered(ranked(untitled[query]), untitled_ids),
        f"windows of {embedder.max_tokens}": lambda query: numbered(ranked(wide[query]), wide_ids),
        "deduplicated": lambda query: read(stages.distinct(passages(found[query]))),
        f"MMR {_DIVERSITY}": lambda query: read(diverse(found[query])),
    }
    return {name: _mean(collection, {query: way(query) for query in collection.queries}) for name, way in ways.items()}


def _searched(
    collection: Collection, embedder: Embedder, *, window_tokens: int = WINDOW_TOKENS
) -> tuple[dict[str, Candidates], Sequence[str], dict[int, NDArray[np.float32]]]:
    """Return each query's candidates, the passage ids by chunk id minus 1, and each chunk's first vector."""
    index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
    ids = index_collection(collection, embedder, index, window_tokens=window_tokens)
    found = candidates(collection, embedder, index)
    index.close()
    vectors = embedder.embed_documents([collection.corpus[passage_id] for passage_id in ids])
    return found, ids, dict(enumerate(vectors, start=1))


def _without_titles(collection: Collection) -> Collection:
    return replace(collection, corpus={key: text.partition("\n")[2] or text for key, text in collection.corpus.items()})


def _mean(collection: Collection, ranked: Mapping[str, Ranked]) -> float:
    run = {query_id: {name: -float(rank) for rank, name in enumerate(names)} for query_id, names in ranked.items()}
    qrels = {query_id: dict(collection.qrels[query_id]) for query_id in ranked}
    return float(ir_measures.calc_aggregate([_MEASURE], qrels, run)[_MEASURE])


if __name__ == "__main__":
    main()

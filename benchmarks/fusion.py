"""nDCG@10 of dense, lexical and fused ranking on judged collections, by weight of the dense side.

.venv/bin/python -m benchmarks.fusion ../shared/eval/scifact ../shared/eval/covidqa --window 128
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from api.settings import load_settings
from api.wiring import make_embedder
from evaluation.collections import load_collection
from evaluation.ranking import candidates, index_collection, measure
from ingest.pipeline import WINDOW_TOKENS
from retrieval.indexes.faiss import FaissIndex

_WEIGHTS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collections", type=Path, nargs="+")
    parser.add_argument("--window", type=int, default=WINDOW_TOKENS, help="tokens that are embedded at once")
    arguments = parser.parse_args()
    embedder = make_embedder(load_settings(log_level="error"))
    table = Table("Collection", "Queries", *(f"{weight:g}" for weight in _WEIGHTS), box=None, pad_edge=False)
    for folder in arguments.collections:
        collection = load_collection(folder)
        index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
        ids = index_collection(collection, embedder, index, window_tokens=arguments.window)
        found = candidates(collection, embedder, index)
        scores = (measure(collection, ids, found, dense_weight=weight)["nDCG@10"] for weight in _WEIGHTS)
        table.add_row(collection.name, str(len(collection.queries)), *(f"{score:.3f}" for score in scores))
    Console(highlight=False).print("nDCG@10 by weight of the dense side", table)


if __name__ == "__main__":
    main()

"""How the refusal threshold of the extractive generator behaves on a judged collection with unanswerable questions.

    .venv/bin/python -m benchmarks.evidence ../shared/eval/squad2 --questions 400

Every question is asked of the whole collection. For each threshold: the share of answerable questions that are answered
by a quote which holds an accepted answer, and precision and recall of the refusals.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from api.settings import load_settings
from api.wiring import make_embedder
from catalog.documents import StoredChunk
from evaluation.answers import holds
from evaluation.collections import load_collection
from evaluation.ranking import index_collection, search_scope
from generation.backends.base import Source
from generation.backends.extractive import ExtractiveGenerator
from retrieval.embedders.base import Embedder
from retrieval.fusion import fuse_normalized
from retrieval.indexes.faiss import FaissIndex
from retrieval.searcher import CANDIDATES, Passage

_THRESHOLDS = [t / 100 for t in range(34, 72, 3)]
_SOURCES = 6


@dataclass(frozen=True, kw_only=True)
class Asked:
    is_answerable: bool
    # Of the best quote.
    evidence: float
    is_right: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--questions", type=int, default=400)
    arguments = parser.parse_args()
    embedder = make_embedder(load_settings(log_level="error"))
    lines = (arguments.collection / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    rows = random.Random(1).sample([json.loads(line) for line in lines], arguments.questions)
    ask = _Collection(arguments.collection, embedder)
    asked = [ask(row["text"], row["answers"]) for row in track(rows, description="Asking")]
    _print(asked)


class _Collection:
    """A collection in an exact index, and the generator over it."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._embedder = embedder
        self._generator = ExtractiveGenerator(embedder)
        self._index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
        collection = load_collection(folder)
        self._texts = [collection.corpus[i] for i in index_collection(collection, embedder, self._index)]

    def __call__(self, question: str, answers: Sequence[str]) -> Asked:
        vector = self._embedder.embed_queries([question])[0]
        dense = self._index.search_dense(vector, limit=CANDIDATES, scope=search_scope())
        lexical = self._index.search_lexical(question, limit=CANDIDATES, scope=search_scope())
        hits = fuse_normalized(dense, lexical, dense_weight=0.5)[:_SOURCES]
        sources = [
            Source(number=i, passage=Passage(chunk=self._chunk(h.chunk_id), score=h.score, dense=None, lexical=None))
            for i, h in enumerate(hits, start=1)
        ]
        best = self._generator.candidates(question, sources)[0]
        return Asked(
            is_answerable=bool(answers),
            evidence=best.evidence,
            is_right=any(holds(best.text, answer) for answer in answers),
        )

    def _chunk(self, chunk_id: int) -> StoredChunk:
        title, _, text = self._texts[chunk_id - 1].partition("\n")
        return StoredChunk(
            chunk_id=chunk_id,
            document_id=chunk_id,
            vector_store_id="",
            file_id="",
            filename="",
            title=title,
            attributes={},
            ordinal=0,
            start=0,
            end=len(text),
            text=text,
            context=title,
            page=None,
            box=None,
            page_spans=[],
        )


def _print(asked: Sequence[Asked]) -> None:
    answerable = [one for one in asked if one.is_answerable]
    table = Table("Threshold", "Answered right", "Refusal precision", "Refusal recall", box=None, pad_edge=False)
    for threshold in _THRESHOLDS:
        refused = [one for one in asked if one.evidence < threshold]
        rightly = sum(not one.is_answerable for one in refused)
        table.add_row(
            f"{threshold:.2f}",
            f"{sum(one.is_right and one.evidence >= threshold for one in answerable) / len(answerable):.3f}",
            f"{rightly / len(refused):.3f}" if refused else "",
            f"{rightly / (len(asked) - len(answerable)):.3f}",
        )
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()

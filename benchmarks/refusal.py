"""Whether more signs than the evidence would tell when the extractive generator should refuse, and what refusing costs.

.venv/bin/python -m benchmarks.refusal ../shared/eval --queries 2000

squad2: questions asked of all paragraphs, half of them without an answer. rgb, English: each question once of five
snippets of which two answer, and once of five that do not. Articles and questions are halved: one half is fitted on,
the other one is measured. data/gold is not seen here; `make eval` measures it.
"""

import argparse
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from api.models import make_embedder
from api.settings import load_settings
from benchmarks.embedding_cache import CachedEmbedder
from benchmarks.refusal_signs import NAMES, signs_of
from benchmarks.support import rows
from catalog.chunks import StoredChunk
from evaluation.collections import Collection, load_corpus
from evaluation.curves import risk_coverage, thresholds
from evaluation.matching import contains_answer
from evaluation.ranking import candidates, index_collection
from evaluation.runs import Attempt
from generation.backends.base import Source
from generation.backends.extractive import ExtractiveGenerator, choose_quotes
from retrieval.embedders.base import Embedder
from retrieval.fusion import fuse
from retrieval.indexes.faiss import FaissIndex
from retrieval.passages import Passage

_RESULTS: Final = 10
_SNIPPETS: Final = 5
_RIGHT_SNIPPETS: Final = 2
# Ridge on the weights, in standard deviations of their signs.
_RIDGE: Final = 1.0
_STEPS: Final = 50
_EVIDENCES: Final = (0.0, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
_SEED: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """The probability that a quote answers, as a logistic function of its signs."""

    bias: float
    # One for each of NAMES.
    weights: tuple[float, ...]

    def confidence(self, signs: Sequence[float]) -> float:
        return float(1 / (1 + np.exp(-(self.bias + np.dot(self.weights, signs)))))


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One question that was asked: the signs of the best quote, and what became of it."""

    part: str
    # Whether it is fitted on; else it is measured.
    is_fitted: bool
    signs: tuple[float, ...]
    is_right: bool
    is_answerable: bool

    @property
    def evidence(self) -> float:
        return self.signs[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where squad2 and rgb are")
    parser.add_argument("--queries", type=int, default=2000, help="questions of squad2, drawn with a fixed seed")
    parser.add_argument("--cache", type=Path, required=True, help="SQLite file that keeps vectors for the next run")
    arguments = parser.parse_args()
    embedder = CachedEmbedder(make_embedder(load_settings(log_level="error")), arguments.cache)
    cases = [*squad(arguments.folder / "squad2", embedder, arguments.queries), *rgb(arguments.folder / "rgb", embedder)]
    model = fit([case for case in cases if case.is_fitted])
    console = Console(highlight=False, width=140)
    console.print(f"Fitted: bias {model.bias}", dict(zip(NAMES, model.weights, strict=True)))
    measured = [case for case in cases if not case.is_fitted]
    console.print(areas(measured, model), costs(cases))


def squad(folder: Path, embedder: Embedder, limit: int) -> Iterator[Case]:
    corpus, all_rows = load_corpus(folder), list(rows(folder))
    chosen = random.Random(_SEED).sample(all_rows, min(limit, len(all_rows)))
    queries = {row["_id"]: row["text"] for row in chosen}
    found = search(Collection(name="squad2", corpus=corpus, queries=queries, qrels={}), embedder)
    for row in track(chosen, "squad2", console=Console(stderr=True)):
        is_fitted = is_even(row["context_id"].split(":")[1])
        answers = [] if row["is_impossible"] else row["answers"]
        yield case_of("squad2", row["text"], answers, found[row["_id"]], embedder, is_fitted=is_fitted)


def rgb(folder: Path, embedder: Embedder) -> Iterator[Case]:
    corpus = load_corpus(folder)
    asked = [row for row in rows(folder) if row["answers"] and row["lang"] == "en"]
    for row in track(asked, "rgb", console=Console(stderr=True)):
        wrong = row["negative_ids"][:_SNIPPETS]
        mixed = [*row["positive_ids"][:_RIGHT_SNIPPETS], *wrong][:_SNIPPETS]
        for ids, answers in ((mixed, flat(row["answers"])), (wrong, [])):
            texts = {each: corpus[each] for each in ids if each in corpus}
            if texts:
                one = Collection(name="rgb", corpus=texts, queries={"q": row["text"]}, qrels={})
                passages = search(one, embedder)["q"]
                yield case_of("rgb", row["text"], answers, passages, embedder, is_fitted=is_even(row["text"]))


def flat(answers: Sequence[Any]) -> list[str]:
    return [one for each in answers for one in ([each] if isinstance(each, str) else each)]


def is_even(name: str) -> bool:
    return zlib.crc32(name.encode()) % 2 == 0


def search(collection: Collection, embedder: Embedder) -> Mapping[str, list[Passage]]:
    index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
    ids = index_collection(collection, embedder, index)
    found = {
        query_id: [
            Passage(
                chunk=chunk_of(hit.chunk_id, ids[hit.chunk_id - 1], collection.corpus[ids[hit.chunk_id - 1]]),
                score=hit.score,
                dense=hit.dense,
                lexical=hit.lexical,
            )
            for hit in fuse(both, dense_weight="auto")[:_RESULTS]
        ]
        for query_id, both in candidates(collection, embedder, index).items()
    }
    index.close()
    return found


def chunk_of(number: int, name: str, text: str) -> StoredChunk:
    title, _, body = text.partition("\n")
    return StoredChunk(
        chunk_id=number,
        document_id=number,
        vector_store_id="vs_1",
        file_id=f"file-{number}",
        filename=f"{name}.txt",
        title=title if body else None,
        attributes={},
        created_at=0.0,
        ordinal=0,
        start=0,
        end=len(body or text),
        text=body or text,
        context=title if body else "",
        page=None,
        box=None,
        page_spans=[],
    )


def case_of(
    part: str,
    question: str,
    answers: Sequence[str],
    passages: Sequence[Passage],
    embedder: Embedder,
    *,
    is_fitted: bool,
) -> Case:
    sources = [Source(number=number, passage=passage) for number, passage in enumerate(passages, start=1)]
    found = ExtractiveGenerator(embedder).candidates(question, sources)
    text = "\n".join(quote.text for quote in choose_quotes(found))
    return Case(
        part=part,
        is_fitted=is_fitted,
        signs=signs_of(question, found, sources),
        is_right=bool(answers) and contains_answer(text, answers),
        is_answerable=bool(answers),
    )


def fit(cases: Sequence[Case]) -> Model:
    """Return the logistic regression with the highest penalised likelihood (Newton's method; deterministic)."""
    x = np.array([case.signs for case in cases])
    y = np.array([case.is_right for case in cases], dtype=np.float64)
    mean, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = np.column_stack([np.ones(len(x)), (x - mean) / spread])
    ridge = np.diag([0.0] + [_RIDGE] * x.shape[1])
    weights = np.zeros(z.shape[1])
    for _ in range(_STEPS):
        p: NDArray[np.float64] = 1 / (1 + np.exp(-(z @ weights)))
        slope = z.T @ (y - p) - ridge @ weights
        curvature = (z * (p * (1 - p))[:, np.newaxis]).T @ z + ridge
        weights = weights + np.linalg.solve(curvature, slope)
    scaled = weights[1:] / spread
    bias = float(weights[0] - scaled @ mean)
    return Model(bias=round(bias, 2), weights=tuple(round(float(w), 2) for w in scaled))


def attempts(cases: Sequence[Case], model: Model | None) -> list[Attempt]:
    """Return the attempts, surest first; without a model by the evidence that quotes are ranked by."""
    found = [
        Attempt(
            confidence=case.evidence if model is None else model.confidence(case.signs),
            is_right=case.is_right,
            is_answerable=case.is_answerable,
        )
        for case in cases
    ]
    return sorted(found, key=lambda attempt: -attempt.confidence)


def areas(cases: Sequence[Case], model: Model) -> Table:
    """Return the area under risk and coverage, where less is better, by evidence and by confidence."""
    table = Table(
        "part", "questions", "right", "AURC by evidence", "by confidence", title="Half that was not fitted on"
    )
    for part in dict.fromkeys(case.part for case in cases):
        of_part = [case for case in cases if case.part == part]
        values = [
            float(np.mean([risk for _, risk in risk_coverage(attempts(of_part, each))])) for each in (None, model)
        ]
        right = sum(case.is_right for case in of_part)
        table.add_row(part, str(len(of_part)), str(right), *(f"{value:.3f}" for value in values))
    return table


def costs(cases: Sequence[Case]) -> Table:
    """Return what comes of refusing below an evidence, on all questions: nothing was fitted to it."""
    table = Table("evidence", "answered", "wrong, of those", "of the right ones", "refused without an answer")
    for one in thresholds(attempts(cases, None), _EVIDENCES):
        right = sum(case.is_right for case in cases)
        kept = sum(case.is_right for case in cases if case.evidence >= one.confidence)
        risk = "-" if one.risk is None else f"{one.risk:.3f}"
        table.add_row(
            f"{one.confidence:.2f}", f"{one.coverage:.3f}", risk, f"{kept / right:.3f}", f"{one.refusal_recall:.3f}"
        )
    return table


if __name__ == "__main__":
    main()

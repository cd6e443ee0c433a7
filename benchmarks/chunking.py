"""What a way of chunking does to retrieval: token recall, precision and IoU of the first five chunks.

    .venv/bin/python -m benchmarks.chunking ../shared/eval/chunking_eval ../shared/eval/covidqa --cache vectors.sqlite

Every way has the same embedder, windows and ranking as the product; `dense` is nearness in meaning alone, `hybrid` the
fusion that is shipped. Prints Markdown tables, and the published one beside ours.

The measures, in percent, are means over the questions. Recall, precision and IoU of characters are those of the first
five chunks; `precision Ω` is the precision if exactly the chunks that touch the answer were found. `in 1000 tokens`: of
the first chunks that hold as many, so that large and small ones are compared at the same cost to their reader. Where
the evidence is a page or a paper: `place recall`, the share of these that a chunk of the first five touches, and
`evidence words`, the share of the distinct words of the evidence that the retrieved part of these places holds.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np
from rich.console import Console

from api.models import make_embedder
from api.settings import load_settings
from benchmarks.chunkers import Measured, cluster_semantic, measured, recursive, sentences
from benchmarks.chunking_tasks import Question, Task, load_task, words_of
from benchmarks.embedding_cache import CachedEmbedder
from catalog.feed import DocumentChange, IndexedDocument
from evaluation.ranking import search_scope
from evaluation.spans import Span, cover, intersect, precision_omega
from ingest.chunking import AutoStrategy, ChunkSpan, StaticStrategy, Strategy, chunk, context_of
from ingest.documents import Element, ParsedDocument
from ingest.pipeline import WINDOW_TOKENS, window_texts
from retrieval.embedders.base import Embedder
from retrieval.fusion import fuse_normalized
from retrieval.indexes.faiss import FaissIndex
from retrieval.searcher import CANDIDATES

_TOP: Final = 5
# Tokens that a reader is given, whatever the size of the chunks.
_BUDGET_TOKENS: Final = 1000
_AUTO_SIZES: Final = (64, 100, 150, 200, 250, 300, 400)
_STORE: Final = next(iter(search_scope().vector_store_ids))

# Of the paper "Evaluating Chunking Strategies for Retrieval": 472 questions, the first five chunks.
_PUBLISHED: Final = """\
| Chunking | Tokens | recall | precision | IoU | precision Ω |
|---|---|---|---|---|---|
| TokenText 200/0 | 200 | 87.0 | 5.2 | 5.1 | 21.0 |
| TokenText 400/0 | 400 | 89.2 | 2.7 | 2.7 | 12.5 |
| TokenText 400/200 | 400 | 88.6 | 2.7 | 2.7 | 8.4 |
| TokenText 800/400 | 800 | 87.9 | 1.4 | 1.4 | 4.7 |
| Recursive 200/0 | 137 | 88.1 | 7.0 | 6.9 | 29.9 |
| Recursive 400/0 | 276 | 89.5 | 3.6 | 3.6 | 17.7 |
| Recursive 400/200 | 312 | 88.1 | 3.3 | 3.3 | 13.9 |
| Recursive 800/400 | 661 | 85.4 | 1.5 | 1.5 | 6.7 |
| Kamradt | 660 | 83.6 | 1.5 | 1.5 | 7.4 |
| Kamradt, modified, 300 | 397 | 87.1 | 2.1 | 2.1 | 10.5 |
| ClusterSemantic 200 | 103 | 87.3 | 8.0 | 8.0 | 34.0 |
| ClusterSemantic 400 | 182 | 91.3 | 4.5 | 4.5 | 20.7 |
| GPT-4o | 240 | 91.9 | 3.9 | 3.9 | 19.9 |"""

Chunker = Callable[[ParsedDocument], list[ChunkSpan]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Retrieved:
    """Chunk numbers, best first."""

    dense: Sequence[int]
    hybrid: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Chunked:
    """The chunks of a task's documents, numbered from 0, in an index."""

    # Name of the document, chunk.
    chunks: Sequence[tuple[str, ChunkSpan]]
    index: FaissIndex


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="chunking_eval, covidqa, financebench, aragog_pdfs")
    parser.add_argument("--cache", type=Path, required=True, help="file that keeps the vectors for another run")
    parser.add_argument("--only", type=re.compile, default=re.compile(""), help="ways of chunking whose name matches")
    parser.add_argument("--context", choices=["headings", "title", "none"], default="headings", help="before a chunk")
    arguments = parser.parse_args()
    embedder = CachedEmbedder(make_embedder(load_settings(log_level="error")), arguments.cache)
    chunkers = {name: run for name, run in all_chunkers(embedder).items() if arguments.only.search(name)}
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for folder in arguments.folders:
        task = load_task(folder)
        console.print(f"\n{task.name}: {len(task.documents)} documents, {len(task.questions)} questions\n")
        is_exact = not any(question.words for question in task.questions)
        columns = _EXACT if is_exact else _PLACES
        console.print(f"| Chunking | Chunks | Tokens | {' | '.join(columns)} |\n|---|{'---|' * (2 + len(columns))}")
        for name, chunker in chunkers.items():
            chunked = index_chunks(task, chunker, embedder, context=arguments.context)
            found = retrieve(task, chunked, embedder)
            values = (exact_scores if is_exact else place_scores)(task, chunked, found)
            tokens = fmean(span.tokens for _, span in chunked.chunks)
            cells = " | ".join(f"{100 * value:.1f}" for value in values)
            console.print(f"| {name} | {len(chunked.chunks)} | {tokens:.0f} | {cells} |")
    console.print(f"\nPublished, with text-embedding-3-large, on all five corpora:\n\n{_PUBLISHED}")


def all_chunkers(embedder: Embedder) -> dict[str, Chunker]:
    """Return the ways that are compared, by name."""

    def ours(strategy: Strategy) -> Chunker:
        return lambda document: list(chunk(document, strategy, embedder.token_spans))

    def other(spans: Callable[[Measured], Iterator[Span]]) -> Chunker:
        def run(document: ParsedDocument) -> list[ChunkSpan]:
            text = measured(document.text, embedder.token_spans)
            return [_placed(document, text, span) for span in spans(text)]

        return run

    ways: dict[str, Chunker] = {}
    for size, overlap in ((200, 0), (200, 100), (400, 0), (400, 200), (800, 0), (800, 400)):
        ways[f"fixed {size}/{overlap}"] = ours(StaticStrategy(max_tokens=size, overlap_tokens=overlap))
    for size, overlap in ((200, 0), (400, 0), (400, 200), (800, 400)):
        ways[f"recursive {size}/{overlap}"] = other(partial(recursive, size=size, overlap=overlap))
    for size in (200, 400):
        ways[f"sentences {size}"] = other(partial(sentences, size=size))
    for size in (200, 400):
        ways[f"cluster {size}"] = other(partial(cluster_semantic, size=size, embed=embedder.embed_documents))
    for size in _AUTO_SIZES:
        ways[f"auto {size}"] = ours(AutoStrategy(max_tokens=size))
    return ways


def _placed(document: ParsedDocument, text: Measured, span: Span) -> ChunkSpan:
    at = _element_at(document.elements, span[0])
    return ChunkSpan(
        start=span[0],
        end=span[1],
        tokens=text.tokens(*span),
        headings=at.headings,
        table_header="",
        page=at.page,
        box=None,
    )


def _element_at(elements: Sequence[Element], position: int) -> Element:
    return next((element for element in reversed(elements) if element.start <= position), elements[0])


# --- retrieval --------------------------------------------------------------------------------------------------------


def index_chunks(task: Task, chunker: Chunker, embedder: Embedder, *, context: str) -> Chunked:
    """Chunk, embed and index every document as the product does.

    `context`: what stands before a chunk: title and `headings` as in the product, the `title` alone, or `none`.
    """
    chunks: list[tuple[str, ChunkSpan]] = []
    index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
    for number, (name, document) in enumerate(task.documents.items(), start=1):
        spans = chunker(document)
        title = "" if context == "none" else document.title or name
        placed = spans if context == "headings" else [replace(span, headings=(), table_header="") for span in spans]
        contexts = [
            context_of(title, span, embedder.token_spans, max_tokens=WINDOW_TOKENS // 3) if title else ""
            for span in placed
        ]
        texts = [document.text[span.start : span.end] for span in spans]
        windows = [window_texts(embedder, c, t) or [c] for c, t in zip(contexts, texts, strict=True)]
        ids = np.arange(len(chunks), len(chunks) + len(spans), dtype=np.int64)
        indexed = IndexedDocument(
            document_id=number,
            vector_store_id=_STORE,
            attributes={},
            chunk_ids=ids,
            texts=[f"{c}\n{t}" for c, t in zip(contexts, texts, strict=True)],
            vectors=embedder.embed_documents([w for group in windows for w in group]).astype(np.float16),
            window_chunk_ids=np.repeat(ids, [len(group) for group in windows]),
        )
        index.apply([DocumentChange(seq=number, document_id=number, document=indexed)])
        chunks += [(name, span) for span in spans]
    return Chunked(chunks=chunks, index=index)


def retrieve(task: Task, chunked: Chunked, embedder: Embedder) -> list[Retrieved]:
    """Return what each question finds."""
    texts = [question.text for question in task.questions]
    found = []
    for text, vector in zip(texts, embedder.embed_queries(texts), strict=True):
        dense = chunked.index.search_dense(vector, limit=CANDIDATES, scope=search_scope())
        lexical = chunked.index.search_lexical(text, limit=CANDIDATES, scope=search_scope())
        fused = fuse_normalized(dense, lexical, dense_weight=0.5)
        found.append(Retrieved(dense=[hit.chunk_id for hit in dense], hybrid=[hit.chunk_id for hit in fused]))
    return found


# --- scores -----------------------------------------------------------------------------------------------------------

_EXACT: Final = (
    "dense recall",
    "precision",
    "IoU",
    "hybrid recall",
    "precision",
    "IoU",
    f"hybrid recall in {_BUDGET_TOKENS} tokens",
    "precision Ω",
)
_PLACES: Final = (
    "dense place recall",
    "evidence words",
    "hybrid place recall",
    "evidence words",
    f"evidence words in {_BUDGET_TOKENS} tokens",
)


def exact_scores(task: Task, chunked: Chunked, found: Sequence[Retrieved]) -> list[float]:
    """Return means over the questions, in the order of the columns for tasks with exact offsets."""
    by_document: Mapping[str, list[Span]] = {name: [] for name in task.documents}
    for name, span in chunked.chunks:
        by_document[name].append((span.start, span.end))
    rows = []
    for question, retrieved in zip(task.questions, found, strict=True):
        row: list[float] = []
        for ranked in (retrieved.dense, retrieved.hybrid):
            inside, elsewhere = _split(question, chunked, ranked[:_TOP])
            coverage = cover(question.gold, inside, elsewhere=elsewhere)
            row += [coverage.recall, coverage.precision, coverage.iou]
        inside, _ = _split(question, chunked, ranked, budget=_BUDGET_TOKENS)
        row += [cover(question.gold, inside).recall, precision_omega(question.gold, by_document[question.document])]
        rows.append(row)
    return [fmean(column) for column in zip(*rows, strict=True)]


def place_scores(task: Task, chunked: Chunked, found: Sequence[Retrieved]) -> list[float]:
    """Return means over the questions, in the order of the columns for tasks whose evidence is a page or a paper.

    Place recall: share of the places that a chunk of the first five touches. Evidence words: share of the distinct
    words of the evidence that the retrieved text holds, of what it holds in those places.
    """
    rows = []
    for question, retrieved in zip(task.questions, found, strict=True):
        row: list[float] = []
        for ranked in (retrieved.dense, retrieved.hybrid):
            inside, _ = _split(question, chunked, ranked[:_TOP])
            row.append(fmean(bool(intersect([place], inside)) for place in question.gold))
            row.append(_word_recall(task, question, inside))
        inside, _ = _split(question, chunked, ranked, budget=_BUDGET_TOKENS)
        rows.append([*row, _word_recall(task, question, inside)])
    return [fmean(column) for column in zip(*rows, strict=True)]


def _word_recall(task: Task, question: Question, inside: Sequence[Span]) -> float:
    text = task.documents[question.document].text
    read = " ".join(text[start:end] for start, end in intersect(question.gold, inside))
    return len(question.words & words_of(read)) / len(question.words)


def _split(
    question: Question, chunked: Chunked, ranked: Sequence[int], *, budget: int | None = None
) -> tuple[list[Span], int]:
    """Return the ranked chunks of the question's document, and how many characters the others have.

    With a budget the chunk that goes beyond it counts by the share that fits.
    """
    inside: list[Span] = []
    elsewhere = 0
    for number in ranked:
        name, span = chunked.chunks[number]
        share = 1.0 if budget is None else min(1.0, max(0.0, budget / span.tokens))
        end = span.start + round(share * (span.end - span.start))
        if name == question.document:
            inside.append((span.start, end))
        else:
            elsewhere += end - span.start
        if budget is not None:
            budget -= span.tokens
            if budget <= 0:
                break
    return inside, elsewhere


if __name__ == "__main__":
    main()

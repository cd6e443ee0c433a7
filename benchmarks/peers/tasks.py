"""What is ingested and asked: documents as files, queries, and which documents answer them."""

import gzip
import json
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ir_measures
from ir_measures import nDCG

from benchmarks.peers.systems import ROOT
from evaluation.collections import load_collection
from evaluation.questions import load_questions

# Development sets of the ranking comparison, as folders of the evaluation data.
COLLECTIONS: Final = ("nq_open", "scifact", "codebase_rag", "financebench", "covidqa")
# The project's own documents and questions.
SAMPLE: Final = "data/sample"
# Paragraphs without questions, which make a collection as large as the measurement of speed wants it.
_POOL: Final = "pool_wikipedia"
# Queries of a collection at most; more add minutes and no certainty.
_MAX_QUERIES: Final = 500
_SEED: Final = 5
_NOT_IN_A_NAME: Final = re.compile(r"[^\w.,()&+-]+")
_MAX_NAME_CHARS: Final = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    name: str
    # Folder of documents.
    documents: Path
    # Query id → text.
    queries: Mapping[str, str]
    # Query id → path of a document below the folder → grade above 0.
    qrels: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    id: str
    title: str
    text: str


def sample_task() -> Task:
    """Return the documents and questions that come with the project."""
    questions = [
        question for question in load_questions(ROOT / "data" / "gold" / "questions.jsonl") if question.is_answerable
    ]
    return Task(
        name=SAMPLE,
        documents=ROOT / "data" / "sample",
        queries={question.id: question.text for question in questions},
        qrels={question.id: dict.fromkeys(question.documents, 1) for question in questions},
    )


def collection_task(folder: Path, target: Path, *, passages: int, per_file: int = 1) -> Task:
    """Write a judged collection to `target`: a text file per passage, or Markdown files of `per_file` passages.

    All judged passages, then a sample of the others of this collection, then of the pool beside it, up to `passages`
    in all. Raises InvalidRequest for a file that is missing.
    """
    collection = load_collection(folder)
    judged = {passage_id for grades in collection.qrels.values() for passage_id in grades}
    chosen = _sampled(read_passages(folder), judged, passages)
    if len(chosen) < passages and (folder.parent / _POOL).is_dir() and folder.name == COLLECTIONS[0]:
        chosen += _sampled(read_passages(folder.parent / _POOL), frozenset(), passages - len(chosen))
    paths = write_passages(chosen, target) if per_file == 1 else write_files(chosen, target, per_file=per_file)
    queries = random.Random(_SEED).sample(sorted(collection.queries), min(len(collection.queries), _MAX_QUERIES))
    return Task(
        name=folder.name,
        documents=target,
        queries={query_id: collection.queries[query_id] for query_id in queries},
        qrels={query_id: _by_file(collection.qrels[query_id], paths) for query_id in queries},
    )


def read_passages(folder: Path) -> list[Passage]:
    """Return the passages of a folder in the BEIR layout, each text once."""
    plain, zipped = folder / "corpus.jsonl", folder / "corpus.jsonl.gz"
    passages: dict[str, Passage] = {}
    with plain.open(encoding="utf-8") if plain.exists() else gzip.open(zipped, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            passages[row["_id"]] = Passage(id=row["_id"], title=row.get("title") or "", text=row["text"])
    return list(passages.values())


def _sampled(passages: Sequence[Passage], judged: frozenset[str] | set[str], limit: int) -> list[Passage]:
    """Return all judged passages and, up to `limit` in all, a sample of the others; texts that repeat are left out."""
    kept = [passage for passage in passages if passage.id in judged]
    seen = {passage.text for passage in kept}
    others = [passage for passage in passages if passage.id not in judged]
    random.Random(_SEED).shuffle(others)
    for passage in others:
        if len(kept) >= limit:
            break
        if passage.text not in seen:
            seen.add(passage.text)
            kept.append(passage)
    return kept


def write_passages(passages: Sequence[Passage], target: Path) -> dict[str, str]:
    """Write one text file per passage; return their paths below `target`, by passage id.

    A file is named by its title, or by a number; those that share a name lie in folders of their own.
    """
    names: Counter[str] = Counter()
    paths: dict[str, str] = {}
    for number, passage in enumerate(passages):
        name = _NOT_IN_A_NAME.sub(" ", passage.title).strip(" .")[:_MAX_NAME_CHARS].strip() or str(number)
        path = Path(f"{names[name.lower()]:03}") / f"{name}.txt"
        names[name.lower()] += 1
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_text(passage.text, encoding="utf-8")
        paths[passage.id] = path.as_posix()
    return paths


def write_files(passages: Sequence[Passage], target: Path, *, per_file: int) -> dict[str, str]:
    """Write Markdown files of `per_file` passages, each under its title; return their paths by passage id."""
    target.mkdir(parents=True, exist_ok=True)
    paths: dict[str, str] = {}
    for first in range(0, len(passages), per_file):
        group = passages[first : first + per_file]
        path = f"{first // per_file:04}.md"
        sections = [f"# {' '.join(passage.title.split()) or passage.id}\n\n{passage.text}\n" for passage in group]
        (target / path).write_text("\n".join(sections), encoding="utf-8")
        paths.update(dict.fromkeys((passage.id for passage in group), path))
    return paths


def _by_file(grades: Mapping[str, int], paths: Mapping[str, str]) -> dict[str, int]:
    """A file is as relevant as its best passage."""
    by_file: dict[str, int] = {}
    for passage_id, grade in grades.items():
        path = paths[passage_id]
        by_file[path] = max(grade, by_file.get(path, 0))
    return by_file


def documents_of(chunk_ids: Sequence[int], document_by_chunk: Mapping[int, str]) -> list[str]:
    """Return the documents of ranked chunks, each at the place of its best chunk."""
    return list(dict.fromkeys(document_by_chunk[chunk_id] for chunk_id in chunk_ids))


def ndcg(task: Task, ranked: Mapping[str, Sequence[str]]) -> float:
    """Return nDCG@10 over all queries of the task; `ranked` has documents by query id, best first."""
    run = {query_id: {path: -float(rank) for rank, path in enumerate(paths)} for query_id, paths in ranked.items()}
    qrels = {query_id: dict(grades) for query_id, grades in task.qrels.items()}
    return float(ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10])

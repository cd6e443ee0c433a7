"""Judged collections in the BEIR layout: corpus.jsonl, queries.jsonl, qrels/test.tsv; plain or gzipped."""

import csv
import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from catalog.errors import InvalidRequest
from evaluation.matching import holds
from evaluation.questions import Question

_UNSAFE: Final = re.compile(r"[^\w.-]+")
_SEED: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """Passages, queries and judgements, by id."""

    name: str
    # Title, a line end, text.
    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    # query id → passage id → grade above 0.
    qrels: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerSet:
    """A collection whose queries carry accepted answers, as documents and questions about them."""

    name: str
    # File name → text, one document for each passage.
    documents: Mapping[str, str]
    questions: list[Question]


def load_collection(folder: Path) -> Collection:
    """Read a folder. Queries without a judgement are left out. Raises InvalidRequest for a file that is missing."""
    qrels = _qrels(folder)
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl") if row["_id"] in qrels}
    return Collection(name=folder.name, corpus=load_corpus(folder), queries=queries, qrels=qrels)


def load_parts(folder: Path, *, pool: Path | None = None) -> list[Collection]:
    """Read a folder as its parts: one, or one for each language (`lang`) of its queries.

    A language's corpus is the passages that state the same language; where the passages state none, it is all of them.
    `pool`: a folder whose corpus is added to each corpus, as passages that are relevant to no query.
    Raises InvalidRequest as `load_collection` does, and for a passage id that corpus and pool share.
    """
    whole = load_collection(folder)
    distractors = load_corpus(pool) if pool else {}
    if shared := whole.corpus.keys() & distractors.keys():
        raise InvalidRequest(f"{str(folder)!r} and the pool {str(pool)!r} both have a passage {min(shared)!r}.")
    name = f"{whole.name}+pool" if pool else whole.name
    spoken = {row["_id"]: row.get("lang") for row in _rows(folder / "queries.jsonl") if row["_id"] in whole.queries}
    languages = list(dict.fromkeys(language for language in spoken.values() if language))
    if len(languages) < 2:
        return [_part(whole, name, {**whole.corpus, **distractors}, list(whole.queries))]
    written = {row["_id"]: row.get("lang") for row in _rows(folder / "corpus.jsonl")}
    return [
        _part(
            whole,
            f"{name}:{language}",
            {i: text for i, text in whole.corpus.items() if written[i] in {None, language}} | distractors,
            [query_id for query_id, spoken_language in spoken.items() if spoken_language == language],
        )
        for language in languages
    ]


def load_answer_set(folder: Path, *, pool: Path | None = None, sample: int | None = None) -> AnswerSet:
    """Read a folder whose queries have `answers`, as questions over documents of one passage each.

    A query with `is_impossible`, or without answers, cannot be answered. The words that answer are the accepted answers
    which stand in a relevant passage; where none does, the passage alone decides. `sample`: so many of the queries,
    drawn with a fixed seed. Raises InvalidRequest as `load_collection` does, and when no query has an answer.
    """
    qrels, corpus = _qrels(folder), load_corpus(folder)
    rows = list(_rows(folder / "queries.jsonl"))
    if not any(row.get("answers") for row in rows):
        raise InvalidRequest(f"The queries of {str(folder)!r} carry no `answers`; `footnote eval ranking` needs none.")
    if sample is not None and sample < len(rows):
        rows = random.Random(_SEED).sample(rows, sample)
    passages = corpus | (load_corpus(pool) if pool else {})
    names = {passage_id: _filename(n, passage_id) for n, passage_id in enumerate(passages, start=1)}
    return AnswerSet(
        name=f"{folder.name}+pool" if pool else folder.name,
        documents={names[passage_id]: text.replace("\n", "\n\n", 1) for passage_id, text in passages.items()},
        questions=[_question(row, corpus, qrels.get(row["_id"], {}), names) for row in rows],
    )


def files_of(folder: Path) -> list[Path]:
    """Return the files that decide what a collection asks and what answers it."""
    return sorted([*folder.glob("corpus.jsonl*"), *folder.glob("queries.jsonl*"), *folder.glob("qrels/test.tsv")])


def _part(whole: Collection, name: str, corpus: Mapping[str, str], query_ids: list[str]) -> Collection:
    return Collection(
        name=name,
        corpus=corpus,
        queries={query_id: whole.queries[query_id] for query_id in query_ids},
        qrels={query_id: whole.qrels[query_id] for query_id in query_ids},
    )


def _question(
    row: Mapping[str, Any], corpus: Mapping[str, str], relevant: Mapping[str, int], names: Mapping[str, str]
) -> Question:
    answers = [] if row.get("is_impossible") else list(dict.fromkeys(row.get("answers") or []))
    documents = [passage_id for passage_id in relevant if passage_id in corpus] if answers else []
    return Question(
        id=row["_id"],
        text=row["text"],
        answers=answers,
        documents=[names[passage_id] for passage_id in documents],
        quotes=[answer for answer in answers if any(holds(corpus[passage_id], answer) for passage_id in documents)],
        kind=row.get("lang") or ("answerable" if answers else "unanswerable"),
    )


def _filename(number: int, passage_id: str) -> str:
    """The number keeps names apart that are equal without their odd characters."""
    return f"{_UNSAFE.sub('-', passage_id)[:80]}-{number}.txt"


def _qrels(folder: Path) -> dict[str, dict[str, int]]:
    qrels: dict[str, dict[str, int]] = {}
    with _open(folder / "qrels" / "test.tsv") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if int(row["score"]) > 0:
                qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return qrels


def load_corpus(folder: Path) -> dict[str, str]:
    """Read the passages of a folder, by id: title, a line end, text. Raises InvalidRequest for a missing file."""
    return {row["_id"]: f"{row.get('title') or ''}\n{row['text']}".strip() for row in _rows(folder / "corpus.jsonl")}


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with _open(path) as lines:
        for line in lines:
            yield json.loads(line)


def _open(path: Path) -> IO[str]:
    zipped = path.with_name(path.name + ".gz")
    if path.exists():
        return path.open(encoding="utf-8")
    if zipped.exists():
        return gzip.open(zipped, "rt", encoding="utf-8")
    raise InvalidRequest(f"{str(path)!r} is missing; a judged collection needs it.")

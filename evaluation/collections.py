"""Judged collections in the BEIR layout: corpus.jsonl, queries.jsonl, qrels/test.tsv; plain or gzipped."""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from catalog.errors import InvalidRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """Passages, queries and judgements, by id."""

    name: str
    # Title, a line end, text.
    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    # query id → passage id → grade above 0.
    qrels: Mapping[str, Mapping[str, int]]


def load_collection(folder: Path) -> Collection:
    """Read a folder. Queries without a judgement are left out. Raises InvalidRequest for a file that is missing."""
    qrels: dict[str, dict[str, int]] = {}
    with _open(folder / "qrels" / "test.tsv") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if int(row["score"]) > 0:
                qrels.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    corpus = {row["_id"]: _passage(row) for row in _rows(folder / "corpus.jsonl")}
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl") if row["_id"] in qrels}
    return Collection(name=folder.name, corpus=corpus, queries=queries, qrels=qrels)


def load_parts(folder: Path, *, pool: Path | None = None) -> list[Collection]:
    """Read a folder as its parts: one, or one for each language (`lang`) of its queries.

    A language's corpus is the passages that state the same language; where the passages state none, it is all of them.
    `pool`: a folder whose corpus is added to each corpus, as passages that are relevant to no query.
    Raises InvalidRequest as `load_collection` does.
    """
    whole = load_collection(folder)
    name = f"{whole.name}+pool" if pool else whole.name
    distractors = {row["_id"]: _passage(row) for row in _rows(pool / "corpus.jsonl")} if pool else {}
    written = {row["_id"]: row.get("lang") for row in _rows(folder / "corpus.jsonl")}
    spoken: dict[str | None, list[str]] = {}
    for row in _rows(folder / "queries.jsonl"):
        if row["_id"] in whole.qrels:
            spoken.setdefault(row.get("lang"), []).append(row["_id"])
    return [
        Collection(
            name=f"{name}:{language}" if len(spoken) > 1 else name,
            corpus={i: text for i, text in whole.corpus.items() if len(spoken) == 1 or written[i] in {None, language}}
            | distractors,
            queries={query_id: whole.queries[query_id] for query_id in query_ids},
            qrels={query_id: whole.qrels[query_id] for query_id in query_ids},
        )
        for language, query_ids in spoken.items()
    ]


def _passage(row: Mapping[str, Any]) -> str:
    return f"{row.get('title') or ''}\n{row['text']}".strip()


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

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
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl") if row["_id"] in qrels}
    return Collection(name=folder.name, corpus=load_corpus(folder), queries=queries, qrels=qrels)


def load_corpus(folder: Path) -> dict[str, str]:
    """Read the passages of a folder, by id: title, a line end, text. Raises InvalidRequest for a file that is missing."""
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

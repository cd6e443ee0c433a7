"""Lexical search on SQLite's FTS5, as Footnote had it first: what the index of today is measured against."""

import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from catalog.feed import DocumentChange
from retrieval.analysis import index_terms
from retrieval.indexes.base import Hit
from retrieval.query_terms import query_terms

_SCHEMA: Final = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS passages (chunk_id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS passages_of_document ON passages (document_id);
CREATE VIRTUAL TABLE IF NOT EXISTS postings USING fts5 (
    terms, tokenize = "unicode61 remove_diacritics 0 categories 'L* N* M* Co' tokenchars '-_./''+#'"
);
CREATE VIRTUAL TABLE IF NOT EXISTS vocabulary USING fts5vocab (postings, row);
"""
_SEARCH: Final = "SELECT rowid, -bm25(postings) AS score FROM postings WHERE postings MATCH ?"
# The plus sign keeps FTS5 from running the whole query once for each row number of the list.
_IN_DOCUMENTS: Final = (
    " AND +rowid IN (SELECT chunk_id FROM passages WHERE document_id IN (SELECT value FROM json_each(?)))"
)


class Fts5Index:
    """BM25 over passages, with every change in a transaction of its own."""

    def __init__(self, path: Path, *, frequent: float = 1.0) -> None:
        """`frequent`: terms that more than this share of the passages hold are left out where others are rarer."""
        path.mkdir(parents=True, exist_ok=True)
        self._frequent = frequent
        self._connection = sqlite3.connect(path / "lexical.sqlite", isolation_level=None)
        self._connection.executescript(_SCHEMA)

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for change in changes:
            if change.document is None:
                chosen = "SELECT chunk_id FROM passages WHERE document_id = ?"
                connection.execute(f"DELETE FROM postings WHERE rowid IN ({chosen})", (change.document_id,))
                connection.execute("DELETE FROM passages WHERE document_id = ?", (change.document_id,))
                continue
            chunk_ids = change.document.chunk_ids.tolist()
            rows = [(i, " ".join(index_terms(text))) for i, text in zip(chunk_ids, change.document.texts, strict=True)]
            connection.executemany("INSERT INTO passages VALUES (?, ?)", [(i, change.document_id) for i in chunk_ids])
            connection.executemany("INSERT INTO postings (rowid, terms) VALUES (?, ?)", rows)
        connection.execute("COMMIT")

    def search(self, query: str, *, limit: int, document_ids: Collection[int] | None) -> list[Hit]:
        wanted = list(self._rarer(query_terms(query)))
        if not wanted:
            return []
        sql, values = _SEARCH, [" OR ".join(f'"{term}"' for term in wanted)]
        if document_ids is not None:
            sql += _IN_DOCUMENTS
            values.append(json.dumps(sorted(document_ids)))
        rows = self._connection.execute(f"{sql} ORDER BY score DESC, rowid LIMIT ?", (*values, limit)).fetchall()
        return [Hit(chunk_id=chunk_id, score=score) for chunk_id, score in rows]

    def flush(self) -> None:
        """Every change is on disk already."""

    def close(self) -> None:
        self._connection.close()

    def _rarer(self, wanted: Sequence[str]) -> Iterator[str]:
        if self._frequent >= 1.0:
            yield from wanted
            return
        (passages,) = self._connection.execute("SELECT max(rowid) FROM passages").fetchone()
        marks = ", ".join("?" * len(wanted))
        found = self._connection.execute(f"SELECT term, doc FROM vocabulary WHERE term IN ({marks})", wanted)
        holders: dict[str, int] = dict(found.fetchall())
        few = [term for term in wanted if 0 < holders.get(term, 0) <= self._frequent * passages]
        yield from few or [term for term in wanted if term in holders]

"""Lexical search on SQLite's FTS5: one file, shared by the processes of a machine, caught up from the change feed."""

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from catalog.errors import ServiceUnavailable
from catalog.feed import DocumentChange, IndexedDocument
from retrieval.analysis import terms
from retrieval.indexes.base import Hit

_BUSY_TIMEOUT_S: Final = 30.0
# `terms` did the folding and cutting. FTS5 only has to cut at blanks: its token characters are letters, numbers and
# marks of every script, and the joints of part numbers.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0);
CREATE TABLE IF NOT EXISTS passages (chunk_id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS passages_of_document ON passages (document_id);
CREATE VIRTUAL TABLE IF NOT EXISTS postings USING fts5 (
    terms, tokenize = "unicode61 remove_diacritics 0 categories 'L* N* M* Co' tokenchars '-_./''+#'"
);
"""
# More distinct terms than this in a question add cost and no sense.
_MAX_QUERY_TERMS: Final = 256


class LexicalIndex:
    """BM25 over passages. Every change of the postings commits together with the position that it brings them to.

    Several processes may hold the same file: the first one to see a change writes it, the others find it done.
    """

    def __init__(self, path: Path | None) -> None:
        """`path`: the file, made when missing; None keeps the index in memory."""
        self._path = path
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        # A connection to a memory database is the database: all threads share it, one at a time.
        self._shared = threading.RLock()
        self._memory = None if path else self._connect()
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            connection.executescript(_SCHEMA)

    @property
    def position(self) -> int:
        with self._connection() as connection:
            return int(connection.execute("SELECT position FROM state").fetchone()[0])

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        """Add and remove passages; changes at or before `position` are skipped."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                position = connection.execute("SELECT position FROM state").fetchone()[0]
                for change in changes:
                    if change.seq > position:
                        self._apply_one(connection, change)
                        position = change.seq
                connection.execute("UPDATE state SET position = ?", (position,))
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def _apply_one(self, connection: sqlite3.Connection, change: DocumentChange) -> None:
        known = connection.execute("SELECT 1 FROM passages WHERE document_id = ? LIMIT 1", (change.document_id,))
        is_known = known.fetchone() is not None
        if change.document is None and is_known:
            of_document = "SELECT chunk_id FROM passages WHERE document_id = ?"
            connection.execute(f"DELETE FROM postings WHERE rowid IN ({of_document})", (change.document_id,))
            connection.execute("DELETE FROM passages WHERE document_id = ?", (change.document_id,))
        elif change.document is not None and not is_known:
            _insert(connection, change.document)

    def search(self, query: str, *, limit: int, document_ids: Collection[int] | None) -> list[Hit]:
        """Return at most `limit` passages, best first; ties by chunk id. `document_ids` None means all documents."""
        wanted = list(dict.fromkeys(terms(query)))[:_MAX_QUERY_TERMS]
        if not wanted or (document_ids is not None and not document_ids):
            return []
        match = " OR ".join(f'"{term}"' for term in wanted)
        sql, values = "SELECT rowid, -bm25(postings) AS score FROM postings WHERE postings MATCH ?", [match]
        if document_ids is not None:
            sql += " AND rowid IN (SELECT chunk_id FROM passages WHERE document_id IN (SELECT value FROM json_each(?)))"
            values.append(json.dumps(sorted(document_ids)))
        with self._connection() as connection:
            rows = connection.execute(f"{sql} ORDER BY score DESC, rowid LIMIT ?", (*values, limit)).fetchall()
        return [Hit(chunk_id=chunk_id, score=score) for chunk_id, score in rows]

    def clear(self) -> None:
        """Remove everything and begin again at position 0."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in ("postings", "passages"):
                connection.execute(f"DELETE FROM {table}")
            connection.execute("UPDATE state SET position = 0")
            connection.execute("COMMIT")

    def document_ids(self) -> set[int]:
        """Return the documents that have passages here."""
        with self._connection() as connection:
            return {row[0] for row in connection.execute("SELECT DISTINCT document_id FROM passages")}

    def close(self) -> None:
        with self._shared:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._memory is not None:
                with self._shared:
                    yield self._memory
                return
            if not hasattr(self._local, "connection"):
                self._local.connection = self._connect()
            yield self._local.connection
        except sqlite3.OperationalError as error:
            raise ServiceUnavailable(f"The lexical index {self._path} does not answer: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path or ":memory:", timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        # NORMAL: a power cut may lose the newest changes here, together with their position; they are applied again.
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
        with self._shared:
            self._connections.append(connection)
        return connection


def _insert(connection: sqlite3.Connection, document: IndexedDocument) -> None:
    chunk_ids = document.chunk_ids.tolist()
    connection.executemany(
        "INSERT INTO passages (chunk_id, document_id) VALUES (?, ?)", [(i, document.document_id) for i in chunk_ids]
    )
    connection.executemany(
        "INSERT INTO postings (rowid, terms) VALUES (?, ?)",
        [(i, " ".join(terms(text))) for i, text in zip(chunk_ids, document.texts, strict=True)],
    )

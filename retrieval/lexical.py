"""Lexical search on SQLite's FTS5: one file, shared by the processes of a machine, caught up from the change feed."""

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
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
# `removed` names documents that are gone while passages of theirs are left, with the change that says so.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), position INTEGER NOT NULL);
INSERT OR IGNORE INTO state VALUES (1, 0);
CREATE TABLE IF NOT EXISTS passages (chunk_id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS passages_of_document ON passages (document_id);
CREATE TABLE IF NOT EXISTS removed (document_id INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS postings USING fts5 (
    terms, tokenize = "unicode61 remove_diacritics 0 categories 'L* N* M* Co' tokenchars '-_./''+#'"
);
"""
# The plus signs keep FTS5 from running the whole query once for each row number of a list: with 21,000 passages in
# scope that took 45 s instead of 34 ms.
_SEARCH: Final = """
SELECT rowid, -bm25(postings) AS score FROM postings WHERE postings MATCH ?
AND +rowid NOT IN (SELECT chunk_id FROM passages WHERE document_id IN (SELECT document_id FROM removed))
"""
_IN_DOCUMENTS: Final = """
AND +rowid IN (SELECT chunk_id FROM passages WHERE document_id IN (SELECT value FROM json_each(?)))
"""
# More distinct terms than this in a question add cost and no sense.
_MAX_QUERY_TERMS: Final = 256
# Pages that one step of merging writes: measured, 30 ms at most.
_MERGE_PAGES: Final = 100


class LexicalIndex:
    """BM25 over passages. Every change of the postings commits together with the position that it brings them to.

    Several processes may hold the same file: the first one to see a change writes it, the others find it done.

    A removed document is out of every search with the change that removes it; its postings go later, by `purge`. Until
    then they still count in the statistics of BM25.
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
        with self.connection() as connection:
            connection.executescript(_SCHEMA)

    @property
    def position(self) -> int:
        with self.connection() as connection:
            return int(connection.execute("SELECT position FROM state").fetchone()[0])

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        """Add and remove passages; changes at or before `position` are skipped."""
        with self._transaction() as connection:
            position = connection.execute("SELECT position FROM state").fetchone()[0]
            for change in changes:
                if change.seq > position:
                    _apply_one(connection, change)
                    position = change.seq
            connection.execute("UPDATE state SET position = ?", (position,))

    def remove_early(self, removals: Mapping[int, int]) -> None:
        """Remove documents before their turn: `removals` maps each to the number of the change that removes it.

        None of them comes back, also when another process is just about to apply its publication.
        """
        with self._transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO removed VALUES (?, ?)", list(removals.items()))

    def purge(self, limit: int) -> int:
        """Delete at most `limit` passages of removed documents, in one short transaction; return how many it were."""
        with self.connection() as connection:
            if connection.execute("SELECT 1 FROM removed LIMIT 1").fetchone() is None:
                return 0
        with self._transaction() as connection:
            passages = connection.execute(
                "SELECT chunk_id FROM passages WHERE document_id IN (SELECT document_id FROM removed) LIMIT ?", (limit,)
            ).fetchall()
            connection.executemany("DELETE FROM postings WHERE rowid = ?", passages)
            connection.executemany("DELETE FROM passages WHERE chunk_id = ?", passages)
            connection.execute(
                "DELETE FROM removed WHERE seq <= (SELECT position FROM state) "
                "AND NOT EXISTS (SELECT 1 FROM passages WHERE passages.document_id = removed.document_id)"
            )
        return len(passages)

    def merge(self) -> Iterator[None]:
        """Merge all segments into one, which no term of a purged passage gets into; yield after each short step."""
        pages = -_MERGE_PAGES
        while True:
            with self.connection() as connection:
                before = connection.total_changes
                connection.execute("INSERT INTO postings (postings, rank) VALUES ('merge', ?)", (pages,))
                # FTS5 counts at least 2 for a step that did something.
                if pages > 0 and connection.total_changes - before < 2:
                    return
            pages = _MERGE_PAGES
            yield

    def search(self, query: str, *, limit: int, document_ids: Collection[int] | None) -> list[Hit]:
        """Return at most `limit` passages, best first; ties by chunk id. `document_ids` None means all documents."""
        wanted = list(dict.fromkeys(terms(query)))[:_MAX_QUERY_TERMS]
        if not wanted or (document_ids is not None and not document_ids):
            return []
        sql, values = _SEARCH, [" OR ".join(f'"{term}"' for term in wanted)]
        if document_ids is not None:
            sql += _IN_DOCUMENTS
            values.append(json.dumps(sorted(document_ids)))
        with self.connection() as connection:
            rows = connection.execute(f"{sql} ORDER BY score DESC, rowid LIMIT ?", (*values, limit)).fetchall()
        return [Hit(chunk_id=chunk_id, score=score) for chunk_id, score in rows]

    def clear(self) -> None:
        """Remove everything and begin again at position 0."""
        with self._transaction() as connection:
            for table in ("postings", "passages", "removed"):
                connection.execute(f"DELETE FROM {table}")
            connection.execute("UPDATE state SET position = 0")

    def passage_counts(self) -> dict[int, int]:
        """Return how many passages searches can find of each document that has any."""
        with self.connection() as connection:
            return dict(
                connection.execute(
                    "SELECT document_id, count(*) FROM passages "
                    "WHERE document_id NOT IN (SELECT document_id FROM removed) GROUP BY document_id"
                )
            )

    def unmatched(self) -> tuple[int, int]:
        """Return how many passages have no postings, and how many postings belong to no passage; 0 and 0 when sound."""
        with self.connection() as connection:
            lacking, orphaned = connection.execute(
                "SELECT (SELECT count(*) FROM passages WHERE chunk_id NOT IN (SELECT id FROM postings_docsize)), "
                "(SELECT count(*) FROM postings_docsize WHERE id NOT IN (SELECT chunk_id FROM passages))"
            ).fetchone()
        return int(lacking), int(orphaned)

    def close(self) -> None:
        with self._shared:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend this thread's connection. Raises ServiceUnavailable when the file cannot be read or written."""
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

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self.connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                # A full disk has ended it already.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path or ":memory:", timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        # NORMAL: a power cut may lose the newest changes here, together with their position; they are applied again.
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = FAST;")
        with self._shared:
            self._connections.append(connection)
        return connection


def _apply_one(connection: sqlite3.Connection, change: DocumentChange) -> None:
    number, document = change.document_id, change.document
    is_known = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM passages WHERE document_id = :number) "
        "OR EXISTS (SELECT 1 FROM removed WHERE document_id = :number)",
        {"number": number},
    ).fetchone()[0]
    if document is None and is_known:
        connection.execute("INSERT OR REPLACE INTO removed VALUES (?, ?)", (number, change.seq))
    elif document is not None and not is_known:
        _insert(connection, document)


def _insert(connection: sqlite3.Connection, document: IndexedDocument) -> None:
    chunk_ids = document.chunk_ids.tolist()
    connection.executemany(
        "INSERT INTO passages (chunk_id, document_id) VALUES (?, ?)", [(i, document.document_id) for i in chunk_ids]
    )
    connection.executemany(
        "INSERT INTO postings (rowid, terms) VALUES (?, ?)",
        [(i, " ".join(terms(text))) for i, text in zip(chunk_ids, document.texts, strict=True)],
    )

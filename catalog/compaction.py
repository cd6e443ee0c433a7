"""Deleting for good: what a deletion leaves behind, and the space that it took.

Every step may be cut off at any point and done again. The service may run meanwhile.
"""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, delete, func, select, text
from sqlalchemy.exc import OperationalError

from catalog import answers, conversations, documents, files, idempotency, uploads
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.models import Base, Chunk, Document, VectorStoreFile

_RETRY_INTERVAL_S: Final = 0.05
_WAY_OUT: Final = "Run `footnote compact` again when less is going on, or with the service stopped."


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftovers:
    """How much was removed."""

    # Answer records and items of conversations that draw on files which are gone.
    answers: int
    # Documents and chunks that belong to nothing; a sound catalog has none.
    rows: int
    # Blobs that no file needs.
    blobs: int
    # Files of uploads whose process died.
    staged: int


def remove_leftovers(database: Database, blobs: BlobStore) -> Leftovers:
    """Remove what nothing refers to any more.

    A blob of any age is safe to judge: an upload names its blob and adds its row in one transaction, under the lock
    that the deletion of a blob takes. A staged upload is not: it stays for an hour, as it may still be written.
    """
    uploads.remove_fileless(database)
    said = answers.remove_orphans(database) + conversations.remove_orphans(database)
    # Behind what they speak of.
    idempotency.remove_stale(database)
    return Leftovers(
        answers=said,
        rows=_remove_orphan_rows(database),
        staged=blobs.clear_stale_staging(),
        blobs=files.sweep(database, blobs, min_age_s=0.0),
    )


def rewrite(database: Database, *, wait_s: float) -> None:
    """Give the space of deleted rows back, on SQLite with every byte of theirs; see `rewrite_sqlite`.

    PostgreSQL: a plain VACUUM makes the space of dead rows free for new ones. It neither shrinks files nor overwrites
    bytes at once, and the write-ahead log and backups keep theirs.
    """
    if database.is_sqlite:
        with closing(database.engine.raw_connection()) as connection:
            assert isinstance(connection.driver_connection, sqlite3.Connection)
            rewrite_sqlite(connection.driver_connection, wait_s=wait_s)
        return
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    try:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"VACUUM {tables}"))
    except OperationalError as error:
        raise ServiceUnavailable(f"The catalog was not vacuumed: {error.orig}") from error


def rewrite_sqlite(connection: sqlite3.Connection, *, wait_s: float) -> None:
    """Write a database in WAL mode anew, without what is deleted, and empty its log.

    Others read on meanwhile, and wait with writing. Raises ServiceUnavailable when they leave no moment for it within
    `wait_s`, and when there is no room for a second copy: then nothing is lost, and part of it may be done.
    """
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    deadline = time.monotonic() + wait_s
    busy_timeout_ms = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute(f"PRAGMA busy_timeout = {int(wait_s * 1000)}")
    try:
        connection.execute("VACUUM")
        # The log can be emptied when nobody reads a state that stands in it.
        while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() >= deadline:
                raise ServiceUnavailable(f"{path}-wal was not emptied within {wait_s:g} s: others read it. {_WAY_OUT}")
            time.sleep(_RETRY_INTERVAL_S)
    except sqlite3.OperationalError as error:
        raise ServiceUnavailable(f"{path} was not rewritten within {wait_s:g} s: {error}. {_WAY_OUT}") from error
    finally:
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms}")


def _remove_orphan_rows(database: Database) -> int:
    homeless: ColumnElement[bool] = Document.vector_store_file_id.not_in(select(VectorStoreFile.id))
    loose: ColumnElement[bool] = Chunk.document_id.not_in(select(Document.id))
    with database.read() as session:
        found = [session.scalar(select(func.count()).where(condition)) for condition in (homeless, loose)]
    if not any(found):
        return 0
    with database.write() as session:
        removed = documents.remove(database, session, homeless)
        loose_chunks = session.execute(delete(Chunk).where(loose).returning(Chunk.id)).all()
    return removed + len(loose_chunks)

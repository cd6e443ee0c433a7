"""Deleting for good, in the lexical index of this machine."""

import time
from pathlib import Path

from catalog import feed
from catalog.compaction import rewrite_sqlite
from catalog.database import Database
from retrieval.lexical import LexicalIndex
from retrieval.purging import purge


def compact_lexical(database: Database, path: Path, *, wait_s: float) -> int:
    """Remove every trace of deleted documents from the file, also where no search has followed the catalog since.

    Returns how many passages were still there. The service may run meanwhile: all but the last step come in short
    transactions, with a rest after each. Raises ServiceUnavailable when others leave no moment for the last one.
    """
    if not path.exists():
        return 0
    index = LexicalIndex(path)
    try:
        with database.read() as session:
            removals = feed.removals_after(session, index.position)
        index.remove_early(removals)
        purged = purge(index)
        started = time.monotonic()
        for _ in index.merge():
            time.sleep(time.monotonic() - started)
            started = time.monotonic()
        with index.connection() as connection:
            rewrite_sqlite(connection, wait_s=wait_s)
        return purged
    finally:
        index.close()

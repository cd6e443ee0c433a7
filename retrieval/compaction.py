"""Deleting for good, in the lexical index of this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from catalog import feed
from catalog.database import Database
from catalog.feed import DocumentChange
from retrieval.consistency import remove_predecessor
from retrieval.lexical import LexicalIndex

_BATCH_CHANGES: Final = 1000


def compact_lexical(database: Database, path: Path, *, identity: str, wait_s: float) -> int:
    """Remove every trace of deleted documents from the folder, also where no search has followed the catalog since.

    `identity`: key of the embedding model; documents without vectors of it are not indexed.
    Returns how many passages were still there. Searches go on meanwhile; where there was something to remove, the
    folder is written anew in one commit. Raises ServiceUnavailable when another process writes longer than `wait_s`.
    """
    remove_predecessor(path)
    if not path.exists():
        return 0
    index = LexicalIndex(path)
    try:
        before, deleted = index.passage_counts(), index.deleted
        # First of all, so that nobody can write a document later that is deleted by now.
        for changes in _changes(database, index.position, identity):
            index.apply(changes)
        index.flush(wait_s=wait_s)
        gone = deleted + sum(before[i] for i in before.keys() - index.passage_counts().keys())
        if gone:
            index.rewrite(_changes(database, 0, identity), wait_s=wait_s)
        index.collect_garbage(wait_s=wait_s)
        return gone
    finally:
        index.close()


def _changes(database: Database, position: int, identity: str) -> Iterator[list[DocumentChange]]:
    while True:
        with database.read() as session:
            changes = feed.changes_after(session, position, limit=_BATCH_CHANGES, identity=identity)
        if not changes:
            return
        yield changes
        position = changes[-1].seq

"""Checks that the lexical index holds the catalog's documents, and no others."""

from pathlib import Path

from sqlalchemy import select

from catalog import feed
from catalog.database import Database
from catalog.fsck import Problem
from catalog.models import Document
from retrieval.lexical import LexicalIndex


def check_lexical(database: Database, path: Path) -> list[Problem]:
    """Return what differs, as of the change that the lexical index has seen; a lag behind the catalog is no problem."""
    if not path.exists():
        return []
    index = LexicalIndex(path)
    try:
        with database.read() as session:
            indexed, position = index.document_ids(), index.position
            pending = feed.pending_ids(session, position)
            current = set(session.scalars(select(Document.id)))
    finally:
        index.close()
    missing = current - indexed - pending
    extra = indexed - current - pending
    return [
        *(
            Problem(kind="unindexed document", detail=f"document {i} is not in the lexical index")
            for i in sorted(missing)
        ),
        *(Problem(kind="orphan postings", detail=f"the lexical index holds document {i}") for i in sorted(extra)),
    ]

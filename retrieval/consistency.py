"""Checks that the lexical index holds the catalog's documents, and no others."""

import logging
from pathlib import Path

from sqlalchemy import select

from catalog import feed
from catalog.database import Database
from catalog.fsck import Problem
from catalog.models import Document
from retrieval.lexical import LexicalIndex

log = logging.getLogger(__name__)


def check_lexical(database: Database, path: Path) -> list[Problem]:
    """Return what differs, as of the change that the lexical index has seen; a lag behind the catalog is no problem."""
    if not path.exists():
        return []
    index = LexicalIndex(path)
    try:
        with database.read() as session:
            # In this order: what another process adds meanwhile then counts as pending.
            position, indexed = index.position, index.document_ids()
            pending = feed.pending_ids(session, position)
            newest, known = feed.position(session), feed.document_ids(session)
            current = set(session.scalars(select(Document.id)))
    finally:
        index.close()
    if position > newest:
        return [
            Problem(kind="foreign index", detail=f"{path} has seen change {position}; the catalog ends at {newest}")
        ]
    missing = current - indexed - pending
    extra = (indexed - current - pending) | (indexed - known)
    return [
        *(
            Problem(kind="unindexed document", detail=f"document {i} is not in the lexical index")
            for i in sorted(missing)
        ),
        *(Problem(kind="orphan postings", detail=f"the lexical index holds document {i}") for i in sorted(extra)),
    ]


def rebuild_if_foreign(database: Database, path: Path) -> None:
    """Empty a lexical index that does not belong to this catalog as it is now, for example after a backup was restored.

    Its replica then fills it again from the change feed.
    """
    problems = check_lexical(database, path)
    if problems:
        log.warning("The lexical index is built anew: %s.", problems[0].detail)
        index = LexicalIndex(path)
        index.clear()
        index.close()

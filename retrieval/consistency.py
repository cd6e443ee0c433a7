"""Checks that the lexical index holds the catalog's documents, and no others."""

import logging
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import feed
from catalog.database import Database
from catalog.fsck import Problem
from catalog.models import Document, VectorStore
from retrieval.indexes.snapshots import Snapshots
from retrieval.indexes.vectors import VectorReplica
from retrieval.lexical import LexicalIndex

log = logging.getLogger(__name__)


def check_lexical(database: Database, path: Path, *, identity: str) -> list[Problem]:
    """Return what differs, as of the change that the lexical index has seen.

    `identity`: key of the embedding model; the documents of stores with another one are not to be found either.
    A lag behind the catalog is no problem.
    """
    if not path.exists():
        return []
    index = LexicalIndex(path)
    try:
        with database.read() as session:
            # In this order: what another process adds meanwhile then counts as pending.
            position, indexed, damaged = index.position, index.passage_counts(), index.damaged_files()
            pending = feed.pending_ids(session, position)
            newest, known = feed.position(session), feed.document_ids(session)
            current = _searchable(session, identity)
    finally:
        index.close()
    if position > newest:
        return [
            Problem(kind="foreign index", detail=f"{path} has seen change {position}; the catalog ends at {newest}")
        ]
    extra = (indexed.keys() - current.keys() - pending) | (indexed.keys() - known)
    short = {i for i in current.keys() - pending if indexed.get(i, 0) != current[i]}
    return [
        *(
            Problem(
                kind="unindexed document",
                detail=f"document {i} has {indexed.get(i, 0)} of {current[i]} passages in the lexical index",
            )
            for i in sorted(short)
        ),
        *(Problem(kind="orphan postings", detail=f"the lexical index holds document {i}") for i in sorted(extra)),
        *(Problem(kind="damaged index", detail=f"{path / name} is not as it was written") for name in damaged),
    ]


def load_vectors(database: Database, snapshots: Snapshots, *, identity: str) -> VectorReplica | None:
    """Return what the snapshot holds; None when there is none that belongs to this catalog as it is now."""
    vectors = snapshots.load()
    if vectors is None:
        return None
    with database.read() as session:
        newest, pending = feed.position(session), feed.pending_ids(session, vectors.position)
        current = _searchable(session, identity).keys()
    differing = (vectors.table.known_ids() ^ current) - pending
    if vectors.position <= newest and not differing:
        return vectors
    log.warning("The snapshot of the vectors belongs to another state of the catalog and is built anew.")
    return None


def _searchable(session: Session, identity: str) -> dict[int, int]:
    """Return the documents whose vectors can be compared with a query, with how many chunks each has."""
    rows = session.execute(
        select(Document.id, Document.chunk_count)
        .join(VectorStore, VectorStore.id == Document.vector_store_id)
        .where(VectorStore.embedding_identity == identity)
    )
    return {row.id: row.chunk_count for row in rows}


def rebuild_if_foreign(database: Database, path: Path, *, identity: str) -> None:
    """Empty a lexical index that is damaged or does not belong to this catalog as it is now.

    For example after a backup was restored, or when another embedding model makes other stores searchable.

    Its replica then fills it again from the change feed.
    """
    remove_predecessor(path)
    problems = check_lexical(database, path, identity=identity)
    if problems:
        log.warning("The lexical index is built anew: %s.", problems[0].detail)
        index = LexicalIndex(path)
        index.clear()
        index.close()


def remove_predecessor(path: Path) -> None:
    """Remove what earlier versions kept beside `path`, a replica as well: `lexical.sqlite` and its log."""
    for file in path.parent.glob("lexical.sqlite*"):
        file.unlink(missing_ok=True)

"""Checks that an index outside of the catalog holds the catalog's documents, and no others."""

import logging
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import feed
from catalog.database import Database
from catalog.fsck import Problem
from catalog.models import Document, DocumentEmbedding
from retrieval.indexes.base import PassageIndex
from retrieval.indexes.snapshots import Snapshots
from retrieval.indexes.vectors import VectorReplica
from retrieval.lexical import LexicalIndex

log = logging.getLogger(__name__)


def check_lexical(database: Database, path: Path, *, identity: str) -> list[Problem]:
    """Return what differs, as of the change that the lexical index has seen.

    `identity`: key of the embedding model; documents without vectors of it are not to be found.
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
    catalog = _Catalog(current=current, pending=pending, known=known)
    return [
        *_differences(catalog, indexed, "lexical index"),
        *(Problem(kind="damaged index", detail=f"{path / name} is not as it was written") for name in damaged),
    ]


@dataclass(frozen=True, kw_only=True)
class _Catalog:
    # Passages of each document that searches should find.
    current: Mapping[int, int]
    # Documents with a change that the index has not seen.
    pending: Set[int]
    # Every document that there ever was.
    known: Set[int]


def _differences(catalog: _Catalog, indexed: Mapping[int, int], name: str) -> Iterator[Problem]:
    """Compare in both directions. `indexed`: passages that searches can find of each document, in the index `name`."""
    for i in sorted(catalog.current.keys() - catalog.pending):
        if indexed.get(i, 0) != catalog.current[i]:
            found = f"{indexed.get(i, 0)} of {catalog.current[i]} passages"
            yield Problem(kind="unindexed document", detail=f"document {i} has {found} in the {name}")
    for i in sorted((indexed.keys() - catalog.current.keys() - catalog.pending) | (indexed.keys() - catalog.known)):
        yield Problem(kind="orphan postings", detail=f"the {name} holds document {i}")


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
    """Return the documents with vectors of the model, with how many chunks each has."""
    rows = session.execute(
        select(Document.id, Document.chunk_count)
        .join(DocumentEmbedding, DocumentEmbedding.document_id == Document.id)
        .where(DocumentEmbedding.identity == identity)
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


class SharedIndex(PassageIndex, Protocol):
    """A passage index on a server, which processes share: what it takes to check and to mend it."""

    def chunk_counts(self) -> tuple[Mapping[int, int], Mapping[int, int]]:
        """Return how many chunks of each document are visible, and how many are there and never became so."""
        ...

    def sweep(self) -> int:
        """Delete chunks that an interrupted process left and that never became visible; return how many."""
        ...

    def reset(self) -> None:
        """Delete everything and begin again at position 0."""
        ...

    def drop(self) -> None:
        """Delete everything for good; the index is not used afterwards."""
        ...

    def close(self) -> None:
        """As in PassageIndex."""
        ...


def check_shared(database: Database, index: SharedIndex, *, identity: str) -> list[Problem]:
    """Return what differs, as of the change that the index has seen; `identity` as in check_lexical."""
    # In this order: what other processes add or remove meanwhile then counts as pending.
    position, (visible, hidden) = index.position, index.chunk_counts()
    with database.read() as session:
        pending = feed.pending_ids(session, position)
        newest, known = feed.position(session), feed.document_ids(session)
        current = _searchable(session, identity)
    if position > newest:
        return [Problem(kind="foreign index", detail=f"it has seen change {position}; the catalog ends at {newest}")]
    catalog = _Catalog(current=current, pending=pending, known=known)
    return [
        *_differences(catalog, visible, "shared index"),
        *(
            Problem(kind="leftover chunks", detail=f"{hidden[i]} of document {i}; `footnote compact` deletes them")
            for i in sorted(hidden.keys() - pending)
        ),
    ]


def reset_if_ahead(database: Database, index: SharedIndex) -> None:
    """Empty an index that has seen more than there is: the catalog was restored from a backup.

    Its replicas then fill it again from the change feed. The processes that start together do it once.
    """
    position = index.position
    with database.read() as session:
        if position <= feed.position(session):
            return
    with database.write(is_effect=False) as session:
        feed.lock(database, session)
        position, newest = index.position, feed.position(session)
        if position > newest:
            log.warning("The index is built anew: it has seen change %d, the catalog ends at %d.", position, newest)
            index.reset()

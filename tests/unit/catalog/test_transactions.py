"""Transactions: all or nothing for writers, one state for readers. Runs on every database."""

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.database import Database
from catalog.models import VectorStore
from tests.builders import a_store


def stores_seen(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(VectorStore)) or 0


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    """An exception in the block rolls everything back and reaches the caller."""
    with pytest.raises(ZeroDivisionError), database.write() as session:
        session.add(
            VectorStore(
                id="vs_x",
                project_id="p",
                name="n",
                metadata_={},
                created_at=1.0,
                last_active_at=1.0,
                embedding_identity="i",
            )
        )
        session.flush()
        1 / 0  # noqa: B018
    with database.read() as session:
        assert stores_seen(session) == 0


def test_a_reader_keeps_its_state_while_a_writer_commits(database: Database) -> None:
    """A reading transaction sees one state; the next one sees the new state."""
    with database.read() as reader:
        assert stores_seen(reader) == 0
        a_store(database)
        assert stores_seen(reader) == 0
    with database.read() as session:
        assert stores_seen(session) == 1


def test_objects_outlive_their_transaction(database: Database) -> None:
    """What a transaction loaded can be read after it."""
    store = a_store(database, name="A name")
    assert store.name == "A name"

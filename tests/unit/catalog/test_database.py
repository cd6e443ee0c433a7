"""SQLite as a catalog: modes, locks and addresses."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from catalog import answers, conversations, feedback, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ConfigurationError, ServiceUnavailable
from catalog.models import DEFAULT_PROJECT
from tests.builders import IDENTITY, a_file, a_record, a_store


def impatient(url: Any) -> Database:
    """Open a database whose writers wait 50 ms for each other instead of half a minute."""
    database = Database(url)
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 50"))
    return database


def test_a_commit_outlives_a_power_cut(database: Database) -> None:
    """The journal is a WAL that is synced at every commit, and foreign keys are checked."""
    with database.read() as session:
        found = [
            session.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert found == ["wal", 2, 1]


def test_a_busy_database_is_an_outage(database: Database) -> None:
    """A writer that waited in vain raises a retryable error instead of the driver's."""
    other = impatient(database.url)
    with database.write() as writer:
        writer.execute(text("DELETE FROM files"))
        with pytest.raises(ServiceUnavailable, match="locked") as caught, other.write() as late:
            late.execute(text("DELETE FROM files"))
    assert caught.value.retryable
    other.close()


def test_every_commit_is_another_state(database: Database) -> None:
    """Of any connection and process; what is read or rolled back changes nothing."""
    other, seen = Database(database.url.render_as_string(hide_password=False)), [database.state()]
    for one in (database, other):
        a_store(one)
        seen.append(database.state())
    with database.read() as session:
        session.execute(text("SELECT count(*) FROM files")).scalar_one()
    with pytest.raises(ZeroDivisionError), database.write() as session:
        session.execute(text("DELETE FROM vector_stores"))
        raise ZeroDivisionError
    other.close()
    assert len(set(seen)) == 3
    assert database.state() == seen[-1]


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    """An open write transaction blocks no reader."""
    other = impatient(database.url)
    with database.write() as writer, other.read() as reader:
        writer.execute(text("DELETE FROM files"))
        assert reader.execute(text("SELECT count(*) FROM files")).scalar_one() == 0
    other.close()


def test_the_catalog_is_kept_in_its_file(tmp_path: Path) -> None:
    """A missing folder is made, and what was written is there when the file is opened again."""
    url = f"sqlite:///{tmp_path / 'new' / 'folder' / 'catalog.sqlite'}"
    first = Database(url)
    first.migrate()
    store = a_store(first)
    first.close()
    second = Database(url)
    with second.read() as session:
        names = list(session.execute(text("SELECT id FROM vector_stores")).scalars())
    second.close()
    assert [store.id] == names


def test_a_file_that_is_no_database_is_an_outage(tmp_path: Path) -> None:
    """Reading something else than a catalog raises an error of ours."""
    database = Database(f"sqlite:///{tmp_path / 'catalog.sqlite'}")
    with pytest.raises(ServiceUnavailable, match="no such table"), database.read() as session:
        session.execute(text("SELECT * FROM files"))
    database.close()


def test_another_kind_of_database_is_refused() -> None:
    """The message names what was asked for and what there is."""
    with pytest.raises(ConfigurationError, match=r"'mysql'.*sqlite:///PATH or postgresql"):
        Database("mysql://somewhere/x")


def test_turns_come_one_after_the_other(database: Database) -> None:
    """Who waits for a turn begins when the one before has ended, and other names do not wait for it."""
    order: list[str] = []

    def second() -> None:
        with database.turn("index", patience_s=60):
            order.append("second")

    with database.turn("index", patience_s=60), database.turn("other", patience_s=60):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_nobody_waits_longer_for_a_turn_than_he_has_patience(database: Database) -> None:
    """One that hangs in its turn holds nobody up for ever: the work goes on without it."""
    with database.turn("index", patience_s=60), database.turn("index", patience_s=0.05):
        pass
    with database.turn("index", patience_s=60):
        pass


def test_any_number_of_ids_can_be_named(database: Database, blobs: BlobStore) -> None:
    """Drivers bound the variables of a statement: 32,766 in SQLite as it is built by default."""
    file, store = a_file(database, blobs), a_store(database)
    many = [f"file-{number}" for number in range(3000)]
    with database.read() as session:
        driver: Any = session.connection().connection.driver_connection
        most = driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 2000)
        try:
            assert conversations.existing_files(session, DEFAULT_PROJECT, [*many, file.id]) == {file.id}
            assert answers.is_orphan(session, a_record(*many, file.id))
            assert set(feedback.of_answers(session, [a_record(id=one) for one in many])) == set(many)
            assert stores.check_usable(session, [*many, store.id], IDENTITY).unnoted == []
        finally:
            driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, most)

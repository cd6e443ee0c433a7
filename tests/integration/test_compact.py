"""`footnote compact`: what it says, what it leaves, and what it does when it cannot."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from catalog.database import Database
from tests.builders import lexical_traces
from tests.integration import test_cli
from tests.integration.conftest import Command, running
from tests.postgresql import PostgreSQL, needs_postgresql

MARKER = "Qworvexil83Tamdurok"

folder = test_cli.folder


@pytest.fixture
def postgresql(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the URL of a PostgreSQL that the commands use as their catalog."""
    server = PostgreSQL()
    monkeypatch.setenv("FOOTNOTE_DATABASE_URL", server.url)
    yield server.url
    server.remove()


def traces(home: Path) -> set[str]:
    """Return the files in which the marker stands, as it was written or folded, and whether it is an index term."""
    forms = (MARKER.encode(), MARKER.casefold().encode())
    files = [path for path in home.rglob("*") if path.is_file()]
    return lexical_traces(home / "lexical", MARKER.casefold()) | {
        path.name for path in files if any(form in path.read_bytes() for form in forms)
    }


def ingest_and_change(command: Command, folder: Path) -> None:
    """Take a folder in whose marked file is then replaced by another version."""
    # Several pages of SQLite: a catalog that is written anew may have one more of them than before.
    (folder / "house.txt").write_text(f"The {MARKER} is in the cellar.\n" * 500)
    assert command("ingest", str(folder)).status == 0
    assert MARKER in command("search", MARKER).out
    (folder / "house.txt").write_text("The house has a new cellar.")
    assert command("ingest", str(folder)).status == 0


def test_compacting_reports_what_it_removed(command: Command, folder: Path, tmp_home: Path) -> None:
    """Counts and bytes; a second time there is nothing to do, and the documents that stay are found."""
    ingest_and_change(command, folder)
    assert traces(tmp_home)
    result = command("compact")
    assert result.status == 0, result
    assert result.out.startswith("Removed 0 answers that drew on deleted files, 1 unused blobs, 0 unfinished uploads")
    assert "the lexical index is written anew" in result.out
    assert "The catalog is written anew." in result.out
    assert not result.out.rstrip().splitlines()[-1].startswith("0 bytes")
    assert traces(tmp_home) == set()
    again = command("compact").out
    assert " 0 unused blobs" in again
    assert "Purged 0 passages" in again
    assert "new cellar" in command("search", "cellar").out
    assert command("fsck").status == 0


def test_compacting_nothing_is_no_error(command: Command) -> None:
    """In a folder that Footnote has never used."""
    assert command("compact").status == 0


def test_it_leaves_a_running_application_as_it_is(command: Command, tmp_home: Path) -> None:
    """Connections that were open before it read and write afterwards, and the next search is right."""
    with running(tmp_home) as footnote:
        store = footnote.store()
        gone, stays = footnote.add(store, f"The {MARKER} is red."), footnote.add(store, "The house is blue.")
        assert {hit["file_id"] for hit in footnote.search(store, f"{MARKER} house")} == {gone, stays}
        footnote.client.delete(f"/v1/files/{gone}")
        assert command("compact").status == 0
        assert traces(tmp_home) == set()
        assert {hit["file_id"] for hit in footnote.search(store, f"{MARKER} house")} == {stays}
        new = footnote.add(store, "The garden is green.")
        assert {hit["file_id"] for hit in footnote.search(store, "house garden")} == {stays, new}


def test_a_busy_catalog_is_a_stated_error(command: Command, folder: Path, tmp_home: Path) -> None:
    """One line that says what to do and exit status 2; the next run does the rest."""
    ingest_and_change(command, folder)
    reader = sqlite3.connect(tmp_home / "catalog.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM files").fetchone()
    result = command("compact", "--wait", "0.2")
    assert result.status == 2
    assert "catalog.sqlite" in result.err
    assert "footnote compact" in result.err
    reader.close()
    assert command("compact").status == 0
    assert traces(tmp_home) == set()


@needs_postgresql
def test_a_catalog_in_postgresql_is_vacuumed(
    command: Command,
    folder: Path,
    tmp_home: Path,
    postgresql: str,
) -> None:
    """Every table; blobs and the lexical index of this machine are cleared as on SQLite."""
    ingest_and_change(command, folder)
    result = command("compact")
    assert result.status == 0, result
    assert "1 unused blobs" in result.out
    assert "The catalog is vacuumed." in result.out
    database = Database(postgresql)
    with database.read() as session:
        vacuumed = session.execute(text("SELECT relname, last_vacuum IS NOT NULL FROM pg_stat_user_tables"))
        done = {name: was for name, was in vacuumed if name != "alembic_version"}
    database.close()
    assert {"files", "documents", "chunks", "answer_records"} <= done.keys()
    assert all(done.values()), done
    assert traces(tmp_home) == set()
    assert command("fsck").status == 0

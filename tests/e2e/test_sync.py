"""`footnote sync` as people run it: a service that watches, and two at once."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from catalog.database import Database
from catalog.models import Document, File, VectorStore, VectorStoreFile
from tests.e2e.conftest import FOOTNOTE, environment, footnote, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="changes are watched through inotify")

TIMEOUT_S = 60.0
# Long beside the test: changes have to be noticed, not found by chance.
INTERVAL_S = "600"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Yield a list of processes that are ended after the test, whatever happened."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(TIMEOUT_S)


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    with (home / "log").open("ab") as log:
        return subprocess.Popen(
            [FOOTNOTE, "sync", *arguments],
            env=environment(home, embedding_backend="hashing"),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def found(home: Path) -> dict[str, list[str]]:
    """Return the stores' names with the paths whose documents are published, duplicates included."""
    database = Database(f"sqlite:///{home / 'catalog.sqlite'}")
    database.migrate()
    with database.read() as session:
        rows = session.execute(
            select(VectorStore.name, VectorStoreFile.source)
            .join(VectorStoreFile, VectorStoreFile.vector_store_id == VectorStore.id)
            .join(Document, Document.vector_store_file_id == VectorStoreFile.id)
            .join(File, File.id == VectorStoreFile.file_id)
        ).all()
    database.close()
    stores: dict[str, list[str]] = {}
    for name, path in sorted(map(tuple, rows)):
        stores.setdefault(name, []).append(path)
    return stores


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_watched_folder_is_followed_until_the_program_is_stopped(
    folder: Path, home: Path, started: list[subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    """New, changed, moved and deleted files are found, or not found any more, without waiting for the interval."""
    (folder / "a.txt").write_text("The pond is deep.")
    process = start(home, str(folder), "--watch", "--interval", INTERVAL_S)
    started.append(process)

    def expect(*paths: str) -> None:
        wait_until(lambda: found(home) == {"documents": list(paths)}, timeout_s=TIMEOUT_S, what=f"{paths}")

    wait_until(lambda: b"Watching" in (home / "log").read_bytes(), timeout_s=TIMEOUT_S, what="the first sync")
    expect("a.txt")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.txt").write_text("The roof is of slate.")
    expect("a.txt", "sub/b.txt")
    (folder / "a.txt").rename(folder / "sub" / "a.txt")
    expect("sub/a.txt", "sub/b.txt")
    (folder / "sub" / "b.txt").unlink()
    expect("sub/a.txt")
    process.send_signal(number)
    # Waiting, the program holds nothing: SIGTERM may end it as it likes.
    assert process.wait(TIMEOUT_S) in ({130} if number is signal.SIGINT else {130, -signal.SIGTERM})
    assert footnote("fsck", home=home, embedding_backend="hashing").returncode == 0


def test_two_syncs_of_one_folder_at_once_do_not_double(
    folder: Path, home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Two processes make one store with one document for each file, in every round."""
    for i in range(20):
        (folder / f"{i:02}.txt").write_text(f"Document {i} tells of pump {i * 7}.")
    for round_ in range(3):
        pair = [start(home, str(folder)) for _ in range(2)]
        started += pair
        assert [process.wait(TIMEOUT_S) for process in pair] == [0, 0], (home / "log").read_text()
        assert found(home) == {"documents": sorted(path.name for path in folder.iterdir())}
        for i in range(0, 19, 3):  # The next round replaces some and moves one.
            (folder / f"{i:02}.txt").write_text(f"Version {round_} of document {i}.")
        next(folder.glob("*19.txt")).rename(folder / f"{round_}-19.txt")
    assert footnote("fsck", home=home, embedding_backend="hashing").returncode == 0


def test_stopping_while_documents_are_processed_loses_nothing(
    folder: Path, home: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Status 130 and a word on how to go on; the same command finishes the rest."""
    for i in range(30):
        (folder / f"{i:02}.txt").write_text(f"Document {i}.\n\n" * 2000)
    process = start(home, str(folder))
    started.append(process)
    wait_until(lambda: found(home), timeout_s=TIMEOUT_S, what="the first document")
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_S) == 130
    assert "Stopped" in (home / "log").read_text()
    done = footnote("sync", str(folder), home=home, embedding_backend="hashing")
    assert done.returncode == 0, done
    assert found(home) == {"documents": [f"{i:02}.txt" for i in range(30)]}


def test_a_folder_that_holds_the_state_does_not_feed_on_itself(
    folder: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    """Footnote's own files are neither taken in nor noticed as changes."""
    (folder / "a.txt").write_text("The pond is deep.")
    home = folder / "state"
    home.mkdir()
    process = start(home, str(folder), "--watch", "--interval", INTERVAL_S)
    started.append(process)
    wait_until(lambda: b"Watching" in (home / "log").read_bytes(), timeout_s=TIMEOUT_S, what="the first sync")
    before = os.times().elapsed
    (folder / "b.txt").write_text("The roof is of slate.")
    wait_until(
        lambda: found(home) == {"documents": ["a.txt", "b.txt"]}, timeout_s=TIMEOUT_S, what="the second document"
    )
    time.sleep(min(2.0, os.times().elapsed - before))
    # One report of the first sync and one of the second: what the second wrote has not caused a third.
    assert (home / "log").read_text().count("files are searchable") == 2

"""`footnote sync`, killed at random moments while its folder changes: the next one ends as if nothing had happened."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from catalog.database import Database
from catalog.models import Chunk, Document, File, VectorStoreFile
from tests.e2e.conftest import FOOTNOTE, environment, footnote, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="rounds end by kill -9")

ROUNDS = int(os.environ.get("FOOTNOTE_TEST_SYNC_ROUNDS", "8"))
TIMEOUT_S = 60.0
# From its first word on, a sync of this folder takes about this long.
SYNC_S = 2.0


def change(folder: Path, dice: random.Random, number: int) -> None:
    """Add, replace, move, rename, copy and delete some files."""
    for _ in range(6):
        files = sorted(folder.rglob("*.txt"))
        one = dice.choice(files) if files else folder / "none.txt"
        match dice.choice(["add", "add", "replace", "move", "rename", "copy", "delete"]):
            case "add":
                write(folder / dice.choice(["", "a", "b"]) / f"{number}-{dice.randrange(1000)}.txt", dice)
            case "replace" if files:
                write(one, dice)
            case "move" if files:
                target = folder / f"moved-{number}-{dice.randrange(1000)}" / one.name
                target.parent.mkdir(exist_ok=True)
                one.rename(target)
            case "rename" if files:
                one.rename(one.with_name(f"renamed-{number}-{dice.randrange(1000)}.txt"))
            case "copy" if files:
                write_text(folder / f"copy-{number}-{dice.randrange(1000)}.txt", one.read_text())
            case "delete" if len(files) > 5:
                one.unlink()


def write(path: Path, dice: random.Random) -> None:
    write_text(path, f"Pump {dice.randrange(10**6)} stands in hall {dice.randrange(10**6)}.")


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def expected(folder: Path) -> Counter[tuple[str, str, str]]:
    """Return path, name and text of every file of the folder."""
    files = folder.rglob("*.txt")
    return Counter((path.relative_to(folder).as_posix(), path.name, path.read_text()) for path in files)


def searchable(home: Path) -> Counter[tuple[str, str, str]]:
    """Return path, name and text of every published chunk."""
    database = Database(f"sqlite:///{home / 'catalog.sqlite'}")
    with database.read() as session:
        rows = session.execute(
            select(VectorStoreFile.source, File.filename, Chunk.text)
            .join(Document, Document.vector_store_file_id == VectorStoreFile.id)
            .join(File, File.id == VectorStoreFile.file_id)
            .join(Chunk, Chunk.document_id == Document.id)
        ).all()
    database.close()
    return Counter((str(path), name, text) for path, name, text in rows)


def test_a_killed_sync_is_finished_by_the_next(tmp_path: Path) -> None:
    """Whatever was done and not done: each file is one document in the end, under its path, name and text."""
    dice = random.Random(20_261_121)
    home, folder = tmp_path / "home", tmp_path / "documents"
    home.mkdir()
    folder.mkdir()
    for number in range(12):
        write(folder / f"{number}.txt", dice)
    killed = 0
    for number in range(ROUNDS):
        log = home / f"log-{number}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [FOOTNOTE, "sync", str(folder)],
                env=environment(home, embedding_backend="hashing", lease_s=1),
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        wait_until(lambda log=log: b"Reading" in log.read_bytes(), timeout_s=TIMEOUT_S, what="the reading's begin")
        time.sleep(dice.uniform(0, SYNC_S))
        killed += process.poll() is None
        process.kill()
        process.wait(TIMEOUT_S)
        change(folder, dice, number)
        if number % 3 == 2:  # Also from a state that was whole.
            done = footnote("sync", str(folder), home=home, embedding_backend="hashing", lease_s=1)
            assert done.returncode == 0, (number, done)
            assert searchable(home) == expected(folder), number
    done = footnote("sync", str(folder), home=home, embedding_backend="hashing", lease_s=1)
    assert done.returncode == 0, done
    assert searchable(home) == expected(folder)
    again = footnote("sync", str(folder), home=home, embedding_backend="hashing")
    assert f"{len(list(folder.rglob('*.txt')))} unchanged." in again.stdout
    assert footnote("fsck", home=home, embedding_backend="hashing").returncode == 0
    assert killed > 0, "every sync had ended before it was killed"

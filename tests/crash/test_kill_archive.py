"""`kill -9` of a worker while it unpacks an archive: every file comes once, whole, and nothing else is left."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from api.models import Model
from api.settings import Settings, load_settings
from api.wiring import open_catalog, open_services
from catalog import files, fsck, stores
from catalog.models import DEFAULT_PROJECT, ArchiveMember, Chunk, Document, File, JobStatus, VectorStoreFile
from retrieval.consistency import check_lexical
from tests.builders import IDENTITY, a_file, a_store, an_entry
from tests.e2e.conftest import FOOTNOTE, environment, wait_until
from tests.zips import plain_zip

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

MEMBERS = 150
KILLS = 5
FINISH_TIMEOUT_S = 200.0
TEXTS = {f"{n % 7}/note-{n}.txt": f"Note {n}: pump {n} needs no oil." for n in range(MEMBERS)}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "home").mkdir()
    return load_settings(home=tmp_path / "home", embedding_backend="hashing", log_level="error")


def count(settings: Settings, table: type[File | VectorStoreFile], *where: object) -> int:
    with open_catalog(settings) as catalog, catalog.database.read() as session:
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0  # type: ignore[arg-type]


def a_worker(settings: Settings) -> subprocess.Popen[bytes]:
    environ = environment(settings.home, embedding_backend="hashing", log_level="error")
    return subprocess.Popen([FOOTNOTE, "worker"], env=environ, cwd=settings.home)


def is_unpacked(settings: Settings) -> bool:
    return count(settings, VectorStoreFile) > 1


@pytest.mark.parametrize("seed", [1])
def test_an_archive_whose_worker_is_killed_again_and_again_comes_once(settings: Settings, seed: int) -> None:
    """The kills hit the storing of its files, its publication and the work on its files."""
    dice = random.Random(seed)
    with open_catalog(settings) as catalog:
        store = a_store(catalog.database)
        packed = plain_zip({path: text.encode() for path, text in TEXTS.items()})
        archive = a_file(catalog.database, catalog.blobs, packed, filename="notes.zip")
        an_entry(catalog.database, store, archive)
    while_unpacking = 0
    for n in range(KILLS):
        process = a_worker(settings)
        try:
            # Each kill some files further than the one before it, as long as the archive is not published.
            wait_until(
                lambda n=n: count(settings, File) > 1 + 30 * n or is_unpacked(settings), timeout_s=60, what="a file"
            )
            while_unpacking += not is_unpacked(settings)
            time.sleep(dice.uniform(0, 0.05))
        finally:
            process.kill()
            process.wait()
        check_sound(settings)
    assert while_unpacking >= 2, "most kills came after the archive was published: the test shows little"
    finish(settings)
    check_complete(settings, store.id)
    with open_catalog(settings) as catalog:
        files.delete(catalog.database, catalog.blobs, DEFAULT_PROJECT, archive.id)
        assert count(settings, File) == 0
        files.sweep(catalog.database, catalog.blobs, min_age_s=0)
        assert list(catalog.blobs.names()) == []


def finish(settings: Settings) -> None:
    last = a_worker(settings)
    try:
        waiting = VectorStoreFile.status == JobStatus.IN_PROGRESS
        wait_until(lambda: count(settings, VectorStoreFile, waiting) == 0, timeout_s=FINISH_TIMEOUT_S, what="the end")
        last.send_signal(signal.SIGTERM)
        assert last.wait(20) == 0
    finally:
        last.kill()
        last.wait()


def check_sound(settings: Settings) -> None:
    with open_catalog(settings) as catalog:
        assert fsck.check(catalog.database, catalog.blobs) == []


def check_complete(settings: Settings, store_id: str) -> None:
    """Every member has one file, one entry, one document with its own text."""
    with open_catalog(settings) as catalog, catalog.database.read() as session:
        rows = session.execute(
            select(ArchiveMember.path, Chunk.text)
            .join(Document, Document.file_id == ArchiveMember.file_id)
            .join(Chunk, Chunk.document_id == Document.id)
        ).all()
        assert sorted(tuple(row) for row in rows) == sorted(TEXTS.items())
        counts = stores.file_counts(session, [store_id])[store_id]
        assert (counts["completed"], counts["total"]) == (MEMBERS + 1, MEMBERS + 1)
        files.sweep(catalog.database, catalog.blobs, min_age_s=0)
        assert fsck.check(catalog.database, catalog.blobs, orphan_age_s=0) == []
    with open_services(settings) as services:
        assert check_lexical(services.catalog.database, Model(settings=settings).lexical, identity=IDENTITY) == []

"""What deletions leave behind is removed, and nothing that anybody still needs."""

import io
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import select

from catalog import documents, files, fsck
from catalog.blobs import BlobStore
from catalog.compaction import Leftovers, remove_leftovers, rewrite
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.files import NewFile
from catalog.models import DEFAULT_PROJECT, Document, File
from tests.builders import a_file, a_record, a_store, publish_text, saved
from tests.unit.catalog.test_answers import kept
from tests.unit.catalog.test_fsck import damage

NOTHING = Leftovers(answers=0, rows=0, blobs=0, staged=0)
MARKER = "Qworvexil83Tamdurok"
# More than anything here takes.
WAIT_S = 30.0


def catalog_bytes(database: Database) -> bytes:
    """Return what stands in the database's file and its log."""
    path = Path(str(database.url.database))
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def sha256s(blobs: BlobStore) -> set[str]:
    return {sha256 for sha256, _ in blobs.names()}


def test_a_sound_catalog_keeps_everything(database: Database, blobs: BlobStore) -> None:
    """Documents, files in no store, their blobs and answers are all needed."""
    publish_text(database, blobs, a_store(database), "one", "two")
    file = a_file(database, blobs, b"in no store")
    saved(database, a_record(file.id))
    before = sha256s(blobs)
    assert remove_leftovers(database, blobs) == NOTHING
    assert (sha256s(blobs), kept(database)) == (before, {"resp_1"})
    assert fsck.check(database, blobs, orphan_age_s=0) == []


def test_answers_that_draw_on_a_deleted_file_go(database: Database, blobs: BlobStore) -> None:
    """With everything that they quote."""
    file = a_file(database, blobs)
    saved(database, a_record(file.id, response={"output": MARKER}))
    files.delete(database, blobs, DEFAULT_PROJECT, file.id)
    assert remove_leftovers(database, blobs).answers == 1
    assert kept(database) == set()


def test_a_blob_without_a_file_goes_however_young_it_is(database: Database, blobs: BlobStore) -> None:
    """A replaced version leaves its blob, and so does a deletion that was cut off."""
    file, other = a_file(database, blobs, b"one"), a_file(database, blobs, b"two")
    with database.write() as session:
        session.delete(session.get_one(File, file.id))
    assert remove_leftovers(database, blobs).blobs == 1
    assert sha256s(blobs) == {other.sha256}


def test_an_upload_that_is_about_to_commit_keeps_its_blob(database: Database, blobs: BlobStore) -> None:
    """The deletion of unused blobs waits for it and then finds it used."""
    removed: list[Leftovers] = []
    thread = threading.Thread(target=lambda: removed.append(remove_leftovers(database, blobs)))
    staged = blobs.stage(io.BytesIO(b"new"), max_bytes=10)
    with database.write() as session:
        new = NewFile(project_id=DEFAULT_PROJECT, filename="a.txt", purpose="assistants")
        files.insert(database, session, blobs, staged, new)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive(), "it did not wait for the transaction"
    thread.join()
    assert removed == [NOTHING]
    assert sha256s(blobs) == {staged.sha256}


def test_staged_uploads_go_when_they_are_old(database: Database, blobs: BlobStore) -> None:
    """A young one may still be written."""
    young, old = (blobs.stage(io.BytesIO(content), max_bytes=10) for content in (b"young", b"old"))
    os.utime(old.path, (1, 1))
    assert remove_leftovers(database, blobs).staged == 1
    assert (young.path.exists(), old.path.exists()) == (True, False)


def test_rows_that_belong_to_nothing_go(database: Database, blobs: BlobStore) -> None:
    """A damaged catalog is sound again: documents without an entry and chunks without a document are removed."""
    store = a_store(database)
    publish_text(database, blobs, store, "stays")
    publish_text(database, blobs, store, "one", "two")
    publish_text(database, blobs, store, "three", "four")
    damage(database, "DELETE FROM vector_store_files WHERE id = 2")
    damage(database, "DELETE FROM vector_store_files WHERE id = 3")
    damage(database, "DELETE FROM documents WHERE vector_store_file_id = 3")
    assert remove_leftovers(database, blobs).rows == 3
    assert fsck.check(database, blobs) == []


def test_a_rewritten_catalog_holds_no_byte_of_what_was_deleted(database: Database, blobs: BlobStore) -> None:
    """Neither the file nor its log, and the file is smaller; what stays is as it was."""
    store = a_store(database)
    for n in range(50):
        publish_text(database, blobs, store, *(f"{MARKER} {n} {i} " + "word " * 200 for i in range(5)))
    stays = publish_text(database, blobs, store, "stays")
    with database.write() as session:
        documents.remove(database, session, Document.id != stays)
    before = len(catalog_bytes(database))
    rewrite(database, wait_s=WAIT_S)
    after = catalog_bytes(database)
    assert MARKER.encode() not in after
    assert len(after) < before / 4
    with database.read() as session:
        assert list(session.scalars(select(Document.id))) == [stays]


def test_other_connections_go_on_after_it(database: Database, blobs: BlobStore) -> None:
    """A connection that was open before reads and writes the new file."""
    with database.read() as session:
        assert session.scalar(select(File.id)) is None
    rewrite(database, wait_s=WAIT_S)
    file = a_file(database, blobs)
    rewrite(database, wait_s=WAIT_S)
    with database.read() as session:
        assert session.scalar(select(File.id)) == file.id


def test_it_waits_for_a_writer_and_a_reader_that_end(database: Database, blobs: BlobStore) -> None:
    """Both are let finish, and then the log is empty."""
    a_file(database, blobs)
    path = str(database.url.database)
    reader, writer = (sqlite3.connect(path, isolation_level=None, check_same_thread=False) for _ in range(2))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM files").fetchone()
    writer.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=rewrite, args=(database,), kwargs={"wait_s": WAIT_S})
    thread.start()
    for connection in (writer, reader):
        thread.join(0.2)
        assert thread.is_alive(), "it did not wait"
        connection.execute("COMMIT")
        connection.close()
    thread.join()
    assert Path(f"{path}-wal").stat().st_size == 0


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN"])
def test_a_connection_that_never_ends_is_a_stated_outage(database: Database, blobs: BlobStore, begin: str) -> None:
    """The error names the file and says what to do, and the catalog is whole."""
    a_file(database, blobs)
    other = sqlite3.connect(str(database.url.database), isolation_level=None)
    other.execute(begin)
    other.execute("SELECT count(*) FROM files").fetchone()
    with pytest.raises(ServiceUnavailable, match=r"catalog\.sqlite.*within 0\.3 s.*footnote compact"):
        rewrite(database, wait_s=0.3)
    other.close()
    assert fsck.check(database, blobs) == []
    rewrite(database, wait_s=0.3)

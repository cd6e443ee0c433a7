"""A folder is taken in once, or again and again, and nothing happens twice."""

import os
from pathlib import Path

import pytest
from sqlalchemy import func, select

from catalog import documents, jobs, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidFile, InvalidRequest, NotFound
from catalog.models import Chunk, File, VectorStore, VectorStoreFile
from ingest.folder import FolderEntry, Intake, take_in
from tests.builders import a_claim, a_document_record, a_store


class Shelf:
    """A folder and the store that it goes into."""

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        self.database, self.blobs, self.folder = database, blobs, folder
        self.store: VectorStore = a_store(database)

    def put(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def take_in(self, **options: object) -> dict[str, Intake]:
        entries = take_in(self.database, self.blobs, self.store, self.folder, **{"max_bytes": 100} | options)  # type: ignore[arg-type]
        return {entry.path: entry.intake for entry in entries}

    def publish_all(self) -> None:
        with self.database.read() as session:
            waiting = stores.file_counts(session, [self.store.id])[self.store.id]["in_progress"]
        for _ in range(waiting):
            job = a_claim(self.database)
            documents.publish(self.database, job, a_document_record(f"{job.source} {job.file_id}"))

    def count(self, table: type[File | VectorStoreFile | Chunk]) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def shelf(database: Database, blobs: BlobStore, tmp_path: Path) -> Shelf:
    folder = tmp_path / "documents"
    folder.mkdir()
    return Shelf(database, blobs, folder)


def test_new_files_are_queued_in_path_order(shelf: Shelf) -> None:
    """Paths are relative, with forward slashes; hidden files and folders are passed over."""
    for name in ("b.txt", "a/2.txt", "a/1.txt", ".hidden", ".git/config", "a/.x"):
        shelf.put(name, name)
    assert list(shelf.take_in()) == ["a/1.txt", "a/2.txt", "b.txt"]
    assert _file_of(shelf, "a/1.txt").filename == "1.txt"
    assert (shelf.count(File), shelf.count(VectorStoreFile)) == (3, 3)


def _file_of(shelf: Shelf, source: str) -> File:
    with shelf.database.read() as session:
        return stores.sources(session, shelf.store)[source][1]


def test_an_unchanged_folder_is_left_alone(shelf: Shelf) -> None:
    """Running it again queues nothing, before and after the work is done."""
    shelf.put("a.txt", "one")
    assert shelf.take_in() == {"a.txt": Intake.ADDED}
    assert shelf.take_in() == {"a.txt": Intake.UNCHANGED}
    shelf.publish_all()
    assert shelf.take_in() == {"a.txt": Intake.UNCHANGED}
    assert (shelf.count(File), shelf.count(VectorStoreFile)) == (1, 1)


def test_a_changed_file_replaces_the_old_one_when_it_is_ready(shelf: Shelf) -> None:
    """Until the new version is published, the old one stays searchable; after that only the new one is there."""
    shelf.put("a.txt", "one")
    shelf.take_in()
    shelf.publish_all()
    old = _file_of(shelf, "a.txt").id
    shelf.put("a.txt", "two")
    assert shelf.take_in() == {"a.txt": Intake.REPLACED}
    assert (shelf.count(VectorStoreFile), shelf.count(Chunk)) == (2, 1)
    shelf.publish_all()
    assert (shelf.count(File), shelf.count(VectorStoreFile), shelf.count(Chunk)) == (1, 1, 1)
    assert old != _file_of(shelf, "a.txt").id


def test_a_changed_file_keeps_its_attributes_and_its_chunking(shelf: Shelf) -> None:
    """A filter that found the old version finds the new one."""
    shelf.put("a.txt", "one")
    shelf.take_in()
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
    with shelf.database.write() as session:
        entry, _ = stores.sources(session, shelf.store)["a.txt"]
        entry.attributes, entry.chunking_strategy = {"team": "sales"}, strategy
    shelf.put("a.txt", "two")
    shelf.take_in()
    with shelf.database.read() as session:
        newest, _ = stores.sources(session, shelf.store)["a.txt"]
        assert newest.id != entry.id
        assert (newest.attributes, newest.chunking_strategy) == ({"team": "sales"}, strategy)


def test_a_file_that_changes_back_is_replaced_again(shelf: Shelf) -> None:
    """Only the newest version counts as known."""
    for content in ("one", "two", "one"):
        shelf.put("a.txt", content)
        shelf.take_in()
        shelf.publish_all()
    assert shelf.take_in() == {"a.txt": Intake.UNCHANGED}
    assert shelf.count(VectorStoreFile) == 1


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
def test_a_file_that_ended_badly_is_tried_again(shelf: Shelf, ending: str) -> None:
    """The same entry goes back to the queue."""
    shelf.put("a.txt", "one")
    shelf.take_in()
    job = a_claim(shelf.database)
    with shelf.database.write() as session:
        if ending == "failed":
            jobs.fail(session, job, InvalidFile())
        else:
            stores.cancel(session, session.get_one(VectorStoreFile, job.id))
    assert shelf.take_in() == {"a.txt": Intake.RETRIED}
    assert job.id == a_claim(shelf.database).id


def test_a_file_that_cannot_be_taken_is_refused_and_the_others_are_not(shelf: Shelf) -> None:
    """Empty and too large files have a reason, cost no other file its place, and leave nothing behind."""
    for name, content in [("empty.txt", ""), ("large.txt", "x" * 101), ("right.txt", "x" * 100)]:
        shelf.put(name, content)
    seen: list[FolderEntry] = []
    found = shelf.take_in(on_file=seen.append)
    assert found == {"empty.txt": Intake.REFUSED, "large.txt": Intake.REFUSED, "right.txt": Intake.ADDED}
    assert [next((word for word in ("empty", "larger") if e.reason and word in e.reason), None) for e in seen] == [
        "empty",
        "larger",
        None,
    ]
    assert shelf.count(File) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_refused(shelf: Shelf) -> None:
    """The operating system's words are the reason."""
    shelf.put("a.txt", "one")
    (shelf.folder / "a.txt").chmod(0)
    assert shelf.take_in() == {"a.txt": Intake.REFUSED}


def test_equal_files_at_two_paths_are_two_documents(shelf: Shelf) -> None:
    """The path is what a file is known by; the bytes are stored once."""
    shelf.put("a.txt", "same")
    shelf.put("b.txt", "same")
    assert shelf.take_in() == {"a.txt": Intake.ADDED, "b.txt": Intake.ADDED}
    shelf.publish_all()
    assert (shelf.count(VectorStoreFile), len(list(shelf.blobs.names()))) == (2, 1)


def test_what_is_no_folder_is_refused(shelf: Shelf) -> None:
    """The message names the path."""
    with pytest.raises(InvalidRequest, match=r"no-such-folder' is not a folder"):
        take_in(shelf.database, shelf.blobs, shelf.store, shelf.folder / "no-such-folder", max_bytes=1)


def test_a_store_that_is_gone_takes_nothing(shelf: Shelf) -> None:
    """A file whose store was deleted meanwhile leaves no file row behind."""
    shelf.put("a.txt", "one")
    with shelf.database.write() as session:
        stores.delete(shelf.database, session, shelf.store.project_id, shelf.store.id)
    with pytest.raises(NotFound):
        shelf.take_in()
    assert shelf.count(File) == 0

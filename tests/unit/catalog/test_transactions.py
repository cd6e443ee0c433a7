"""Transactions: all or nothing for writers, one state for readers. Runs on every database."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from catalog import files, publication, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import NotFound
from catalog.models import DEFAULT_PROJECT, Document, VectorStore
from catalog.publication import ChunkRecord
from catalog.stores import NewVectorStoreFile
from tests.builders import a_chunk_record, a_claim, a_document_record, a_file, a_store, an_entry, publish_text


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


class SlowChunks:
    """The chunks of a large document, in whose midst others want to write."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[ChunkRecord]:
        self.begun.set()
        assert self.may_end.wait(20)
        yield a_chunk_record("new")


def publish_slowly(database: Database, meanwhile: Callable[[], object]) -> None:
    """Publish what waits, and do something else that has to end after it, and not as a deadlock."""
    job, chunks = a_claim(database), SlowChunks()
    record = a_document_record("new", chunks=chunks)
    with ThreadPoolExecutor() as pool:
        publishing: Future[int] = pool.submit(publication.publish, database, job, record)
        assert chunks.begun.wait(20)
        other = pool.submit(meanwhile)
        threading.Timer(0.3, chunks.may_end.set).start()
        assert publishing.result(30) > 0
        other.result(30)


def test_a_store_can_be_deleted_while_a_worker_publishes_into_it(database: Database, blobs: BlobStore) -> None:
    store = a_store(database)
    publish_text(database, blobs, store, "old")
    an_entry(database, store, a_file(database, blobs, b"new"))

    def delete() -> None:
        with database.write() as session:
            stores.delete(database, session, DEFAULT_PROJECT, store.id)

    publish_slowly(database, delete)
    with database.read() as session:
        assert [session.scalar(select(func.count()).select_from(table)) for table in (Document, VectorStore)] == [0, 0]


def test_two_groups_of_versions_can_be_published_at_once(database: Database, blobs: BlobStore) -> None:
    """Whatever order each of them names its documents in; the newer versions stay."""
    store = a_store(database)
    for version in range(3):
        for source in "abc":
            an_entry(database, store, a_file(database, blobs, f"{version}{source}".encode()), source=source)
    old, middle, new = ([a_claim(database) for _ in "abc"] for _ in range(3))
    publication.publish_all(database, [(job, a_document_record("old")) for job in old])
    chunks = SlowChunks()
    slow = [(job, a_document_record("middle", chunks=chunks)) for job in reversed(middle)]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(publication.publish_all, database, slow)
        assert chunks.begun.wait(20)
        second = pool.submit(publication.publish_all, database, [(job, a_document_record("new")) for job in new])
        threading.Timer(0.3, chunks.may_end.set).start()
        assert [len(first.result(30)), len(second.result(30))] == [3, 3]
    with database.read() as session:
        assert set(session.scalars(select(Document.vector_store_file_id))) == {job.id for job in new}


def test_an_old_file_can_be_deleted_while_its_new_version_is_published(database: Database, blobs: BlobStore) -> None:
    store, old = a_store(database), a_file(database, blobs, b"old")
    publish_text(database, blobs, store, "old", file=old, entry={"source": "a.txt"})
    new = an_entry(database, store, a_file(database, blobs, b"new"), source="a.txt")

    def delete() -> None:
        with suppress(NotFound):  # The publication has taken it along.
            files.delete(database, blobs, DEFAULT_PROJECT, old.id)

    publish_slowly(database, delete)
    with database.read() as session:
        assert list(session.scalars(select(Document.vector_store_file_id))) == [new.id]


def test_a_file_that_two_attach_at_once_is_in_the_store_once(database: Database, blobs: BlobStore) -> None:
    """Both are answered with the same entry."""
    store, file = a_store(database), a_file(database, blobs)
    first_is_there = threading.Event()

    def attach() -> int:
        with database.write() as session:
            current = stores.get(session, DEFAULT_PROJECT, store.id)
            entry = stores.attach(session, current, NewVectorStoreFile(file_id=file.id))
            first_is_there.set()
            time.sleep(0.2)
            return entry.id

    with ThreadPoolExecutor() as pool:
        one = pool.submit(attach)
        assert first_is_there.wait(20)
        found = [pool.submit(attach).result(30), one.result(30)]
    assert found[0] == found[1]


MANY = 66_000
FILL = """
INSERT INTO files (id, project_id, filename, purpose, bytes, sha256, created_at)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
SELECT 'f' || i, 'proj_default', 'a', 'assistants', 1, 's' || i, 0 FROM n;
INSERT INTO vector_store_files (id, vector_store_id, file_id, created_at, attributes, chunking_strategy, bytes, status,
    progress, fence, claims, failures, not_before)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
SELECT i, :store, 'f' || i, 0, '{}', '{}', 1, 'completed', 1, 0, 0, 0, 0 FROM n;
INSERT INTO documents (id, vector_store_file_id, vector_store_id, file_id, media_type, text, characters, chunk_count,
    page_spans, warnings, content_key, created_at)
SELECT id, id, vector_store_id, file_id, 't', '', 0, 0, '[]', '[]', 'k', 0 FROM vector_store_files
"""


def test_any_number_of_documents_can_be_removed_at_once(database: Database) -> None:
    """More than a statement can name: 65,535 on PostgreSQL, 32,766 on most builds of SQLite."""
    store = a_store(database)
    with database.write() as session:
        for statement in FILL.split(";"):
            session.execute(text(statement), {"many": MANY, "store": store.id})
    with database.write() as session:
        stores.delete(database, session, DEFAULT_PROJECT, store.id)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Document)) == 0

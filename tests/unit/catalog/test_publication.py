"""Publishing shows a document whole, replaces the old one in the same instant, and writes nothing without the lease."""

from typing import Any

import pytest
from sqlalchemy import func, select

from catalog import documents, feed, publication
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import LeaseLost
from catalog.models import Chunk, Document, File, JobStatus, VectorStoreFile
from tests.builders import (
    IDENTITY,
    a_chunk_record,
    a_claim,
    a_document_record,
    a_file,
    a_store,
    an_entry,
    publish_text,
    vectors_for,
)


def texts_in(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(select(Chunk.text).order_by(Chunk.id)))


def test_a_published_document_is_whole(database: Database, blobs: BlobStore) -> None:
    """Every field of document and chunks is stored as it was given, vectors to the bit."""
    store, file = a_store(database), a_file(database, blobs)
    entry = an_entry(database, store, file)
    chunk = a_chunk_record("one two", page=2, box=(1.0, 2.0, 3.0, 4.0), context="Title", vectors=vectors_for("a", "b"))
    record = a_document_record(
        title="Title",
        media_type="application/pdf",
        text="one two",
        pages=3,
        pages_read=2,
        page_spans=[(2, 0, 7)],
        warnings=["Page 3 could not be read."],
        content_key="the key",
        chunks=[chunk],
    )
    document_id = publication.publish(database, a_claim(database), record)
    stored, (row,) = whole(database, document_id)
    assert stored == {
        "id": document_id,
        "vector_store_file_id": entry.id,
        "vector_store_id": store.id,
        "file_id": file.id,
        "title": "Title",
        "media_type": "application/pdf",
        "text": "one two",
        "characters": 7,
        "chunk_count": 1,
        "pages": 3,
        "pages_read": 2,
        "page_spans": [[2, 0, 7]],
        "warnings": ["Page 3 could not be read."],
        "content_key": "the key",
    }
    assert row.pop("vectors") == chunk.vectors.tobytes()
    assert row == {
        "ordinal": 0,
        "start": 0,
        "end": 7,
        "text": "one two",
        "context": "Title",
        "page": 2,
        "box": [1.0, 2.0, 3.0, 4.0],
        "tokens": chunk.tokens,
        "windows": 2,
        "embedding_key": chunk.embedding_key,
    }


def whole(database: Database, document_id: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return every stored field of a document but its time, and of its chunks but their numbers."""
    with database.read() as session:
        document = session.execute(select(*Document.__table__.columns).where(Document.id == document_id)).one()
        chunks = session.execute(
            select(*Chunk.__table__.columns).where(Chunk.document_id == document_id).order_by(Chunk.id)
        ).all()
    return (
        {name: value for name, value in document._asdict().items() if name != "created_at"},
        [{k: v for k, v in chunk._asdict().items() if k not in {"id", "document_id"}} for chunk in chunks],
    )


def test_publishing_ends_the_job(database: Database, blobs: BlobStore) -> None:
    """The entry is completed in the same transaction, without an owner or an old error."""
    publish_text(database, blobs, a_store(database), "words")
    with database.read() as session:
        entry = session.scalars(select(VectorStoreFile)).one()
    assert (
        entry.status,
        entry.progress,
        entry.owner,
        entry.lease_until,
        entry.error_message,
    ) == (JobStatus.COMPLETED, 1.0, None, None, None)


def test_publishing_again_replaces_the_document_and_its_chunks(database: Database, blobs: BlobStore) -> None:
    """A new generation of an entry leaves nothing of the old one."""
    store = a_store(database)
    old = publish_text(database, blobs, store, "old one", "old two")
    with database.write() as session:
        entry = session.scalars(select(VectorStoreFile)).one()
        entry.status = JobStatus.IN_PROGRESS
    new = publication.publish(database, a_claim(database), a_document_record("new"))
    assert texts_in(database) == ["new"]
    with database.read() as session:
        changes = feed.changes_after(session, 0, limit=10, identity=IDENTITY)
    assert [(old, False), (new, True)] == [(c.document_id, c.document is not None) for c in changes]


def test_a_lost_lease_writes_nothing(database: Database, blobs: BlobStore) -> None:
    """The old document, its chunks and the feed stay as they were."""
    store = a_store(database)
    publish_text(database, blobs, store, "old", entry={"source": "a.txt"})
    an_entry(database, store, a_file(database, blobs, b"new"), source="a.txt")
    stale = a_claim(database, lease_s=-1)
    a_claim(database, "another")
    with database.read() as session:
        position = feed.position(session)
    with pytest.raises(LeaseLost):
        publication.publish(database, stale, a_document_record("new"))
    with database.read() as session:
        assert position == feed.position(session)
    assert texts_in(database) == ["old"]


def test_documents_that_are_published_together_become_visible_together(database: Database, blobs: BlobStore) -> None:
    """Each has its own chunks, replaces the older versions of its own source, and is in the feed."""
    store = a_store(database)
    for source in ("a.txt", "b.txt"):
        publish_text(database, blobs, store, f"old {source}", entry={"source": source})
    for source in ("a.txt", "b.txt", None):
        an_entry(database, store, a_file(database, blobs, f"new {source}".encode()), source=source)
    works = [(job, a_document_record(f"new {job.source}", "more")) for job in (a_claim(database) for _ in range(3))]
    with database.read() as session:
        before = feed.position(session)
    published = publication.publish_all(database, works)
    assert published.keys() == {job.id for job, _ in works}
    assert sorted(texts_in(database)) == ["more", "more", "more", "new None", "new a.txt", "new b.txt"]
    with database.read() as session:
        changes = feed.changes_after(session, before, limit=10, identity=IDENTITY)
        assert session.scalar(select(func.count()).select_from(File)) == 3
    assert [c.document is not None for c in changes] == [False, False, True, True, True]
    assert {c.document_id for c in changes[2:]} == set(published.values())


def test_a_lost_lease_among_others_writes_nothing_for_its_own(database: Database, blobs: BlobStore) -> None:
    """The old document of its source stays; the others are published."""
    store = a_store(database)
    publish_text(database, blobs, store, "old", entry={"source": "a.txt"})
    an_entry(database, store, a_file(database, blobs, b"1"), source="a.txt")
    an_entry(database, store, a_file(database, blobs, b"22"), source="b.txt")
    stale = a_claim(database, lease_s=-1)
    a_claim(database, "another")
    other = a_claim(database)
    works = [(stale, a_document_record("new")), (other, a_document_record("other"))]
    assert publication.publish_all(database, works).keys() == {other.id}
    assert texts_in(database) == ["old", "other"]


def test_of_two_versions_that_are_published_together_the_newer_one_stays(database: Database, blobs: BlobStore) -> None:
    """The older one goes with its file, and the feed says that it is gone."""
    store = a_store(database)
    for content in (b"1", b"22"):
        an_entry(database, store, a_file(database, blobs, content), source="a.txt")
    older, newer = a_claim(database), a_claim(database)
    works = [(newer, a_document_record("newer")), (older, a_document_record("older"))]
    published = publication.publish_all(database, works)
    assert texts_in(database) == ["newer"]
    with database.read() as session:
        changes = feed.changes_after(session, 0, limit=10, identity=IDENTITY)
        assert session.scalar(select(func.count()).select_from(File)) == 1
    assert {c.document_id: c.document is not None for c in changes} == {
        published[older.id]: False,
        published[newer.id]: True,
    }


def test_the_newest_version_of_a_source_replaces_the_older_ones(database: Database, blobs: BlobStore) -> None:
    """A changed file of a folder takes the place of its old entry, document and file row."""
    store = a_store(database)
    publish_text(database, blobs, store, "old", entry={"source": "a.txt"})
    publish_text(database, blobs, store, "of another source", entry={"source": "b.txt"})
    publish_text(database, blobs, store, "new", entry={"source": "a.txt"})
    assert texts_in(database) == ["of another source", "new"]
    with database.read() as session:
        assert list(session.scalars(select(VectorStoreFile.source).order_by(VectorStoreFile.id))) == ["b.txt", "a.txt"]
        assert session.scalar(select(func.count()).select_from(File)) == 2


def test_an_old_version_keeps_its_file_while_another_store_holds_it(database: Database, blobs: BlobStore) -> None:
    """Replacing a source in one store takes nothing from another store."""
    store, other = a_store(database), a_store(database)
    file = a_file(database, blobs, b"old")
    publish_text(database, blobs, store, "old", file=file, entry={"source": "a.txt"})
    publish_text(database, blobs, other, "old", file=file)
    publish_text(database, blobs, store, "new", entry={"source": "a.txt"})
    assert texts_in(database) == ["old", "new"]
    with database.read() as session:
        assert session.get(File, file.id) is not None


def test_a_newer_version_that_overtakes_an_older_one_ends_its_job(database: Database, blobs: BlobStore) -> None:
    """Small files go first: the older, larger version must not come back over the newer one."""
    store = a_store(database)
    an_entry(database, store, a_file(database, blobs, b"old" * 100), source="a.txt")
    older = a_claim(database)
    publish_text(database, blobs, store, "new", entry={"source": "a.txt"})
    with pytest.raises(LeaseLost):
        publication.publish(database, older, a_document_record("old"))
    assert texts_in(database) == ["new"]


def test_entries_without_a_source_do_not_replace_each_other(database: Database, blobs: BlobStore) -> None:
    """Two uploads are two documents, whatever they are called."""
    store = a_store(database)
    publish_text(database, blobs, store, "one")
    publish_text(database, blobs, store, "two")
    assert texts_in(database) == ["one", "two"]


def test_a_copy_equals_its_original_in_all_but_its_place(database: Database, blobs: BlobStore) -> None:
    """Text, pages, warnings, chunks and vectors are the same; entry, store and file are the copy's own."""
    original = publish_text(
        database, blobs, a_store(database), "one", "two", content_key="a key", title="T", pages=2, pages_read=2
    )
    store, file = a_store(database), a_file(database, blobs)
    entry = an_entry(database, store, file)
    copy = publication.publish_copy(database, a_claim(database), "a key")
    assert copy is not None
    (first, first_chunks), (second, second_chunks) = whole(database, original), whole(database, copy)
    place = {"id": copy, "vector_store_file_id": entry.id, "vector_store_id": store.id, "file_id": file.id}
    assert (first | place, first_chunks) == (second, second_chunks)
    with database.read() as session:
        assert session.get_one(VectorStoreFile, entry.id).status == JobStatus.COMPLETED
        changes = feed.changes_after(session, 0, limit=10, identity=IDENTITY)
    assert [change.document_id for change in changes] == [original, copy]


def test_only_equal_content_is_copied(database: Database, blobs: BlobStore) -> None:
    """Another content key, or a removed document, gives no copy, and the job stays as it is."""
    document_id = publish_text(database, blobs, a_store(database), "one", content_key="a key")
    an_entry(database, a_store(database), a_file(database, blobs))
    job = a_claim(database)
    assert publication.publish_copy(database, job, "another key") is None
    with database.write() as session:
        assert documents.remove(database, session, Document.id == document_id) == 1
    assert publication.publish_copy(database, job, "a key") is None
    with database.read() as session:
        assert session.get_one(VectorStoreFile, job.id).status == JobStatus.IN_PROGRESS


def test_a_document_with_unread_pages_is_not_copied(database: Database, blobs: BlobStore) -> None:
    """Its pages may be readable by now: OCR may have been installed since."""
    publish_text(database, blobs, a_store(database), "one", content_key="a key", pages=2, pages_read=1)
    an_entry(database, a_store(database), a_file(database, blobs))
    assert publication.publish_copy(database, a_claim(database), "a key") is None


def test_a_stale_holder_copies_nothing(database: Database, blobs: BlobStore) -> None:
    """The fence guards a copy as it guards any publication."""
    publish_text(database, blobs, a_store(database), "one", content_key="a key")
    an_entry(database, a_store(database), a_file(database, blobs))
    stale = a_claim(database, lease_s=-1)
    a_claim(database, "another")
    with pytest.raises(LeaseLost):
        publication.publish_copy(database, stale, "a key")
    assert texts_in(database) == ["one"]

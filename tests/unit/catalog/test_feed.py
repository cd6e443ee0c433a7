"""The change feed: each document's newest change, in commit order."""

import numpy as np
import pytest

from catalog import documents, feed, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import Document, VectorStoreFile
from tests.builders import IDENTITY, a_chunk_record, a_store, publish_text, vectors_for


def changes(database: Database, seq: int = 0, limit: int = 100) -> list[feed.DocumentChange]:
    with database.read() as session:
        return feed.changes_after(session, seq, limit=limit, identity=IDENTITY)


def entry_of(session: object, document_id: int) -> VectorStoreFile:
    document = session.get_one(Document, document_id)  # type: ignore[attr-defined]
    return session.get_one(VectorStoreFile, document.vector_store_file_id)  # type: ignore[attr-defined,no-any-return]


def test_an_empty_feed_stands_at_zero(database: Database) -> None:
    """A new catalog has no changes."""
    with database.read() as session:
        assert feed.position(session) == 0
    assert changes(database) == []


def test_publications_appear_in_order(database: Database, blobs: BlobStore) -> None:
    """The position is the newest change's number, and reading goes on from any position."""
    store = a_store(database)
    ids = [publish_text(database, blobs, store, text) for text in ("one", "two", "three")]
    found = changes(database)
    assert ids == [change.document_id for change in found]
    assert sorted({c.seq for c in found}) == [c.seq for c in found]
    assert ids[1:] == [change.document_id for change in changes(database, found[0].seq)]
    assert ids[:2] == [change.document_id for change in changes(database, limit=2)]
    with database.read() as session:
        assert feed.position(session) == found[-1].seq
        assert {ids[2]} == feed.pending_ids(session, found[1].seq)


def test_a_change_holds_what_an_index_needs(database: Database, blobs: BlobStore) -> None:
    """Texts come with their context, and every window with the chunk that it belongs to."""
    store = a_store(database)
    chunks = [
        a_chunk_record("long", context="Title", vectors=vectors_for("a", "b")),
        a_chunk_record("short", start=5, end=10),
    ]
    publish_text(database, blobs, store, "long", "short", entry={"attributes": {"a": 1}}, chunks=chunks)
    document = changes(database)[0].document
    assert document is not None
    assert (store.id, {"a": 1}, ["Title\nlong", "\nshort"]) == (
        document.vector_store_id,
        document.attributes,
        document.texts,
    )
    first, second = document.chunk_ids.tolist()
    assert first < second
    assert [first, first, second] == document.window_chunk_ids.tolist()
    np.testing.assert_array_equal(vectors_for("a", "b", "short"), document.vectors)


def test_a_document_has_one_change_its_newest(database: Database, blobs: BlobStore) -> None:
    """The feed does not grow with the changes of one document."""
    store = a_store(database)
    first, second = (publish_text(database, blobs, store, text) for text in ("one", "two"))
    for value in range(3):
        with database.write() as session:
            stores.set_attributes(database, session, entry_of(session, first), {"value": value})
    found = changes(database)
    assert [second, first] == [change.document_id for change in found]
    assert found[1].document is not None
    assert found[1].document.attributes == {"value": 2}


def test_a_removed_document_is_announced_without_content(database: Database, blobs: BlobStore) -> None:
    """Who follows the feed learns that the document is gone."""
    document_id = publish_text(database, blobs, a_store(database), "one")
    seen = changes(database)[0].seq
    with database.write() as session:
        documents.remove(database, session, Document.id == document_id)
    (change,) = changes(database, seen)
    assert (document_id, None) == (change.document_id, change.document)


def test_removing_nothing_announces_nothing(database: Database) -> None:
    """The position moves only when something changed."""
    with database.write() as session:
        assert documents.remove(database, session, Document.id == 1) == 0
        feed.record(database, session, [])
    assert changes(database) == []


def test_a_step_holds_a_bounded_number_of_chunks(
    database: Database, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step ends before the document that would be too much, and has that one alone next; removals weigh nothing."""
    monkeypatch.setattr(feed, "_MAX_CHUNKS", 3)
    store = a_store(database)
    gone = [publish_text(database, blobs, store, f"gone {n}", "more") for n in range(4)]
    with database.write() as session:
        documents.remove(database, session, Document.id.in_(gone))
    sizes = (1, 2, 5, 1)
    ids = [publish_text(database, blobs, store, *[f"{n} {i}" for i in range(size)]) for n, size in enumerate(sizes)]
    steps, seq = [], 0
    while step := changes(database, seq):
        steps.append([change.document_id for change in step])
        seq = step[-1].seq
    assert steps == [[*sorted(gone), ids[0], ids[1]], [ids[2]], [ids[3]]]


def test_a_document_without_a_chunk_is_nothing_to_index(database: Database, blobs: BlobStore) -> None:
    """It counts as gone, for a replica."""
    document_id = publish_text(database, blobs, a_store(database), "text", chunks=[], chunk_count=0)
    (change,) = changes(database)
    assert (change.document_id, change.document) == (document_id, None)


def test_a_change_that_is_rolled_back_was_never_announced(database: Database, blobs: BlobStore) -> None:
    """Announcement and change are one transaction."""
    document_id = publish_text(database, blobs, a_store(database), "one")
    before = changes(database)[0].seq
    try:
        with database.write() as session:
            documents.remove(database, session, Document.id == document_id)
            raise InterruptedError
    except InterruptedError:
        pass
    assert changes(database, before) == []

"""Vector stores and the files in them. Runs on every database."""

import pytest
from sqlalchemy import func, select

from catalog import feed, jobs, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidFile, NotFound
from catalog.models import DEFAULT_PROJECT, Chunk, Document, File, JobStatus, VectorStore, VectorStoreFile
from catalog.paging import PageRequest
from tests.builders import IDENTITY, a_claim, a_file, a_store, an_entry, cancel_entry, publish_text


def fail_next(database: Database, message: str = "It is damaged.") -> None:
    job = a_claim(database)
    with database.write() as session:
        jobs.fail(session, job, InvalidFile(message))


def test_a_store_keeps_what_it_was_made_with(database: Database) -> None:
    """Every field of the request is there when the store is read again."""
    store = a_store(database, name="Laws", description="All", metadata={"a": "b"}, expires_after_days=3)
    with database.read() as session:
        found = stores.get(session, DEFAULT_PROJECT, store.id)
    assert (
        found.name,
        found.description,
        found.metadata_,
        found.expires_after_days,
    ) == ("Laws", "All", {"a": "b"}, 3)


def test_another_projects_store_does_not_exist(database: Database) -> None:
    """It can be neither read nor deleted, and its id is not among the project's."""
    store = a_store(database, project_id="proj_other", name="x")
    with database.write() as session:
        with pytest.raises(NotFound, match=store.id):
            stores.get(session, DEFAULT_PROJECT, store.id)
        with pytest.raises(NotFound):
            stores.delete(database, session, DEFAULT_PROJECT, store.id)
        assert stores.ids_of_project(session, DEFAULT_PROJECT) == []
        assert [store.id] == stores.ids_of_project(session, "proj_other")
        assert stores.find_by_name(session, DEFAULT_PROJECT, "x") is None


def test_the_oldest_store_of_a_name_is_found(database: Database) -> None:
    """Names need not be unique; the first one counts."""
    first = a_store(database, name="x")
    a_store(database, name="x")
    with database.read() as session:
        found = stores.find_by_name(session, DEFAULT_PROJECT, "x")
    assert found is not None
    assert first.id == found.id


def test_attaching_twice_gives_the_same_entry(database: Database, blobs: BlobStore) -> None:
    """While it is in progress and when it is completed, a second request queues nothing."""
    store, file = a_store(database), a_file(database, blobs)
    first = an_entry(database, store, file, attributes={"a": 1})
    assert first.id == an_entry(database, store, file, attributes={"a": 2}).id
    publish_text(database, blobs, store, file=file)
    again = an_entry(database, store, file)
    assert (first.id, JobStatus.COMPLETED, {"a": 1}) == (again.id, again.status, again.attributes)


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_attaching_a_file_that_ended_badly_tries_it_again(
    database: Database, blobs: BlobStore, status: JobStatus
) -> None:
    """The same row is queued anew, with the new request's fields and a clean record."""
    store, file = a_store(database), a_file(database, blobs)
    entry = an_entry(database, store, file)
    if status is JobStatus.FAILED:
        fail_next(database)
    else:
        with database.write() as session:
            cancel_entry(session, entry.id)
    again = an_entry(database, store, file, attributes={"a": 2})
    assert (entry.id, JobStatus.IN_PROGRESS, 0, None, None, {"a": 2}) == (
        again.id,
        again.status,
        again.failures,
        again.error_code,
        again.error_message,
        again.attributes,
    )
    assert entry.id == a_claim(database).id


def test_another_projects_file_cannot_be_attached(database: Database, blobs: BlobStore) -> None:
    """A store takes files of its own project alone."""
    with pytest.raises(NotFound):
        an_entry(database, a_store(database), a_file(database, blobs, project_id="proj_other"))


def test_counts_and_bytes_follow_the_files_states(database: Database, blobs: BlobStore) -> None:
    """Counts add up to the total; only published files use space."""
    store, empty = a_store(database), a_store(database)
    publish_text(database, blobs, store, file=a_file(database, blobs, b"12345"))
    an_entry(database, store, a_file(database, blobs, b"failed"))
    fail_next(database)
    cancelled = an_entry(database, store, a_file(database, blobs, b"cancelled"))
    with database.write() as session:
        cancel_entry(session, cancelled.id)
    an_entry(database, store, a_file(database, blobs, b"waiting"))
    with database.read() as session:
        counts = stores.file_counts(session, [store.id, empty.id])
        usage = stores.usage_bytes(session, [store.id, empty.id])
    each = {"in_progress": 1, "completed": 1, "failed": 1, "cancelled": 1, "total": 4}
    assert {store.id: each, empty.id: dict.fromkeys(each, 0)} == counts
    assert {store.id: 5, empty.id: 0} == usage


def test_new_attributes_reach_the_followers_of_the_feed(database: Database, blobs: BlobStore) -> None:
    """The next search filters by them: the change is announced with the document as it is now."""
    store = a_store(database)
    document_id = publish_text(database, blobs, store, entry={"attributes": {"a": 1}})
    with database.write() as session:
        position = feed.position(session)
        entry = session.scalars(select(VectorStoreFile)).one()
        stores.set_attributes(database, session, entry, {"b": "x"})
    with database.read() as session:
        (change,) = feed.changes_after(session, position, limit=10, identity=IDENTITY)
    assert document_id == change.document_id
    assert change.document is not None
    assert change.document.attributes == {"b": "x"}


def test_attributes_of_a_file_that_waits_are_announced_with_its_document(database: Database, blobs: BlobStore) -> None:
    """Without a document there is nothing to announce yet."""
    store, file = a_store(database), a_file(database, blobs)
    entry = an_entry(database, store, file)
    with database.write() as session:
        stores.set_attributes(database, session, session.get_one(VectorStoreFile, entry.id), {"b": 1})
        assert feed.position(session) == 0
    publish_text(database, blobs, store, file=file)
    with database.read() as session:
        (change,) = feed.changes_after(session, 0, limit=10, identity=IDENTITY)
    assert change.document is not None
    assert change.document.attributes == {"b": 1}


def test_detaching_removes_the_document_and_keeps_the_file(database: Database, blobs: BlobStore) -> None:
    """The file may be in other stores, and stays where it is."""
    store = a_store(database)
    publish_text(database, blobs, store)
    with database.write() as session:
        stores.detach(database, session, session.scalars(select(VectorStoreFile)).one())
    with database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(t)) for t in (VectorStoreFile, Document, Chunk, File)]
    assert counts == [0, 0, 0, 1]


def test_deleting_a_store_removes_its_documents_and_keeps_the_files(database: Database, blobs: BlobStore) -> None:
    """Another store's documents are not touched."""
    store, other = a_store(database), a_store(database)
    file = a_file(database, blobs)
    publish_text(database, blobs, store, file=file)
    kept = publish_text(database, blobs, other, file=file)
    with database.write() as session:
        stores.delete(database, session, DEFAULT_PROJECT, store.id)
    with database.read() as session:
        assert [other.id] == list(session.scalars(select(VectorStore.id)))
        assert [kept] == list(session.scalars(select(Document.id)))
        assert [other.id] == list(session.scalars(select(VectorStoreFile.vector_store_id)))
        assert session.get(File, file.id) is not None


def test_files_of_a_store_are_found_and_filtered_by_state(database: Database, blobs: BlobStore) -> None:
    """A state narrows the list; a file of another store is not in it."""
    store, file = a_store(database), a_file(database, blobs, b"done")
    publish_text(database, blobs, store, file=file)
    waiting = a_file(database, blobs, b"waiting")
    an_entry(database, store, waiting)
    foreign = a_file(database, blobs, b"foreign")
    an_entry(database, a_store(database), foreign)
    with database.read() as session:
        for status, expected in [(None, [waiting.id, file.id]), (JobStatus.COMPLETED, [file.id])]:
            page = stores.list_files(session, store, PageRequest(), status=status)
            assert expected == [entry.file_id for entry in page.items]
        assert file.id == stores.get_file(session, store, file.id).file_id
        with pytest.raises(NotFound, match=foreign.id):
            stores.get_file(session, store, foreign.id)


def test_sources_gives_the_newest_entry_of_each_path(database: Database, blobs: BlobStore) -> None:
    """An older version that is still there does not count."""
    store = a_store(database)
    an_entry(database, store, a_file(database, blobs, b"old"), source="a.txt")
    newest = a_file(database, blobs, b"new")
    an_entry(database, store, newest, source="a.txt")
    an_entry(database, store, a_file(database, blobs, b"an upload"))
    with database.read() as session:
        found = stores.sources(session, store)
    assert {"a.txt": newest.id} == {path: file.id for path, (_, file) in found.items()}


def test_failures_are_listed_with_their_reasons(database: Database, blobs: BlobStore) -> None:
    """Who fed the store can read what was wrong with which file."""
    store = a_store(database)
    an_entry(database, store, a_file(database, blobs, filename="x.pdf"))
    fail_next(database, "It is encrypted.")
    publish_text(database, blobs, store, "fine")
    with database.read() as session:
        assert stores.failures(session, store) == [("x.pdf", "It is encrypted.")]

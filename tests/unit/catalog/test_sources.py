"""Entries that came from a source: known by their paths, renamed, removed. Runs on every database."""

import pytest

from catalog import archives, jobs, publication, sources, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import Conflict, InvalidFile, LeaseLost
from catalog.models import ArchiveMember, File, JobStatus, VectorStore, VectorStoreFile
from tests.builders import a_claim, a_document_record, a_file, a_store, an_entry, publish_text


def add(database: Database, blobs: BlobStore, store: VectorStore, path: str | None, content: str, **entry: str) -> File:
    """Publish a document of a source."""
    file = a_file(database, blobs, content.encode(), filename=(path or "none").rsplit("/", 1)[-1])
    publish_text(database, blobs, store, content, file=file, entry={"source": path, **entry})
    return file


def test_the_newest_entry_of_each_path_is_known(database: Database, blobs: BlobStore) -> None:
    """With its file's hash and its version; uploads and other stores are not."""
    store = a_store(database)
    add(database, blobs, store, "a.txt", "one", source_version="1")
    newest = a_file(database, blobs, b"two", filename="a.txt")
    an_entry(database, store, newest, source="a.txt", source_version="2")
    a_claim(database)
    add(database, blobs, store, None, "three")
    add(database, blobs, a_store(database), "b.txt", "four")
    with database.read() as session:
        known = sources.known(session, store.id)
        found = sources.newest(session, store.id, "a.txt")
        assert found is not None
        assert (found.entry.file_id, found.file.id) == (newest.id, newest.id)
        assert sources.newest(session, store.id, "b.txt") is None
        assert sources.newest_ids(session, store.id, ["a.txt", "b.txt"]) == {"a.txt": found.entry.id}
    assert list(known) == ["a.txt"]
    document = known["a.txt"]
    assert (document.file_id, document.sha256, document.filename) == (newest.id, newest.sha256, "a.txt")
    assert (document.version, document.status) == ("2", JobStatus.IN_PROGRESS)


def test_an_uploaded_file_is_no_document_of_a_source(database: Database, blobs: BlobStore) -> None:
    """A store of uploads alone has none to follow a source by."""
    store = a_store(database)
    add(database, blobs, store, None, "one")
    with database.read() as session:
        assert sources.known(session, store.id) == {}


def test_versions_are_noted_by_entry(database: Database, blobs: BlobStore) -> None:
    """Many at once; the others stay."""
    store = a_store(database)
    for path in ("a", "b", "c"):
        add(database, blobs, store, path, path, source_version="1")
    with database.write() as session:
        ids = sources.newest_ids(session, store.id, ["a", "b"])
        sources.note_versions(session, {ids["a"]: "2", ids["b"]: "3"})
    with database.read() as session:
        assert {k: d.version for k, d in sources.known(session, store.id).items()} == {"a": "2", "b": "3", "c": "1"}


def test_a_renamed_path_takes_all_its_versions_along(database: Database, blobs: BlobStore) -> None:
    """When the newest is published, the older one goes, as if it had always been there."""
    store = a_store(database)
    add(database, blobs, store, "a.txt", "one")
    newest = an_entry(database, store, a_file(database, blobs, b"two"), source="a.txt")
    with database.write() as session:
        sources.rename(session, store.id, "a.txt", "b.txt", version="9")
    publication.publish(database, a_claim(database), a_document_record())
    with database.read() as session:
        known = sources.known(session, store.id)
        assert {path: (d.entry_id, d.version) for path, d in known.items()} == {"b.txt": (newest.id, "9")}
        assert session.query(VectorStoreFile).count() == 1


def test_removing_paths_names_the_bytes_that_nothing_needs(database: Database, blobs: BlobStore) -> None:
    """Files that another store holds stay, and so do other paths."""
    store, other = a_store(database), a_store(database)
    gone, shared, _ = (add(database, blobs, store, name, f"text {name}") for name in ("a", "b", "c"))
    an_entry(database, other, shared)
    with database.write() as session:
        assert sources.remove(database, session, store.id, ["a", "b", "none"]) == {gone.sha256}
    with database.read() as session:
        assert list(sources.known(session, store.id)) == ["c"]
        assert session.get(File, gone.id) is None
        assert session.get(File, shared.id) is not None


def test_a_withdrawn_entry_cannot_be_published(database: Database, blobs: BlobStore) -> None:
    """Its worker finds out; a file that is left over goes."""
    store = a_store(database)
    file = a_file(database, blobs, b"one")
    an_entry(database, store, file, source="a.txt")
    job = a_claim(database)
    with database.write() as session:
        sources.withdraw(database, session, session.get_one(VectorStoreFile, job.id))
    with pytest.raises(LeaseLost):
        publication.publish(database, job, a_document_record())
    with database.read() as session:
        assert session.get(File, file.id) is None


def test_members_of_archives_are_not_known_and_count_as_unfinished(database: Database, blobs: BlobStore) -> None:
    """They come and go with their archive."""
    store = a_store(database)
    archive, member = a_file(database, blobs, b"PK"), a_file(database, blobs, b"member")
    an_entry(database, store, archive, source="a.zip")
    with database.write() as session:
        session.add(ArchiveMember(file_id=member.id, archive_id=archive.id, path="m.txt"))
    entry = an_entry(database, store, member, source=f"a.zip{archives.MEMBER_SEPARATOR}m.txt")
    with database.read() as session:
        assert list(sources.known(session, store.id)) == ["a.zip"]
        assert sources.unfinished(session, store.id)[entry.id] == (6, 0.0)
        assert len(sources.states(session, store.id)) == 2


def test_states_tell_how_far_each_path_is(database: Database, blobs: BlobStore) -> None:
    """The newest entry counts: what was published of it, or why it failed."""
    store = a_store(database)
    file = a_file(database, blobs, b"one")
    publish_text(
        database, blobs, store, "one", "two", file=file, entry={"source": "a"}, pages=3, pages_read=2, warnings=["w"]
    )
    an_entry(database, store, a_file(database, blobs, b"bad"), source="b")
    job = a_claim(database)
    with database.write() as session:
        jobs.fail(session, job, InvalidFile("It is damaged."))
    with database.read() as session:
        found = sources.states(session, store.id)
    assert found["a"] == sources.DocumentState(
        status=JobStatus.COMPLETED, error=None, pages=3, pages_read=2, chunks=2, warnings=["w"]
    )
    assert (found["b"].status, found["b"].error, found["b"].chunks) == (JobStatus.FAILED, "It is damaged.", None)


def noted(database: Database, store: VectorStore) -> str | None:
    with database.read() as session:
        value = stores.get(session, store.project_id, store.id).metadata_.get(sources.METADATA_KEY)
        return str(value) if value is not None else None


def note(database: Database, store: VectorStore, url: str, *, has_others: bool) -> None:
    with database.write() as session:
        sources.note_origin(stores.get(session, store.project_id, store.id), url, has_others=has_others)


def test_a_store_remembers_the_one_source_of_its_documents(database: Database) -> None:
    """A second source beside it makes it forget; one that takes over is remembered. Other metadata stays."""
    store = a_store(database, metadata={"owner": "us"})
    note(database, store, "/a", has_others=False)
    assert noted(database, store) == "/a"
    note(database, store, "/a", has_others=True)
    assert noted(database, store) == "/a"
    note(database, store, "/b", has_others=True)
    assert noted(database, store) is None
    note(database, store, "/a", has_others=True)
    assert noted(database, store) is None
    note(database, store, "/b", has_others=False)
    assert noted(database, store) == "/b"
    with database.read() as session:
        assert stores.get(session, store.project_id, store.id).metadata_["owner"] == "us"


@pytest.mark.parametrize(
    ("followed", "has_documents", "is_allowed"),
    [
        (None, False, True),
        ("/a", False, True),
        ("/b", False, False),
        ("/a", True, True),
        ("/b", True, False),
        (None, True, False),
    ],
)
def test_a_source_may_change_the_store_that_follows_it(
    database: Database, followed: str | None, has_documents: bool, is_allowed: bool
) -> None:
    """And one that follows none and has no documents of any."""
    store = a_store(database)
    store.metadata_ = {sources.METADATA_KEY: followed} if followed else {}
    if is_allowed:
        sources.check_origin(store, "/a", has_documents=has_documents)
    else:
        with pytest.raises(Conflict, match="--adopt"):
            sources.check_origin(store, "/a", has_documents=has_documents)

"""Files and their blobs come and go together. Runs on every database."""

import pytest
from sqlalchemy import func, select

from catalog import files
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import NotFound
from catalog.models import DEFAULT_PROJECT, Chunk, Document, File, VectorStoreFile
from catalog.paging import PageRequest
from tests.builders import a_file, a_store, publish_text


def stored(blobs: BlobStore) -> set[str]:
    return {name for name, _ in blobs.names()}


def test_an_added_file_has_its_row_and_its_bytes(database: Database, blobs: BlobStore) -> None:
    """The row says what was uploaded, and the blob holds the bytes under their hash."""
    file = a_file(database, blobs, b"content", filename="x.pdf", purpose="assistants", expires_at=5.0)
    with database.read() as session:
        found = files.get(session, DEFAULT_PROJECT, file.id)
    assert (found.filename, found.purpose, found.bytes, found.expires_at) == ("x.pdf", "assistants", 7, 5.0)
    with blobs.open(found.sha256) as stream:
        assert stream.read() == b"content"


def test_another_projects_file_does_not_exist(database: Database, blobs: BlobStore) -> None:
    """Reading and deleting it fail like for an id that was never given out."""
    file = a_file(database, blobs, project_id="proj_other")
    with database.read() as session, pytest.raises(NotFound, match=file.id):
        files.get(session, DEFAULT_PROJECT, file.id)
    with pytest.raises(NotFound):
        files.delete(database, blobs, DEFAULT_PROJECT, file.id)
    assert {file.sha256} == stored(blobs)


def test_deleting_takes_a_file_out_of_every_store(database: Database, blobs: BlobStore) -> None:
    """Entries, documents, chunks and bytes are gone; the stores stay."""
    file = a_file(database, blobs)
    for _ in range(2):
        publish_text(database, blobs, a_store(database), file=file)
    files.delete(database, blobs, DEFAULT_PROJECT, file.id)
    with database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(t)) for t in (File, VectorStoreFile, Document, Chunk)]
    assert counts == [0, 0, 0, 0]
    assert set() == stored(blobs)


def test_bytes_stay_while_another_file_has_them(database: Database, blobs: BlobStore) -> None:
    """Two uploads of the same bytes share a blob; it goes with the last of them."""
    first, second = a_file(database, blobs, b"same"), a_file(database, blobs, b"same", project_id="proj_other")
    files.delete(database, blobs, DEFAULT_PROJECT, first.id)
    assert {second.sha256} == stored(blobs)
    files.delete(database, blobs, "proj_other", second.id)
    assert set() == stored(blobs)


def test_sweep_removes_old_blobs_that_no_file_needs(database: Database, blobs: BlobStore) -> None:
    """Blobs in use stay whatever their age, and young ones may belong to an upload that is under way."""
    kept = a_file(database, blobs, b"kept")
    lost = a_file(database, blobs, b"lost")
    with database.write() as session:
        session.delete(session.get_one(File, lost.id))
    assert files.sweep(database, blobs) == 0
    assert {kept.sha256, lost.sha256} == stored(blobs)
    assert files.sweep(database, blobs, min_age_s=0) == 1
    assert {kept.sha256} == stored(blobs)


def test_files_are_listed_by_purpose(database: Database, blobs: BlobStore) -> None:
    """A purpose narrows the list."""
    wanted = a_file(database, blobs, purpose="user_data")
    a_file(database, blobs, purpose="assistants")
    with database.read() as session:
        page = files.list_page(session, DEFAULT_PROJECT, PageRequest(), purpose="user_data")
    assert [wanted.id] == [file.id for file in page.items]


def test_names_are_found_by_id(database: Database, blobs: BlobStore) -> None:
    """Ids that are not there have no name."""
    file = a_file(database, blobs, filename="x.txt")
    with database.read() as session:
        assert {file.id: "x.txt"} == files.names(session, [file.id, "file-none"])

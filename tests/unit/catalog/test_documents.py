"""Stored texts are read by character; what is removed is gone for good."""

import pytest
from sqlalchemy import select

from catalog import documents, stores
from catalog.blobs import BlobStore
from catalog.chunks import chunks_of
from catalog.database import Database
from catalog.errors import NotFound
from catalog.models import DEFAULT_PROJECT, Document, VectorStoreFile
from tests.builders import (
    a_file,
    a_store,
    publish_text,
)


def test_text_range_counts_characters(database: Database, blobs: BlobStore) -> None:
    """Offsets are Python's, also behind characters outside the basic plane and combining marks."""
    text = "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩🏽‍🚀 cafe\u0301 数据 end"
    document_id = publish_text(database, blobs, a_store(database), text)
    with database.read() as session:
        for start in range(len(text)):
            for end in (start, start + 1, start + 3, len(text)):
                assert text[start:end] == documents.text_range(session, document_id, start, end)


def test_text_range_of_a_removed_document_is_none(database: Database, blobs: BlobStore) -> None:
    """A citation into a deleted document cannot be re-read."""
    document_id = publish_text(database, blobs, a_store(database), "words")
    with database.write() as session:
        documents.remove(database, session, Document.id == document_id)
    with database.read() as session:
        assert documents.text_range(session, document_id, 0, 5) is None


def test_the_text_of_a_file_is_that_of_its_newest_document(database: Database, blobs: BlobStore) -> None:
    """Of a file that was not read, or is another project's, there is none."""
    file, other = a_file(database, blobs, b"words"), a_file(database, blobs, b"more")
    for text in ("older", "newer"):
        publish_text(database, blobs, a_store(database), text, file=file)
    with database.read() as session:
        assert documents.text_of_file(session, DEFAULT_PROJECT, file.id) == "newer"
        for project_id, file_id in ((DEFAULT_PROJECT, other.id), ("proj_other", file.id)):
            with pytest.raises(NotFound, match=f"no document of file '{file_id}'"):
                documents.text_of_file(session, project_id, file_id)


def test_numbers_of_removed_documents_are_never_used_again(database: Database, blobs: BlobStore) -> None:
    """An index that still holds an old number cannot mistake it for a new document."""
    store = a_store(database)
    first = publish_text(database, blobs, store, "one")
    with database.read() as session:
        old_chunk = chunks_of(session, first)[0].id
        entry = session.scalars(select(VectorStoreFile)).one()
    with database.write() as session:
        stores.detach(database, session, session.get_one(VectorStoreFile, entry.id))
    second = publish_text(database, blobs, store, "two")
    assert second != first
    with database.read() as session:
        assert chunks_of(session, second)[0].id > old_chunk

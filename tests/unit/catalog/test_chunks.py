"""Chunks come with what searches and citations need of their documents."""

import numpy as np

from catalog.blobs import BlobStore
from catalog.chunks import chunks_of, known_vectors, load_chunks, load_neighbours
from catalog.database import Database
from tests.builders import (
    a_file,
    a_store,
    publish_text,
    vectors_for,
)


def test_load_chunks_gives_what_a_citation_needs(database: Database, blobs: BlobStore) -> None:
    """A chunk comes with its document, file name and attributes; a removed one is left out."""
    store = a_store(database)
    file = a_file(database, blobs, filename="report.txt")
    entry = {"attributes": {"year": 2020}}
    spans = [(1, 0, 3), (2, 4, 7)]
    document_id = publish_text(
        database, blobs, store, "one", "two", file=file, entry=entry, title="Report", page_spans=spans
    )
    with database.read() as session:
        ids = [chunk.id for chunk in chunks_of(session, document_id)]
        found = load_chunks(session, [*ids, 10**9])
    assert set(ids) == found.keys()
    second = found[ids[1]]
    assert ("report.txt", "Report", {"year": 2020}, 1, 4, 7, "two", spans) == (
        second.filename,
        second.title,
        second.attributes,
        second.ordinal,
        second.start,
        second.end,
        second.text,
        second.page_spans,
    )


def test_neighbours_stand_directly_before_and_after(database: Database, blobs: BlobStore) -> None:
    """In that order and in the same document; the first chunk has one behind it alone."""
    store = a_store(database)
    publish_text(database, blobs, store, "another document")
    document_id = publish_text(database, blobs, store, "zero", "one", "two", "three")
    with database.read() as session:
        numbers = [chunk.id for chunk in chunks_of(session, document_id)]
        found = load_neighbours(session, [numbers[0], numbers[2]])
    texts = {number: [chunk.text for chunk in chunks] for number, chunks in found.items()}
    assert texts == {numbers[0]: ["one"], numbers[2]: ["one", "three"]}


def test_known_vectors_finds_what_was_embedded_before(database: Database, blobs: BlobStore) -> None:
    """Vectors come back by embedding key, also among more keys than one statement takes."""
    publish_text(database, blobs, a_store(database), "one", "two")
    keys = [f"unknown {n}" for n in range(1200)]
    with database.read() as session:
        found = known_vectors(session, ["key of one", *keys, "key of two", "key of one"])
    assert {"key of one", "key of two"} == found.keys()
    np.testing.assert_array_equal(vectors_for("one"), found["key of one"])

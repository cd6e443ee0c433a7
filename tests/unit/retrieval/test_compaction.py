"""Compaction leaves no word of a deleted document in the lexical index's file."""

import sqlite3
from pathlib import Path

import pytest

from catalog import documents, feed
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.models import Document, VectorStore
from retrieval.compaction import compact_lexical
from retrieval.consistency import check_lexical
from retrieval.lexical import LexicalIndex
from tests.builders import IDENTITY, a_store, publish_text
from tests.unit.retrieval.test_consistency import follow

MARKER = "qworvexil83tamdurok"
# More than anything here takes.
WAIT_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexical.sqlite"


@pytest.fixture
def store(database: Database, blobs: BlobStore, path: Path) -> VectorStore:
    """Return a store with a document that stays and one that holds the marker, both followed."""
    store = a_store(database)
    publish_text(database, blobs, store, "these words stay")
    publish_text(database, blobs, store, *[f"{MARKER} and word{n}" for n in range(300)])
    follow(database, path)
    return store


def delete_marked(database: Database) -> None:
    with database.write() as session:
        documents.remove(database, session, Document.characters > 100)


def content(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def found(path: Path, query: str) -> int:
    index = LexicalIndex(path)
    hits = index.search(query, limit=1000, document_ids=None)
    index.close()
    return len(hits)


def test_a_file_that_was_never_made_is_not_made(database: Database, path: Path) -> None:
    """Nothing is there to compact."""
    assert compact_lexical(database, path, wait_s=WAIT_S) == 0
    assert not path.exists()


@pytest.mark.usefixtures("store")
def test_a_deleted_document_leaves_no_word(database: Database, path: Path) -> None:
    """Whether a process has followed the deletion or not; what stays is found as before."""
    assert MARKER.encode() in content(path)
    delete_marked(database)
    assert compact_lexical(database, path, wait_s=WAIT_S) == 300
    assert MARKER.encode() not in content(path)
    assert MARKER[-10:].encode() not in content(path), "the end of a term whose beginning FTS5 does not repeat"
    assert (found(path, MARKER), found(path, "stay")) == (0, 1)
    assert check_lexical(database, path, identity=IDENTITY) == []
    follow(database, path)
    assert check_lexical(database, path, identity=IDENTITY) == []
    assert compact_lexical(database, path, wait_s=WAIT_S) == 0


@pytest.mark.usefixtures("store")
def test_a_followed_deletion_is_merged_away(database: Database, path: Path) -> None:
    """Purging alone leaves the words in old segments and free pages."""
    delete_marked(database)
    follow(database, path)
    compact_lexical(database, path, wait_s=WAIT_S)
    assert MARKER.encode() not in content(path)
    assert found(path, "stay") == 1


def test_a_publication_that_comes_late_is_passed_over(
    database: Database, blobs: BlobStore, path: Path, store: VectorStore
) -> None:
    """A process that read the document before its deletion, and writes it after the compaction, writes nothing."""
    index = LexicalIndex(path)
    late = publish_text(database, blobs, store, f"{MARKER} late")
    with database.read() as session:
        changes = feed.changes_after(session, index.position, limit=10, identity=IDENTITY)
    assert [change.document_id for change in changes] == [late]
    with database.write() as session:
        documents.remove(database, session, Document.id == late)
    compact_lexical(database, path, wait_s=WAIT_S)
    index.apply(changes)
    assert index.search("late", limit=10, document_ids=None) == []
    index.close()
    assert b"late" not in content(path)


@pytest.mark.usefixtures("store")
def test_a_file_that_others_keep_busy_is_a_stated_outage(database: Database, path: Path) -> None:
    """The error names the file; the index is sound, and the next compaction finishes the work."""
    delete_marked(database)
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM passages").fetchone()
    with pytest.raises(ServiceUnavailable, match=r"lexical\.sqlite.*0\.2 s"):
        compact_lexical(database, path, wait_s=0.2)
    reader.close()
    assert check_lexical(database, path, identity=IDENTITY) == []
    assert found(path, MARKER) == 0
    compact_lexical(database, path, wait_s=WAIT_S)
    assert MARKER.encode() not in content(path)

"""Compaction leaves no word of a deleted document in the lexical index's folder."""

from pathlib import Path

import pytest
import tantivy

from catalog import documents, feed
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.models import Document, VectorStore
from retrieval.compaction import compact_lexical
from retrieval.consistency import check_lexical
from retrieval.lexical import LexicalIndex
from tests.builders import IDENTITY, a_store, lexical_terms, publish_text
from tests.unit.retrieval.test_consistency import follow

MARKER = "qworvexil83tamdurok"
# More than anything here takes.
WAIT_S = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexical"


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


def marked(path: Path) -> bool:
    """Whether the marker stands in a dictionary of the index."""
    return MARKER in lexical_terms(path)


def found(path: Path, query: str) -> int:
    index = LexicalIndex(path)
    hits = index.search(query, limit=1000, document_ids=None)
    index.close()
    return len(hits)


def test_a_folder_that_was_never_made_is_not_made(database: Database, path: Path) -> None:
    """Nothing is there to compact."""
    assert compact_lexical(database, path, identity=IDENTITY, wait_s=WAIT_S) == 0
    assert not path.exists()


@pytest.mark.usefixtures("store")
def test_a_deleted_document_leaves_no_word(database: Database, path: Path) -> None:
    """Whether a process has followed the deletion or not; what stays is found as before."""
    assert marked(path)
    delete_marked(database)
    assert compact_lexical(database, path, identity=IDENTITY, wait_s=WAIT_S) == 300
    assert not marked(path)
    assert (found(path, MARKER), found(path, "stay")) == (0, 1)
    assert check_lexical(database, path, identity=IDENTITY) == []
    follow(database, path)
    assert check_lexical(database, path, identity=IDENTITY) == []
    assert compact_lexical(database, path, identity=IDENTITY, wait_s=WAIT_S) == 0


@pytest.mark.usefixtures("store")
def test_a_followed_deletion_is_merged_away(database: Database, path: Path) -> None:
    """Words of deleted passages stay in their segment, until it is written anew."""
    delete_marked(database)
    follow(database, path)
    compact_lexical(database, path, identity=IDENTITY, wait_s=WAIT_S)
    assert not marked(path)
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
    compact_lexical(database, path, identity=IDENTITY, wait_s=WAIT_S)
    index.apply(changes)
    index.flush()
    assert index.search("late", limit=10, document_ids=None) == []
    index.close()
    assert "late" not in lexical_terms(path)


@pytest.mark.usefixtures("store")
def test_a_folder_that_others_write_is_a_stated_outage(database: Database, path: Path) -> None:
    """The error names the folder; the index is sound, and the next compaction does the work."""
    delete_marked(database)
    writer = tantivy.Index.open(str(path)).writer(15_000_000, 1)
    with pytest.raises(ServiceUnavailable, match=f"Another process is writing .*{path}"):
        compact_lexical(database, path, identity=IDENTITY, wait_s=0.1)
    writer.wait_merging_threads()
    assert check_lexical(database, path, identity=IDENTITY) == []
    assert compact_lexical(database, path, identity=IDENTITY, wait_s=WAIT_S) == 300
    assert not marked(path)


@pytest.mark.usefixtures("store")
def test_the_file_of_earlier_versions_goes_too(database: Database, path: Path) -> None:
    """Its words are copies of what may have been deleted since."""
    old = path.with_name("lexical.sqlite")
    old.write_text(MARKER)
    compact_lexical(database, path, identity=IDENTITY, wait_s=WAIT_S)
    assert not old.exists()

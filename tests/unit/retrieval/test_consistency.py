"""The lexical index is compared with the catalog, and built anew where it belongs to another one."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from catalog import documents
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import Document, VectorStore
from retrieval.consistency import check_lexical, load_vectors, rebuild_if_foreign
from retrieval.indexes.faiss import FaissIndex
from retrieval.indexes.partition import Sizes
from retrieval.indexes.snapshots import Snapshots
from retrieval.indexes.vectors import VectorReplica
from retrieval.lexical import LexicalIndex
from retrieval.replica import Replica
from tests.builders import IDENTITY, a_publication, a_removal, a_store, publish_text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexical"


def follow(database: Database, path: Path) -> None:
    """Bring the folder up to the catalog."""
    index = FaissIndex(dimension=64, lexical=path)
    Replica(database, index, identity=IDENTITY).catch_up()
    index.close()


def edit(path: Path, *changes: object) -> None:
    index = LexicalIndex(path)
    index.apply(changes)  # type: ignore[arg-type]
    index.close()


def kinds(database: Database, path: Path) -> list[str]:
    return [problem.kind for problem in check_lexical(database, path, identity=IDENTITY)]


@pytest.fixture
def store(database: Database, blobs: BlobStore) -> VectorStore:
    store = a_store(database)
    for text in ("one", "two"):
        publish_text(database, blobs, store, text)
    return store


@pytest.mark.usefixtures("store")
def test_an_index_that_follows_is_sound(database: Database, path: Path) -> None:
    """Before it is made, when it has caught up, and when it lags behind."""
    assert kinds(database, path) == []
    follow(database, path)
    assert kinds(database, path) == []
    with database.write() as session:
        document_id = session.scalars(select(Document.id)).first()
        documents.remove(database, session, Document.id == document_id)
    assert kinds(database, path) == []
    follow(database, path)
    assert kinds(database, path) == []


@pytest.mark.usefixtures("store")
def test_a_missing_document_is_found(database: Database, path: Path) -> None:
    """The folder says that it has seen everything, and one document is not there."""
    follow(database, path)
    with database.read() as session:
        document_id = session.scalars(select(Document.id)).first()
    index = LexicalIndex(path)
    index.rewrite([[a_removal(index.position, 7)]], wait_s=5)
    index.close()
    problems = check_lexical(database, path, identity=IDENTITY)
    assert "unindexed document" in {problem.kind for problem in problems}
    assert any(str(document_id) in problem.detail for problem in problems)


@pytest.mark.usefixtures("store")
def test_postings_of_an_unknown_document_are_found(database: Database, path: Path) -> None:
    """Nothing may be found that the catalog never had."""
    edit(path, a_publication(1, 7, "x"))
    assert "orphan postings" in kinds(database, path)


@pytest.mark.usefixtures("store")
def test_an_index_that_is_ahead_of_its_catalog_is_foreign(database: Database, path: Path) -> None:
    """A catalog restored from a backup has a shorter feed: the folder is emptied and filled again."""
    follow(database, path)
    edit(path, a_publication(99, 7, "x"))
    assert kinds(database, path) == ["foreign index"]
    rebuild_if_foreign(database, path, identity=IDENTITY)
    assert kinds(database, path) == []
    follow(database, path)
    index = LexicalIndex(path)
    assert (len(index.passage_counts()), index.position) == (2, 2)
    index.close()


@pytest.mark.usefixtures("store")
def test_an_index_that_belongs_to_its_catalog_is_kept(database: Database, path: Path) -> None:
    """Nothing is built anew without need."""
    follow(database, path)
    rebuild_if_foreign(database, path, identity=IDENTITY)
    index = LexicalIndex(path)
    assert index.position == 2
    index.close()


@pytest.mark.usefixtures("store")
def test_a_document_with_too_few_passages_is_found(database: Database, path: Path) -> None:
    """Counts are compared, not names alone; the index is then built anew."""
    follow(database, path)
    with database.write() as session:
        session.execute(update(Document).values(chunk_count=Document.chunk_count + 1))
    assert set(kinds(database, path)) == {"unindexed document"}


@pytest.mark.usefixtures("store")
def test_a_damaged_file_is_found(database: Database, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its checksum; the start builds the index anew, with a log line."""
    follow(database, path)
    (file,) = path.glob("*.idx")
    content = file.read_bytes()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert kinds(database, path) == ["damaged index"]
    rebuild_if_foreign(database, path, identity=IDENTITY)
    assert f"{file} is not as it was written" in caplog.text
    follow(database, path)
    assert kinds(database, path) == []


@pytest.mark.usefixtures("store")
def test_the_file_of_earlier_versions_is_removed(database: Database, path: Path) -> None:
    """It held copies alone, and their words would outlive a deletion."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"lexical.sqlite{suffix}").write_bytes(b"old words")
    rebuild_if_foreign(database, path, identity=IDENTITY)
    assert list(path.parent.glob("lexical.sqlite*")) == []


@pytest.mark.usefixtures("store")
def test_documents_of_another_embedding_model_are_not_expected(
    database: Database, blobs: BlobStore, path: Path
) -> None:
    """Nobody can search their stores. When that model comes back, the index is made for it."""
    publish_text(database, blobs, a_store(database, embedding_identity="another"), "three")
    follow(database, path)
    assert kinds(database, path) == []
    rebuild_if_foreign(database, path, identity="another")
    index = LexicalIndex(path)
    assert index.position == 0
    index.close()


# --- snapshots of the vectors -----------------------------------------------------------------------------------------


@pytest.fixture
def snapshots(database: Database, path: Path, store: VectorStore) -> Snapshots:
    """Write one of the catalog as it is, as an index does that is large enough."""
    sizes = Sizes(segment=1)
    snapshots = Snapshots(path.parent / "vectors", identity=IDENTITY, dimension=64, sizes=sizes)
    index = FaissIndex(dimension=64, lexical=path, vectors=VectorReplica(64, sizes), snapshots=snapshots)
    Replica(database, index, identity=IDENTITY).catch_up()
    index.close()
    return snapshots


def test_a_snapshot_that_lags_behind_is_used(
    database: Database, blobs: BlobStore, snapshots: Snapshots, store: VectorStore, path: Path
) -> None:
    """What came and went since is applied to it."""
    with database.write() as session:
        document_id = session.scalars(select(Document.id)).first()
        documents.remove(database, session, Document.id == document_id)
    publish_text(database, blobs, store, "three")
    vectors = load_vectors(database, snapshots, identity=IDENTITY)
    assert vectors is not None
    index = FaissIndex(dimension=64, lexical=path, vectors=vectors)
    Replica(database, index, identity=IDENTITY).catch_up()
    with database.read() as session:
        assert vectors.table.known_ids() == set(session.scalars(select(Document.id)))
    index.close()


def test_a_snapshot_of_another_state_of_the_catalog_is_not_used(
    database: Database, snapshots: Snapshots, caplog: pytest.LogCaptureFixture
) -> None:
    """A restored backup may know other documents, and another last change."""
    with database.write() as session:
        session.delete(session.scalars(select(Document)).first())
    assert load_vectors(database, snapshots, identity=IDENTITY) is None
    assert "another state of the catalog" in caplog.text


def test_a_snapshot_from_the_future_is_not_used(database: Database, snapshots: Snapshots) -> None:
    """The catalog ends at an earlier change."""
    vectors = snapshots.load()
    assert vectors is not None
    vectors.position += 10
    snapshots.write(vectors)
    assert load_vectors(database, snapshots, identity=IDENTITY) is None
    snapshots.close()

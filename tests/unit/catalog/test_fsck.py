"""fsck finds every kind of damage, and nothing in a sound catalog."""

from collections.abc import Callable

import pytest

from catalog import fsck
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.fsck import Problem
from catalog.models import ArchiveMember
from tests.builders import a_claim, a_file, a_store, an_entry, publish_text


def damage(database: Database, statement: str) -> None:
    """Do what no code of ours would: foreign keys are not checked."""
    connection = database.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = OFF")
        cursor.execute(statement)
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        connection.close()


def kinds(problems: list[Problem]) -> set[str]:
    return {problem.kind for problem in problems}


@pytest.fixture
def filled(database: Database, blobs: BlobStore) -> Database:
    """Return a catalog with a document of two chunks, a waiting file and a held one."""
    store = a_store(database)
    publish_text(database, blobs, store, "one", "two")
    an_entry(database, store, a_file(database, blobs, b"held"))
    a_claim(database)
    an_entry(database, store, a_file(database, blobs, b"waiting"))
    return database


def test_a_sound_catalog_has_no_problems(filled: Database, blobs: BlobStore) -> None:
    """Finished, held and waiting files are all in order; so is an empty catalog."""
    assert fsck.check(filled, blobs, orphan_age_s=0) == []


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM documents", "lost document"),
        ("UPDATE vector_store_files SET lease_until = 1 WHERE owner IS NOT NULL", "stuck job"),
        ("UPDATE documents SET vector_store_file_id = 99", "orphan document"),
        ("DELETE FROM documents", "orphan chunks"),
        ("DELETE FROM chunks WHERE ordinal = 1", "lost chunks"),
        ("UPDATE chunks SET ordinal = 5 WHERE ordinal = 1", "lost chunks"),
        ("UPDATE chunks SET start = start + 1", "false span"),
        ("UPDATE documents SET text = 'something else'", "false span"),
        ("UPDATE chunks SET vectors = x''", "broken vector"),
        ("UPDATE chunks SET vectors = x'000000'", "broken vector"),
        ("DELETE FROM changes", "unannounced document"),
        ("DELETE FROM document_embeddings", "nameless vectors"),
        ("UPDATE document_embeddings SET identity = 'other'", "lost vectors"),
        ("INSERT INTO document_embeddings SELECT id, 'next', FALSE FROM documents", "lost vectors"),
        ("INSERT INTO chunk_vectors SELECT id, 'next', 1, vectors, 'key' FROM chunks", "orphan vectors"),
        ("DELETE FROM files WHERE bytes = 4", "orphan blob"),
    ],
)
def test_damage_is_found(filled: Database, blobs: BlobStore, statement: str, kind: str) -> None:
    """Each kind of inconsistency has its name."""
    damage(filled, statement)
    assert kind in kinds(fsck.check(filled, blobs, orphan_age_s=0))


@pytest.mark.parametrize("gone", ["archive_id", "file_id"])
def test_a_member_without_its_archive_is_found(filled: Database, blobs: BlobStore, gone: str) -> None:
    """And an archive's entry for a member that is no file any more."""
    archive, member = a_file(filled, blobs, b"archive"), a_file(filled, blobs, b"member")
    with filled.write() as session:
        session.add(ArchiveMember(file_id=member.id, archive_id=archive.id, path="a.txt"))
    assert fsck.check(filled, blobs) == []
    damage(filled, f"DELETE FROM files WHERE id = (SELECT {gone} FROM archive_members)")
    (problem,) = fsck.check(filled, blobs)
    assert problem.kind == "orphan member"
    assert archive.id in problem.detail


def test_a_blob_that_is_gone_is_found(filled: Database, blobs: BlobStore) -> None:
    """The problem names the file that needs it."""
    file = a_file(filled, blobs, b"a lost one")
    blobs.delete(file.sha256)
    (problem,) = fsck.check(filled, blobs)
    assert problem.kind == "lost blob"
    assert file.id in problem.detail


def test_a_young_blob_without_a_file_may_be_an_upload(filled: Database, blobs: BlobStore) -> None:
    """Only old ones count as orphans."""
    damage(filled, "DELETE FROM files WHERE bytes = 7")
    check: Callable[..., list[Problem]] = fsck.check
    assert "orphan blob" not in kinds(check(filled, blobs))
    assert "orphan blob" in kinds(check(filled, blobs, orphan_age_s=0))

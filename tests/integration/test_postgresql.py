"""The catalog on a real PostgreSQL: the catalog's own tests, with this module's `database` instead of SQLite's.

What is imported here from the unit tests runs here a second time.
"""

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select, text

from catalog import documents, feed, publication, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.models import DEFAULT_PROJECT, Base, Document, VectorStore, VectorStoreFile
from catalog.stores import NewVectorStore
from tests.builders import IDENTITY, a_claim, a_document_record, a_file, a_store, an_entry, publish_text
from tests.postgresql import PostgreSQL, needs_postgresql
from tests.unit.catalog.test_answers import *  # noqa: F403
from tests.unit.catalog.test_archives import *  # noqa: F403
from tests.unit.catalog.test_background import *  # noqa: F403
from tests.unit.catalog.test_compaction import (  # noqa: F401
    test_a_sound_catalog_keeps_everything,
    test_an_upload_that_is_about_to_commit_keeps_its_blob,
)
from tests.unit.catalog.test_conversations import *  # noqa: F403
from tests.unit.catalog.test_database import (  # noqa: F401
    test_nobody_waits_longer_for_a_turn_than_he_has_patience,
    test_turns_come_one_after_the_other,
)
from tests.unit.catalog.test_documents import *  # noqa: F403
from tests.unit.catalog.test_doorbell import *  # noqa: F403
from tests.unit.catalog.test_embeddings import *  # noqa: F403
from tests.unit.catalog.test_estimates import *  # noqa: F403
from tests.unit.catalog.test_expiry import *  # noqa: F403
from tests.unit.catalog.test_feed import *  # noqa: F403
from tests.unit.catalog.test_feedback import *  # noqa: F403
from tests.unit.catalog.test_files import *  # noqa: F403
from tests.unit.catalog.test_idempotency import *  # noqa: F403
from tests.unit.catalog.test_jobs import *  # noqa: F403
from tests.unit.catalog.test_keys import *  # noqa: F403
from tests.unit.catalog.test_migrations import *  # noqa: F403
from tests.unit.catalog.test_origins import *  # noqa: F403
from tests.unit.catalog.test_paging import *  # noqa: F403
from tests.unit.catalog.test_stores import *  # noqa: F403
from tests.unit.catalog.test_transactions import *  # noqa: F403
from tests.unit.catalog.test_uploads import *  # noqa: F403
from tests.unit.ingest.test_archives import *  # noqa: F403

pytestmark = needs_postgresql


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Yield the URL of an empty PostgreSQL that is made for these tests and thrown away after them."""
    server = PostgreSQL()
    yield server.url
    server.remove()


@pytest.fixture(scope="module")
def migrated(server: str) -> Iterator[Database]:
    database = Database(server)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def database(migrated: Database) -> Database:
    """Return the catalog with the newest schema, without a row."""
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with migrated.write() as session:
        session.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    return migrated


def test_changes_become_visible_in_the_order_of_their_numbers(database: Database, blobs: BlobStore) -> None:
    """A publication that commits late has the higher number, so that no follower of the feed passes it by."""
    store = a_store(database)
    jobs = []
    for content in (b"1", b"22"):
        an_entry(database, store, a_file(database, blobs, content))
        jobs.append(a_claim(database))
    second_done = threading.Event()

    def publish_second() -> None:
        publication.publish(database, jobs[1], a_document_record("two"))
        second_done.set()

    thread = threading.Thread(target=publish_second)
    with database.write() as session:
        feed.record(database, session, [10**6])
        thread.start()
        # It waits for this transaction, which holds the lock of the sequence.
        assert not second_done.wait(0.3)
    thread.join()
    with database.read() as session:
        first, second = feed.changes_after(session, 0, limit=10, identity=IDENTITY)
    assert (first.document_id, second.document is not None) == (10**6, True)


def test_claims_pass_over_rows_that_another_worker_is_claiming(database: Database, blobs: BlobStore) -> None:
    """A claim does not wait for one whose transaction is still open."""
    store = a_store(database)
    ids = [an_entry(database, store, a_file(database, blobs, content)).id for content in (b"1", b"22")]
    with database.write() as session:
        (first,) = jobs.claim(session, "one")  # noqa: F405
        second = a_claim(database, "two")
    assert ids == [first.id, second.id]


def test_a_heartbeat_waits_for_nobody(database: Database, blobs: BlobStore) -> None:
    """A row that somebody is changing is passed over, and does not count as lost; the others are extended."""
    store = a_store(database)
    for content in (b"1", b"22"):
        an_entry(database, store, a_file(database, blobs, content))
    held = [a_claim(database, lease_s=1) for _ in range(2)]
    with database.write() as other, database.write() as session:
        other.execute(select(VectorStoreFile.id).where(VectorStoreFile.id == held[0].id).with_for_update())
        assert jobs.heartbeat(session, [(job, 0.5) for job in held], lease_s=1000) == set()  # noqa: F405
    with database.read() as session:
        entries = [session.get_one(VectorStoreFile, job.id) for job in held]
    assert [entry.progress for entry in entries] == [0.0, 0.5]


def test_a_deletion_and_an_upload_of_the_same_bytes_exclude_each_other(database: Database, blobs: BlobStore) -> None:
    """Bytes are locked by their hash from the rename to the commit."""
    with database.write() as session:
        database.lock(session, "some hash")
        with pytest.raises(ServiceUnavailable), database.write() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            database.lock(other, "some hash")


def test_a_removal_while_a_document_is_read_leaves_the_reader_its_state(database: Database, blobs: BlobStore) -> None:
    """All statements of a reading transaction see the same catalog."""
    document_id = publish_text(database, blobs, a_store(database), "words")
    with database.read() as reader:
        assert reader.get(Document, document_id) is not None
        with database.write() as session:
            documents.remove(database, session, Document.id == document_id)
        assert documents.text_range(reader, document_id, 0, 5) == "words"


def test_a_server_that_is_gone_is_an_outage(server: str) -> None:
    """Nothing answers at the address: the error is retryable and names the catalog."""
    database = Database(server.replace("127.0.0.1:", "127.0.0.1:1"))
    with pytest.raises(ServiceUnavailable, match="catalog database does not answer"), database.read() as session:
        session.execute(text("SELECT 1"))
    database.close()


def test_a_transaction_that_does_nothing_for_too_long_loses_its_locks(server: str, database: Database) -> None:
    """A process that was stopped, or cut off, keeps nobody waiting for ever; when it goes on, its work is void."""
    sleeper = Database(f"{server}?options=-c idle_in_transaction_session_timeout=100ms")
    with pytest.raises(ServiceUnavailable, match="idle-in-transaction"), sleeper.write() as session:
        new = NewVectorStore(project_id=DEFAULT_PROJECT, name="void", embedding_identity=IDENTITY)
        store = stores.create(session, new)
        session.flush()
        sleeper.lock(session, "some name")
        with database.write() as other:
            database.lock(other, "some name")
    sleeper.close()
    with database.read() as session:
        assert session.get(VectorStore, store.id) is None

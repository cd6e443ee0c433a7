"""Files and stores that end by themselves. Runs on every database."""

import time

import pytest
from sqlalchemy import func, select, update

from catalog import expiry, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import IndexIncompatible, InvalidRequest
from catalog.models import DEFAULT_PROJECT, SECONDS_PER_DAY, Document, File, VectorStore, VectorStoreFile
from tests.builders import IDENTITY, a_file, a_store, publish_text


def rest_since(database: Database, store: VectorStore, days: float) -> None:
    with database.write() as session:
        last = time.time() - days * SECONDS_PER_DAY
        session.execute(update(VectorStore).where(VectorStore.id == store.id).values(last_active_at=last))


def count(database: Database, table: type[File | Document | VectorStoreFile | VectorStore]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_an_expired_file_goes_with_everything(database: Database, blobs: BlobStore) -> None:
    """Row, documents and bytes; a file with time left, or without an end, stays."""
    store = a_store(database)
    ended = a_file(database, blobs, b"ended", expires_at=time.time() - 1)
    publish_text(database, blobs, store, file=ended)
    for content, expires_at in ((b"later", time.time() + 100), (b"never", None)):
        a_file(database, blobs, content, expires_at=expires_at)
    assert expiry.remove_expired(database, blobs) == 1
    assert (count(database, File), count(database, Document), count(database, VectorStoreFile)) == (2, 0, 0)
    assert not blobs.exists(ended.sha256)
    assert expiry.remove_expired(database, blobs) == 0


def test_an_expired_store_is_emptied_and_stays_as_a_row(database: Database, blobs: BlobStore) -> None:
    """Its owner sees what became of it; the files themselves stay; other stores are not touched."""
    ended, alive = a_store(database, expires_after_days=1), a_store(database, expires_after_days=1)
    for store in (ended, alive):
        publish_text(database, blobs, store, store.id)
    rest_since(database, ended, days=1.1)
    rest_since(database, alive, days=0.9)
    assert expiry.remove_expired(database, blobs) == 1
    assert (count(database, VectorStore), count(database, File), count(database, Document)) == (2, 2, 1)
    with database.read() as session:
        assert [alive.id] == stores.ids_of_project(session, DEFAULT_PROJECT)
    assert expiry.remove_expired(database, blobs) == 0


def test_a_store_can_be_used_unless_it_ended_or_has_another_model(database: Database) -> None:
    """The message says which store, and what to do."""
    ended, foreign = a_store(database, expires_after_days=1, name="Old"), a_store(database, embedding_identity="x@y/3")
    fine = a_store(database, expires_after_days=1)
    rest_since(database, ended, days=2)
    with database.read() as session:
        stores.check_usable(session, [fine.id, "vs_none"], IDENTITY)
        with pytest.raises(InvalidRequest, match=r"Old.*has expired"):
            stores.check_usable(session, [fine.id, ended.id], IDENTITY)
        with pytest.raises(IndexIncompatible, match=f"x@y/3.*{IDENTITY}"):
            stores.check_usable(session, [foreign.id], IDENTITY)


@pytest.mark.parametrize(("days", "is_written"), [(0.5, True), (0.01, False)])
def test_a_search_puts_off_the_end_of_a_store_once_an_hour(database: Database, days: float, is_written: bool) -> None:
    """Most searches write nothing."""
    store = a_store(database, expires_after_days=1)
    rest_since(database, store, days)
    with database.read() as session:
        usable = stores.check_usable(session, [store.id], IDENTITY)
    stores.note_use(database, usable.unnoted)
    with database.read() as session:
        age_s = time.time() - stores.get(session, DEFAULT_PROJECT, store.id).last_active_at
    assert is_written is (age_s < 60)
    assert (usable.until < time.time()) is is_written

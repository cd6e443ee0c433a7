"""Files, stores and answers that end by themselves. Runs on every database."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from catalog import conversations, expiry, feedback, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import IndexIncompatible, InvalidRequest
from catalog.expiry import Retention
from catalog.feedback import NewFeedback, Rating
from catalog.models import (
    DEFAULT_PROJECT,
    SECONDS_PER_DAY,
    AnswerFeedback,
    AnswerRecord,
    ConversationItem,
    Document,
    File,
    VectorStore,
    VectorStoreFile,
)
from tests.builders import IDENTITY, a_file, a_record, a_store, publish_text, saved

# Sweeps with one answer in each transaction, and is killed at the end of the second, before it is committed.
KILLED_SWEEP = """
import itertools, os, signal, sys
from catalog import answers, database, expiry

turns = itertools.count(1)

def kill_second(session):
    if next(turns) == 2:
        session.flush()
        os.kill(os.getpid(), signal.SIGKILL)

answers._PAGE = 1
database.before_commit.set(kill_second)
expiry.remove_expired(database.Database(sys.argv[1]), None, expiry.Retention(days=1))
"""


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


def said_before(database: Database, days: float, number: int) -> None:
    """Keep an answer with feedback, and an item of a conversation, as of so many days ago."""
    moment = time.time() - days * SECONDS_PER_DAY
    saved(database, a_record(id=f"resp_{number}", created_at=moment))
    with database.write() as session:
        feedback.give(session, DEFAULT_PROJECT, f"resp_{number}", "", NewFeedback(rating=Rating.UP))
        talk = conversations.create(session, DEFAULT_PROJECT, {})
        conversations.add_items(session, talk, [{"id": f"msg_{number}"}], {})
        session.execute(
            update(ConversationItem).where(ConversationItem.id == f"msg_{number}").values(created_at=moment)
        )


def left(database: Database) -> tuple[set[str], set[str], set[str]]:
    """Return the ids of the answers, of those with feedback, and of the items that are there."""
    with database.read() as session:
        columns = (AnswerRecord.id, AnswerFeedback.response_id, ConversationItem.id)
        answered, rated, items = (set(session.scalars(select(column))) for column in columns)
    return answered, rated, items


@pytest.mark.parametrize(
    ("retention", "answers_left", "items_left"),
    [
        (Retention(), {1, 2, 3}, {1, 2, 3}),
        (Retention(days=2), {2, 3}, {2, 3}),
        (Retention(days=0.5), {3}, {3}),
        (Retention(keeps_answers=False), set(), {1, 2, 3}),
        (Retention(days=2, keeps_answers=False), set(), {2, 3}),
    ],
)
@pytest.mark.parametrize("portion", [1, 500])
def test_what_was_said_is_kept_as_long_as_the_settings_say(
    database: Database,
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
    portion: int,
    retention: Retention,
    answers_left: set[int],
    items_left: set[int],
) -> None:
    """Answers with their feedback, and items of conversations; without a limit they are kept for ever."""
    monkeypatch.setattr(conversations, "_PORTION", portion)
    for number, days in ((1, 3.0), (2, 1.0), (3, 0.0)):
        said_before(database, days, number)
    answered = {f"resp_{number}" for number in answers_left}
    items = {f"msg_{number}" for number in items_left}
    removed = expiry.remove_expired(database, blobs, retention)
    assert left(database) == (answered, answered, items)
    assert removed == 6 - len(answered) - len(items)
    assert expiry.remove_expired(database, blobs, retention) == 0


def test_a_sweep_that_is_killed_leaves_each_answer_whole_or_gone(database: Database, blobs: BlobStore) -> None:
    """What it had not committed is there with its feedback, and the next sweep takes it."""
    for number in range(1, 5):
        said_before(database, 3.0, number)
    url = database.url.render_as_string(hide_password=False)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_SWEEP, url],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    answered, rated, items = left(database)
    assert (len(answered), rated, len(items)) == (3, answered, 4)
    assert expiry.remove_expired(database, blobs, Retention(days=1)) == 3 + 4
    assert left(database) == (set(), set(), set())

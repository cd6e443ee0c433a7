"""Claims on an Idempotency-Key, on SQLite and PostgreSQL: one of many has an effect."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog import idempotency, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import IdempotencyConflict, RequestInProgress
from catalog.idempotency import KEPT_S, Claim, Reply
from catalog.models import IdempotentRequest
from tests.builders import a_file, a_store


def begin(database: Database, key: str = "k", owner: str = "proj_a") -> Claim:
    found = idempotency.begin(database, owner, key, lease_s=60.0)
    assert isinstance(found, Claim)
    return found


def note_effect(database: Database, claim: Claim) -> None:
    with database.write() as session:
        idempotency.note_effect(session, claim)


def a_reply(body: bytes = b"{}") -> Reply:
    return Reply(fingerprint="f", status=200, body=body)


def age(database: Database, **columns: float) -> None:
    with database.write() as session:
        row = session.get_one(IdempotentRequest, ("proj_a", "k"))
        for name, value in columns.items():
            setattr(row, name, value)


def test_a_kept_reply_is_given_again(database: Database) -> None:
    """To the same owner, under the same key."""
    claim = begin(database)
    note_effect(database, claim)
    idempotency.keep(database, claim, a_reply())
    assert idempotency.begin(database, "proj_a", "k", lease_s=60.0) == a_reply()
    begin(database, owner="proj_b")
    begin(database, key="other")


def test_while_a_claim_is_held_there_is_no_other(database: Database) -> None:
    """None says: somebody carries it out; when it is released, or its lease ends, the next one may."""
    claim = begin(database)
    assert idempotency.begin(database, "proj_a", "k", lease_s=60.0) is None
    idempotency.release(database, claim)
    begin(database)
    age(database, lease_until=0.0)
    begin(database)


def test_a_claim_that_was_taken_over_has_no_effect(database: Database) -> None:
    """Its transaction fails as a whole, its reply is not kept, and it does not end the other's claim."""
    first = begin(database)
    age(database, lease_until=0.0)
    second = begin(database)
    store = a_store(database, project_id="proj_a")
    with pytest.raises(RequestInProgress, match="'k'"), database.write() as session:
        session.delete(stores.get(session, "proj_a", store.id))
        idempotency.note_effect(session, first)
    with database.read() as session:
        assert stores.get(session, "proj_a", store.id).id == store.id
    idempotency.keep(database, first, a_reply(b'{"first": 1}'))
    idempotency.release(database, first)
    assert idempotency.begin(database, "proj_a", "k", lease_s=60.0) is None
    note_effect(database, second)
    idempotency.keep(database, second, a_reply(b'{"second": 2}'))
    assert idempotency.begin(database, "proj_a", "k", lease_s=60.0) == a_reply(b'{"second": 2}')


def test_an_effect_is_never_repeated(database: Database) -> None:
    """With the reply lost: first it may still come, then a repetition is told that it will not."""
    note_effect(database, begin(database))
    assert idempotency.begin(database, "proj_a", "k", lease_s=60.0) is None
    age(database, lease_until=0.0)
    with pytest.raises(IdempotencyConflict, match="'k' was carried out"):
        idempotency.begin(database, "proj_a", "k", lease_s=60.0)


def test_a_request_without_effect_is_carried_out_again(database: Database) -> None:
    """Its reply is not kept."""
    idempotency.keep(database, begin(database), a_reply())
    begin(database)


def test_a_released_claim_with_an_effect_stays(database: Database) -> None:
    """A stream was sent, and cannot be sent again."""
    claim = begin(database)
    note_effect(database, claim)
    idempotency.release(database, claim)
    with pytest.raises(IdempotencyConflict):
        idempotency.begin(database, "proj_a", "k", lease_s=60.0)


def test_a_key_is_free_again_after_a_day(database: Database) -> None:
    """Its row is removed, too, and younger ones stay."""
    claim = begin(database)
    note_effect(database, claim)
    idempotency.keep(database, claim, a_reply())
    age(database, created_at=time.time() - KEPT_S - 1)
    begin(database)
    age(database, created_at=time.time() - KEPT_S - 1)
    begin(database, key="young")
    idempotency.remove_old(database)
    with database.read() as session:
        assert session.get(IdempotentRequest, ("proj_a", "k")) is None
        assert session.get(IdempotentRequest, ("proj_a", "young")) is not None


def test_a_reply_lasts_no_longer_than_what_it_speaks_of(
    database: Database, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many replies those are blanked that are about a deleted object, or name a deleted file in a field."""
    monkeypatch.setattr(idempotency, "_PAGE", 2)
    file, store = a_file(database, blobs), a_store(database)
    bodies = {
        "file": f'{{"id": "{file.id}"}}',
        "quote": f'{{"id": "x", "output": [{{"file_id": "{file.id}"}}, {{"file_id": "file-0123"}}]}}',
        "words": '{"id": "x", "text": "file-based", "metadata": {"file_id": "file-ba"}, "attributes": {"id": "x"}}',
        "items": '{"object": "list", "data": [{"id": "msg_0123"}]}',
        "unkept": '{"id": "resp_0123", "store": false}',
        "store": f'{{"id": "{store.id}"}}',
        "no store": '{"id": "vs_0123"}',
        "no response": '{"id": "resp_0123"}',
        "else": '{"data": []}',
    }
    for key, body in bodies.items():
        claim = begin(database, key)
        note_effect(database, claim)
        idempotency.keep(database, claim, a_reply(body.encode()))
    gone = {"quote", "items", "no store", "no response"}
    for key in bodies:
        if key in gone:
            with pytest.raises(IdempotencyConflict):
                idempotency.begin(database, "proj_a", key, lease_s=60.0)
        else:
            assert isinstance(idempotency.begin(database, "proj_a", key, lease_s=60.0), Reply)
    idempotency.remove_stale(database)
    with database.read() as session:
        blank = {key for key in bodies if session.get_one(IdempotentRequest, ("proj_a", key)).body is None}
    assert blank == gone


def test_of_many_at_once_one_gets_the_claim(database: Database) -> None:
    """The others are told that somebody carries it out."""
    together = threading.Barrier(8)

    def run(_: int) -> object:
        together.wait()
        return idempotency.begin(database, "proj_a", "k", lease_s=60.0)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, range(8)))
    assert sum(isinstance(one, Claim) for one in found) == 1
    assert found.count(None) == 7

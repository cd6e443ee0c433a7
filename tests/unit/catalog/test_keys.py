"""API keys are shown once, kept as digests, and can be revoked."""

import time

import pytest

from catalog import keys
from catalog.database import Database
from catalog.errors import NotFound, Unauthorized
from catalog.models import DEFAULT_PROJECT, ApiKey


def make(database: Database, name: str = "a key") -> tuple[ApiKey, str]:
    with database.write() as session:
        return keys.create(session, DEFAULT_PROJECT, name)


def test_a_key_opens_its_project(database: Database) -> None:
    """The clear text authenticates, and is not what is stored."""
    key, clear = make(database)
    with database.read() as session:
        found = keys.authenticate(session, clear)
    assert (key.id, DEFAULT_PROJECT) == (found.id, found.project_id)
    assert clear.startswith(keys.KEY_PREFIX)
    assert clear not in {str(getattr(found, c.name)) for c in ApiKey.__table__.columns}


@pytest.mark.parametrize("change", ["", "x", "FN-"])
def test_another_text_opens_nothing(database: Database, change: str) -> None:
    """A wrong key is refused, and the message does not repeat it."""
    _, clear = make(database)
    wrong = change + clear[1:] if change else ""
    with database.read() as session, pytest.raises(Unauthorized) as caught:
        keys.authenticate(session, wrong)
    assert clear[6:] not in caught.value.message


def test_a_revoked_key_opens_nothing(database: Database) -> None:
    """Others go on working; revoking again keeps the first time."""
    (key, clear), (_, other) = make(database), make(database)
    with database.write() as session:
        keys.revoke(session, key.id)
        first = session.get_one(ApiKey, key.id).revoked_at
    with database.write() as session:
        keys.revoke(session, key.id)
        assert first == session.get_one(ApiKey, key.id).revoked_at
        with pytest.raises(Unauthorized):
            keys.authenticate(session, clear)
        keys.authenticate(session, other)


def test_an_unknown_key_cannot_be_revoked(database: Database) -> None:
    """The message names it and where the keys are listed."""
    with database.write() as session, pytest.raises(NotFound, match=r"'key_none'.*keys list"):
        keys.revoke(session, "key_none")


def test_a_server_knows_whether_it_has_keys(database: Database) -> None:
    """Revoked keys do not count."""
    with database.read() as session:
        assert not keys.any_active(session)
    key, _ = make(database)
    with database.read() as session:
        assert keys.any_active(session)
    with database.write() as session:
        keys.revoke(session, key.id)
        assert not keys.any_active(session)
        assert [key.id] == [k.id for k in keys.list_all(session)]


def test_the_use_of_a_key_is_noted_once_a_minute(database: Database) -> None:
    """A read must not become a write at every request."""
    key, _ = make(database)
    assert keys.is_use_worth_noting(key)
    with database.write() as session:
        keys.note_use(session, key.id)
        keys.note_use(session, "key_none")
    with database.read() as session:
        used = session.get_one(ApiKey, key.id)
    assert not keys.is_use_worth_noting(used)
    used.last_used_at = time.time() - 61
    assert keys.is_use_worth_noting(used)

"""API keys are shown once, kept as digests, may do and see what they were made for, and can be revoked."""

import time
from typing import Any

import pytest

from catalog import keys
from catalog.database import Database
from catalog.errors import InvalidRequest, NotFound, Unauthorized
from catalog.keys import KeyScope
from catalog.models import DEFAULT_PROJECT, ApiKey
from tests.builders import a_store


def make(database: Database, name: str = "a key", **options: Any) -> tuple[ApiKey, str]:
    with database.write() as session:
        return keys.create(session, DEFAULT_PROJECT, name, **options)


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


@pytest.mark.parametrize(
    ("held", "included"),
    [
        (KeyScope.ASK, {"ask"}),
        (KeyScope.READ, {"ask", "read"}),
        (KeyScope.WRITE, {"ask", "read", "write"}),
        (KeyScope.MINT, {"ask", "mint"}),
        (KeyScope.ADMIN, {"ask", "read", "write", "mint", "admin"}),
    ],
)
def test_a_scope_includes_others(held: KeyScope, included: set[str]) -> None:
    """What a key may do is what any of its scopes includes."""
    assert {wanted.value for wanted in KeyScope if keys.includes([held], wanted)} == included


def test_a_key_remembers_what_it_was_made_for(database: Database) -> None:
    """Without options it works with everything in its project, and mints no tokens."""
    store = a_store(database)
    plain, _ = make(database)
    assert (keys.scopes_of(plain), plain.store_ids, plain.expires_at) == ({KeyScope.WRITE}, None, None)
    with database.read() as session:
        assert session.get_one(ApiKey, plain.id).store_ids is None
    narrow, clear = make(
        database, scopes=[KeyScope.READ, KeyScope.MINT], store_ids=[store.id], requests_per_minute=0, lifetime_s=60.0
    )
    with database.read() as session:
        found = keys.authenticate(session, clear)
    assert keys.scopes_of(found) == {KeyScope.READ, KeyScope.MINT}
    assert (found.store_ids, found.requests_per_minute) == ([store.id], 0)
    assert found.expires_at == pytest.approx(narrow.created_at + 60.0)


def test_a_key_cannot_be_made_for_what_is_not_there(database: Database) -> None:
    """Neither for a store of another project, nor for a project without a proper name."""
    foreign = a_store(database, project_id="proj_other")
    with pytest.raises(NotFound, match=foreign.id):
        make(database, store_ids=[foreign.id])
    for project in ("", "a/b", "x" * 65, "ä"):
        with database.write() as session, pytest.raises(InvalidRequest, match="no name for a project"):
            keys.create(session, project, "a key")


def test_an_expired_key_opens_nothing(database: Database) -> None:
    """It still counts as a key: a server does not begin to answer everybody because time went by."""
    key, clear = make(database, lifetime_s=-1.0)
    with database.read() as session:
        with pytest.raises(Unauthorized, match=rf"{key.id}.*expired"):
            keys.authenticate(session, clear)
        assert keys.get_active(session, key.id) is None
        assert keys.any_active(session)


def test_only_a_usable_key_vouches_for_tokens(database: Database) -> None:
    """An unknown and a revoked one do not."""
    key, _ = make(database)
    with database.write() as session:
        assert getattr(keys.get_active(session, key.id), "id", None) == key.id
        keys.revoke(session, key.id)
        assert keys.get_active(session, key.id) is None
        assert keys.get_active(session, "key_none") is None


def test_the_secret_of_a_keys_tokens_stays_the_same(database: Database) -> None:
    """It is made once, is long, and is another one for each key."""
    (first, _), (second, _) = make(database), make(database)
    with database.write() as session:
        secrets = [keys.token_secret(session, key_id) for key_id in (first.id, first.id, second.id)]
    assert secrets[0] == secrets[1] != secrets[2]
    assert all(len(bytes.fromhex(secret)) == 32 for secret in secrets)


@pytest.mark.parametrize(("clear", "expected"), [("", ""), ("fn-12345678", ""), ("fn-1234567890", ": fn-123…")])
def test_a_refused_credential_is_told_by_its_beginning(clear: str, expected: str) -> None:
    """A short one could be guessed from half of it, and is not told at all."""
    assert keys.shown(clear) == expected

"""Web origins come with visitor tokens and go with them."""

import time

import pytest

from catalog import keys, origins
from catalog.database import Database
from catalog.models import DEFAULT_PROJECT, VisitorOrigin

PORTAL = "https://portal.example"


@pytest.fixture
def key_id(database: Database) -> str:
    """Return the id of a key."""
    with database.write() as session:
        return keys.create(session, DEFAULT_PROJECT, "portal")[0].id


def is_registered(database: Database, origin: str = PORTAL) -> bool:
    with database.read() as session:
        return origins.is_registered(session, origin)


def register(database: Database, key_id: str, *, ends_in_s: float) -> None:
    with database.write() as session:
        origins.register(session, key_id, [PORTAL], expires_at=time.time() + ends_in_s)


def test_an_origin_is_known_while_a_token_names_it(database: Database, key_id: str) -> None:
    """And for a day after, so that its pages learn that the token has expired."""
    assert not is_registered(database)
    register(database, key_id, ends_in_s=-80_000.0)
    assert is_registered(database)
    assert not is_registered(database, "https://other.example")


def test_a_shorter_token_does_not_shorten_a_longer_one(database: Database, key_id: str) -> None:
    """The later end counts; what ended is removed."""
    register(database, key_id, ends_in_s=100.0)
    register(database, key_id, ends_in_s=-90_000.0)
    assert is_registered(database)
    with database.write() as session:
        session.get_one(VisitorOrigin, (key_id, PORTAL)).until = 0.0
    assert not is_registered(database)
    with database.write() as session:
        origins.register(session, key_id, [], expires_at=time.time())
        assert session.get(VisitorOrigin, (key_id, PORTAL)) is None


def test_an_origin_goes_with_its_key(database: Database, key_id: str) -> None:
    """Revoking is at once."""
    register(database, key_id, ends_in_s=100.0)
    with database.write() as session:
        keys.revoke(session, key_id)
    assert not is_registered(database)

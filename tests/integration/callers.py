"""Callers: keys and visitor tokens of a running application."""

from typing import Any

from catalog import keys
from catalog.keys import KeyScope
from catalog.models import DEFAULT_PROJECT
from tests.integration.conftest import Footnote

Header = dict[str, str]


def bearer(credential: str) -> Header:
    return {"authorization": f"Bearer {credential}"}


def make_key(footnote: Footnote, project: str = DEFAULT_PROJECT, *scopes: str, **options: Any) -> tuple[str, Header]:
    """Return a new key's id, and the header that carries it. Without `scopes` it may do everything."""
    held = [KeyScope(scope) for scope in scopes or ("admin",)]
    with footnote.services.catalog.database.write() as session:
        key, clear = keys.create(session, project, "a test's", scopes=held, **options)
        return key.id, bearer(clear)


def revoke(footnote: Footnote, key_id: str) -> None:
    with footnote.services.catalog.database.write() as session:
        keys.revoke(session, key_id)


def mint(footnote: Footnote, header: Header, **body: Any) -> Header:
    """Return the header that carries a new visitor token."""
    reply = footnote.client.post("/v1/tokens", headers=header, json=body)
    assert reply.status_code == 200, reply.text
    return bearer(reply.json()["token"])

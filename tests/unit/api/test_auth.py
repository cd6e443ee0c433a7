"""Who may speak to a server without keys."""

from types import SimpleNamespace
from typing import Any

import pytest
from starlette.datastructures import Headers

from api.auth import identify
from api.settings import load_settings
from catalog.database import Database
from catalog.errors import Forbidden, Unauthorized
from catalog.models import DEFAULT_PROJECT


def ask(database: Database, *, listens_on: str = "127.0.0.1", **headers: str) -> str:
    """Return the project that a request without a key gets."""
    services: Any = SimpleNamespace(catalog=SimpleNamespace(database=database), settings=load_settings(host=listens_on))
    return identify(services, Headers(headers)).project_id


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.0.0.1", "localhost:8000", "localhost", "[::1]:8000", "[::1]"])
def test_programs_of_this_machine_are_answered(database: Database, host: str) -> None:
    """With or without a port, by address or by name, and from the page that the server itself sent."""
    assert ask(database, host=host) == DEFAULT_PROJECT
    assert ask(database, host=host, origin=f"http://{host}") == DEFAULT_PROJECT


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "192.168.0.5"],
)
def test_a_foreign_name_in_host_is_refused(database: Database, host: str) -> None:
    """A page that points its own name at 127.0.0.1 still sends its own name."""
    with pytest.raises(Forbidden, match="footnote keys create"):
        ask(database, host=host)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://evil.example:8000", "null", "http://127.0.0.1:9000", "file://", ""]
)
def test_a_page_of_another_site_is_refused(database: Database, origin: str) -> None:
    """Another port is another site."""
    with pytest.raises(Forbidden):
        ask(database, host="127.0.0.1:8000", origin=origin)


def test_a_server_that_others_can_reach_never_answers_without_a_key(database: Database) -> None:
    """Also not after the last key was revoked."""
    with pytest.raises(Unauthorized):
        ask(database, listens_on="0.0.0.0", host="127.0.0.1:8000")

"""What `footnote serve` checks before it starts anything."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from api import supervisor
from api.settings import Settings, load_settings
from api.wiring import open_catalog
from catalog import keys
from catalog.errors import ConfigurationError
from catalog.models import DEFAULT_PROJECT


@pytest.fixture
def taken() -> Iterator[int]:
    """Yield a port of loopback that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def make_key(settings: Settings) -> str:
    with open_catalog(settings) as catalog, catalog.database.write() as session:
        return keys.create(session, DEFAULT_PROJECT, "a test's")[0].id


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_no_key(tmp_home: Path, host: str) -> None:
    """One person's machine."""
    supervisor.check_exposure(load_settings(home=tmp_home, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.5", "127.example.org"])
def test_another_address_needs_an_active_key(tmp_home: Path, host: str) -> None:
    """Without one it is refused, with one it is not, and a revoked one does not count."""
    settings = load_settings(home=tmp_home, host=host)
    with pytest.raises(ConfigurationError, match="footnote keys create"):
        supervisor.check_exposure(settings)
    key_id = make_key(settings)
    supervisor.check_exposure(settings)
    with open_catalog(settings) as catalog, catalog.database.write() as session:
        keys.revoke(session, key_id)
    with pytest.raises(ConfigurationError, match=host):
        supervisor.check_exposure(settings)


def test_the_check_brings_the_schema_up_to_date(tmp_home: Path) -> None:
    """Its children find a catalog that is ready."""
    supervisor.check_exposure(load_settings(home=tmp_home))
    assert (tmp_home / "catalog.sqlite").exists()


def test_a_port_in_use_is_a_stated_error(tmp_home: Path, taken: int) -> None:
    """Found before any child is started; the message names address and way out."""
    settings = load_settings(home=tmp_home, port=taken, embedding_backend="hashing")
    with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{taken}.*FOOTNOTE_PORT"):
        supervisor.supervise(settings)

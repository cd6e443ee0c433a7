"""What every test stands on: no settings of the developer, no internet, and the cheapest real implementations."""

import gc
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.blobs import BlobStore
from catalog.database import Database
from retrieval.embedders.hashing import HashingEmbedder
from tests.builders import a_catalog

ROOT = Path(__file__).parents[1]
pytest_plugins = ["tests.crash.account"]


def pytest_configure() -> None:
    """Collect no garbage until the tests begin: what is imported for them stays."""
    gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests for processes that run them side by side: the longest first, each file in one process.

    A file's tests share what is expensive to make: servers, models. The crash tests run in three processes, the rounds
    on each database and all others, so that no more than that start services over and over at the same time.
    """
    items.sort(key=lambda item: "crash" not in item.path.parts)
    for item in items:
        call = getattr(item, "callspec", None)
        group = "crash" if "crash" in item.path.parts else item.path.relative_to(ROOT).as_posix()
        item.add_marker(pytest.mark.xdist_group((call and call.params.get("cluster")) or group))


def pytest_collection_finish() -> None:
    """Let the collector look only at what tests make: to look at all that is imported takes longer than most tests."""
    gc.freeze()
    gc.enable()


class InternetUsed(AssertionError):
    """A test tried to reach another machine."""


@pytest.fixture(scope="session", autouse=True)
def _no_settings_of_the_developer() -> Iterator[None]:
    """Drop FOOTNOTE_*, but for FOOTNOTE_TEST_*: tests see the defaults, here and in their child processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("FOOTNOTE_") and not name.startswith("FOOTNOTE_TEST_"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C reach this process and its children: a shell that runs tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _no_internet() -> Iterator[None]:
    """Let sockets of this process reach this machine alone; pipes and Unix sockets are not concerned."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        patch.setattr(socket, "getaddrinfo", _guarded_look_up(socket.getaddrinfo))
        yield


def _guarded(call: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_this_machine(address[0]):
            raise InternetUsed(f"a test connects to {address!r}; tests use this machine alone")
        return call(self, address)

    return connect


def _guarded_look_up(call: Any) -> Any:
    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host and not _is_this_machine(host):
            raise InternetUsed(f"a test looks up {host!r}; tests use this machine alone")
        return call(host, *args, **kwargs)

    return getaddrinfo


def _is_this_machine(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in {"", "localhost", socket.gethostname()}
    return address.is_loopback or address.is_unspecified


@pytest.fixture
def tmp_home(tmp_path: Path) -> Path:
    """Return a new, empty state folder, for FOOTNOTE_HOME."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def database(tmp_home: Path) -> Iterator[Database]:
    """Yield a SQLite catalog with the newest schema."""
    database = Database(f"sqlite:///{a_catalog(tmp_home)}")
    yield database
    database.close()


@pytest.fixture
def blobs(tmp_home: Path) -> BlobStore:
    """Return an empty blob store in a local folder."""
    return BlobStore(f"file://{tmp_home / 'blobs'}", staging=tmp_home / "staging")


@pytest.fixture(scope="session")
def embedder() -> HashingEmbedder:
    """Return the embedder without a model, the same one that the builders use."""
    return HashingEmbedder()


@pytest.fixture(scope="session")
def model_cache() -> Path:
    """Return the folder of converted models; it outlives the run, so that only the first one converts."""
    return ROOT / ".venv" / "footnote-test-models"

"""A request that is refused is answered before its body has come, and nothing of it reaches the disk."""

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from api.app import create_app
from tests.integration.callers import make_key, mint
from tests.integration.conftest import Footnote

ANNOUNCED = 10_000_000


@pytest.fixture
def port(fresh: Footnote) -> Iterator[int]:
    """Serve the application on a real socket."""
    app = create_app(fresh.settings, services=fresh.services)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def send_a_part(port: int, *headers: str) -> str:
    """Send the beginning of an upload and nothing more; return the status line and headers of the answer."""
    head = (
        "POST /v1/files HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Content-Length: {ANNOUNCED}",
        "Content-Type: multipart/form-data; boundary=b",
        *headers,
        "",
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n' + "x" * 2_000_000,
    )
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode())
        return connection.recv(65_536).decode()


def without_a_key(_: Footnote) -> list[str]:
    return []


def with_a_wrong_key(_: Footnote) -> list[str]:
    return ["Authorization: Bearer fn-wrong"]


def without_the_scope(footnote: Footnote) -> list[str]:
    return [f"Authorization: {make_key(footnote, 'proj_a', 'read')[1]['authorization']}"]


def as_a_visitor(footnote: Footnote) -> list[str]:
    return [f"Authorization: {mint(footnote, make_key(footnote)[1])['authorization']}"]


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        (without_a_key, 401),
        (with_a_wrong_key, 401),
        (without_the_scope, 403),
        (as_a_visitor, 403),
    ],
)
def test_a_refusal_does_not_wait_for_the_body(
    fresh: Footnote,
    port: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caller: Callable[[Footnote], list[str]],
    status: int,
) -> None:
    """The answer comes while most of the upload is still to be sent; no file was begun for it."""
    make_key(fresh)
    (spool := tmp_path / "spool").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spool))
    reply = send_a_part(port, *caller(fresh))
    assert reply.startswith(f"HTTP/1.1 {status} ")
    assert list(spool.iterdir()) == []


def test_above_the_rate_limit_no_body_is_read(fresh: Footnote, port: int) -> None:
    """The answer comes as early as that to a wrong key."""
    _, header = make_key(fresh, requests_per_minute=1)
    assert httpx.get(f"http://127.0.0.1:{port}/v1/models", headers=header).status_code == 200
    assert send_a_part(port, f"Authorization: {header['authorization']}").startswith("HTTP/1.1 429 ")


def test_the_rest_of_a_refused_body_does_not_break_the_connection(fresh: Footnote, port: int) -> None:
    """A client that sends all of it before it reads still gets its answer."""
    make_key(fresh)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = ["POST /v1/files HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {ANNOUNCED}", "", ""]
        connection.sendall("\r\n".join(head).encode())
        for _ in range(10):
            connection.sendall(b"x" * (ANNOUNCED // 10))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")

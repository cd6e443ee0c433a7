"""A real S3 server on loopback for tests, which can be told to fail."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import fsspec
import pytest

BUCKET: Final = "shelf"
# Keys on a page of a listing.
PAGE_KEYS: Final = 3
_START_TIMEOUT_S: Final = 60.0
# Gets the path with its query; returns the S3 error code to fail with, or None.
Fault = Callable[[str], str | None]
_STATUS: Final = {"AccessDenied": 403, "InternalError": 500}


class Bucket:
    """One bucket, and what was asked of it."""

    def __init__(self, url: str, moto_port: int) -> None:
        self.url = url
        self.fault: Fault = lambda path: None
        # Method and path, query included, in order.
        self.requests: list[str] = []
        self._moto_port = moto_port

    def put(self, key: str, content: bytes) -> None:
        self._fs.call_s3("put_object", Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self._fs.call_s3("delete_object", Bucket=BUCKET, Key=key)

    def take_requests(self, method: str = "GET") -> list[str]:
        """Return the paths asked for since the last call."""
        found = [path for verb, path in (request.split(" ", 1) for request in self.requests) if verb == method]
        self.requests.clear()
        return found

    @property
    def _fs(self) -> Any:
        return fsspec.filesystem("s3", use_listings_cache=False)

    def forward(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        if code := self.fault(handler.path):
            _answer(
                handler, _STATUS[code], {}, f"<Error><Code>{code}</Code><Message>On purpose.</Message></Error>".encode()
            )
            return
        connection = http.client.HTTPConnection("127.0.0.1", self._moto_port, timeout=30)
        connection.request(handler.command, handler.path, body, dict(handler.headers))
        reply = connection.getresponse()
        _answer(handler, reply.status, dict(reply.getheaders()), reply.read())
        connection.close()


def _answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() not in {"content-length", "connection", "transfer-encoding", "date", "server"}:
            handler.send_header(name, value)
    length = next((value for name, value in headers.items() if name.lower() == "content-length"), str(len(body)))
    handler.send_header("content-length", length)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving_bucket(patch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Yield an empty bucket, which the environment leads to; listings come in pages of PAGE_KEYS."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        moto_port = listener.getsockname()[1]
    moto = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(moto_port)],
        env={**os.environ, "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE_KEYS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            bucket.forward(self)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward

        def log_message(self, *_: object) -> None:
            pass

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    bucket = Bucket(f"http://127.0.0.1:{proxy.server_address[1]}", moto_port)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    settings = {
        "AWS_ENDPOINT_URL": bucket.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    for name, value in settings.items():
        patch.setenv(name, value)
    try:
        _wait_until_ready(moto_port)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        bucket._fs.call_s3("create_bucket", Bucket=BUCKET)
        bucket.take_requests()
        yield bucket
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        moto.terminate()
        moto.wait(30)
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"moto's server is not ready after {_START_TIMEOUT_S:.0f} s")

"""A small web site on loopback, for tests of reading from the web."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(kw_only=True)
class Page:
    """What the site answers at a path."""

    body: bytes = b""
    type: str = "text/html"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    # Names this version: a request that has it is answered with 304.
    etag: str | None = None
    modified: str | None = None
    # Called instead of an answer, with the handler.
    act: Callable[[BaseHTTPRequestHandler], None] | None = None


def html(*links: str, text: str = "Some words.", title: str = "A page", **page: Any) -> Page:
    anchors = "".join(f'<a href="{link}">link</a>' for link in links)
    body = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><p>{text}</p>{anchors}</body></html>"
    return Page(body=body.encode(), **page)


def moved(location: str, status: int = 302) -> Page:
    return Page(status=status, headers={"location": location})


class Site:
    """Pages by path, query included; what is not there is 404. `requests` are the paths asked for, in order."""

    def __init__(self, server: ThreadingHTTPServer, scheme: str) -> None:
        self.port = server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{scheme}://{self.host}"
        self.pages: dict[str, Page] = {}
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(handler.path)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        page = self.pages.get(handler.path, Page(status=404, body=b"not here"))
        if page.act:
            page.act(handler)
            return
        asked = handler.headers.get("if-none-match"), handler.headers.get("if-modified-since")
        is_known = asked[0] == page.etag if asked[0] else asked[1] is not None and asked[1] == page.modified
        handler.send_response(304 if is_known else page.status)
        if page.etag:
            handler.send_header("etag", page.etag)
        if page.modified:
            handler.send_header("last-modified", page.modified)
        for name, value in page.headers.items():
            handler.send_header(name, value)
        if not is_known:
            handler.send_header("content-type", page.type)
            handler.send_header("content-length", str(len(page.body)))
        handler.end_headers()
        if not is_known:
            handler.wfile.write(page.body)

    def take_requests(self) -> list[str]:
        """Return what was asked for since the last call, robots.txt left out."""
        found = [path for path in self.requests if path != "/robots.txt"]
        self.requests.clear()
        self.headers.clear()
        return found


@contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Yield an empty site; with `context` it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass  # A client that ends the connection early is no fault here.

    server = Server(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    site = Site(server, "https" if context else "http")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

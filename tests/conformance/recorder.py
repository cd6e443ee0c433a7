"""A proxy on loopback between the clients and Footnote, which writes every exchange down and fails on demand.

A client's base URL is `http://127.0.0.1:PORT/<name of the client>/v1`. The request header `x-conformance-fault` asks
for a fault: `<id> <kind> [<times>]`, where the first `times` (1) requests with this id fail, as their kind says:

* `500`, `429`: this status, the latter with `retry-after-ms`;
* `drop`: the connection ends before any reply;
* `stall`: no reply, until the client goes away.
"""

import asyncio
import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from tests.conformance.exchanges import Exchange, parse_events

FAULT_HEADER: Final = "x-conformance-fault"
_HOP_BY_HOP: Final = {"connection", "host", "keep-alive", "transfer-encoding", "accept-encoding", FAULT_HEADER}
_REPLY_TIMEOUT_S: Final = 120.0
_LONGEST_STALL_S: Final = 30.0
_LAST_LINES_S: Final = 0.5


class Recorder:
    """Serves in a thread of its own, between `with` and the end of its block."""

    def __init__(self, upstream: str, log: Path) -> None:
        self._upstream = upstream
        self._log = log
        self._lock = threading.Lock()
        self._faults: Counter[str] = Counter()
        self._socket = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._serve, interface="asgi3", log_level="critical", lifespan="off", timeout_graceful_shutdown=5
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def url(self, client: str) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/{client}/v1"

    def __enter__(self) -> "Recorder":
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_text("")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, client, path = scope["path"].split("/", 2)
        body = await _whole(receive)
        headers = Headers(scope=scope)
        noted: dict[str, Any] = {
            "client": client,
            "method": scope["method"],
            "path": "/" + path.removeprefix("v1").removeprefix("/"),
            "query": _query(Request(scope)),
            "body": await _readable(headers, body),
        }
        fault = self._due_fault(headers.get(FAULT_HEADER))
        if fault:
            self._note(Exchange(**noted, status=0, fault=fault))
            await _fail(fault, receive, send)
            return
        forwarded = asyncio.create_task(self._forward(scope, f"/{path}", headers, body, send))
        gone = asyncio.create_task(_until_gone(receive))
        await asyncio.wait({forwarded, gone}, return_when=asyncio.FIRST_COMPLETED)
        # The end of a reply looks like the client's leaving.
        await asyncio.wait({forwarded}, timeout=_LAST_LINES_S)
        for task in (forwarded, gone):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            self._note(Exchange(**noted, **await forwarded))

    async def _forward(self, scope: Scope, path: str, headers: Headers, body: bytes, send: Send) -> Mapping[str, Any]:
        query = scope["query_string"].decode()
        kept = [(name, value) for name, value in headers.items() if name not in _HOP_BY_HOP]
        async with (
            httpx.AsyncClient(timeout=_REPLY_TIMEOUT_S, trust_env=False) as client,
            client.stream(
                scope["method"],
                self._upstream + path + (f"?{query}" if query else ""),
                headers=kept,
                content=body,
            ) as reply,
        ):
            start: Message = {
                "type": "http.response.start",
                "status": reply.status_code,
                "headers": [
                    one for one in reply.headers.raw if one[0].lower() not in {b"transfer-encoding", b"connection"}
                ],
            }
            await send(start)
            pieces = []
            async for piece in reply.aiter_raw():
                pieces.append(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        return {"status": reply.status_code, **_parsed(reply.headers.get("content-type", ""), b"".join(pieces))}

    def _due_fault(self, asked: str | None) -> str | None:
        """Return the kind of the fault that this request is to meet; none when its number is used up."""
        if asked is None:
            return None
        name, kind, *times = asked.split()
        with self._lock:
            self._faults[name] += 1
            return kind if self._faults[name] <= int(times[0] if times else 1) else None

    def _note(self, exchange: Exchange) -> None:
        with self._lock, self._log.open("a") as log:
            log.write(exchange.as_line())


async def _whole(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _fail(kind: str, receive: Receive, send: Send) -> None:
    if kind == "stall":
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_until_gone(receive), _LONGEST_STALL_S)
        kind = "drop"
    if kind == "drop":
        # ASGI has no word for it; uvicorn's `send` is a method of what holds the connection.
        getattr(send, "__self__").transport.abort()  # noqa: B009 - A protocol says nothing of it.
        return
    error = {"message": f"Injected: {kind}.", "type": "server_error", "param": None, "code": None}
    extra = [(b"retry-after-ms", b"10")] if kind == "429" else []
    headers = [(b"content-type", b"application/json"), *extra]
    await send({"type": "http.response.start", "status": int(kind), "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": error}).encode()})


def _query(request: Request) -> dict[str, Any]:
    """Return the query, `include[]` and `include` as lists under one name."""
    found: dict[str, Any] = {}
    for key, value in request.query_params.multi_items():
        name = key.removesuffix("[]")
        found[name] = value if name not in found else [found[name], value]
    return found


async def _readable(headers: Headers, body: bytes) -> Any:
    kind = headers.get("content-type", "")
    if kind.startswith("application/json"):
        return json.loads(body) if body else None
    if kind.startswith("multipart/form-data"):
        return await _form(headers, body)
    return None


async def _form(headers: Headers, body: bytes) -> dict[str, Any]:
    """Return the fields of a form; `a[b]` as {"a": {"b": …}}, a file as its name and size."""

    async def stream() -> AsyncIterator[bytes]:
        yield body

    found: dict[str, Any] = {}
    form = await MultiPartParser(headers, stream()).parse()
    for key, value in form.multi_items():
        shown = value if isinstance(value, str) else {"filename": value.filename, "bytes": value.size}
        outer, _, inner = key.removesuffix("]").partition("[")
        if inner:
            found.setdefault(outer, {})[inner] = shown
        else:
            found[outer] = shown
    await form.close()
    return found


def _parsed(kind: str, body: bytes) -> dict[str, Any]:
    if kind.startswith("text/event-stream"):
        return {"events": parse_events(body)}
    if kind.startswith("application/json") and body:
        return {"reply": json.loads(body)}
    return {}

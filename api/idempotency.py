"""`Idempotency-Key`: a POST that creates something is carried out once, however often it is sent."""

import hashlib
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import error_response
from api.scopes import creates
from api.visibility import Caller
from api.wiring import Services
from catalog import idempotency
from catalog.database import Database, before_commit
from catalog.errors import FootnoteError, IdempotencyConflict, InvalidRequest, RequestInProgress
from catalog.idempotency import MAX_REPLY_BYTES, Claim, Reply

_MAX_KEY_CHARS: Final = 255
# How long the second of two equal requests waits for the reply of the first before it is told to come again.
_WAIT_S: Final = 10.0
_POLL_S: Final = 0.1


class Idempotency:
    """Answers a repeated request with the first reply, and `idempotent-replayed: true`.

    The key belongs to the caller's `owner_id`. The same key with another request is a 409 that the SDKs do not send
    again; the same request while the first one runs waits, and then is a 409 that they do. What is no 2xx in JSON of at
    most 1 MiB (an error, a stream) is not kept.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = Headers(scope=scope).get("idempotency-key") if scope["type"] == "http" else None
        if key is None or not creates(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        database = services.catalog.database
        caller: Caller = scope["state"]["caller"]
        fingerprint = _Fingerprint(scope, receive)
        try:
            if not 1 <= len(key) <= _MAX_KEY_CHARS:
                raise InvalidRequest(f"The Idempotency-Key has {len(key)} characters; it needs 1 to {_MAX_KEY_CHARS}.")
            found = await _begin(database, caller.owner_id, key, lease_s=services.settings.lease_s)
            if isinstance(found, Reply) and await fingerprint.finish() != found.fingerprint:
                raise IdempotencyConflict(
                    f"The Idempotency-Key {key!r} was used before with another request (method, path or body). Send a "
                    "new request with a new key."
                )
        except FootnoteError as error:
            await error_response(error)(scope, receive, send)
            return
        if isinstance(found, Reply):
            headers = {"idempotent-replayed": "true"}
            await Response(found.body, found.status, headers, "application/json")(scope, receive, send)
        else:
            await self._carry_out(scope, fingerprint, send, database, found)

    async def _carry_out(
        self, scope: Scope, fingerprint: "_Fingerprint", send: Send, database: Database, claim: Claim
    ) -> None:
        reply = _Recorder(send)
        token = before_commit.set(partial(idempotency.note_effect, claim=claim))
        try:
            await self._app(scope, fingerprint.receive, reply.send)
        finally:
            before_commit.reset(token)
            # Also when the server stops: a claim that nobody ends would keep repetitions waiting.
            with anyio.CancelScope(shield=True):
                await _end(database, claim, fingerprint, reply)
        # What the client has seen is kept: it goes out last.
        await reply.pass_on()


async def _begin(database: Database, owner_id: str, key: str, *, lease_s: float) -> Claim | Reply:
    """Return the claim or the reply, waiting for a request that is being carried out. Raises RequestInProgress."""
    deadline = time.monotonic() + _WAIT_S
    begin = partial(idempotency.begin, database, owner_id, key, lease_s=lease_s)
    while (found := await run_in_threadpool(begin)) is None:
        if time.monotonic() >= deadline:
            raise RequestInProgress(f"The request with the Idempotency-Key {key!r} is still being carried out.")
        await anyio.sleep(_POLL_S)
    return found


async def _end(database: Database, claim: Claim, fingerprint: "_Fingerprint", reply: "_Recorder") -> None:
    if reply.is_kept:
        kept = Reply(fingerprint=await fingerprint.finish(), status=reply.status, body=reply.body)
        await run_in_threadpool(idempotency.keep, database, claim, kept)
    else:
        await run_in_threadpool(idempotency.release, database, claim)


class _Recorder:
    """Holds a reply back that is to be kept, and passes every other one through."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self._is_holding = False
        self._is_complete = False
        self.status = 0

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self._held)

    @property
    def is_kept(self) -> bool:
        return self._is_holding and self._is_complete

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kind = Headers(raw=message["headers"]).get("content-type", "")
            self._is_holding = 200 <= self.status < 300 and kind.startswith("application/json")
        if not self._is_holding:
            await self._send(message)
            return
        self._held.append(message)
        self._is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        if len(self.body) > MAX_REPLY_BYTES:
            self._is_holding = False
            await self.pass_on()

    async def pass_on(self) -> None:
        held, self._held = self._held, []
        for message in held:
            await self._send(message)


class _Fingerprint:
    """Method, path and body of a request, digested while it is read.

    Of a form the parts count and not what stands between them: a client that sends it again draws a new boundary.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._digest = hashlib.sha256(f"{scope['method']} {scope['path']}?{scope['query_string']!r}\n".encode())
        self._feed: Callable[[bytes], object] = self._digest.update
        self._is_complete = False
        kind, options = parse_options_header(Headers(scope=scope).get("content-type"))
        if kind == b"multipart/form-data" and options.get(b"boundary"):
            self._feed = _form_digest(options[b"boundary"], self._digest.update)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._take(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        return message

    def _take(self, data: bytes) -> None:
        try:
            self._feed(data)
        except FormParserError:  # No form after all; whoever reads it says so.
            self._feed = self._digest.update
            self._feed(data)

    async def finish(self) -> str:
        """Return the digest, hexadecimal, when the rest of the body has been read."""
        while not self._is_complete:
            await self.receive()
        return self._digest.hexdigest()


def _form_digest(boundary: bytes, update: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Return what takes the body of a form, and gives `update` the digest of each header and each part."""
    inner = hashlib.sha256()

    def take(data: bytes, start: int, end: int) -> None:
        inner.update(data[start:end])

    def close() -> None:
        nonlocal inner
        update(inner.digest())
        inner = hashlib.sha256()

    parser = MultipartParser(
        boundary,
        {
            "on_header_field": take,
            "on_header_value": take,
            "on_header_end": close,
            "on_part_data": take,
            "on_part_end": close,
        },
    )
    return parser.write

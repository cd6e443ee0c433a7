"""What holds for every request: an id and a size limit."""

import secrets
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import error_response
from catalog.errors import RequestTooLarge

# A multipart body is a little longer than the file in it.
_MULTIPART_SLACK_BYTES: Final = 1 << 20
# How much of a refused body is read and thrown away, so that the client hears the refusal and not a broken pipe.
_DRAIN_BYTES: Final = 4 << 30


class RequestId:
    """Gives every response `x-request-id` and `openai-processing-ms`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, started = f"req_{secrets.token_hex(12)}", time.perf_counter()
        # For the answer to an unexpected error, which Starlette gives outside of every middleware.
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - started) * 1000))
            await send(message)

        await self._app(scope, receive, send_with_id)


class BodyLimit:
    """Answers 413 to a body that is too large, announced or not, without keeping any of it."""

    def __init__(self, app: ASGIApp, *, max_file_bytes: int, max_json_bytes: int) -> None:
        self._app = app
        self._max_file_bytes = max_file_bytes
        self._max_json_bytes = max_json_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_upload = headers.get("content-type", "").startswith("multipart/form-data")
        max_file_bytes = self._max_file_bytes
        if (caller := scope.get("state", {}).get("caller")) is not None:
            max_file_bytes = caller.file_limit(max_file_bytes)
        limit = max_file_bytes + _MULTIPART_SLACK_BYTES if is_upload else self._max_json_bytes
        stated = max_file_bytes if is_upload else limit
        too_large = RequestTooLarge(f"The request body is larger than the {stated:,} bytes that are allowed.")
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            await _drain(receive)
            await error_response(too_large)(scope, receive, send)
            return
        seen, is_refused = 0, False

        async def receive_within_limit() -> Message:
            nonlocal seen, is_refused
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                # After the last piece there is nothing to wait for but the client's leaving.
                if message.get("more_body", False):
                    await _drain(receive)
                is_refused = True
                raise too_large
            return message

        async def send_unless_refused(message: Message) -> None:
            # FastAPI turns whatever breaks a body off into a 400 of its own words.
            if not is_refused:
                await send(message)

        await self._app(scope, receive_within_limit, send_unless_refused)
        if is_refused:
            await error_response(too_large)(scope, receive, send)


async def _drain(receive: Receive) -> None:
    dropped = 0
    while dropped < _DRAIN_BYTES:
        message = await receive()
        dropped += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return

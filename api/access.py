"""The door of /v1: who asks, what that caller may do, and how often. Before anything of the body is read."""

import logging
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import scopes
from api.auth import identify, is_own_origin
from api.errors import error_response
from api.limits import RateLimits
from api.visibility import Caller
from api.wiring import Services
from catalog import keys, origins
from catalog.errors import FootnoteError, Forbidden, NotFound

log = logging.getLogger(__name__)

# What a page of a portal may send, and read of the answers.
_ALLOWED: Final = {
    "access-control-allow-methods": "GET, POST, DELETE",
    "access-control-max-age": "600",
}
_EXPOSED: Final = ", ".join(
    (
        "x-request-id",
        "openai-processing-ms",
        "idempotent-replayed",
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    )
)


class Access:
    """Lets a request under /v1 pass with its `api.visibility.Caller` in `scope["state"]["caller"]`, or answers it.

    401 without a valid key or token, 429 above the caller's rate, 403 from an origin or for a scope that it has not,
    404 for a path that has no scope. Rate limits and CORS headers are on every answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limits = RateLimits()
        # Keys whose use is being noted.
        self._noting: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not f"{scope['path']}/".startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        extra: dict[str, str] = {}

        async def send_with_extra(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(extra)
            await send(message)

        try:
            services: Services = scope["app"].state.services
            if not is_own_origin(headers):
                extra |= await run_in_threadpool(_cors, services, headers)
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await _preflight(headers, extra)(scope, receive, send_with_extra)
                return
            caller = await run_in_threadpool(identify, services, headers)
            if caller.requests_per_minute > 0:
                left = self._limits.take(caller.bucket, caller.requests_per_minute)
                extra |= left.headers
                left.check()
            _check(caller, headers, scope["method"], scope["path"])
        except FootnoteError as error:
            await error_response(error)(scope, receive, send_with_extra)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send_with_extra)
        if caller.is_use_worth_noting and caller.key_id is not None:
            await self._note_use(services, caller.key_id)

    async def _note_use(self, services: Services, key_id: str) -> None:
        """Say that a key was used. The reply has been sent: a database that is busy keeps nobody waiting."""
        if key_id in self._noting:
            return
        self._noting.add(key_id)
        try:
            await run_in_threadpool(_note_use, services, key_id)
        except FootnoteError as error:
            log.warning("The use of key %s was not noted: %s", key_id, error.message)
        finally:
            self._noting.discard(key_id)


def _note_use(services: Services, key_id: str) -> None:
    with services.catalog.database.write() as session:
        keys.note_use(session, key_id)


def _check(caller: Caller, headers: Headers, method: str, path: str) -> None:
    """Raises Forbidden, NotFound."""
    origin = headers.get("origin")
    if caller.origins and origin not in caller.origins:
        raise Forbidden(f"This visitor token is not for pages from {origin!r}.")
    needed = scopes.needed(method, path)
    if needed is None:
        raise NotFound(f"{method} {path}: Not Found.")
    if not keys.includes(caller.scopes, needed):
        held = ", ".join(sorted(caller.scopes))
        raise Forbidden(f"{method} {path} needs the scope {needed.value!r}; this key or token has {held!r}.")


def _cors(services: Services, headers: Headers) -> dict[str, str]:
    """Return what lets a page of another site read the answer, for the origins that visitor tokens name."""
    origin = headers.get("origin", "")
    with services.catalog.database.read() as session:
        if not origins.is_registered(session, origin):
            return {"vary": "Origin"}
    return {"vary": "Origin", "access-control-allow-origin": origin, "access-control-expose-headers": _EXPOSED}


def _preflight(headers: Headers, cors: dict[str, str]) -> Response:
    """Answer a browser that asks before it sends a page's request; it sends no token with that."""
    if "access-control-allow-origin" not in cors:
        return error_response(
            Forbidden(f"No visitor token is for pages from {headers.get('origin')!r}; POST /v1/tokens takes `origins`.")
        )
    wanted = headers.get("access-control-request-headers")
    return Response(status_code=204, headers=_ALLOWED | ({"access-control-allow-headers": wanted} if wanted else {}))

"""Who is asking. `api.access` asks it of every request before anything of its body is read."""

import hmac
from dataclasses import replace
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from api import visibility, visitors
from api.settings import Settings
from api.settings.service import is_loopback
from api.visibility import Caller
from api.visitors import Grant
from api.wiring import Services
from catalog import keys
from catalog.errors import Forbidden, Unauthorized
from catalog.keys import KeyScope
from catalog.models import DEFAULT_PROJECT, ApiKey
from retrieval.filters import parse_filter

__all__ = ["Caller", "CallerOf", "ServicesOf", "check_operator", "identify", "is_own_origin", "sees_whole_project"]

# For the OpenAPI document; `identify` reads the header.
_bearer = HTTPBearer(auto_error=False, description="An API key from `footnote keys create`, or a visitor token.")
_SCHEME: Final = "bearer "


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesOf = Annotated[Services, Depends(services)]


async def caller(request: Request, found: ServicesOf, _: Annotated[object, Depends(_bearer)]) -> Caller:
    """Return who asks. What the path names exists for this caller, as far as it sees a part of its project alone.

    Raises NotFound.
    """
    known: Caller = request.state.caller
    if known.is_limited:
        await run_in_threadpool(_check_path, found, known, request.path_params)
    return known


CallerOf = Annotated[Caller, Depends(caller)]


def _check_path(found: Services, known: Caller, path: dict[str, str]) -> None:
    with found.catalog.database.read() as session:
        visibility.check_path(session, known, path)


def sees_whole_project(known: CallerOf) -> None:
    """Raises Forbidden for a key that sees some stores alone: whose an upload is, is told when its file is there."""
    visibility.check_whole_project(known, "upload in parts; POST /v1/files takes a file as a whole")


def identify(found: Services, headers: Headers) -> Caller:
    """Return who sends a request with these headers. As soon as one key exists, every request needs one.

    Raises Unauthorized, Forbidden.
    """
    database, settings = found.catalog.database, found.settings
    with database.read() as session:
        if not keys.any_active(session):
            _check_own_machine(headers, settings)
            return Caller(
                project_id=DEFAULT_PROJECT,
                owner_id=DEFAULT_PROJECT,
                requests_per_minute=settings.requests_per_minute,
            )
        credential = _credential(headers)
        if visitors.is_token(credential):
            key, grant = visitors.read(session, credential)
            known = _visitor(key, grant, settings)
        else:
            key = keys.authenticate(session, credential)
            known = _holder(key, settings)
    return replace(known, is_use_worth_noting=keys.is_use_worth_noting(key))


def check_operator(found: Services, headers: Headers) -> None:
    """Let pass who runs this server: keys are those of tenants, and its counts are of all of them.

    Raises Unauthorized, Forbidden.
    """
    token = found.settings.metrics_token
    if token is not None:
        if not hmac.compare_digest(_credential(headers).encode(), token.get_secret_value().encode()):
            raise Unauthorized("This is not the token that the setting metrics_token names.")
        return
    with found.catalog.database.read() as session:
        if keys.any_active(session):
            raise Forbidden(
                "With API keys, GET /metrics needs the setting metrics_token, and its value as bearer token."
            )
    _check_own_machine(headers, found.settings)


def _credential(headers: Headers) -> str:
    header = headers.get("authorization", "")
    credential = header[len(_SCHEME) :].strip() if header.lower().startswith(_SCHEME) else ""
    if not credential:
        raise Unauthorized("No API key was given. Send it as 'Authorization: Bearer fn-…'.")
    return credential


def _holder(key: ApiKey, settings: Settings) -> Caller:
    return Caller(
        project_id=key.project_id,
        # No project's name holds a slash.
        owner_id=key.project_id if key.store_ids is None else f"{key.project_id}/{key.id}",
        scopes=keys.scopes_of(key),
        key_id=key.id,
        store_ids=None if key.store_ids is None else frozenset(key.store_ids),
        requests_per_minute=_limit(key, settings),
        max_file_bytes=key.max_file_bytes,
        bucket=key.id,
    )


def _visitor(key: ApiKey, grant: Grant, settings: Settings) -> Caller:
    owner_id = f"{key.project_id}/{grant.owner_suffix}"
    store_ids = key.store_ids if grant.store_ids is None else grant.store_ids
    return Caller(
        project_id=key.project_id,
        owner_id=owner_id,
        scopes=frozenset({KeyScope.ASK}),
        key_id=key.id,
        store_ids=None if store_ids is None else frozenset(store_ids),
        filter=parse_filter(grant.filters) if grant.filters else None,
        origins=frozenset(grant.origins),
        requests_per_minute=grant.requests_per_minute or _limit(key, settings),
        bucket=owner_id if grant.requests_per_minute else key.id,
    )


def _limit(key: ApiKey, settings: Settings) -> int:
    return settings.requests_per_minute if key.requests_per_minute is None else key.requests_per_minute


def _check_own_machine(headers: Headers, settings: Settings) -> None:
    """Without keys only programs of this machine may ask, and no web page of another site through a browser of it.

    The Host header must name loopback (that of a page which points its own name at 127.0.0.1 does not), and an
    Origin, when there is one, must be this server.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_loopback(settings.host):
        raise Unauthorized("Every API key was revoked. Make one with `footnote keys create NAME`.")
    if _host_name(host) not in {"127.0.0.1", "localhost", "[::1]"} or not is_own_origin(headers):
        raise Forbidden(
            f"Without API keys this server answers its own machine alone (Host {host!r}, Origin {origin!r}). "
            "Make one with `footnote keys create NAME`."
        )


def is_own_origin(headers: Headers) -> bool:
    """True for a request that comes from a page of this server, or from none."""
    origin = headers.get("origin")
    return origin is None or origin.split("://")[-1] == headers.get("host", "")


def _host_name(host: str) -> str:
    return host if host.endswith("]") else host.rsplit(":", 1)[0]

"""Who is asking."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.settings import Settings, is_loopback
from api.wiring import Services
from catalog import keys
from catalog.errors import Forbidden, Unauthorized
from catalog.models import DEFAULT_PROJECT

_bearer = HTTPBearer(auto_error=False, description="An API key from `footnote keys create`.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Everything that a request sees or changes belongs to this project."""

    project_id: str


def services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesOf = Annotated[Services, Depends(services)]


def caller(
    request: Request,
    found: ServicesOf,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Return who asks. As soon as one key exists, every request needs one. Raises Unauthorized, Forbidden."""
    database = found.catalog.database
    with database.read() as session:
        if not keys.any_active(session):
            _check_own_machine(request, found.settings)
            return Caller(project_id=DEFAULT_PROJECT)
        if credentials is None:
            raise Unauthorized("No API key was given. Send it as 'Authorization: Bearer fn-…'.")
        key = keys.authenticate(session, credentials.credentials)
    if keys.is_use_worth_noting(key):
        with database.write() as session:
            keys.note_use(session, key.id)
    return Caller(project_id=key.project_id)


def _check_own_machine(request: Request, settings: Settings) -> None:
    """Without keys only programs of this machine may ask, and no web page of another site through a browser of it.

    The Host header must name loopback (that of a page which points its own name at 127.0.0.1 does not), and an
    Origin, when there is one, must be this server.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if not is_loopback(settings.host):
        raise Unauthorized("Every API key was revoked. Make one with `footnote keys create NAME`.")
    is_own_origin = origin is None or origin.split("://")[-1] == host
    if _host_name(host) not in {"127.0.0.1", "localhost", "[::1]"} or not is_own_origin:
        raise Forbidden(
            f"Without API keys this server answers its own machine alone (Host {host!r}, Origin {origin!r}). "
            "Make one with `footnote keys create NAME`."
        )


def _host_name(host: str) -> str:
    return host if host.endswith("]") else host.rsplit(":", 1)[0]


CallerOf = Annotated[Caller, Depends(caller)]

"""Who is asking."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.wiring import Services
from catalog import keys
from catalog.errors import Unauthorized
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


def caller(found: ServicesOf, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Caller:
    """Return who asks. As soon as one key exists, every request needs one. Raises Unauthorized."""
    database = found.catalog.database
    with database.read() as session:
        if not keys.any_active(session):
            return Caller(project_id=DEFAULT_PROJECT)
        if credentials is None:
            raise Unauthorized("No API key was given. Send it as 'Authorization: Bearer fn-…'.")
        key = keys.authenticate(session, credentials.credentials)
    if keys.is_use_worth_noting(key):
        with database.write() as session:
            keys.note_use(session, key.id)
    return Caller(project_id=key.project_id)


CallerOf = Annotated[Caller, Depends(caller)]

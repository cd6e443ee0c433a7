"""Visitor tokens: the request body and the object."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from api.visitors import Grant
from api.wire.common import WireModel

_MINUTE_S, _DAY_S = 60, 86_400
DEFAULT_LIFETIME_S: Final = 15 * _MINUTE_S
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")


def _check_origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        raise ValueError("an origin is a scheme and a host in lower case, as https://portal.example, without a path")
    return origin


Origin = Annotated[str, AfterValidator(_check_origin)]


class MintToken(WireModel):
    # Whose token it is; the same subject finds its responses again with its next token.
    subject: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    vector_store_ids: Annotated[list[str], Field(min_length=1, max_length=100)] | None = None
    # Parsed by retrieval.filters.
    filters: dict[str, Any] | None = None
    origins: Annotated[list[Origin], Field(max_length=20)] = Field(default_factory=list)
    expires_in: Annotated[int, Field(ge=1, le=_DAY_S)] = DEFAULT_LIFETIME_S
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = None


def token_object(grant: Grant, token: str) -> dict[str, Any]:
    return {
        "id": grant.token_id,
        "object": "visitor_token",
        "token": token,
        "created_at": grant.created_at,
        "expires_at": grant.expires_at,
        "subject": grant.subject,
        "vector_store_ids": grant.store_ids,
        "filters": grant.filters,
        "origins": grant.origins,
        "requests_per_minute": grant.requests_per_minute,
    }

"""Visitor tokens: what a portal gives its visitors' browsers. Signed (JWT, HS256) with a secret of the minting key."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

import jwt
from sqlalchemy.orm import Session

from catalog import keys
from catalog.errors import InvalidRequest, Unauthorized
from catalog.keys import shown
from catalog.models import ApiKey

_ALGORITHM: Final = "HS256"
# Servers and proxies refuse headers that are longer than 8 KiB.
MAX_TOKEN_CHARS: Final = 7_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What a token allows. All of it stands in the token: nothing of it is stored."""

    # Of the key that mints it.
    key_id: str
    token_id: str
    created_at: int
    expires_at: int
    # Whose responses and conversations these are; None: the token's own.
    subject: str | None
    # The stores that it sees; None: all that the key sees.
    store_ids: tuple[str, ...] | None
    # OpenAI's filter object: the documents that it sees.
    filters: dict[str, Any] | None
    # Where the pages that use it may come from; empty: anywhere, and from no page of another site.
    origins: tuple[str, ...]
    # Of this visitor; None: its requests count with those of the key.
    requests_per_minute: int | None

    @property
    def owner_suffix(self) -> str:
        """Names what it may see and for whom: answers that were given under other limits belong to somebody else."""
        seen = json.dumps([self.key_id, self.subject or self.token_id, self.store_ids, self.filters], sort_keys=True)
        return "visitor-" + hashlib.sha256(seen.encode()).hexdigest()[:32]


def new_grant(*, lifetime_s: int, **fields: Any) -> Grant:
    """`fields`: those of Grant that are not about time."""
    now = int(time.time())
    return Grant(token_id=f"token_{secrets.token_hex(12)}", created_at=now, expires_at=now + lifetime_s, **fields)


def mint(session: Session, grant: Grant) -> str:
    """Return the token of a grant. Raises InvalidRequest when it would be too long for a header."""
    claims = {
        "jti": grant.token_id,
        "iat": grant.created_at,
        "exp": grant.expires_at,
        "sub": grant.subject,
        "stores": grant.store_ids,
        "filters": grant.filters,
        "origins": grant.origins,
        "rpm": grant.requests_per_minute,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    token = jwt.encode(
        claims, keys.token_secret(session, grant.key_id), algorithm=_ALGORITHM, headers={"kid": grant.key_id}
    )
    if len(token) > MAX_TOKEN_CHARS:
        raise InvalidRequest(
            f"The token would have {len(token):,} characters; at most {MAX_TOKEN_CHARS:,} fit into a header. Name "
            "fewer stores, or filter by an attribute with fewer values."
        )
    return token


def is_token(credential: str) -> bool:
    """API keys hold no dot."""
    return credential.count(".") == 2


def read(session: Session, token: str) -> tuple[ApiKey, Grant]:
    """Return a token's key and what it allows. Raises Unauthorized unless both are valid now."""
    try:
        key_id = str(jwt.get_unverified_header(token).get("kid"))
        # What is no ASCII may be half of a character, which no database takes.
        key = keys.get_active(session, key_id) if key_id.isascii() else None
        if key is None or key.token_secret is None:
            raise jwt.InvalidTokenError
        # The minute at which another machine made it is no reason to refuse it; when it ends is.
        claims = jwt.decode(
            token,
            key.token_secret,
            algorithms=[_ALGORITHM],
            options={"require": ["jti", "iat", "exp"], "verify_iat": False},
        )
    except jwt.ExpiredSignatureError as error:
        raise Unauthorized("The visitor token has expired; ask the portal that gave it for another.") from error
    except jwt.InvalidTokenError as error:
        raise Unauthorized(f"The visitor token is not valid{shown(token)}. Mint one with POST /v1/tokens.") from error
    stores = claims.get("stores")
    return key, Grant(
        key_id=key.id,
        token_id=claims["jti"],
        created_at=claims["iat"],
        expires_at=claims["exp"],
        subject=claims.get("sub"),
        store_ids=None if stores is None else tuple(stores),
        filters=claims.get("filters"),
        origins=tuple(claims["origins"]),
        requests_per_minute=claims.get("rpm"),
    )

"""API keys: made once in clear text, kept as a digest, with what each may do and see."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import stores
from catalog.errors import InvalidRequest, NotFound, Unauthorized
from catalog.ids import API_KEY, new_id
from catalog.models import ApiKey

KEY_PREFIX: Final = "fn-"
# `last_used_at` is written at most this often: a write per request would make every read a write.
_LAST_USED_RESOLUTION_S: Final = 60.0
_PROJECT: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Of a refused key a message shows so much, and of a shorter one nothing.
_SHOWN_CHARS: Final = 6


class KeyScope(StrEnum):
    """What a key may do; `includes` tells which one implies which."""

    # Ask and search; read the text behind a citation. What a visitor may do.
    ASK = "ask"
    # List and retrieve everything, too.
    READ = "read"
    # Upload, attach, update and delete, too.
    WRITE = "write"
    # Mint visitor tokens; of the rest what `ask` may.
    MINT = "mint"
    # Everything.
    ADMIN = "admin"


_INCLUDED: Final[Mapping[KeyScope, Collection[KeyScope]]] = {
    KeyScope.ASK: {KeyScope.ASK},
    KeyScope.READ: {KeyScope.ASK, KeyScope.READ},
    KeyScope.WRITE: {KeyScope.ASK, KeyScope.READ, KeyScope.WRITE},
    KeyScope.MINT: {KeyScope.ASK, KeyScope.MINT},
    KeyScope.ADMIN: set(KeyScope),
}


def includes(held: Iterable[KeyScope], wanted: KeyScope) -> bool:
    return any(wanted in _INCLUDED[scope] for scope in held)


def create(
    session: Session,
    project_id: str,
    name: str,
    *,
    scopes: Collection[KeyScope] = (KeyScope.WRITE,),
    store_ids: Collection[str] | None = None,
    requests_per_minute: int | None = None,
    max_file_bytes: int | None = None,
    lifetime_s: float | None = None,
) -> tuple[ApiKey, str]:
    """Return the new key's row and its clear text, which is not stored.

    `store_ids`: the stores that it sees; None is all of the project, also those of later. `requests_per_minute`: None
    is what the settings say, 0 no limit; `max_file_bytes` can only lower the limit of the settings. Raises
    InvalidRequest for a project that cannot be a name, and NotFound for a store that is not in it.
    """
    if not _PROJECT.fullmatch(project_id):
        raise InvalidRequest(f"{project_id!r} is no name for a project: 1 to 64 letters, digits, '-' and '_'.")
    for store_id in store_ids or ():
        stores.get(session, project_id, store_id)
    now, clear = time.time(), KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(
        id=new_id(API_KEY),
        project_id=project_id,
        name=name,
        digest=_digest(clear),
        created_at=now,
        expires_at=now + lifetime_s if lifetime_s else None,
        scopes=[scope.value for scope in scopes],
        store_ids=None if store_ids is None else sorted(set(store_ids)),
        requests_per_minute=requests_per_minute,
        max_file_bytes=max_file_bytes,
    )
    session.add(key)
    return key, clear


def list_all(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at)))


def any_active(session: Session) -> bool:
    """True while a key is there that was not revoked. One that expired counts: time alone opens no server."""
    return session.scalar(select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None


def authenticate(session: Session, clear: str) -> ApiKey:
    """Return the key's row. Raises Unauthorized for an unknown, revoked or expired key.

    The look-up is by digest: what its timing could tell is a prefix of a hash, which helps nobody to find a key.
    """
    digest = _digest(clear)
    key = session.scalar(select(ApiKey).where(ApiKey.digest == digest))
    if key is None or not hmac.compare_digest(key.digest, digest) or key.revoked_at is not None:
        raise Unauthorized(f"Incorrect API key provided{shown(clear)}. Make one with `footnote keys create NAME`.")
    if is_expired(key):
        raise Unauthorized(f"The API key {key.id!r} has expired. Make another with `footnote keys create NAME`.")
    return key


def get_active(session: Session, key_id: str) -> ApiKey | None:
    """Return a key that is neither revoked nor expired."""
    key = session.get(ApiKey, key_id)
    return None if key is None or key.revoked_at is not None or is_expired(key) else key


def is_expired(key: ApiKey) -> bool:
    return key.expires_at is not None and key.expires_at <= time.time()


def shown(clear: str) -> str:
    """Return how a refused credential is told: by its beginning, where that gives little of it away."""
    return f": {clear[:_SHOWN_CHARS]}…" if len(clear) > 2 * _SHOWN_CHARS else ""


def scopes_of(key: ApiKey) -> frozenset[KeyScope]:
    return frozenset(KeyScope(scope) for scope in key.scopes)


def token_secret(session: Session, key_id: str) -> str:
    """Return what the tokens of a key are signed with, made when it is needed first: 256 random bits, hexadecimal."""
    key = session.get_one(ApiKey, key_id, with_for_update=True)
    key.token_secret = key.token_secret or secrets.token_hex(32)
    return key.token_secret


def is_use_worth_noting(key: ApiKey) -> bool:
    return key.last_used_at is None or time.time() - key.last_used_at > _LAST_USED_RESOLUTION_S


def note_use(session: Session, key_id: str) -> None:
    key = session.get(ApiKey, key_id)
    if key is not None:
        key.last_used_at = time.time()


def revoke(session: Session, key_id: str) -> None:
    """Take a key out of use, and the tokens that it minted. Raises NotFound."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"No API key {key_id!r}; `footnote keys list` shows them.")
    key.revoked_at = key.revoked_at or time.time()


def _digest(clear: str) -> str:
    return hashlib.sha256(clear.encode()).hexdigest()

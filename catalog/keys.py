"""API keys: made once in clear text, kept as a digest."""

import hashlib
import secrets
import time
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.errors import NotFound, Unauthorized
from catalog.ids import API_KEY, new_id
from catalog.models import ApiKey

KEY_PREFIX: Final = "fn-"
# `last_used_at` is written at most this often: a write per request would make every read a write.
_LAST_USED_RESOLUTION_S: Final = 60.0


def create(session: Session, project_id: str, name: str) -> tuple[ApiKey, str]:
    """Return the new key's row and its clear text, which is not stored."""
    clear = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey(id=new_id(API_KEY), project_id=project_id, name=name, digest=_digest(clear), created_at=time.time())
    session.add(key)
    return key, clear


def list_all(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at)))


def any_active(session: Session) -> bool:
    return session.scalar(select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None


def authenticate(session: Session, clear: str) -> ApiKey:
    """Return the key's row. Raises Unauthorized for an unknown or revoked key.

    The look-up is by digest: what timing could tell is a prefix of a hash, which helps nobody to find a key.
    """
    key = session.scalar(select(ApiKey).where(ApiKey.digest == _digest(clear), ApiKey.revoked_at.is_(None)))
    if key is None:
        raise Unauthorized(f"Incorrect API key provided: {clear[:6]}…. Make one with `footnote keys create`.")
    return key


def is_use_worth_noting(key: ApiKey) -> bool:
    return key.last_used_at is None or time.time() - key.last_used_at > _LAST_USED_RESOLUTION_S


def note_use(session: Session, key_id: str) -> None:
    key = session.get(ApiKey, key_id)
    if key is not None:
        key.last_used_at = time.time()


def revoke(session: Session, key_id: str) -> None:
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"No API key {key_id!r}; `footnote keys list` shows them.")
    key.revoked_at = key.revoked_at or time.time()


def _digest(clear: str) -> str:
    return hashlib.sha256(clear.encode()).hexdigest()

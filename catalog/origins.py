"""Web origins whose pages may call: each is named by a visitor token that has not ended long ago."""

import time
from collections.abc import Iterable
from typing import Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from catalog.models import ApiKey, VisitorOrigin

# After its last token a page can still read that the token has expired, and fetch another.
_KEPT_S: Final = 86_400.0


def register(session: Session, key_id: str, origins: Iterable[str], *, expires_at: float) -> None:
    """Let pages of these origins call while a token of this key that ends at `expires_at` may be in use."""
    session.execute(delete(VisitorOrigin).where(VisitorOrigin.until <= time.time()))
    for origin in origins:
        known = session.get(VisitorOrigin, (key_id, origin))
        until = max(expires_at + _KEPT_S, known.until if known else 0.0)
        session.merge(VisitorOrigin(key_id=key_id, origin=origin, until=until))


def is_registered(session: Session, origin: str) -> bool:
    query = (
        select(VisitorOrigin.key_id)
        .join(ApiKey, ApiKey.id == VisitorOrigin.key_id)
        .where(VisitorOrigin.origin == origin, VisitorOrigin.until > time.time(), ApiKey.revoked_at.is_(None))
    )
    return session.scalar(query.limit(1)) is not None

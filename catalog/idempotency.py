"""Requests with an Idempotency-Key: carried out once, and answered again with the first reply.

A request first claims its key. Whatever it then writes commits together with the note that it wrote something, and
that needs the claim: so of two claims on one key one alone has an effect. After a crash before that the key is free
again when the lease ends; after a crash behind it, and before the reply is kept, a repetition is told so.
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from catalog import ids
from catalog.database import Database
from catalog.errors import IdempotencyConflict, RequestInProgress
from catalog.models import (
    AnswerRecord,
    Base,
    Conversation,
    ConversationItem,
    File,
    FileBatch,
    IdempotentRequest,
    Upload,
    VectorStore,
)

# OpenAI's SDKs repeat within seconds, and people within a day.
KEPT_S: Final = 86_400.0
# A longer reply is not kept.
MAX_REPLY_BYTES: Final = 1 << 20
# What a reply is about. It is not given any more when that was deleted.
_KINDS: Final[Mapping[str, type[Base]]] = {
    ids.FILE: File,
    ids.VECTOR_STORE: VectorStore,
    ids.FILE_BATCH: FileBatch,
    ids.RESPONSE: AnswerRecord,
    ids.CONVERSATION: Conversation,
    ids.UPLOAD: Upload,
}
# Replies that are looked through in one transaction, and in memory at once.
_PAGE: Final = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """The right to carry a request out."""

    owner_id: str
    key: str
    claim: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    fingerprint: str
    status: int
    body: bytes


def begin(database: Database, owner_id: str, key: str, *, lease_s: float) -> Claim | Reply | None:
    """Return the claim on a key, the reply that was given already, or None while somebody else carries it out.

    `lease_s`: a request that takes longer can be carried out a second time meanwhile; one of the two then has no
    effect. Raises IdempotencyConflict when the request was carried out and its reply is not kept.
    """
    with database.read() as session:
        found = session.get(IdempotentRequest, (owner_id, key))
        if found is not None and not _is_free(found):
            return _reply(session, found)
    with database.write() as session:
        database.lock(session, f"idempotency {owner_id} {key}")
        found = session.get(IdempotentRequest, (owner_id, key), populate_existing=True)
        if found is not None and not _is_free(found):
            return _reply(session, found)
        now, claim = time.time(), Claim(owner_id=owner_id, key=key, claim=secrets.token_hex(16))
        session.merge(
            IdempotentRequest(
                owner_id=owner_id,
                key=key,
                created_at=now,
                claim=claim.claim,
                lease_until=now + lease_s,
                has_effect=False,
                fingerprint=None,
                status=None,
                body=None,
            )
        )
        return claim


def note_effect(session: Session, claim: Claim) -> None:
    """Say, as part of a transaction, that the request writes something. Raises RequestInProgress without the claim."""
    statement = update(IdempotentRequest).where(*_is_held(claim)).values(has_effect=True)
    if not session.execute(statement.returning(IdempotentRequest.key)).first():
        raise RequestInProgress(f"Another request with the Idempotency-Key {claim.key!r} has taken this one over.")


def keep(database: Database, claim: Claim, reply: Reply) -> None:
    """Keep the reply of a request that had an effect; one without is carried out again."""
    values = {"fingerprint": reply.fingerprint, "status": reply.status, "body": reply.body, "lease_until": 0.0}
    with database.write() as session:
        statement = update(IdempotentRequest).where(*_is_held(claim), IdempotentRequest.has_effect).values(**values)
        kept = session.execute(statement.returning(IdempotentRequest.key)).first()
    if not kept:
        release(database, claim)


def release(database: Database, claim: Claim) -> None:
    """End a claim without a reply. A request that had no effect can be carried out again at once."""
    with database.write() as session:
        session.execute(delete(IdempotentRequest).where(*_is_held(claim), ~IdempotentRequest.has_effect))
        session.execute(update(IdempotentRequest).where(*_is_held(claim)).values(lease_until=0.0))


def remove_old(database: Database) -> None:
    """Forget the requests of more than a day ago."""
    with database.write() as session:
        session.execute(delete(IdempotentRequest).where(IdempotentRequest.created_at <= time.time() - KEPT_S))


def remove_stale(database: Database) -> None:
    """Remove the replies that speak of something deleted. They are not given any more anyway, and go within a day."""
    last = ("", "")
    place = (IdempotentRequest.owner_id, IdempotentRequest.key)
    while True:
        after = sqlalchemy.tuple_(*place) > last
        with database.read() as session:
            query = select(IdempotentRequest).where(after, IdempotentRequest.body.is_not(None))
            page = list(session.scalars(query.order_by(*place).limit(_PAGE)))
            stale = [found for found in page if found.body is not None and _is_stale(session, found.body)]
        if stale:
            with database.write() as session:
                for found in stale:
                    same = (IdempotentRequest.owner_id == found.owner_id, IdempotentRequest.key == found.key)
                    session.execute(
                        update(IdempotentRequest)
                        .where(*same, IdempotentRequest.claim == found.claim)
                        .values(body=None, status=None)
                    )
        if not page:
            return
        last = (page[-1].owner_id, page[-1].key)


def _is_held(claim: Claim) -> tuple[Any, ...]:
    return (
        IdempotentRequest.owner_id == claim.owner_id,
        IdempotentRequest.key == claim.key,
        IdempotentRequest.claim == claim.claim,
    )


def _is_free(found: IdempotentRequest) -> bool:
    """True when the key can be claimed: its day is over, or the process that had it died without an effect."""
    now = time.time()
    return found.created_at <= now - KEPT_S or (not found.has_effect and found.lease_until <= now)


def _reply(session: Session, found: IdempotentRequest) -> Reply | None:
    if found.body is not None and found.status is not None and not _is_stale(session, found.body):
        return Reply(fingerprint=str(found.fingerprint), status=found.status, body=found.body)
    if found.body is None and found.lease_until > time.time():
        return None
    raise IdempotencyConflict(
        f"The request with the Idempotency-Key {found.key!r} was carried out, and its reply is not kept: it was a "
        "stream, was cut off by a crash, or spoke of something that was deleted since. Look for what it made, or send "
        "the request with another key."
    )


def _is_stale(session: Session, body: bytes) -> bool:
    """True when what a reply is about was deleted, or a file that it names."""
    reply = json.loads(body)
    # Feedback has no id of its own: it goes with its response.
    about = str(reply.get("id", reply.get("response_id", "")))
    kind = next((kind for prefix, kind in _KINDS.items() if about.startswith(prefix)), None)
    was_kept = reply.get("store") is not False  # A response that nobody wanted kept; other objects have no such field.
    if kind is not None and was_kept and session.get(kind, about) is None:
        return True
    if reply.get("object") == "list":  # Items that were added to a conversation.
        added = {item["id"] for item in reply["data"]}
        if added != set(session.scalars(select(ConversationItem.id).where(ConversationItem.id.in_(added)))):
            return True
    named = set(_files_named(reply))
    return set(session.scalars(select(File.id).where(File.id.in_(named)))) != named


def _files_named(reply: Any) -> Iterator[str]:
    """Yield the files that a reply speaks of. Only its fields say so: words and metadata may look like anything."""
    if isinstance(reply, list):
        for part in reply:
            yield from _files_named(part)
    elif isinstance(reply, dict):
        for name, part in reply.items():
            if name in {"id", "file_id"} and isinstance(part, str) and part.startswith(ids.FILE):
                yield part
            elif name not in {"metadata", "attributes"}:
                yield from _files_named(part)

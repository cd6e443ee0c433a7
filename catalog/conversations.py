"""Conversations: items that responses carry on from. An item lasts no longer than the files that it draws on."""

import time
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from sqlalchemy import ColumnElement, Select, delete, insert, select
from sqlalchemy.orm import Session

from catalog.answers import Item
from catalog.database import Database, portions
from catalog.errors import NotFound
from catalog.ids import CONVERSATION, new_id
from catalog.models import Conversation, ConversationItem, ConversationItemFile, File
from catalog.paging import Page, PageRequest, fetch_page

# Items that one answer carries on from, newest first.
RECENT_ITEMS: Final = 100
# Items that are deleted in one transaction.
_PORTION: Final = 500


def create(session: Session, project_id: str, metadata: Mapping[str, str]) -> Conversation:
    conversation = Conversation(
        id=new_id(CONVERSATION), project_id=project_id, created_at=time.time(), metadata_=dict(metadata)
    )
    session.add(conversation)
    session.flush()
    return conversation


def get(session: Session, project_id: str, conversation_id: str) -> Conversation:
    """Raises NotFound, also for another project's conversation."""
    return _found(session.get(Conversation, conversation_id), project_id, conversation_id)


def get_locked(session: Session, project_id: str, conversation_id: str) -> Conversation:
    """Return a conversation that nobody else adds to, or deletes, until the transaction ends. Raises NotFound."""
    query = select(Conversation).where(Conversation.id == conversation_id).with_for_update()
    return _found(session.scalar(query), project_id, conversation_id)


def remove(session: Session, project_id: str, conversation_id: str) -> None:
    """Delete a conversation and its items. Raises NotFound."""
    session.delete(get(session, project_id, conversation_id))


def add_items(
    session: Session, conversation: Conversation, items: Sequence[Item], drawn_on: Mapping[str, AbstractSet[str]]
) -> None:
    """Append items, in order; `conversation` has to be locked.

    `drawn_on`: the files whose words an item may hold, by the item's id.
    """
    now = time.time()
    rows = [
        ConversationItem(id=item["id"], conversation_id=conversation.id, item=item, created_at=now) for item in items
    ]
    session.add_all(rows)
    session.flush()
    files = [
        {"item_number": row.number, "file_id": file_id} for row in rows for file_id in sorted(drawn_on.get(row.id, ()))
    ]
    if files:
        session.execute(insert(ConversationItemFile), files)


def list_items(session: Session, conversation: Conversation, request: PageRequest) -> Page[ConversationItem]:
    """Return a page of the items that still hold. Raises InvalidRequest for an unknown cursor."""

    def locate(item_id: str) -> tuple[int, str] | None:
        query = select(ConversationItem).where(
            ConversationItem.id == item_id, ConversationItem.conversation_id == conversation.id
        )
        row = session.scalar(query)
        return (row.number, row.id) if row else None

    keys = (ConversationItem.number, ConversationItem.id)
    return fetch_page(session, _sound(conversation), request, keys=keys, locate=locate)


def recent_items(session: Session, conversation: Conversation) -> list[Item]:
    """Return the newest items that still hold, oldest first."""
    newest = _sound(conversation).order_by(ConversationItem.number.desc()).limit(RECENT_ITEMS)
    return [row.item for row in session.scalars(newest)][::-1]


def get_item(session: Session, conversation: Conversation, item_id: str) -> ConversationItem:
    """Raises NotFound, also for an item whose file is gone."""
    row = session.scalar(_sound(conversation).where(ConversationItem.id == item_id))
    if row is None:
        raise NotFound(f"No item {item_id!r} in conversation {conversation.id!r}.", param="item_id")
    return row


def delete_item(session: Session, conversation: Conversation, item_id: str) -> None:
    """Raises NotFound."""
    session.delete(get_item(session, conversation, item_id))


def existing_files(session: Session, project_id: str, file_ids: Iterable[str]) -> set[str]:
    """Return those of the files that there are in the project."""
    existing: set[str] = set()
    for some in portions(list(set(file_ids))):
        existing.update(session.scalars(select(File.id).where(File.project_id == project_id, File.id.in_(some))))
    return existing


def remove_orphans(database: Database) -> int:
    """Delete the items that draw on files which are gone, since they may quote them; return how many."""
    with database.write() as session:
        removed = session.execute(
            delete(ConversationItem).where(_draws_on_what_is_gone()).returning(ConversationItem.number)
        )
        return len(removed.all())


def remove_before(database: Database, moment: float) -> int:
    """Delete the items that came before `moment`, in Unix seconds; return how many. The conversations stay."""
    removed = 0
    while True:
        with database.write() as session:
            oldest = select(ConversationItem.number).where(ConversationItem.created_at < moment).limit(_PORTION)
            gone = session.execute(
                delete(ConversationItem)
                .where(ConversationItem.number.in_(oldest))
                .returning(ConversationItem.number)
                .execution_options(synchronize_session=False)
            ).all()
        removed += len(gone)
        if len(gone) < _PORTION:
            return removed


def _found(conversation: Conversation | None, project_id: str, conversation_id: str) -> Conversation:
    if conversation is None or conversation.project_id != project_id:
        raise NotFound(f"Conversation with id {conversation_id!r} not found.", param="conversation_id")
    return conversation


def _sound(conversation: Conversation) -> Select[ConversationItem]:
    of_conversation = select(ConversationItem).where(ConversationItem.conversation_id == conversation.id)
    return of_conversation.where(~_draws_on_what_is_gone())


def _draws_on_what_is_gone() -> ColumnElement[bool]:
    return (
        select(ConversationItemFile.item_number)
        .where(
            ConversationItemFile.item_number == ConversationItem.number,
            ConversationItemFile.file_id.not_in(select(File.id)),
        )
        .exists()
    )

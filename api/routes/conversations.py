"""/v1/conversations"""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session

from api.auth import Caller, CallerOf, ServicesOf
from api.wire.common import PageOf, list_object
from api.wire.conversations import AddItems, CreateConversation, UpdateConversation, conversation_object
from api.wire.items import IncludesOf, InputItem, Item, cited_files, shown_item
from catalog import conversations
from catalog.models import Conversation
from catalog.paging import Page

router = APIRouter(prefix="/v1/conversations", tags=["Conversations"])


@router.post("")
def create_conversation(services: ServicesOf, caller: CallerOf, body: CreateConversation) -> dict[str, Any]:
    """Begin a conversation, with up to 20 items."""
    with services.catalog.database.write() as session:
        conversation = conversations.create(session, caller.owner_id, body.metadata or {})
        _add(session, caller, conversation, body.items or [])
        return conversation_object(conversation)


@router.get("/{conversation_id}")
def retrieve_conversation(services: ServicesOf, caller: CallerOf, conversation_id: str) -> dict[str, Any]:
    with services.catalog.database.read() as session:
        return conversation_object(conversations.get(session, caller.owner_id, conversation_id))


@router.post("/{conversation_id}")
def update_conversation(
    services: ServicesOf, caller: CallerOf, conversation_id: str, body: UpdateConversation
) -> dict[str, Any]:
    """Replace the metadata."""
    with services.catalog.database.write() as session:
        conversation = conversations.get_locked(session, caller.owner_id, conversation_id)
        conversation.metadata_ = dict(body.metadata or {})
        return conversation_object(conversation)


@router.delete("/{conversation_id}")
def delete_conversation(services: ServicesOf, caller: CallerOf, conversation_id: str) -> dict[str, Any]:
    """Delete a conversation with its items; its responses stay."""
    with services.catalog.database.write() as session:
        conversations.remove(session, caller.owner_id, conversation_id)
    return {"id": conversation_id, "object": "conversation.deleted", "deleted": True}


@router.post("/{conversation_id}/items")
def create_conversation_items(
    services: ServicesOf, caller: CallerOf, conversation_id: str, body: AddItems, shown: IncludesOf
) -> dict[str, Any]:
    """Append up to 20 items; each gets an id of its own."""
    with services.catalog.database.write() as session:
        conversation = conversations.get_locked(session, caller.owner_id, conversation_id)
        added = _add(session, caller, conversation, body.items)
    return list_object(Page(items=added, has_more=False), lambda item: shown_item(item, shown))


@router.get("/{conversation_id}/items")
def list_conversation_items(
    services: ServicesOf, caller: CallerOf, conversation_id: str, request: PageOf, shown: IncludesOf
) -> dict[str, Any]:
    """List the items, newest first."""
    with services.catalog.database.read() as session:
        conversation = conversations.get(session, caller.owner_id, conversation_id)
        page = conversations.list_items(session, conversation, request)
        return list_object(page, lambda row: shown_item(row.item, shown))


@router.get("/{conversation_id}/items/{item_id}")
def retrieve_conversation_item(
    services: ServicesOf, caller: CallerOf, conversation_id: str, item_id: str, shown: IncludesOf
) -> dict[str, Any]:
    with services.catalog.database.read() as session:
        conversation = conversations.get(session, caller.owner_id, conversation_id)
        return shown_item(conversations.get_item(session, conversation, item_id).item, shown)


@router.delete("/{conversation_id}/items/{item_id}")
def delete_conversation_item(
    services: ServicesOf, caller: CallerOf, conversation_id: str, item_id: str
) -> dict[str, Any]:
    """Delete an item; the conversation is returned, as at OpenAI."""
    with services.catalog.database.write() as session:
        conversation = conversations.get(session, caller.owner_id, conversation_id)
        conversations.delete_item(session, conversation, item_id)
        return conversation_object(conversation)


def _add(session: Session, caller: Caller, conversation: Conversation, brought: Sequence[InputItem]) -> list[Item]:
    """Append items; what quotes a file goes with it."""
    items = [item.stored() for item in brought]
    cited = {item["id"]: cited_files(item) for item in items}
    existing = conversations.existing_files(session, caller.project_id, set().union(*cited.values()))
    conversations.add_items(session, conversation, items, {item_id: cited[item_id] & existing for item_id in cited})
    return items

"""Conversations: request bodies and objects."""

from typing import Annotated, Any

from pydantic import Field

from api.wire.common import Metadata, WireModel
from api.wire.items import InputItem, KeptModel
from catalog.models import Conversation

# OpenAI's: items that one request may bring.
_MAX_ITEMS = 20


class CreateConversation(KeptModel):
    items: Annotated[list[InputItem], Field(max_length=_MAX_ITEMS)] | None = None
    metadata: Metadata | None = None


class UpdateConversation(WireModel):
    metadata: Metadata | None


class AddItems(KeptModel):
    items: Annotated[list[InputItem], Field(min_length=1, max_length=_MAX_ITEMS)]


def conversation_object(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created_at),
        "metadata": conversation.metadata_,
    }

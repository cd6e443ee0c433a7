"""Items: messages and search calls, as requests bring them, as they are kept, and as they are shown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query
from pydantic import Discriminator, Field, Tag, model_validator

from api.wire.common import WireModel
from catalog.errors import UnsupportedParameter
from catalog.ids import FILE_SEARCH_CALL, MESSAGE, new_id
from generation.turns import Turn

Item = dict[str, Any]

# What is carried of a conversation to its next question: more than any generator's budget for it.
MAX_TURNS: Final = 20
# Of a question the end, of an answer the beginning.
MAX_QUESTION_CHARS: Final = 1000
MAX_ANSWER_CHARS: Final = 4000

# OpenAI's values. Here only file_search_call.results brings something; the others tell of what is never made here.
Includable = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
Includes = AbstractSet[Includable]


def includes(
    include: Annotated[list[Includable] | None, Query()] = None,
    bracketed: Annotated[list[Includable] | None, Query(alias="include[]")] = None,
) -> Includes:
    """`include=x&include=y` or `include[]=x&include[]=y`, as the SDKs write it."""
    return {*(include or ()), *(bracketed or ())}


IncludesOf = Annotated[Includes, Depends(includes)]


class KeptModel(WireModel):
    """A body of which parts are kept and shown again without being looked at: they must be what JSON can hold."""

    @model_validator(mode="before")
    @classmethod
    def _check_encodable(cls, body: Any) -> Any:
        # Neither a database nor a response holds halves of surrogate pairs, NaN or infinity, which Python's JSON reads.
        try:
            if isinstance(body, dict):
                json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise ValueError("it holds half a character, a number that JSON does not know, or deep nesting") from error
        return body


class TextPart(WireModel):
    type: Literal["input_text", "output_text", "text"]
    text: str
    # What our own output items carry when a client sends them back.
    annotations: list[dict[str, Any]] | None = None
    logprobs: list[Any] | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class RefusalPart(WireModel):
    """What an assistant said when it would not answer."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


def _kind_of_part(part: Any) -> str | None:
    """Return the tag of a part's model. Raises UnsupportedParameter for images, files and sounds."""
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    if kind in ("input_image", "input_file", "input_audio"):
        raise UnsupportedParameter(f"Parts of type {kind!r} are not read; send text.", param="input")
    # Tags stand in the path of an error, and what has a hyphen is no field there.
    return "refusal-part" if kind == "refusal" else "text-part" if isinstance(part, dict | TextPart) else None


Part = Annotated[
    Annotated[TextPart, Tag("text-part")] | Annotated[RefusalPart, Tag("refusal-part")], Discriminator(_kind_of_part)
]


class Message(WireModel):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]
    # What comes with a message that was an item already; it gets an id of its own here.
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None

    def stored(self) -> Item:
        kind = "output_text" if self.role == "assistant" else "input_text"
        parts: Sequence[TextPart | RefusalPart] = (
            [TextPart(type=kind, text=self.content)] if isinstance(self.content, str) else self.content
        )
        item: Item = {
            "type": "message",
            "id": new_id(MESSAGE),
            "role": self.role,
            "status": self.status or "completed",
            "content": [_stored_part(part, kind) for part in parts],
        }
        return item | ({"phase": self.phase} if self.phase else {})


def _stored_part(part: TextPart | RefusalPart, kind: str) -> Item:
    if isinstance(part, RefusalPart):
        return {"type": "refusal", "refusal": part.refusal}
    if kind == "output_text":
        notes = {"annotations": part.annotations or [], "logprobs": part.logprobs or []}
        return {"type": kind, "text": part.text, **notes}
    return {"type": kind, "text": part.text}


class FileSearchCall(WireModel):
    """A search of an earlier answer, sent back with it."""

    type: Literal["file_search_call"]
    id: str | None = None
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] = "completed"
    queries: list[str] = Field(default_factory=list)
    results: list[dict[str, Any]] | None = None

    def stored(self) -> Item:
        return self.model_dump() | {"id": new_id(FILE_SEARCH_CALL)}


def _kind_of_item(item: Any) -> str | None:
    """Return the tag of an item's model. Raises UnsupportedParameter for items of other tools."""
    if not isinstance(item, dict):
        return (
            "message-item" if isinstance(item, Message) else "call-item" if isinstance(item, FileSearchCall) else None
        )
    kind = item.get("type")
    if kind is None and set(item) <= {"id", "type"}:
        kind = "item_reference"
    if isinstance(kind, str) and kind not in ("message", "file_search_call"):
        raise UnsupportedParameter(
            f"Items of type {kind!r} are not read; send 'message' and 'file_search_call'.", param="input"
        )
    return "call-item" if kind == "file_search_call" else "message-item"


InputItem = Annotated[
    Annotated[Message, Tag("message-item")] | Annotated[FileSearchCall, Tag("call-item")], Discriminator(_kind_of_item)
]


def text_of(item: Mapping[str, Any]) -> str:
    """Return the text of a stored message; "" for a search call."""
    return "\n".join(str(part.get("text") or part.get("refusal") or "") for part in item.get("content", ()))


def turns_of(said: Iterable[tuple[str | None, str, AbstractSet[str]]]) -> list[Turn]:
    """Return the newest turns of a conversation, given as role, text and the files that the text may come from.

    A turn is something that a user said, with all that was answered to it. Search calls count by their files; what
    system and developer said is none of it.
    """
    turns: list[Turn] = []
    for role, text, file_ids in said:
        if role == "user" and text.strip():
            turns.append(Turn(question=text[-MAX_QUESTION_CHARS:]))
        elif role in ("assistant", None) and turns:
            last = turns[-1]
            answer = "\n".join(part for part in (last.answer, text) if part.strip())[:MAX_ANSWER_CHARS]
            turns[-1] = replace(last, answer=answer, file_ids=sorted({*last.file_ids, *file_ids}))
    return turns[-MAX_TURNS:]


def cited_files(item: Mapping[str, Any]) -> set[str]:
    """Return the files that an item names as the source of its words."""
    notes = [note for part in item.get("content", ()) for note in part.get("annotations", ())]
    return {str(one["file_id"]) for one in [*notes, *(item.get("results") or ())] if one.get("file_id")}


def shown_item(item: Item, shown: Includes) -> Item:
    """Return an item as the API answers it: with the results of a search only where they were asked for."""
    if item.get("type") != "file_search_call" or "file_search_call.results" in shown:
        return item
    return {**item, "results": None}


def shown_response(response: Item, shown: Includes) -> Item:
    return {**response, "output": [shown_item(item, shown) for item in response.get("output", ())]}


def shown_event(event: Item, shown: Includes) -> Item:
    if "item" in event:
        return {**event, "item": shown_item(event["item"], shown)}
    return {**event, "response": shown_response(event["response"], shown)} if "response" in event else event

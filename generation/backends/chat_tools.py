"""Tools in OpenAI's chat API: how messages tell of them, and calls as a stream brings them. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generation.backends.base import Message, Prompt, Tool, ToolCall


def message_object(message: Message) -> dict[str, Any]:
    """Return a message as the API has it."""
    if message.call_id is not None:
        return {"role": message.role, "tool_call_id": message.call_id, "content": message.content}
    if not message.calls:
        return {"role": message.role, "content": message.content}
    return {
        "role": message.role,
        "content": message.content or None,
        "tool_calls": [
            {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.calls
        ],
    }


def tool_fields(prompt: Prompt) -> dict[str, Any]:
    """Return what a request says of its tools: nothing without any.

    They stay in a request that has to be written to: some servers refuse messages with calls otherwise, and what the
    prompt begins with stays the same.
    """
    if not prompt.tools:
        return {}
    tools = [{"type": "function", "function": _function(tool)} for tool in prompt.tools]
    return {"tools": tools, "tool_choice": "auto" if prompt.may_call else "none"}


def _function(tool: Tool) -> dict[str, Any]:
    return {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}


def read_text(prompt: Prompt) -> str:
    """Return all that a model reads of a prompt, calls and tools included: what its tokens are counted by."""
    said = [written_text(message.content, message.calls) for message in prompt.messages]
    return "\n".join([*said, *(json.dumps(_function(tool)) for tool in prompt.tools)])


def written_text(text: str, calls: Sequence[ToolCall]) -> str:
    """Return all that a model wrote of a reply."""
    return "\n".join([text, *(f"{call.name} {call.arguments}" for call in calls)])


@dataclass(kw_only=True, slots=True)
class _Part:
    """A call that is being read."""

    index: int | None
    call_id: str
    name: str
    arguments: str


class CallReader:
    """Puts the calls of a reply together from the pieces that its deltas hold."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    @property
    def calls(self) -> list[ToolCall]:
        return [ToolCall(call_id=one.call_id, name=one.name, arguments=one.arguments) for one in self._parts]

    def feed(self, pieces: Any) -> str:
        """Take `delta.tool_calls`; return what of it the model wrote. Raises ValueError for what is none.

        A piece belongs to the call of its index. Some servers count no indexes, or give each call the same one: a new
        id is a new call. Some give the arguments as an object.
        """
        if not isinstance(pieces, list):
            raise ValueError("tool_calls is no list")
        return "".join(map(self._take, pieces))

    def _take(self, piece: Any) -> str:
        function = piece.get("function") if isinstance(piece, Mapping) else None
        if not isinstance(function, Mapping):
            raise ValueError("a tool call has no function")
        index, call_id = piece.get("index"), piece.get("id") or ""
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if isinstance(arguments, Mapping):
            arguments = json.dumps(arguments, ensure_ascii=False)
        if not all(isinstance(text, str) for text in (call_id, name, arguments)):
            raise ValueError("a tool call holds what is no text")
        part = self._part_of(index, call_id)
        part.call_id = part.call_id or call_id
        # Some servers repeat the name with every piece.
        part.name = part.name or name
        part.arguments += arguments
        return name + arguments

    def _part_of(self, index: Any, call_id: str) -> _Part:
        last = self._parts[-1] if self._parts else None
        known = next((one for one in self._parts if index is not None and one.index == index), None)
        part = known or (last if index is None else None)
        if part is None or (call_id and part.call_id and call_id != part.call_id):
            part = _Part(index=index, call_id="", name="", arguments="")
            self._parts.append(part)
        return part

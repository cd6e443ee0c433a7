"""The Responses API: the request body and what it means."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.wire.common import Metadata, WireModel, check_length
from api.wire.search import FileSearch
from catalog.errors import InvalidRequest, UnsupportedParameter


class FileSearchTool(FileSearch):
    type: Literal["file_search"]


class ToolChoice(WireModel):
    type: Literal["file_search"]


class InputText(WireModel):
    type: Literal["input_text", "output_text"]
    text: str
    # What our own output items carry when a client sends them back.
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class InputMessage(WireModel):
    type: Literal["message"] = "message"
    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[InputText]
    id: str | None = None
    status: str | None = None

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class TextFormat(BaseModel):
    """Of the formats only `text` is done here; what the others bring along is not looked at."""

    type: str = "text"


class TextOptions(WireModel):
    format: TextFormat | None = None
    verbosity: str | None = None


class CreateResponse(WireModel):
    """Sampling parameters are accepted and echoed: a generator without a language model has no use for them."""

    input: str | Annotated[list[InputMessage], Field(min_length=1)]
    model: str = "footnote"
    stream: bool = False
    tools: Annotated[list[FileSearchTool], Field(max_length=1)] = Field(default_factory=list)
    tool_choice: Literal["auto", "none", "required"] | ToolChoice = "auto"
    include: list[str] | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    max_output_tokens: Annotated[int, Field(ge=16)] | None = None
    instructions: str | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    stream_options: dict[str, Any] | None = None

    def question(self, *, max_chars: int) -> str:
        """Return the last user message. Raises InvalidRequest when there is none, or it is blank or too long."""
        if isinstance(self.input, str):
            text = self.input
        else:
            asked = [message.text for message in self.input if message.role == "user"]
            if not asked:
                raise InvalidRequest("input holds no message with role 'user'.", param="input")
            text = asked[-1]
        check_length(text, max_chars, "input")
        return text

    def check_supported(self) -> None:
        """Raises UnsupportedParameter for what is valid at OpenAI and not done here."""
        unsupported = {
            "instructions": self.instructions,
            "background": self.background,
            "previous_response_id": self.previous_response_id,
            "conversation": self.conversation,
            "prompt": self.prompt,
        }
        for name, value in unsupported.items():
            if value:
                raise UnsupportedParameter(f"{name!r} is not supported by this server.", param=name)
        if self.tool_choice == "none":
            raise UnsupportedParameter(
                "tool_choice 'none': answers here always come from documents.", param="tool_choice"
            )
        kind = self.text.format.type if self.text and self.text.format else "text"
        if kind != "text":
            raise UnsupportedParameter(f"text.format {kind!r} is not supported; use 'text'.", param="text.format")

    @property
    def includes_results(self) -> bool:
        return "file_search_call.results" in (self.include or [])

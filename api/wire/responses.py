"""The Responses API: the request body and what it means."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from api.wire.common import Metadata, WireModel, check_length
from api.wire.items import Includable, Includes, InputItem, Item, KeptModel, Message, cited_files, text_of, turns_of
from api.wire.search import FileSearch
from catalog.errors import InvalidRequest, PreviousResponseNotFound, UnsupportedParameter
from generation.backends.base import DEFAULT_MAX_TOKENS, Sampling
from generation.turns import Turn

ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]


class FileSearchTool(FileSearch):
    type: Literal["file_search"]


def _only_file_search(tools: Any) -> Any:
    """Raises UnsupportedParameter for OpenAI's other tools, whatever else is wrong with them."""
    for place, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "file_search":
            raise UnsupportedParameter(
                f"Tools of type {kind!r} are not supported; 'file_search' is.", param=f"tools.{place}.type"
            )
    return tools


Tools = Annotated[list[FileSearchTool], BeforeValidator(_only_file_search)]


class ToolChoice(WireModel):
    type: Literal["file_search"]


class AllowedTools(WireModel):
    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[ToolChoice], Field(min_length=1)]


def _known_choice(choice: Any) -> Any:
    kind = choice.get("type") if isinstance(choice, dict) else None
    if isinstance(kind, str) and kind not in ("file_search", "allowed_tools"):
        raise UnsupportedParameter(
            f"tool_choice {kind!r} is not supported; use 'auto', 'required', 'none' or file_search.",
            param="tool_choice",
        )
    return choice


AnyToolChoice = Annotated[
    Literal["auto", "none", "required"] | ToolChoice | AllowedTools, BeforeValidator(_known_choice)
]


class TextFormat(BaseModel):
    """Of the formats only `text` is done here; what the others bring along is not looked at."""

    type: str = "text"


class TextOptions(WireModel):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(BaseModel):
    """Accepted and echoed: nothing here reasons."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class StreamOptions(WireModel):
    include_obfuscation: bool | None = None


class PromptCacheOptions(WireModel):
    ttl: Literal["30m"] = "30m"
    mode: Literal["implicit", "explicit"] = "implicit"


class ConversationId(WireModel):
    id: str


class Asking(KeptModel):
    """What a response and the count of its input tokens have in common."""

    input: str | Annotated[list[InputItem], Field(min_length=1)] | None = None
    model: str = "footnote"
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationId | None = None
    tools: Tools = Field(default_factory=list)
    tool_choice: AnyToolChoice = "auto"
    text: TextOptions | None = None
    truncation: Literal["auto", "disabled"] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None

    @property
    def conversation_id(self) -> str | None:
        return self.conversation.id if isinstance(self.conversation, ConversationId) else self.conversation

    @property
    def searches(self) -> bool:
        return self.tool_choice != "none"

    def own_items(self) -> list[Item]:
        """Return the items of the request, each with a fresh id."""
        if self.input is None:
            return []
        if isinstance(self.input, str):
            return [Message(role="user", content=self.input).stored()]
        return [item.stored() for item in self.input]

    def check_supported(self) -> None:
        """Raises UnsupportedParameter for what is valid at OpenAI and not done here, InvalidRequest for both states."""
        if self.previous_response_id and self.conversation:
            raise InvalidRequest(
                "'previous_response_id' and 'conversation' exclude each other: send one of them.",
                param="previous_response_id",
            )
        kind = self.text.format.type if self.text and self.text.format else "text"
        if kind != "text":
            raise UnsupportedParameter(f"text.format {kind!r} is not supported; use 'text'.", param="text.format")

    def check_stateless(self) -> None:
        """Raises InvalidRequest for what needs an answer that is kept, for a server that keeps none."""
        if self.previous_response_id:
            raise PreviousResponseNotFound(
                f"There is no response {self.previous_response_id!r}: this server keeps no answers (its setting "
                "store_answers). Send the messages before this one in 'input'.",
                param="previous_response_id",
            )
        if self.conversation:
            raise InvalidRequest(
                "This server keeps no answers (its setting store_answers), so none is added to a conversation. Send "
                "its messages in 'input'.",
                param="conversation",
            )


class CountTokens(Asking):
    personality: str | None = None


class CreateResponse(Asking):
    """Of the parameters, a generator without a language model heeds `max_output_tokens` alone; all are echoed."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    include: list[Includable] | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    max_output_tokens: Annotated[int, Field(ge=16)] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    service_tier: ServiceTier | None = None
    prompt: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    context_management: list[Any] | None = None

    @property
    def includes(self) -> Includes:
        return set(self.include or ())

    @property
    def sampling(self) -> Sampling:
        return Sampling(
            max_tokens=self.max_output_tokens or DEFAULT_MAX_TOKENS, temperature=self.temperature, top_p=self.top_p
        )

    @property
    def is_stored(self) -> bool:
        return self.store is not False

    @property
    def obfuscates(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_obfuscation)

    def check_supported(self) -> None:
        super().check_supported()
        reasons = {
            "prompt": "templates are not kept here",
            "moderation": "nothing is moderated here",
            "context_management": "nothing is compacted here",
        }
        for name, reason in reasons.items():
            if getattr(self, name):
                raise UnsupportedParameter(f"{name!r} is not supported by this server: {reason}.", param=name)
        if self.background and not self.is_stored:
            raise InvalidRequest("background=true needs store=true: the answer is fetched later.", param="background")

    def check_stateless(self) -> None:
        super().check_stateless()
        if self.background:
            raise InvalidRequest(
                "background=true needs an answer that is kept, and this server keeps none (its setting store_answers).",
                param="background",
            )


def question_and_turns(own: list[Item], earlier: list[Item], *, max_chars: int) -> tuple[str, list[Turn]]:
    """Return the question, and the turns of the conversation before it.

    The question is the last message of a user among the request's own items; when those hold no message, the last one
    of what came before, unless it has been answered. Raises InvalidRequest when there is none, or it is blank or
    too long.
    """
    items = own or earlier
    messages = [place for place, item in enumerate(items) if item["type"] == "message"]
    asked = [place for place in messages if items[place]["role"] == "user"]
    if not asked or (not own and asked[-1] != messages[-1]):
        raise InvalidRequest("input holds no message with role 'user'.", param="input")
    question = text_of(items[asked[-1]])
    check_length(question, max_chars, "input")
    before = [*(earlier if own else ()), *items[: asked[-1]]]
    return question, turns_of((item.get("role"), text_of(item), cited_files(item)) for item in before)

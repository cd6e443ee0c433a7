"""Chat completions: the request body, and one answer as OpenAI's object and as its stream of chunks."""

import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from api.wire.common import Metadata, WireModel, check_length
from api.wire.items import RefusalPart, turns_of
from api.wire.response_stream import citation_object, doubts
from api.wire.search import FileSearch
from catalog.errors import InvalidRequest, UnsupportedParameter
from catalog.ids import CHAT_COMPLETION, new_id
from generation.answerer import Answer, AnswerEvent
from generation.backends.base import DEFAULT_MAX_TOKENS, FinishReason, Sampling, TextDelta
from generation.turns import Turn

Chunk = dict[str, Any]

_FINISH_REASONS = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length"}


class TextPart(WireModel):
    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: dict[str, Any] | None = None


class ChatMessage(BaseModel):
    """Of what comes with a message, as names, refusals and calls of tools, nothing is looked at."""

    role: Literal["user", "assistant", "system", "developer", "tool", "function"]
    content: str | list[TextPart | RefusalPart] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, str) or self.content is None:
            return self.content or ""
        return "\n".join(part.text for part in self.content)


class StreamOptions(WireModel):
    include_usage: bool = False
    include_obfuscation: bool | None = None


class ResponseFormat(BaseModel):
    type: str = "text"


class CreateChatCompletion(WireModel):
    """Of the parameters, a generator without a language model heeds the limits of tokens alone."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str
    # Footnote's own, in the SDKs by `extra_body`; without it every store is searched.
    file_search: FileSearch | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: int | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    stop: str | list[str] | None = None
    store: bool | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[Any] | None = None
    function_call: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None

    @property
    def sampling(self) -> Sampling:
        max_tokens = self.max_completion_tokens or self.max_tokens or DEFAULT_MAX_TOKENS
        return Sampling(max_tokens=max_tokens, temperature=self.temperature, top_p=self.top_p)

    def question(self, *, max_chars: int) -> str:
        """Return the last user message. Raises InvalidRequest when there is none, or it is blank or too long."""
        asked = [message.text for message in self.messages if message.role == "user"]
        if not asked:
            raise InvalidRequest("messages holds none with role 'user'.", param="messages")
        check_length(asked[-1], max_chars, "messages")
        return asked[-1]

    @property
    def turns(self) -> list[Turn]:
        """What was said before the question."""
        asked = [place for place, message in enumerate(self.messages) if message.role == "user"]
        return turns_of((message.role, message.text, frozenset()) for message in self.messages[: asked[-1]])

    def check_supported(self) -> None:
        """Raises UnsupportedParameter for what is valid at OpenAI and not done here."""
        unsupported = {
            "n": self.n not in (None, 1),
            "stop": self.stop,
            "store": self.store,
            "tools": self.tools,
            "tool_choice": self.tool_choice not in (None, "none", "auto"),
            "functions": self.functions,
            "function_call": self.function_call not in (None, "none", "auto"),
            "logprobs": self.logprobs,
            "top_logprobs": self.top_logprobs,
            "logit_bias": self.logit_bias,
            "modalities": self.modalities not in (None, ["text"]),
            "audio": self.audio,
            "prediction": self.prediction,
            "web_search_options": self.web_search_options,
            "moderation": self.moderation,
            "response_format": self.response_format and self.response_format.type != "text",
        }
        for name, is_wanted in unsupported.items():
            if is_wanted:
                raise UnsupportedParameter(f"{name!r} is not supported by this server.", param=name)

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatStream:
    """Turns answer events into chunks, and into the whole object at their end."""

    def __init__(self, request: CreateChatCompletion) -> None:
        self._includes_usage = request.includes_usage
        self.id = new_id(CHAT_COMPLETION)
        self._shared: dict[str, Any] = {
            "id": self.id,
            "created": int(time.time()),
            "model": request.model,
            "service_tier": "default",
        }

    def begin(self) -> Chunk:
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def take(self, event: AnswerEvent) -> Iterator[Chunk]:
        """Yield what one answer event becomes. Citations come with the last chunk, as its own fields do."""
        if isinstance(event, TextDelta):
            yield self._chunk({"content": event.text})
        elif isinstance(event, Answer):
            yield self._chunk({}, _FINISH_REASONS.get(event.finish_reason, "stop")) | _own_fields(event)
            if self._includes_usage:
                yield self._chunk(None) | {"usage": _usage(event)}

    def completion(self, answer: Answer) -> dict[str, Any]:
        """Return the whole answer."""
        message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []}
        reason = _FINISH_REASONS.get(answer.finish_reason, "stop")
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        whole = {"object": "chat.completion", "choices": [choice], "usage": _usage(answer)}
        return self._shared | whole | _own_fields(answer)

    def _chunk(self, delta: dict[str, Any] | None, finish_reason: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        chunk = {"object": "chat.completion.chunk", "choices": [] if delta is None else [choice]}
        return self._shared | chunk | ({"usage": None} if self._includes_usage else {})


def _own_fields(answer: Answer) -> dict[str, Any]:
    """Return what is Footnote's: OpenAI's annotations of a chat know no files."""
    return {
        "citations": [citation_object(citation) for citation in answer.citations],
        "outcome": answer.outcome.value,
        **doubts(answer),
        "seconds": {name: round(value, 6) for name, value in answer.trace["seconds"].items()},
    }


def _usage(answer: Answer) -> dict[str, Any]:
    """Everything is text, and nothing of it predicted or reasoned."""
    read, written = answer.usage.input_tokens, answer.usage.output_tokens
    details = {
        "text_tokens": read,
        "audio_tokens": 0,
        "image_tokens": 0,
        "cached_tokens": answer.usage.cached_tokens,
        "cache_write_tokens": 0,
    }
    none_written = {
        "audio_tokens": 0,
        "reasoning_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"text_tokens": written, **none_written},
    }

"""One answer as OpenAI's Response object and as its stream of events."""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from api.wire.items import Item
from api.wire.objects import file_search_result_object
from api.wire.responses import CreateResponse
from catalog.errors import FootnoteError
from catalog.ids import FILE_SEARCH_CALL, MESSAGE, RESPONSE, chunk_id, new_id
from generation.answerer import Answer, AnswerEvent
from generation.backends.base import FinishReason, TextDelta
from generation.citations import Citation
from generation.claims import Doubt
from generation.sourcing import Searched, Searching

Event = dict[str, Any]

# Deltas are padded to a multiple of this, so that their sizes on the wire tell little of the words.
_OBFUSCATED_CHARS = 16


class ResponseStream:
    """Turns answer events into OpenAI's events, in the order that its SDKs accumulate; `response` grows with them.

    Results of the search are always in it; whoever sends it leaves them out where they were not asked for.
    """

    def __init__(self, response: Mapping[str, Any], *, searches: bool = True) -> None:
        """`searches`: whether searches are told of."""
        self.response = dict(response)
        self._sequence = 0
        self._text = ""
        self._annotations: list[dict[str, Any]] = []
        # Made from the response's id, so that an answer that is written anew has the same items.
        self._name = str(response["id"]).removeprefix(RESPONSE)
        self._message_id = MESSAGE + self._name
        self._searches = searches
        # The search under way.
        self._call: Item = {}
        # Where the message stands behind the searches, once it has begun.
        self._message_index: int | None = None

    def queued(self) -> list[Event]:
        """Return the events before a background answer is begun."""
        self.response["status"] = "queued"
        kinds = ("response.created", "response.queued")
        return [self._event(kind, response=self._snapshot()) for kind in kinds]

    def begin(self) -> Iterator[Event]:
        """Yield what comes before anything is done."""
        self.response["status"] = "in_progress"
        if self._sequence == 0:
            yield self._event("response.created", response=self._snapshot())
        yield self._event("response.in_progress", response=self._snapshot())

    def take(self, event: AnswerEvent) -> Iterator[Event]:
        """Yield what one answer event becomes."""
        match event:
            case Searching():
                yield from self._searching(event) if self._searches else ()
            case Searched():
                yield from self._searched(event) if self._searches else ()
            case TextDelta():
                yield from self._message_added()
                self._text += event.text
                yield self._part_event("response.output_text.delta", delta=event.text, logprobs=[])
            case Citation():
                annotation = citation_object(event)
                self._annotations.append(annotation)
                yield self._part_event(
                    "response.output_text.annotation.added",
                    annotation_index=len(self._annotations) - 1,
                    annotation=annotation,
                )
            case Doubt():
                # No event of OpenAI's says this; a delta without text is one that every client can take.
                doubt = {"start": event.start, "end": event.end}
                yield self._part_event("response.output_text.delta", delta="", logprobs=[], unsupported=[doubt])
            case Answer():
                # What went while the answer was written is no footnote of the whole any more.
                self._annotations = [citation_object(citation) for citation in event.citations]
                yield from self._message_added()
                yield from self._message_done(event)
                self._complete(event)

    def end(self) -> Event:
        """Return the last event; `response` is final before it is called."""
        kind = "response.completed" if self.response["status"] == "completed" else "response.incomplete"
        return self._event(kind, response=self._snapshot())

    def fail(self, error: FootnoteError) -> Event:
        """Return the last event of an answer that broke off."""
        self.response = failed_response(self.response, error)
        return self._event("response.failed", response=self._snapshot())

    def _searching(self, event: Searching) -> Iterator[Event]:
        index = len(self.response["output"])
        self._call = {
            "type": "file_search_call",
            "id": FILE_SEARCH_CALL + (f"{self._name}_{index + 1}" if index else self._name),
            "status": "in_progress",
            "queries": list(event.queries),
            "results": None,
        }
        yield self._event("response.output_item.added", output_index=index, item=dict(self._call))
        for stage in ("in_progress", "searching"):
            yield self._event(f"response.file_search_call.{stage}", output_index=index, item_id=self._call["id"])

    def _searched(self, event: Searched) -> Iterator[Event]:
        index = len(self.response["output"])
        self._call["status"] = "completed"
        self._call["queries"] = list(event.queries or self._call["queries"])
        self._call["results"] = [file_search_result_object(passage) for passage in event.passages]
        self.response["output"] = [*self.response["output"], self._call]
        yield self._event("response.file_search_call.completed", output_index=index, item_id=self._call["id"])
        yield self._event("response.output_item.done", output_index=index, item=dict(self._call))

    def _message_added(self) -> Iterator[Event]:
        """Begin the message, unless it has begun."""
        if self._message_index is not None:
            return
        self._message_index = len(self.response["output"])
        message = self._message("in_progress", [])
        yield self._event("response.output_item.added", output_index=self._message_index, item=message)
        yield self._part_event("response.content_part.added", part=_text_part("", []))

    def _message_done(self, answer: Answer) -> Iterator[Event]:
        part = _text_part(self._text, self._annotations)
        yield self._part_event("response.output_text.done", text=self._text, logprobs=[])
        yield self._part_event("response.content_part.done", part=part)
        message = self._message("incomplete" if _is_cut(answer) else "completed", [part])
        self.response["output"] = [*self.response["output"], message]
        yield self._event("response.output_item.done", output_index=self._message_index, item=message)

    def _complete(self, answer: Answer) -> None:
        is_cut = _is_cut(answer)
        self.response |= {
            "status": "incomplete" if is_cut else "completed",
            "completed_at": None if is_cut else int(time.time()),
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "usage": {
                "input_tokens": answer.usage.input_tokens,
                "input_tokens_details": {"cached_tokens": answer.usage.cached_tokens, "cache_write_tokens": 0},
                "output_tokens": answer.usage.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": answer.usage.input_tokens + answer.usage.output_tokens,
            },
            "outcome": answer.outcome.value,
            **doubts(answer),
            "seconds": {name: round(value, 6) for name, value in answer.trace["seconds"].items()},
        }

    def _message(self, status: str, content: Sequence[dict[str, Any]]) -> Item:
        return {
            "type": "message",
            "id": self._message_id,
            "role": "assistant",
            "status": status,
            "content": list(content),
        }

    def _part_event(self, kind: str, **fields: Any) -> Event:
        place = {"item_id": self._message_id, "output_index": self._message_index, "content_index": 0}
        return self._event(kind, **place, **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

    def _snapshot(self) -> dict[str, Any]:
        return {**self.response, "output": list(self.response["output"])}


def is_piece(event: Event) -> bool:
    """Whether an event brings a piece of what another one brings as a whole."""
    return "delta" in event or "annotation" in event


def obfuscated(event: Event) -> Event:
    """Return a delta with padding, as OpenAI's `include_obfuscation` has it; other events as they are."""
    if "delta" not in event:
        return event
    missing = -len(event["delta"]) % _OBFUSCATED_CHARS
    return {**event, "obfuscation": secrets.token_urlsafe(_OBFUSCATED_CHARS)[:missing]}


def failed_response(response: Mapping[str, Any], error: FootnoteError) -> dict[str, Any]:
    """Return a response as one that broke off."""
    return {**response, "status": "failed", "error": {"code": "server_error", "message": error.message}}


def cancelled_event(response: Mapping[str, Any], sequence_number: int) -> Event:
    """Return the last event of a cancelled answer. OpenAI has none of its own; the response says `cancelled`."""
    return {"type": "response.incomplete", "sequence_number": sequence_number, "response": dict(response)}


def citation_object(citation: Citation) -> dict[str, Any]:
    """Return OpenAI's file_citation; the keys behind `filename` are Footnote's: where exactly the words stand."""
    chunk = citation.source.passage.chunk
    return {
        "type": "file_citation",
        "index": citation.index,
        "file_id": chunk.file_id,
        "filename": chunk.filename,
        "number": citation.number,
        "vector_store_id": chunk.vector_store_id,
        "title": chunk.title,
        "quote": citation.quote,
        "start": citation.start,
        "end": citation.end,
        "page": citation.page,
        # The chunk's box; it holds for the citation only while that stands on the same page.
        "box": chunk.box if citation.page == chunk.page else None,
        "chunk_id": chunk_id(chunk.chunk_id),
        "score": citation.source.passage.score,
    }


def doubts(answer: Answer) -> dict[str, Any]:
    """Return Footnote's fields on what a reader should not trust: ranges of the text, and pairs of footnotes."""
    return {
        "unsupported": [{"start": start, "end": end} for start, end in answer.unsupported],
        "contradictions": [list(pair) for pair in answer.contradictions],
    }


def new_response(request: CreateResponse) -> dict[str, Any]:
    """Return the Response object before anything was done. `usage` and `user` are there when they have a value."""
    choice = request.tool_choice
    reasoning = request.reasoning
    response_id = new_id(RESPONSE)
    response = {
        "id": response_id,
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": bool(request.background),
        "completed_at": None,
        "conversation": {"id": request.conversation_id} if request.conversation_id else None,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "model": request.model,
        "moderation": None,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": request.previous_response_id,
        "prompt": None,
        "prompt_cache_key": request.prompt_cache_key,
        "prompt_cache_retention": request.prompt_cache_retention,
        "reasoning": {"effort": reasoning and reasoning.effort, "summary": reasoning and reasoning.summary},
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "store": request.is_stored,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "text": {"format": {"type": "text"}, **(request.text.model_dump(exclude_none=True) if request.text else {})},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump(exclude_none=True) for tool in request.tools],
        "top_logprobs": request.top_logprobs or 0,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "truncation": request.truncation or "disabled",
        "metadata": request.metadata or {},
        # Footnote's: what the record of the answer is kept under, which explains it.
        "answer_record_id": response_id if request.is_stored else None,
    }
    options = {"user": request.user, "prompt_cache_options": request.prompt_cache_options}
    given = {name: value for name, value in options.items() if value is not None}
    return response | {name: value if isinstance(value, str) else value.model_dump() for name, value in given.items()}


def _is_cut(answer: Answer) -> bool:
    return answer.finish_reason is not FinishReason.STOP


def _text_part(text: str, annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}

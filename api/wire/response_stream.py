"""One answer as OpenAI's Response object and as its stream of events."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from api.wire.objects import file_search_result_object
from api.wire.responses import CreateResponse
from catalog.errors import FootnoteError
from catalog.ids import FILE_SEARCH_CALL, MESSAGE, RESPONSE, chunk_id, new_id
from generation.answerer import Answer, AnswerEvent, Searched
from generation.backends.base import FinishReason, TextDelta
from generation.citations import Citation

Event = dict[str, Any]


class ResponseStream:
    """Turns answer events into OpenAI's events, in the order that its SDKs accumulate; `response` grows with them."""

    def __init__(self, request: CreateResponse, question: str) -> None:
        self._question = question
        self._includes_results = request.includes_results
        self._sequence = 0
        self._text = ""
        self._annotations: list[dict[str, Any]] = []
        self._call: dict[str, Any] = {
            "type": "file_search_call",
            "id": new_id(FILE_SEARCH_CALL),
            "status": "in_progress",
            "queries": [question],
            "results": None,
        }
        self._message_id = new_id(MESSAGE)
        self.response = _new_response(request)

    def begin(self) -> Iterator[Event]:
        """Yield what comes before the search."""
        yield self._event("response.created", response=self._snapshot())
        yield self._event("response.in_progress", response=self._snapshot())
        yield self._event("response.output_item.added", output_index=0, item=dict(self._call))
        for stage in ("in_progress", "searching"):
            yield self._event(f"response.file_search_call.{stage}", output_index=0, item_id=self._call["id"])

    def take(self, event: AnswerEvent) -> Iterator[Event]:
        """Yield what one answer event becomes."""
        match event:
            case Searched():
                yield from self._searched(event)
            case TextDelta():
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
            case Answer():
                yield from self._message_done()
                self._complete(event)

    def end(self) -> Event:
        """Return the last event; `response` is final before it is called."""
        kind = "response.incomplete" if self.response["status"] == "incomplete" else "response.completed"
        return self._event(kind, response=self._snapshot())

    def fail(self, error: FootnoteError) -> Event:
        """Return the last event of an answer that broke off."""
        self.response["status"] = "failed"
        self.response["error"] = {"code": "server_error", "message": error.message}
        return self._event("response.failed", response=self._snapshot())

    def _searched(self, event: Searched) -> Iterator[Event]:
        self._call["status"] = "completed"
        if self._includes_results:
            self._call["results"] = [file_search_result_object(passage) for passage in event.passages]
        self.response["output"].append(self._call)
        yield self._event("response.file_search_call.completed", output_index=0, item_id=self._call["id"])
        yield self._event("response.output_item.done", output_index=0, item=dict(self._call))
        yield self._event("response.output_item.added", output_index=1, item=self._message("in_progress", []))
        yield self._part_event("response.content_part.added", part=_text_part("", []))

    def _message_done(self) -> Iterator[Event]:
        part = _text_part(self._text, self._annotations)
        yield self._part_event("response.output_text.done", text=self._text, logprobs=[])
        yield self._part_event("response.content_part.done", part=part)
        message = self._message("completed", [part])
        self.response["output"].append(message)
        yield self._event("response.output_item.done", output_index=1, item=message)

    def _complete(self, answer: Answer) -> None:
        is_cut = answer.finish_reason is not FinishReason.STOP
        self.response |= {
            "status": "incomplete" if is_cut else "completed",
            "completed_at": int(time.time()),
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "usage": {
                "input_tokens": answer.usage.input_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": answer.usage.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": answer.usage.input_tokens + answer.usage.output_tokens,
            },
            "outcome": answer.outcome.value,
            "seconds": {name: round(value, 6) for name, value in answer.trace["seconds"].items()},
        }

    def _message(self, status: str, content: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "type": "message",
            "id": self._message_id,
            "role": "assistant",
            "status": status,
            "content": list(content),
        }

    def _part_event(self, kind: str, **fields: Any) -> Event:
        return self._event(kind, item_id=self._message_id, output_index=1, content_index=0, **fields)

    def _event(self, kind: str, **fields: Any) -> Event:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

    def _snapshot(self) -> dict[str, Any]:
        return {**self.response, "output": list(self.response["output"])}


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


def _text_part(text: str, annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def _new_response(request: CreateResponse) -> dict[str, Any]:
    choice = request.tool_choice
    return {
        "id": new_id(RESPONSE),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": None,
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "store": request.store is not False,
        "temperature": request.temperature,
        "text": {"format": {"type": "text"}, **(request.text.model_dump(exclude_none=True) if request.text else {})},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump(exclude_none=True) for tool in request.tools],
        "top_p": request.top_p,
        "truncation": request.truncation or "disabled",
        "usage": None,
        "user": request.user,
        "metadata": request.metadata or {},
    }

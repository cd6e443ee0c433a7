"""/v1/responses"""

import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import iterate_in_threadpool

from api.auth import Caller, CallerOf, ServicesOf
from api.wire.response_stream import Event, ResponseStream
from api.wire.responses import CreateResponse
from api.wire.search import to_filter, to_ranking
from api.wiring import ANSWER_MODEL, Services
from catalog import answers, stores
from catalog.errors import FootnoteError, NotFound
from catalog.models import AnswerRecord
from generation.answerer import DEFAULT_MAX_RESULTS, DEFAULT_MAX_TOKENS, Answer, AnswerRequest
from retrieval.indexes.base import Scope

router = APIRouter(prefix="/v1/responses", tags=["Responses"])
log = logging.getLogger(__name__)


@router.post("", response_model=None)
def create_response(services: ServicesOf, caller: CallerOf, body: CreateResponse) -> JSONResponse | StreamingResponse:
    """Answer a question from documents, with a file_citation behind every claim.

    Without a file_search tool it searches every store that the caller may see.
    """
    body.check_supported()
    request = _answer_request(services, caller, body)
    stream = ResponseStream(body, request.question)
    if body.stream:
        return StreamingResponse(_sse(services, caller, request, stream), media_type="text/event-stream")
    for _ in _events(services, caller, request, stream, lambda: False):
        pass  # The events build the response.
    return JSONResponse(stream.response)


@router.get("/{response_id}")
def retrieve_response(services: ServicesOf, caller: CallerOf, response_id: str) -> dict[str, Any]:
    with services.catalog.database.read() as session:
        return answers.get(session, caller.project_id, response_id).response


@router.delete("/{response_id}")
def delete_response(services: ServicesOf, caller: CallerOf, response_id: str) -> dict[str, Any]:
    with services.catalog.database.write() as session:
        answers.delete(session, caller.project_id, response_id)
    return {"id": response_id, "object": "response", "deleted": True}


def _answer_request(services: Services, caller: Caller, body: CreateResponse) -> AnswerRequest:
    """Check everything that can be wrong before a stream begins, where it can still be told by a status."""
    if body.model != ANSWER_MODEL:
        raise NotFound(f"There is no model {body.model!r}; GET /v1/models lists them.", param="model")
    tool = body.tools[0] if body.tools else None
    with services.catalog.database.read() as session:
        if tool is None:
            store_ids = stores.ids_of_project(session, caller.project_id)
        else:
            store_ids = [stores.get(session, caller.project_id, i).id for i in tool.vector_store_ids]
    return AnswerRequest(
        question=body.question(max_chars=services.settings.max_question_chars),
        scope=Scope(vector_store_ids=frozenset(store_ids), filter=to_filter(tool.filters if tool else None)),
        max_results=(tool.max_num_results if tool else None) or DEFAULT_MAX_RESULTS,
        ranking=to_ranking(tool.ranking_options if tool else None, services.ranking),
        max_tokens=body.max_output_tokens or DEFAULT_MAX_TOKENS,
    )


def _events(
    services: Services,
    caller: Caller,
    request: AnswerRequest,
    stream: ResponseStream,
    cancelled: Callable[[], bool],
) -> Iterator[Event]:
    """Yield the events of one answer; its record is saved before the last one."""
    yield from stream.begin()
    for event in services.answerer.answer(request, cancelled=cancelled):
        yield from stream.take(event)
        if isinstance(event, Answer) and stream.response["store"]:
            _save(services, caller, request, event, stream.response)
    yield stream.end()


def _events_or_failure(events: Iterator[Event], stream: ResponseStream) -> Iterator[Event]:
    """An error in mid-stream cannot become a status any more: it becomes `response.failed`."""
    try:
        yield from events
    except FootnoteError as error:
        log.error("Answer %s failed: %s", stream.response["id"], error.message)
        yield stream.fail(error)
    except Exception:
        log.exception("Answer %s failed", stream.response["id"])
        yield stream.fail(FootnoteError("The server had an unexpected error; its log holds the details."))


async def _sse(
    services: Services, caller: Caller, request: AnswerRequest, stream: ResponseStream
) -> AsyncIterator[str]:
    gone = threading.Event()
    try:
        events = _events(services, caller, request, stream, gone.is_set)
        async for event in iterate_in_threadpool(_events_or_failure(events, stream)):
            yield f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"
    finally:
        # Also when the client went away in mid-stream: the generation then ends.
        gone.set()


def _save(services: Services, caller: Caller, request: AnswerRequest, answer: Answer, response: dict[str, Any]) -> None:
    record = AnswerRecord(
        id=response["id"],
        project_id=caller.project_id,
        created_at=time.time(),
        question=request.question,
        model=response["model"],
        outcome=answer.outcome.value,
        index_version=answer.index_version,
        prompt=dict(answer.prompt),
        trace=dict(answer.trace),
        response=response,
    )
    with services.catalog.database.write() as session:
        answers.save(session, record)

"""/v1/responses"""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, StreamingResponse

from api.asking import answer_request, event_stream, stated
from api.auth import Caller, CallerOf, ServicesOf
from api.wire.response_stream import Event, ResponseStream
from api.wire.responses import CreateResponse
from api.wiring import Services
from catalog import answers
from catalog.models import AnswerRecord
from generation.answerer import Answer, AnswerRequest

router = APIRouter(prefix="/v1/responses", tags=["Responses"])


@router.post("", response_model=None)
def create_response(services: ServicesOf, caller: CallerOf, body: CreateResponse) -> JSONResponse | StreamingResponse:
    """Answer a question from documents, with a file_citation behind every claim.

    Without a file_search tool it searches every store that the caller may see.
    """
    body.check_supported()
    request = answer_request(
        services,
        caller,
        model=body.model,
        question=body.question(max_chars=services.settings.max_question_chars),
        search=body.tools[0] if body.tools else None,
        max_tokens=body.max_output_tokens,
    )
    stream = ResponseStream(body, request.question)
    if body.stream:
        return event_stream(lambda is_gone: _lines(_events(services, caller, request, stream, is_gone), stream))
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


def _lines(events: Iterator[Event], stream: ResponseStream) -> Iterator[str]:
    """An error in mid-stream cannot become a status any more: it becomes `response.failed`."""
    try:
        yield from map(_line, events)
    except Exception as error:  # noqa: BLE001 - It is logged and told.
        yield _line(stream.fail(stated(error, stream.response["id"])))


def _line(event: Event) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"


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

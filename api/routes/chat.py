"""/v1/chat/completions"""

import json
from collections.abc import Callable, Generator, Iterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api import metrics
from api.asking import answer_request, event_stream, stated, whole
from api.auth import Caller, CallerOf, ServicesOf
from api.errors import error_body
from api.turns import TurnsOf
from api.wire.chat import ChatStream, CreateChatCompletion
from api.wiring import Services
from generation.answerer import Answer, AnswerEvent, AnswerRequest

router = APIRouter(prefix="/v1/chat", tags=["Chat"])


@router.post("/completions", response_model=None)
async def create_chat_completion(
    request: Request, services: ServicesOf, caller: CallerOf, turns: TurnsOf, body: CreateChatCompletion
) -> JSONResponse | StreamingResponse:
    """Answer the last question of a chat from documents; `citations` says where every claim stands."""
    body.check_supported()
    asked = await run_in_threadpool(_request, services, caller, body)
    stream = ChatStream(body)
    if body.stream:
        return event_stream(turns, lambda is_gone: _lines(_events(services, body.model, asked, is_gone), stream))
    events = await whole(request, turns, lambda is_gone: list(_events(services, body.model, asked, is_gone)))
    (answer,) = [event for event in events if isinstance(event, Answer)]
    return JSONResponse(stream.completion(answer))


def _request(services: Services, caller: Caller, body: CreateChatCompletion) -> AnswerRequest:
    return answer_request(
        services,
        caller,
        model=body.model,
        question=body.question(max_chars=services.settings.max_question_chars),
        turns=body.turns,
        searches=[body.file_search] if body.file_search else [],
        sampling=body.sampling,
    )


def _events(
    services: Services, model: str, request: AnswerRequest, is_gone: Callable[[], bool]
) -> Iterator[AnswerEvent]:
    yield from metrics.observed(model, services.answerer_of(model).answer(request, cancelled=is_gone))


def _lines(events: Iterator[AnswerEvent], stream: ChatStream) -> Generator[str, None, None]:
    """An error in mid-stream cannot become a status any more: it becomes a line that the SDKs raise."""
    try:
        yield _line(stream.begin())
        for event in events:
            yield from map(_line, stream.take(event))
        yield "data: [DONE]\n\n"
    except Exception as error:  # noqa: BLE001 - It is logged and told.
        told = stated(error, stream.id)
        yield _line(error_body(told.message, status=500, code=told.code))


def _line(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"

"""/v1/responses"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.asking import answer_request, event_stream, stated, whole
from api.auth import Caller, CallerOf, ServicesOf
from api.background import BackgroundAnswers, BackgroundOf
from api.turns import TurnsOf
from api.wire.common import PageOf, list_object
from api.wire.items import Includes, IncludesOf, Item, cited_files, shown_event, shown_item, shown_response
from api.wire.response_stream import Event, cancelled_event, is_piece, new_response, obfuscated
from api.wire.responses import Asking, CountTokens, CreateResponse, question_and_turns
from api.wiring import Services
from api.writing import Plan, Writing, keep
from catalog import answers, background, conversations
from catalog.errors import InvalidRequest
from catalog.models import AnswerRecord, AnswerStatus
from catalog.paging import page_of
from generation.answerer import AnswerRequest
from generation.turns import Turn

router = APIRouter(prefix="/v1/responses", tags=["Responses"])

# How often a reader of a background answer's stream looks for more, and how much it takes at once.
_FOLLOW_INTERVAL_S: Final = 0.1
# So long at most while nothing comes.
_FOLLOW_MAX_INTERVAL_S: Final = 2.0
_FOLLOW_EVENTS: Final = 200
# A database numbers no further.
_LAST_NUMBER: Final = 2**31 - 1

Show = Callable[[Event], Event]


def _stopping(request: Request) -> Callable[[], bool]:
    found: Callable[[], bool] = request.app.state.is_stopping
    return found


StoppingOf = Annotated[Callable[[], bool], Depends(_stopping)]


@router.post("", response_model=None)
async def create_response(
    request: Request,
    services: ServicesOf,
    caller: CallerOf,
    turns: TurnsOf,
    background_answers: BackgroundOf,
    is_stopping: StoppingOf,
    body: CreateResponse,
) -> JSONResponse | StreamingResponse:
    """Answer a question from documents, with a file_citation behind every claim.

    Without a file_search tool it searches every store that the caller may see.
    """
    body.check_supported()
    if not services.settings.store_answers:
        body.check_stateless()
        body = body.model_copy(update={"store": False})
    plan = await run_in_threadpool(_plan, services, caller, body)
    show = _show(body.includes, obfuscates=body.obfuscates)
    if body.background:
        record = await run_in_threadpool(_start, services, background_answers, plan)
        if body.stream:
            return _follow(services, is_stopping, record, show, after=-1)
        return JSONResponse(_shown(record, body.includes))
    writing = Writing(plan)
    if body.stream:
        return event_stream(turns, lambda is_gone: _lines(services, writing, show, is_gone))
    # The events build the response.
    await whole(request, turns, lambda is_gone: list(_events(services, writing, is_gone)))
    return JSONResponse(shown_response(writing.stream.response, body.includes))


@router.post("/input_tokens")
def count_input_tokens(services: ServicesOf, caller: CallerOf, body: CountTokens) -> dict[str, Any]:
    """Count the tokens that an answer would be written from: the question, and what its search finds now."""
    body.check_supported()
    if not services.settings.store_answers:
        body.check_stateless()
    request, _ = _request(services, caller, body)
    return {"object": "response.input_tokens", "input_tokens": services.answerer_of(body.model).count_input(request)}


@router.get("/{response_id}", response_model=None)
def retrieve_response(
    services: ServicesOf,
    caller: CallerOf,
    is_stopping: StoppingOf,
    response_id: str,
    shown: IncludesOf,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=0, le=_LAST_NUMBER)] = None,
    include_obfuscation: bool = False,
) -> JSONResponse | StreamingResponse:
    """Return an answer. With `stream`, of a background answer, its events behind number `starting_after`."""
    with services.catalog.database.read() as session:
        record = answers.get(session, caller.owner_id, response_id)
        if stream:
            _check_events(session, record)
    if not stream:
        return JSONResponse(_shown(record, shown))
    after = -1 if starting_after is None else starting_after
    return _follow(services, is_stopping, record, _show(shown, obfuscates=include_obfuscation), after=after)


@router.delete("/{response_id}")
def delete_response(services: ServicesOf, caller: CallerOf, response_id: str) -> dict[str, Any]:
    """Delete an answer; one that is being written in the background ends."""
    with services.catalog.database.write() as session:
        answers.delete(session, caller.owner_id, response_id)
    return {"id": response_id, "object": "response", "deleted": True}


@router.post("/{response_id}/cancel")
def cancel_response(services: ServicesOf, caller: CallerOf, response_id: str) -> dict[str, Any]:
    """End a background answer; one that has ended already is returned as it is."""
    with services.catalog.database.write() as session:
        return _shown(background.cancel(session, caller.owner_id, response_id, cancelled_event), set())


@router.get("/{response_id}/input_items")
def list_input_items(
    services: ServicesOf, caller: CallerOf, response_id: str, request: PageOf, shown: IncludesOf
) -> dict[str, Any]:
    """List what an answer was made from: the items of the answers that it carries on, and those of its request."""
    with services.catalog.database.read() as session:
        record = answers.get(session, caller.owner_id, response_id)
        items = [*answers.items_before(session, record), *record.input_items]
    return list_object(page_of(items, request), lambda item: shown_item(item, shown))


def _request(services: Services, caller: Caller, body: Asking) -> tuple[AnswerRequest, list[Item]]:
    """Return what is asked of the answerer, and the items of the request itself."""
    own = body.own_items()
    with services.catalog.database.read() as session:
        earlier = _earlier_items(session, caller, body)
    limit = services.settings.max_question_chars
    question, turns = question_and_turns(own, earlier, max_chars=limit)
    request = answer_request(
        services,
        caller,
        model=body.model,
        question=question,
        turns=_of_existing_files(services, caller, turns),
        searches=body.tools,
        sampling=body.sampling if isinstance(body, CreateResponse) else None,
        max_calls=body.max_tool_calls if isinstance(body, CreateResponse) else None,
        is_searching=body.searches,
    )
    return request, own


def _of_existing_files(services: Services, caller: Caller, turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns without files that there are not: a client may name any that it likes."""
    named = {file_id for turn in turns for file_id in turn.file_ids}
    with services.catalog.database.read() as session:
        existing = conversations.existing_files(session, caller.project_id, named)
    return [replace(turn, file_ids=[one for one in turn.file_ids if one in existing]) for turn in turns]


def _earlier_items(session: Session, caller: Caller, body: Asking) -> list[Item]:
    if body.previous_response_id:
        return answers.history(session, caller.owner_id, body.previous_response_id)
    if body.conversation_id:
        conversation = conversations.get(session, caller.owner_id, body.conversation_id)
        return conversations.recent_items(session, conversation)
    return []


def _plan(services: Services, caller: Caller, body: CreateResponse) -> Plan:
    request, own = _request(services, caller, body)
    named = {item["id"]: cited_files(item) for item in own}
    with services.catalog.database.read() as session:
        existing = conversations.existing_files(session, caller.project_id, set().union(*named.values()))
    return Plan(
        owner_id=caller.owner_id,
        request=request,
        response=new_response(body),
        input_items=own,
        cited={item_id: sorted(files & existing) for item_id, files in named.items() if files & existing},
        is_searching=body.searches,
    )


def _start(services: Services, background_answers: BackgroundAnswers, plan: Plan) -> AnswerRecord:
    """Queue a background answer. When this answers, it survives a crash of any process."""
    writing = Writing(plan, is_background=True)
    record = plan.record()
    record.request = plan.to_json()
    with services.catalog.database.write() as session:
        background.queue(session, record, writing.queued)
    background_answers.wake()
    return record


def _events(services: Services, writing: Writing, cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Yield the events of one answer; it is kept before the last one, unless its reader has gone away."""
    for batch in writing.run(services.answerer_of(writing.plan.model), cancelled):
        yield from batch
    if cancelled():
        return
    last = writing.stream.end()
    if writing.plan.is_kept:
        with services.catalog.database.write() as session:
            keep(session, writing)
    yield last


def _lines(services: Services, writing: Writing, show: Show, is_gone: Callable[[], bool]) -> Generator[str, None, None]:
    """An error in mid-stream cannot become a status any more: it becomes `response.failed`, which is kept if it can be.

    A reader that goes away ends the answer, and nothing is kept.
    """
    try:
        for event in _events(services, writing, is_gone):
            yield _line(show(event))
    except Exception as error:  # noqa: BLE001 - It is logged and told.
        last = writing.stream.fail(stated(error, writing.stream.response["id"]))
        try:
            if writing.plan.is_kept:
                with services.catalog.database.write() as session:
                    keep(session, writing)
        except Exception as unkept:  # noqa: BLE001 - The first error is what the reader is told.
            stated(unkept, writing.stream.response["id"])
        yield _line(show(last))


def _follow(
    services: Services, is_stopping: Callable[[], bool], record: AnswerRecord, show: Show, *, after: int
) -> StreamingResponse:
    """Send the events of a background answer behind a number: those that are kept, then those that come.

    Of an answer that is written anew meanwhile, after a crash, no piece of text follows those of the first attempt: the
    whole does.
    """

    def read(seen: int) -> tuple[list[Event], bool, int | None]:
        """Return the next events, whether there will be no more, and whose they are; at the end at least the last."""
        with services.catalog.database.read() as session:
            now = session.get(AnswerRecord, record.id)
            if now is None or answers.is_orphan(session, now):
                return [_gone(record.id, seen + 1)], True, None
            events = background.events_after(session, record.id, seen, limit=_FOLLOW_EVENTS)
            is_over = AnswerStatus(now.status).has_ended and len(events) < _FOLLOW_EVENTS
            if is_over and not events:
                events = background.last_event(session, record.id)
            return events, is_over, now.fence

    async def send() -> AsyncIterator[str]:
        seen, is_over, pause_s = after, False, _FOLLOW_INTERVAL_S
        claim: int | None = None
        # Another process writes the answer from its beginning: other words, perhaps, than those that were sent.
        is_anew = False
        # A server that stops sends its followers away: they take the stream up again where they are.
        while not is_over and not is_stopping():
            events, is_over, now = await run_in_threadpool(read, seen)
            is_anew |= claim not in (None, now) and seen >= background.QUEUED_EVENTS
            claim = now
            for event in events:
                is_known = event["sequence_number"] == seen and not is_anew
                if not is_known and not (is_anew and is_piece(event)):
                    yield _line(show(event))
                seen = max(seen, event["sequence_number"])
            pause_s = _FOLLOW_INTERVAL_S if events else min(2 * pause_s, _FOLLOW_MAX_INTERVAL_S)
            if not events and not is_over:
                await asyncio.sleep(pause_s)

    return StreamingResponse(send(), media_type="text/event-stream")


def _gone(response_id: str, sequence_number: int) -> Event:
    """Return what ends the stream of an answer that was deleted, or whose file was."""
    message = f"Response {response_id!r} was deleted, or a file was that it drew on."
    return {
        "type": "error",
        "sequence_number": sequence_number,
        "code": "not_found",
        "message": message,
        "param": "response_id",
    }


def _check_events(session: Session, record: AnswerRecord) -> None:
    """Raises InvalidRequest when there is no stream to resume."""
    if not background.events_after(session, record.id, -1, limit=1):
        raise InvalidRequest(
            f"Response {record.id!r} has no events to stream: they are kept of background answers, for "
            f"{background.EVENTS_KEPT_S / 60:.0f} minutes after their end. Retrieve it without stream.",
            param="stream",
        )


def _shown(record: AnswerRecord, shown: Includes) -> Item:
    return shown_response({**record.response, "status": str(record.status)}, shown)


def _show(shown: Includes, *, obfuscates: bool) -> Show:
    def show(event: Event) -> Event:
        visible = shown_event(event, shown)
        return obfuscated(visible) if obfuscates else visible

    return show


def _line(event: Event) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n"

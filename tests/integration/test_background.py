"""Background answers: queued, written outside of the request, polled, streamed, resumed and cancelled."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
from sqlalchemy import delete, func, select, update

from catalog import background
from catalog.models import AnswerEvent, AnswerRecord
from generation.backends.base import Finished, FinishReason, Generator, Prompt, Sampling, TextDelta, Usage
from generation.backends.extractive import ExtractiveGenerator
from tests.integration.conftest import HOUSE, Footnote, StartFootnote

QUESTION = "Who installed the boiler in the cellar?"
SENTENCE = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011."
RESULTS = "file_search_call.results"
ENDED = {"completed", "failed", "cancelled", "incomplete"}


class Gated:
    """A generator that writes its first word at once, and the rest when it is let; it notes what became of it."""

    name = "gated"
    calls_tools = False
    source_tokens = 1000

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.let = threading.Event()
        self.cancelled = threading.Event()

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        try:
            yield TextDelta(text="The ")
            self.begun.release()
            while not self.let.wait(0.01):
                if cancelled():
                    self.cancelled.set()
                    yield Finished(reason=FinishReason.CANCELLED, usage=Usage(input_tokens=1, output_tokens=1))
                    return
            yield TextDelta(text=f"{SENTENCE.removeprefix('The ')} [1]")
        except GeneratorExit:
            self.cancelled.set()
            raise
        yield Finished(reason=FinishReason.STOP, usage=Usage(input_tokens=1, output_tokens=9))

    def close(self) -> None:
        self.let.set()


@contextmanager
def gated(footnote: Footnote, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gated]:
    """Let the application answer with a gated generator."""
    generator: Generator = Gated()
    monkeypatch.setattr(footnote.services.answerer, "generator", generator)
    assert isinstance(generator, Gated)
    try:
        yield generator
    finally:
        generator.close()


@pytest.fixture
def house(fresh: Footnote) -> str:
    store = fresh.store(name="house")
    fresh.add(store, HOUSE)
    return store


def begin(footnote: Footnote, store: str, **body: Any) -> dict[str, Any]:
    response = footnote.respond(QUESTION, store, background=True, **body)
    assert (response["status"], response["background"], response["output"]) == ("queued", True, [])
    return response


def wait_for(footnote: Footnote, response: dict[str, Any], statuses: set[str] = ENDED) -> dict[str, Any]:
    """Poll until the answer has one of these states."""
    deadline = time.monotonic() + 20
    while (now := footnote.get(f"/v1/responses/{response['id']}"))["status"] not in statuses:
        assert time.monotonic() < deadline, now["status"]
        time.sleep(0.02)
    return now


@contextmanager
def listening(footnote: Footnote) -> Iterator[int]:
    """Serve the application on a real socket, which a client can close; yield its port."""
    server = uvicorn.Server(uvicorn.Config(footnote.client.app, port=0, log_level="error", ws="none", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


def read_and_leave(port: int, body: dict[str, Any], *, until: str) -> dict[str, Any]:
    """Read a stream up to an event of a type, and close the connection; return the first event."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/responses", json.dumps(body), {"content-type": "application/json"})
    reply = connection.getresponse()
    first: dict[str, Any] = {}
    while True:
        line = reply.readline().decode()
        assert line, "the stream ended"
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            first = first or event
            if event["type"] == until:
                break
    reply.close()
    connection.close()
    return first


def follow(port: int, response: dict[str, Any], seen: list[dict[str, Any]]) -> None:
    """Read the stream of a background answer to its end; `seen` gets each event when it comes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", f"/v1/responses/{response['id']}?stream=true")
    reply = connection.getresponse()
    while line := reply.readline().decode():
        if line.startswith("data: "):
            seen.append(json.loads(line.removeprefix("data: ")))
    connection.close()


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(block.split("data: ", 1)[1]) for block in text.strip().split("\n\n") if block]


def stream(footnote: Footnote, response: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    reply = footnote.client.get(f"/v1/responses/{response['id']}", params={"stream": "true", **params})
    assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
    return parsed(reply.text)


def kept_kinds(footnote: Footnote, response: dict[str, Any]) -> list[str]:
    """Return the types of the events that a reader would get now."""
    with footnote.services.catalog.database.read() as session:
        return [event["type"] for event in background.events_after(session, response["id"], -1, limit=100)]


def test_a_background_answer_is_queued_and_becomes_complete(fresh: Footnote, house: str) -> None:
    """It says the same as one that was waited for, and can be retrieved with its results."""
    done = wait_for(fresh, begin(fresh, house, metadata={"k": "v"}))
    plain = fresh.respond(QUESTION, house)
    assert (done["status"], done["outcome"], done["metadata"]) == ("completed", "answered", {"k": "v"})
    assert done["output"][1]["content"] == plain["output"][1]["content"]
    assert set(plain) == set(done)
    assert done["output"][0]["results"] is None
    shown = fresh.get(f"/v1/responses/{done['id']}", include=RESULTS)
    assert SENTENCE in shown["output"][0]["results"][0]["text"]
    items = fresh.get(f"/v1/responses/{done['id']}/input_items")["data"]
    assert items[0]["content"][0]["text"] == QUESTION


@pytest.mark.parametrize(
    "options",
    [
        {"boosts": [{"filters": {"type": "eq", "key": "kind", "value": "house"}, "factor": 2}]},
        {"recency": {"half_life_days": 30}},
    ],
)
def test_every_ranking_can_wait(fresh: Footnote, house: str, options: dict[str, Any]) -> None:
    """What changes the order of the passages is kept with the question."""
    tools = [{"type": "file_search", "vector_store_ids": [house], "ranking_options": options}]
    done = wait_for(fresh, fresh.respond(QUESTION, tools=tools, background=True))
    assert (done["status"], done["outcome"]) == ("completed", "answered")


def test_it_can_be_streamed_from_its_beginning_and_resumed(fresh: Footnote, house: str) -> None:
    """The stream begins with `queued`; behind any number come the events that follow it."""
    tools = [{"type": "file_search", "vector_store_ids": [house]}]
    reply = fresh.client.post(
        "/v1/responses", json={"input": QUESTION, "tools": tools, "background": True, "stream": True}
    )
    events = parsed(reply.text)
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "queued", "in_progress", "output_item.added"]
    assert kinds[-1] == "completed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert fresh.get(f"/v1/responses/{final['id']}") == final
    assert "".join(event["delta"] for event in events if "delta" in event) == final["output"][1]["content"][0]["text"]
    assert stream(fresh, final) == events
    for number in (0, 5, len(events) - 2):
        assert stream(fresh, final, starting_after=number) == events[number + 1 :]
    assert stream(fresh, final, starting_after=len(events) - 1) == []
    with_results = stream(fresh, final, include=RESULTS, include_obfuscation=True)
    assert SENTENCE in with_results[-1]["response"]["output"][0]["results"][0]["text"]
    assert all("obfuscation" in event for event in with_results if "delta" in event)


def test_a_number_that_no_event_can_have_is_refused(fresh: Footnote, house: str) -> None:
    """Before the stream begins, by its name."""
    done = wait_for(fresh, begin(fresh, house))
    assert [event["type"] for event in stream(fresh, done, starting_after=2**31 - 1)] == ["response.completed"]
    reply = fresh.client.get(f"/v1/responses/{done['id']}", params={"stream": "true", "starting_after": 2**31})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "starting_after")


def test_events_come_while_the_answer_is_written(fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader has what was found before the text is finished, and the rest behind it."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        assert generator.begun.acquire(timeout=20)
        assert wait_for(fresh, response, {"in_progress"})["output"] == []
        deadline = time.monotonic() + 20
        while "response.file_search_call.completed" not in kept_kinds(fresh, response):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        seen: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: seen.extend(stream(fresh, response)))
        reader.start()
        generator.let.set()
        reader.join(20)
    assert seen[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in seen] == list(range(len(seen)))


def test_a_reader_that_goes_away_ends_a_foreground_answer_alone(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generation of a plain stream ends with its reader; that of a background one goes on to its end."""
    tools = [{"type": "file_search", "vector_store_ids": [house]}]
    body = {"input": QUESTION, "tools": tools, "stream": True}
    with listening(fresh) as port:
        with gated(fresh, monkeypatch) as generator:
            first = read_and_leave(port, body, until="response.output_text.delta")
            assert generator.cancelled.wait(20)
        assert fresh.client.get(f"/v1/responses/{first['response']['id']}").status_code == 404
        with gated(fresh, monkeypatch) as generator:
            first = read_and_leave(port, {**body, "background": True}, until="response.file_search_call.completed")
            generator.let.set()
            assert wait_for(fresh, first["response"])["status"] == "completed"
            assert not generator.cancelled.is_set()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": QUESTION}),
        ("/v1/chat/completions", {"model": "footnote", "messages": [{"role": "user", "content": QUESTION}]}),
    ],
)
def test_a_client_that_goes_away_ends_an_answer_that_is_no_stream(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    """Nobody else waits for a generation that nobody reads, and nothing is kept of it."""
    with listening(fresh) as port, gated(fresh, monkeypatch) as generator:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        assert generator.begun.acquire(timeout=20)
        connection.close()
        assert generator.cancelled.wait(20)
    with fresh.services.catalog.database.read() as session:
        assert session.scalar(select(func.count(AnswerRecord.id))) == 0


def test_a_background_answer_can_be_cancelled(fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once for every reader; the generation ends soon after, and a second cancellation changes nothing."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        assert generator.begun.acquire(timeout=20)
        path = f"/v1/responses/{response['id']}"
        cancelled = fresh.client.post(f"{path}/cancel").json()
        assert (cancelled["status"], cancelled["id"]) == ("cancelled", response["id"])
        assert fresh.get(path) == cancelled == fresh.client.post(f"{path}/cancel").json()
        assert generator.cancelled.wait(20)
    events = stream(fresh, response)
    assert (events[-1]["type"], events[-1]["response"]["status"]) == ("response.incomplete", "cancelled")
    assert fresh.get(path) == cancelled


def test_one_that_waits_can_be_cancelled_too(fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is never begun."""
    with gated(fresh, monkeypatch) as generator:
        running = [begin(fresh, house) for _ in range(4)]
        for _ in running:
            assert generator.begun.acquire(timeout=20)
        waiting = begin(fresh, house)
        assert fresh.client.post(f"/v1/responses/{waiting['id']}/cancel").json()["status"] == "cancelled"
        generator.let.set()
        assert {wait_for(fresh, one)["status"] for one in running} == {"completed"}
    assert [event["type"] for event in stream(fresh, waiting)][1:] == ["response.queued", "response.incomplete"]


def test_what_has_ended_stays_when_it_is_cancelled(fresh: Footnote, house: str) -> None:
    """The answer is returned as it is."""
    done = wait_for(fresh, begin(fresh, house))
    assert fresh.client.post(f"/v1/responses/{done['id']}/cancel").json() == done


def test_a_foreground_answer_can_be_neither_cancelled_nor_resumed(fresh: Footnote, house: str) -> None:
    """400, with the reason; an answer that does not exist is a 404."""
    response = fresh.respond(QUESTION, house)
    path = f"/v1/responses/{response['id']}"
    for reply in (fresh.client.post(f"{path}/cancel"), fresh.client.get(path, params={"stream": "true"})):
        assert reply.status_code == 400
        assert "background" in reply.json()["error"]["message"]
    assert fresh.client.post("/v1/responses/resp_none/cancel").status_code == 404
    assert fresh.client.get("/v1/responses/resp_none", params={"stream": "true"}).status_code == 404
    wrong = fresh.client.get(path, params={"stream": "true", "starting_after": -1})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "starting_after")


def test_background_needs_store(fresh: Footnote, house: str) -> None:
    """There would be nothing to fetch."""
    body = {"input": QUESTION, "background": True, "store": False}
    error = fresh.client.post("/v1/responses", json=body).json()["error"]
    assert error["param"] == "background"


def test_an_error_of_the_generator_is_told(fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer ends as failed, with the reason; its stream ends with `response.failed`."""

    def generate(*_: object, **__: object) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(ExtractiveGenerator, "generate", generate)
    failed = wait_for(fresh, begin(fresh, house))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert stream(fresh, failed)[-1]["type"] == "response.failed"


def test_it_joins_its_conversation_when_it_ends(fresh: Footnote, house: str) -> None:
    """Not before; and it can be carried on from then."""
    conversation = fresh.client.post("/v1/conversations", json={}).json()["id"]
    done = wait_for(fresh, begin(fresh, house, conversation=conversation))
    items = fresh.get(f"/v1/conversations/{conversation}/items", order="asc")["data"]
    assert items[1:] == done["output"]
    assert fresh.respond("And?", house, previous_response_id=done["id"])["status"] == "completed"


def test_one_that_is_being_written_cannot_be_carried_on(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words are not there yet."""
    with gated(fresh, monkeypatch):
        response = begin(fresh, house)
        reply = fresh.client.post("/v1/responses", json={"input": "And?", "previous_response_id": response["id"]})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "previous_response_id")


def test_a_deleted_answer_ends_and_so_does_its_stream(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader is told by an `error` event; nothing comes back."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        assert generator.begun.acquire(timeout=20)
        seen: list[dict[str, Any]] = []
        reader = threading.Thread(target=lambda: seen.extend(stream(fresh, response)))
        reader.start()
        time.sleep(0.3)
        fresh.client.delete(f"/v1/responses/{response['id']}")
        assert generator.cancelled.wait(20)
        reader.join(20)
    assert (seen[-1]["type"], seen[-1]["code"]) == ("error", "not_found")
    assert fresh.client.get(f"/v1/responses/{response['id']}").status_code == 404
    with fresh.services.catalog.database.read() as session:
        assert session.scalar(select(func.count()).select_from(AnswerEvent)) == 0


def test_a_file_that_goes_while_it_is_quoted_leaves_nothing(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither record, events nor items of the conversation hold its words; the question stays."""
    file = fresh.get(f"/v1/vector_stores/{house}/files")["data"][0]["id"]
    conversation = fresh.client.post("/v1/conversations", json={}).json()["id"]
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house, conversation=conversation)
        assert generator.begun.acquire(timeout=20)
        fresh.client.delete(f"/v1/files/{file}")
        assert fresh.client.get(f"/v1/responses/{response['id']}").status_code == 404
        generator.let.set()
        deadline = time.monotonic() + 20
        while not (items := fresh.get(f"/v1/conversations/{conversation}/items")["data"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    assert [item["role"] for item in items] == ["user"]
    with fresh.services.catalog.database.read() as session:
        for table in (AnswerRecord, AnswerEvent):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_what_a_stopped_process_left_is_written_by_the_next(
    start: StartFootnote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that ends in order hands its answers back; their claim does not count."""
    with start() as first:
        store = first.store()
        first.add(store, HOUSE)
        generator = Gated()
        monkeypatch.setattr(first.services.answerer, "generator", generator)
        response = begin(first, store)
        assert generator.begun.acquire(timeout=20)
    assert generator.cancelled.is_set()
    with start() as second:
        assert wait_for(second, response)["status"] == "completed"
        with second.services.catalog.database.read() as session:
            assert session.scalar(select(AnswerRecord.claims)) == 1


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (["response.failed"], ["response.failed"]),
        (
            ["response.output_text.delta"] * 3 + ["response.output_text.done", "response.completed"],
            ["response.output_text.done", "response.completed"],
        ),
    ],
)
def test_a_follower_of_an_answer_that_is_written_anew_gets_its_end(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch, written: list[str], told: list[str]
) -> None:
    """However short it is, and without pieces of two texts."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        assert generator.begun.acquire(timeout=20)
        deadline, kinds = time.monotonic() + 20, kept_kinds(fresh, response)
        if len(written) > 1:
            written = ["response.in_progress"] * (len(kinds) - background.QUEUED_EVENTS) + written
        seen: list[dict[str, Any]] = []
        with listening(fresh) as port:
            reader = threading.Thread(target=follow, args=(port, response, seen))
            reader.start()
            while len(seen) < len(kinds):
                assert time.monotonic() < deadline, seen
                time.sleep(0.02)
            with fresh.services.catalog.database.write() as session:
                session.execute(delete(AnswerEvent).where(AnswerEvent.sequence_number >= background.QUEUED_EVENTS))
                session.execute(
                    update(AnswerRecord).values(status="failed", fence=AnswerRecord.fence + 1, ended_at=time.time())
                )
                for number, kind in enumerate(written, start=background.QUEUED_EVENTS):
                    event = {"type": kind, "sequence_number": number} | ({"delta": "X"} if "delta" in kind else {})
                    session.add(AnswerEvent(response_id=response["id"], sequence_number=number, event=event))
            reader.join(20)
        assert [event["type"] for event in seen] == [*kinds, *told]


def test_an_answer_that_ends_its_process_again_and_again_is_given_up(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as failed, with the reason, instead of going round for ever."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        for claims in range(1, background.MAX_CLAIMS + 1):
            assert generator.begun.acquire(timeout=20), claims
            with fresh.services.catalog.database.write() as session:
                # As if the process that holds it were gone.
                session.execute(update(AnswerRecord).values(owner="somebody else", lease_until=0.0))
        failed = wait_for(fresh, response)
    assert failed["status"] == "failed"
    assert "3 times" in failed["error"]["message"]
    assert stream(fresh, failed)[-1]["type"] == "response.failed"


def test_one_that_an_older_version_queued_is_answered(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its request has no sampling and no turns; what was asked before is read all the same."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        assert generator.begun.acquire(timeout=20)
        older = {
            "question": "And in the cellar?",
            "context": "Who installed the boiler?",
            "scope": {"vector_store_ids": [house], "filter": None},
            "max_results": 10,
            "ranking": {"fusion": "normalized", "dense_weight": 0.6, "score_threshold": 0.0},
            "max_tokens": 1024,
        }
        generator.let.set()
        queue_again(fresh, request=older)
        done = wait_for(fresh, response)
    assert done["status"] == "completed"
    assert done["output"][0]["queries"] == ["And in the cellar?", "Who installed the boiler?\nAnd in the cellar?"]
    assert SENTENCE.removeprefix("The ") in done["output"][1]["content"][0]["text"]


def test_a_ranking_is_kept_with_its_boosts(fresh: Footnote, house: str) -> None:
    """An answer in the background is searched for as one in the foreground is."""
    options = {
        "boosts": [{"filters": {"type": "eq", "key": "year", "value": 2025}, "factor": 2.0}],
        "recency": {"half_life_days": 30},
    }
    tools = [{"type": "file_search", "vector_store_ids": [house], "ranking_options": options}]
    body = {"input": QUESTION, "background": True, "tools": tools}
    done = wait_for(fresh, fresh.client.post("/v1/responses", json=body).json())
    assert (done["status"], done["error"]) == ("completed", None)
    assert SENTENCE in done["output"][1]["content"][0]["text"]


def queue_again(footnote: Footnote, **request: Any) -> None:
    """Put the one answer back into the queue with another request, as if its process were gone."""
    with footnote.services.catalog.database.write() as session:
        record = session.scalars(select(AnswerRecord)).one()
        record.request = {**(record.request or {}), **request}
        record.owner, record.lease_until = "gone", 0.0


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"request": {"of": "the future"}}, "another version of Footnote"),
        ({"of": "the future"}, "another version of Footnote"),
        ({"response": {}}, "unexpected error"),
    ],
)
def test_one_that_cannot_be_begun_is_given_up(
    fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch, request_: dict[str, Any], said: str
) -> None:
    """As one that another version queued, whose request this one does not understand; the others go on."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        assert generator.begun.acquire(timeout=20)
        queue_again(fresh, **request_)
        failed = wait_for(fresh, response)
        generator.let.set()
        assert wait_for(fresh, begin(fresh, house))["status"] == "completed"
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert said in failed["error"]["message"]
    assert stream(fresh, failed)[-1]["type"] == "response.failed"


def test_one_that_cannot_be_kept_is_given_up(fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not tried for ever."""
    with gated(fresh, monkeypatch) as generator:
        generator.let.set()
        monkeypatch.setattr("api.background.keep_claimed", broken := Mock(side_effect=KeyError("of another version")))
        response = begin(fresh, house)
        for tries in range(1, background.MAX_CLAIMS + 1):
            deadline = time.monotonic() + 20
            while broken.call_count < tries:
                assert time.monotonic() < deadline, tries
                time.sleep(0.02)
            queue_again(fresh)
        failed = wait_for(fresh, response)
    assert (failed["status"], broken.call_count) == ("failed", background.MAX_CLAIMS)


def test_a_server_that_stops_sends_followers_away(fresh: Footnote, house: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their stream ends without a last event, so that they take it up again; the answer goes on."""
    with gated(fresh, monkeypatch) as generator:
        response = begin(fresh, house)
        assert generator.begun.acquire(timeout=20)
        monkeypatch.setattr(fresh.client.app.state, "is_stopping", lambda: True)
        assert stream(fresh, response) == []
        monkeypatch.undo()


def test_events_are_forgotten_a_while_after_the_end(fresh: Footnote, house: str) -> None:
    """The answer stays; its stream is refused with the way out."""
    database = fresh.services.catalog.database
    done = wait_for(fresh, begin(fresh, house))
    with database.write() as session:
        background.forget_events(session)
    assert stream(fresh, done)[-1]["type"] == "response.completed"
    with database.write() as session:
        row = session.get(AnswerRecord, done["id"])
        assert row is not None
        row.ended_at = time.time() - background.EVENTS_KEPT_S - 1
        session.flush()
        background.forget_events(session)
    reply = fresh.client.get(f"/v1/responses/{done['id']}", params={"stream": "true"})
    assert reply.status_code == 400
    assert "Retrieve it without stream" in reply.json()["error"]["message"]
    assert fresh.get(f"/v1/responses/{done['id']}") == done

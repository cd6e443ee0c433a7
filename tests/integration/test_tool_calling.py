"""The service with a language model that searches itself: OpenAI's clients, the wire, records, caches and limits."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import OpenAI
from sqlalchemy import select

from catalog.errors import ConfigurationError
from catalog.models import AnswerRecord
from generation.backends.chat_tools import message_object, tool_fields
from generation.prompts import load_template
from generation.replay import replay
from tests.integration.conftest import HOUSE, Footnote, StartFootnote
from tests.integration.test_background import listening, wait_for
from tests.integration.test_metrics import values
from tests.model_server import MODEL, Exchange, ModelServer, calls, drops_after, says, stalls

QUESTION = "Who installed the boiler, and what covers the roof?"
BOILER = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011."
ROOF = "The roof was covered with slate and has a guarantee of forty years."
KEY = "The key of the safe lies under the third step."
SEARCHES = (calls({"queries": ["boiler installed"]}), calls({"queries": ["roof covered"]}))


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer(usual=says(f"{BOILER} [1]"))
    yield server
    server.close()


@pytest.fixture
def settings(server: ModelServer) -> dict[str, Any]:
    return {
        "generator": "openai",
        "generator_url": server.url,
        "generator_model": MODEL,
        "generator_retries": 0,
        "generator_price_input": 2.0,
        "generator_price_output": 8.0,
        "search_by": "model",
        "max_tool_calls": 3,
        # Each a passage of its own.
        "max_results": 1,
        "answer_cache": 10,
    }


@pytest.fixture
def footnote(settings: dict[str, Any], start: StartFootnote) -> Iterator[Footnote]:
    with start(**settings) as footnote:
        yield footnote


@pytest.fixture
def store(footnote: Footnote) -> str:
    store = footnote.store(name="house")
    for number, text in enumerate(HOUSE.split("\n\n")):
        footnote.add(store, text, name=f"house-{number}.txt")
    footnote.add(footnote.store(name="closed"), KEY, name="key.txt")
    return store


@pytest.fixture
def client(footnote: Footnote) -> Iterator[OpenAI]:
    """Yield the official SDK on a real socket."""
    with (
        listening(footnote) as port,
        OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def tools(store: str, **options: Any) -> Any:
    return [{"type": "file_search", "vector_store_ids": [store], **options}]


def record_of(footnote: Footnote, response_id: str) -> AnswerRecord:
    with footnote.services.catalog.database.read() as session:
        return session.scalars(select(AnswerRecord).where(AnswerRecord.id == response_id)).one()


def test_each_call_is_an_item_of_the_response(client: OpenAI, store: str, server: ModelServer) -> None:
    """With its queries and its results, in front of the message, whose footnotes are of the sources of all."""
    server.deeds = [*SEARCHES, says(f"{BOILER} [1] {ROOF} [2]")]
    response = client.responses.create(
        model="footnote", input=QUESTION, tools=tools(store), include=["file_search_call.results"]
    )
    first, second, message = response.output
    assert (first.type, second.type, message.type) == ("file_search_call", "file_search_call", "message")
    assert ([first.queries, second.queries]) == ([["boiler installed"], ["roof covered"]])
    assert first.id != second.id
    assert [[one.text for one in call.results or ()] for call in (first, second)] == [[BOILER], [ROOF]]
    assert response.output_text == f"{BOILER} {ROOF}"
    assert [note.filename for note in message.content[0].annotations] == ["house-1.txt", "house-2.txt"]
    assert response.usage is not None
    assert response.usage.input_tokens > 200
    assert response.usage.output_tokens == 2 * 20 + len(f"{BOILER} [1] {ROOF} [2]".split())


def test_calls_are_streamed_as_they_are_made(client: OpenAI, store: str, server: ModelServer) -> None:
    """Each from its beginning to its end, then the message; the SDK puts the same response together."""
    server.deeds = [*SEARCHES, says(f"{BOILER} [1]")]
    with client.responses.stream(model="footnote", input=QUESTION, tools=tools(store)) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type.removeprefix("response.") for event in events]
    call = [
        "output_item.added",
        "file_search_call.in_progress",
        "file_search_call.searching",
        "file_search_call.completed",
        "output_item.done",
    ]
    message = ["output_item.added", "content_part.added", "output_text.delta"]
    assert kinds[:15] == ["created", "in_progress", *call, *call, *message]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert "output_text.annotation.added" in kinds
    assert kinds.count("output_text.delta") > 3
    assert [getattr(item, "queries", None) for item in final.output] == [["boiler installed"], ["roof covered"], None]
    assert final.output_text == BOILER
    indexes = [event.output_index for event in events if event.type == "response.output_item.added"]
    assert indexes == [0, 1, 2]


def test_a_chat_is_answered_too(client: OpenAI, store: str, server: ModelServer) -> None:
    """Whole and as a stream: of the calls a chat tells nothing."""
    asked: dict[str, Any] = {
        "model": "footnote",
        "messages": [{"role": "user", "content": QUESTION}],
        "extra_body": {"file_search": {"vector_store_ids": [store]}},
    }
    server.deeds = [*SEARCHES]
    whole = client.chat.completions.create(**asked)
    assert (whole.choices[0].message.content, whole.choices[0].message.tool_calls) == (BOILER, None)
    server.deeds = [*SEARCHES]
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == BOILER


@pytest.mark.parametrize(
    "deed",
    [
        calls('{"queries": ['),
        calls({"queries": ["key of the safe"], "vector_store_ids": ["vs_other"]}),
        calls({"url": "http://127.0.0.1"}, name="http_get"),
        calls({"queries": ["x" * 100_000]}),
        calls('{"queries": ["\\ud800"]}'),
        calls(*[{"queries": ["boiler"]}] * 60),
    ],
)
def test_no_call_is_an_error_of_the_service(footnote: Footnote, store: str, server: ModelServer, deed: Any) -> None:
    """However wrong it is, the model hears of it, and the answer comes."""
    server.deeds = [deed]
    response = footnote.respond(QUESTION, store, max_output_tokens=4000)
    assert response["status"] == "completed"
    assert response["output"][-1]["content"][0]["text"] == BOILER
    assert KEY not in json.dumps(server.bodies)
    repeated = [call for message in server.bodies[-1]["messages"] for call in message.get("tool_calls", ())]
    assert all(json.loads(call["function"]["arguments"]).keys() <= {"queries"} for call in repeated)


def test_a_model_that_never_stops_is_made_to_write(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Behind the last call the tool is not to be called; a request may allow fewer calls than the settings do."""

    def insists(exchange: Exchange) -> None:
        if exchange.body["tool_choice"] == "none":
            exchange.words(f"{BOILER} [1]")
        else:
            exchange.calls('{"queries": ["boiler installed"]}')

    server.usual = insists
    for asked, made in ((None, 3), (1, 1), (50, 3)):
        server.bodies.clear()
        response = footnote.respond(QUESTION, store, max_tool_calls=asked)
        assert [item["type"] for item in response["output"]] == ["file_search_call"] * made + ["message"]
        assert [body["tool_choice"] for body in server.bodies] == ["auto"] * made + ["none"]
        assert response["output"][-1]["content"][0]["text"] == BOILER


def test_the_filter_of_the_request_holds_for_each_call(footnote: Footnote, store: str, server: ModelServer) -> None:
    """And so do its stores: what the model searches for finds nothing beside them."""
    server.deeds = [calls({"queries": ["boiler installed", KEY]}), says("[none]")]
    filters = {"type": "eq", "key": "year", "value": 1900}
    body = {"input": QUESTION, "tools": tools(store, filters=filters), "include": ["file_search_call.results"]}
    response = footnote.client.post("/v1/responses", json=body).json()
    assert [item["results"] for item in response["output"][:-1]] == [[]]
    assert response["outcome"] == "not_in_documents"
    assert "Nothing was found." in server.bodies[-1]["messages"][-1]["content"]


def test_a_model_without_tools_answers_from_a_search_for_the_question(
    footnote: Footnote, store: str, server: ModelServer
) -> None:
    """What it writes before a search is not given out."""
    server.deeds = [says("It was installed by Nobody in 1900. [1]")]
    response = footnote.respond(QUESTION, store)
    assert [item.get("queries") for item in response["output"]] == [[QUESTION], None]
    assert "Nobody" not in json.dumps(response)
    assert len(server.bodies) == 2


def test_without_a_search_the_model_writes_at_once(footnote: Footnote, store: str, server: ModelServer) -> None:
    """`tool_choice` none: the tool is not to be called, and the response has no search."""
    server.deeds = [says("[none]")]
    response = footnote.respond(QUESTION, store, tool_choice="none")
    assert [item["type"] for item in response["output"]] == ["message"]
    assert [body["tool_choice"] for body in server.bodies] == ["none"]


def test_the_record_gives_the_last_request_again(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Messages, tools and whether they may be called, as the server got them; its cost is that of all requests."""
    server.deeds = [*SEARCHES, calls("{")]
    response = footnote.respond(QUESTION, store)
    record = record_of(footnote, response["id"])
    with footnote.services.catalog.database.read() as session:
        replayed = replay(session, record.trace, record.prompt, load=load_template).prompt
    assert replayed is not None
    sent = server.bodies[-1]
    assert [message_object(message) for message in replayed.messages] == sent["messages"]
    assert tool_fields(replayed) == {"tools": sent["tools"], "tool_choice": sent["tool_choice"]}
    assert [message["role"] for message in sent["messages"]] == ["system", "user", *["assistant", "tool"] * 3]
    read, written = response["usage"]["input_tokens"], response["usage"]["output_tokens"]
    assert record.trace["cost"] == pytest.approx((2.0 * read + 8.0 * written) / 1e6, rel=0.01)
    assert record.trace["queries"] == ["boiler installed", "roof covered"]


def test_a_broken_answer_remembers_what_it_found(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Its record goes with each of the files that its searches found."""
    server.deeds = [*SEARCHES, drops_after("The ")]
    body = {"input": QUESTION, "tools": tools(store), "stream": True}
    lines = footnote.client.post("/v1/responses", json=body).text.splitlines()
    last = json.loads(lines[-2].removeprefix("data: "))
    assert last["type"] == "response.failed"
    response_id = last["response"]["id"]
    found = record_of(footnote, response_id).trace["candidates"]
    assert len(found) == 2
    footnote.client.delete(f"/v1/vector_stores/{store}/files/{found[1]['file_id']}")
    footnote.client.delete(f"/v1/files/{found[1]['file_id']}")
    assert footnote.client.get(f"/v1/responses/{response_id}").status_code == 404


def test_a_reader_that_goes_away_ends_the_loop(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Also while the model thinks about its next call."""
    is_thinking = threading.Event()

    def thinks(exchange: Exchange) -> None:
        is_thinking.set()
        stalls(exchange)

    server.deeds = [SEARCHES[0], thinks]
    body = {"input": QUESTION, "tools": tools(store), "stream": True}
    with listening(footnote) as port:
        with httpx.stream("POST", f"http://127.0.0.1:{port}/v1/responses", json=body):
            assert is_thinking.wait(30)
        assert server.hung_up.wait(30)


def test_a_background_answer_searches_too(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Its events are kept, and its calls are items."""
    server.deeds = [*SEARCHES]
    done = wait_for(footnote, footnote.respond(QUESTION, store, background=True, max_tool_calls=2))
    assert [item["type"] for item in done["output"]] == ["file_search_call", "file_search_call", "message"]
    assert [body["tool_choice"] for body in server.bodies] == ["auto", "auto", "none"]


def test_an_answer_comes_from_the_cache_with_its_calls(footnote: Footnote, store: str, server: ModelServer) -> None:
    """As long as no document changes; then the model searches again."""
    server.deeds = [*SEARCHES]
    first = footnote.respond(QUESTION, store, temperature=0)
    again = footnote.respond(QUESTION, store, temperature=0)
    assert len(server.bodies) == 3
    assert [item.get("queries") for item in again["output"]] == [item.get("queries") for item in first["output"]]
    footnote.add(store, "The gate is green.", name="gate.txt")
    server.deeds = [SEARCHES[1]]
    assert len(footnote.respond(QUESTION, store, temperature=0)["output"]) == 2
    assert len(server.bodies) == 5


def test_all_requests_count_in_the_metrics(footnote: Footnote, store: str, server: ModelServer) -> None:
    """Searches, tokens of every request, and one answer with one first token."""
    before = values(footnote)
    server.deeds = [*SEARCHES]
    response = footnote.respond(QUESTION, store)
    after = values(footnote)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("footnote_searches_total") == 2
    assert grown('footnote_answers_total{model="footnote",outcome="answered"}') == 1
    assert grown('footnote_first_token_seconds_count{model="footnote"}') == 1
    kinds = {"input": "input_tokens", "output": "output_tokens"}
    for kind, field in kinds.items():
        name = f'footnote_answer_tokens_total{{kind="{kind}",model="footnote"}}'
        assert grown(name) == response["usage"][field]


def test_a_profile_may_let_the_model_search(
    settings: dict[str, Any], start: StartFootnote, server: ModelServer
) -> None:
    """Beside one that searches for the question, with the same model."""
    own = {"search_by": settings.pop("search_by"), "max_tool_calls": settings.pop("max_tool_calls")}
    with start(**settings, profiles={"agentic": own}) as footnote:
        store = footnote.store()
        footnote.add(store, BOILER)
        footnote.respond(QUESTION, store)
        assert "tools" not in server.bodies[-1]
        server.deeds = [SEARCHES[0]]
        assert len(footnote.respond(QUESTION, store, model="agentic")["output"]) == 2
        assert server.bodies[-1]["tools"][0]["function"]["name"] == "file_search"


@pytest.mark.parametrize("generator", [{}, {"profiles": {"agentic": {"search_by": "model"}}, "search_by": "question"}])
def test_a_generator_without_tools_is_a_wrong_setting(start: StartFootnote, generator: dict[str, Any]) -> None:
    """It is told at the start, with what to set."""
    with (
        pytest.raises(ConfigurationError, match="search_by='model' needs a generator that calls tools"),
        start(**{"search_by": "model"} | generator),
    ):
        pass

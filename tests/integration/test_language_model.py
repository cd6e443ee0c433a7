"""The service with a language model behind OpenAI's API: clients, metrics and records, also when the model dies."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from sqlalchemy import select

from catalog.errors import ConfigurationError
from catalog.models import AnswerRecord
from tests.chat_server import MODEL, ChatServer, drops_after, fails, says, stalls_after
from tests.integration.conftest import HOUSE, Footnote, StartFootnote
from tests.integration.test_background import listening, read_and_leave, wait_for
from tests.integration.test_metrics import values

QUESTION = "Who installed the boiler in the cellar?"
SENTENCE = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011."
KEY = "sk-upstream"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    server = ChatServer(usual=says(f"{SENTENCE} [1]"))
    yield server
    server.close()


@pytest.fixture
def footnote(server: ChatServer, start: StartFootnote) -> Iterator[Footnote]:
    """Yield an application that answers with the model of the server."""
    with start(
        generator="openai",
        generator_url=server.url,
        generator_model=MODEL,
        generator_api_key=KEY,
        generator_retries=0,
        generator_price_input=2.0,
        generator_price_cached=1.0,
        generator_price_output=8.0,
    ) as footnote:
        yield footnote


@pytest.fixture
def store(footnote: Footnote) -> str:
    store = footnote.store(name="house")
    footnote.add(store, HOUSE)
    return store


@pytest.fixture
def client(footnote: Footnote) -> Iterator[OpenAI]:
    """Yield the official SDK on a real socket."""
    with (
        listening(footnote) as port,
        OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


def tools(store: str) -> Any:
    return [{"type": "file_search", "vector_store_ids": [store]}]


def test_an_answer_has_footnotes_and_the_servers_usage(client: OpenAI, store: str, server: ChatServer) -> None:
    """The marker of the model becomes a citation that was re-read."""
    response = client.responses.create(model="footnote", input=QUESTION, tools=tools(store), max_output_tokens=200)
    assert response.output_text == SENTENCE
    (note,) = response.output[-1].content[0].annotations
    assert (note.filename, note.quote) == ("house.txt", SENTENCE)
    assert response.usage is not None
    assert response.usage.output_tokens == len(SENTENCE.split()) + 1
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert server.bodies[0]["max_tokens"] == 200
    assert QUESTION in server.bodies[0]["messages"][-1]["content"]


def test_an_answer_is_streamed(client: OpenAI, store: str) -> None:
    """Text as it comes, the citation, and the whole at the end."""
    kinds: list[str] = []
    with client.responses.stream(model="footnote", input=QUESTION, tools=tools(store)) as stream:
        kinds += [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.output_text.delta") > 3
    assert "response.output_text.annotation.added" in kinds
    assert kinds[-1] == "response.completed"
    assert final.output_text == SENTENCE


def test_a_chat_is_answered_too(client: OpenAI, store: str) -> None:
    """Whole and as a stream, with the usage that the server told."""
    asked: dict[str, Any] = {
        "model": "footnote",
        "messages": [{"role": "user", "content": QUESTION}],
        "extra_body": {"file_search": {"vector_store_ids": [store]}},
    }
    whole = client.chat.completions.create(**asked)
    assert whole.choices[0].message.content == SENTENCE
    assert whole.usage is not None
    assert whole.usage.prompt_tokens_details is not None
    assert whole.usage.prompt_tokens_details.cached_tokens == 3
    chunks = list(client.chat.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SENTENCE


def test_a_model_that_dies_in_mid_answer_fails_the_response(
    client: OpenAI, store: str, server: ChatServer, footnote: Footnote
) -> None:
    """The stream ends with response.failed, which says so; a client without a stream gets a 503."""
    server.deeds = [drops_after(*[f"{word} " for word in SENTENCE.split()[:6]])]
    events = list(client.responses.create(model="footnote", input=QUESTION, tools=tools(store), stream=True))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas).startswith("The boiler in")
    last = events[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert f"{server.url} broke off in mid-answer" in last.response.error.message
    assert footnote.get(f"/v1/responses/{last.response.id}")["status"] == "failed"
    server.deeds = [drops_after("The ")]
    with pytest.raises(openai.InternalServerError, match="broke off in mid-answer") as raised:
        client.responses.create(model="footnote", input=QUESTION, tools=tools(store))
    assert raised.value.status_code == 503


def test_a_model_that_is_overloaded_is_a_503_that_says_when_to_come_again(
    footnote: Footnote, store: str, server: ChatServer
) -> None:
    """The SDKs repeat it by themselves; the key of the server is in no message."""
    server.deeds = [fails(429, f"quota of {KEY} spent", retry_after="17")]
    reply = footnote.client.post("/v1/responses", json={"input": QUESTION, "tools": tools(store)})
    assert reply.status_code == 503
    assert (reply.headers["retry-after"], reply.headers["x-should-retry"]) == ("17", "true")
    assert "quota of … spent" in reply.json()["error"]["message"]
    assert KEY not in reply.text
    assert KEY not in repr(footnote.settings)


def test_a_reader_that_goes_away_ends_the_answer_at_the_server(
    footnote: Footnote, store: str, server: ChatServer
) -> None:
    """The connection is closed, so the model does not write for nobody."""
    server.deeds = [stalls_after("The ", "boiler ")]
    with listening(footnote) as port:
        body = {"input": QUESTION, "tools": tools(store), "stream": True}
        read_and_leave(port, body, until="response.output_text.delta")
        assert server.hung_up.wait(10)


def test_a_background_answer_is_written_by_it(footnote: Footnote, store: str, server: ChatServer) -> None:
    """One that the model breaks off fails, with the reason."""
    assert wait_for(footnote, footnote.respond(QUESTION, store, background=True))["status"] == "completed"
    server.deeds = [drops_after("The ")]
    failed = wait_for(footnote, footnote.respond(QUESTION, store, background=True))
    assert failed["status"] == "failed"
    assert "broke off in mid-answer" in failed["error"]["message"]


def test_the_record_holds_what_an_answer_cost(footnote: Footnote, store: str, server: ChatServer) -> None:
    """By the prices of the settings, cached input at its own."""
    response = footnote.respond(QUESTION, store)
    read, written = response["usage"]["input_tokens"], response["usage"]["output_tokens"]
    with footnote.services.catalog.database.read() as session:
        record = session.scalars(select(AnswerRecord).where(AnswerRecord.id == response["id"])).one()
    assert record.trace["cost"] == pytest.approx((2.0 * (read - 3) + 1.0 * 3 + 8.0 * written) / 1e6)
    assert record.trace["generator"] == f"openai:{MODEL}"


def test_tokens_outcomes_costs_and_failures_are_counted(footnote: Footnote, store: str, server: ChatServer) -> None:
    """By profile, and by the address of the server."""
    before = values(footnote)
    first = footnote.respond(QUESTION, store)
    server.deeds = [says("[none]"), fails(500), drops_after("The "), fails(401)]
    footnote.respond(QUESTION, store)
    for _ in range(3):
        footnote.client.post("/v1/responses", json={"input": QUESTION, "tools": tools(store)})
    after = values(footnote)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    outcomes = {"answered": 1, "not_in_documents": 1, "failed": 3}
    for outcome, count in outcomes.items():
        assert grown(f'footnote_answers_total{{model="footnote",outcome="{outcome}"}}') == count
    assert grown('footnote_answer_tokens_total{kind="cached",model="footnote"}') == 6
    written = first["usage"]["output_tokens"] + 1
    assert grown('footnote_answer_tokens_total{kind="output",model="footnote"}') == written
    assert grown('footnote_answer_cost_total{model="footnote"}') > 0
    assert grown('footnote_first_token_seconds_count{model="footnote"}') >= 2
    for kind in ("status", "unreachable", "refused"):
        assert grown(f'footnote_upstream_failures_total{{kind="{kind}",upstream="{server.url}"}}') == 1
    assert after[f'footnote_upstream_state{{upstream="{server.url}"}}'] == 2


@pytest.fixture
def in_steps(server: ChatServer, start: StartFootnote) -> Iterator[Footnote]:
    """Yield an application that has the model say what the second search is for."""
    with start(
        generator="openai",
        generator_url=server.url,
        generator_model=MODEL,
        generator_retries=0,
        search_steps=2,
        search_steps_by="model",
    ) as footnote:
        yield footnote


def test_the_model_says_what_a_further_step_searches_for(in_steps: Footnote, server: ChatServer) -> None:
    """It reads what was found first; all queries are told; a reply that is none leaves the step to the rule."""
    store = in_steps.store()
    in_steps.add(store, HOUSE)
    server.deeds = [says("When was Brandt Heating founded?"), says(f"{SENTENCE} [1]")]
    call, message = in_steps.respond(QUESTION, store)["output"]
    assert call["queries"] == [QUESTION, "When was Brandt Heating founded?"]
    assert message["content"][0]["text"] == SENTENCE
    assert SENTENCE in server.bodies[0]["messages"][-1]["content"]
    server.deeds = [says("1. I do not know."), says(f"{SENTENCE} [1]")]
    call, _ = in_steps.respond(QUESTION, store)["output"]
    assert "1. I do not know." not in call["queries"]
    # One that needs a single search says so.
    server.bodies.clear()
    in_steps.client.post(
        "/v1/responses",
        json={"input": QUESTION, "tools": [{"type": "file_search", "vector_store_ids": [store], "max_steps": 1}]},
    )
    assert len(server.bodies) == 1


def test_steps_by_a_model_need_one(start: StartFootnote) -> None:
    """A generator that quotes cannot say what to search for."""
    with (
        pytest.raises(ConfigurationError, match="search_steps_by='model' needs a language model"),
        start(search_steps_by="model"),
    ):
        pass


def test_the_service_starts_before_its_model_does(start: StartFootnote) -> None:
    """Searches work, and answers say what is missing."""
    with start(generator="openai", generator_url="http://127.0.0.1:9/v1", generator_model="m") as footnote:
        store = footnote.store()
        footnote.add(store, HOUSE)
        assert footnote.search(store, "boiler")
        reply = footnote.client.post("/v1/responses", json={"input": QUESTION, "tools": tools(store)})
    assert reply.status_code == 503
    assert "http://127.0.0.1:9/v1: ConnectError" in reply.json()["error"]["message"]

"""/v1/responses"""

import json
from typing import Any

import pytest

from catalog.ids import RESPONSE
from tests.integration.conftest import HOUSE, Footnote

QUESTION = "Who installed the boiler in the cellar?"
RESULTS = "file_search_call.results"
SENTENCE = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011."


@pytest.fixture(scope="module")
def house(footnote: Footnote) -> str:
    """Return a store that holds the notes on a house."""
    store = footnote.store(name="house")
    footnote.add(store, HOUSE, attributes={"kind": "notes"})
    return store


def text_of(response: dict[str, Any]) -> str:
    return str(response["output"][1]["content"][0]["text"])


def notes_of(response: dict[str, Any]) -> list[dict[str, Any]]:
    return list(response["output"][1]["content"][0]["annotations"])


def ask(footnote: Footnote, store: str, /, **body: Any) -> Any:
    tools = [{"type": "file_search", "vector_store_ids": [store]}]
    return footnote.client.post("/v1/responses", json={"input": QUESTION, "tools": tools, **body})


def events_of(footnote: Footnote, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the events of a stream, whose two lines must agree on their type."""
    reply = footnote.client.post("/v1/responses", json={**body, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in reply.text.strip().split("\n\n"):
        kind, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert kind == f"event: {event['type']}"
        events.append(event)
    return events


def test_an_answer_quotes_the_sentence_and_cites_where_it_stands(footnote: Footnote, house: str) -> None:
    """The citation names file, range and quote, and the range of the stored text is the quote."""
    response = footnote.respond(QUESTION, house)
    assert (response["object"], response["status"], response["outcome"]) == ("response", "completed", "answered")
    assert SENTENCE in text_of(response)
    (note,) = [note for note in notes_of(response) if note["quote"] == SENTENCE]
    stored = footnote.get(f"/v1/vector_stores/{house}/files/{note['file_id']}/text")["text"]
    assert stored[note["start"] : note["end"]] == SENTENCE
    assert (note["type"], note["filename"], note["page"]) == ("file_citation", "house.txt", None)
    assert text_of(response)[: note["index"]].endswith(SENTENCE)


def test_an_answer_has_every_field_that_the_sdk_needs(footnote: Footnote, house: str) -> None:
    """Output is one search call and one message; usage adds up; what was sent is echoed."""
    sent = {"metadata": {"who": "me"}, "temperature": 0.5, "top_p": 0.9, "user": "u", "max_output_tokens": 500}
    response = footnote.respond(QUESTION, house, **sent)
    assert {key: response[key] for key in sent} == sent
    assert [item["type"] for item in response["output"]] == ["file_search_call", "message"]
    call, message = response["output"]
    assert (call["status"], call["queries"], call["results"]) == ("completed", [QUESTION], None)
    assert (message["role"], message["status"]) == ("assistant", "completed")
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert response["tools"][0]["vector_store_ids"] == [house]
    assert response["text"] == {"format": {"type": "text"}}
    assert response["id"].startswith(RESPONSE)


def test_results_are_there_when_they_are_asked_for(footnote: Footnote, house: str) -> None:
    """`include` brings the passages, with text, score and attributes: when asking, and again when retrieving."""
    response = footnote.respond(QUESTION, house, include=[RESULTS, "message.output_text.logprobs"])
    path = f"/v1/responses/{response['id']}"
    assert footnote.get(path)["output"][0]["results"] is None
    assert footnote.get(path, include=RESULTS) == footnote.get(path, **{"include[]": RESULTS}) == response
    (result,) = response["output"][0]["results"]
    assert SENTENCE in result["text"]
    assert (result["filename"], result["attributes"], result["score"]) == ("house.txt", {"kind": "notes"}, 1.0)


@pytest.mark.parametrize("name", ["include", "include[]"])
def test_an_unknown_include_is_refused_with_the_known_ones(footnote: Footnote, house: str, name: str) -> None:
    """In the body and in the query."""
    response = footnote.respond(QUESTION, house)
    for reply in (
        ask(footnote, house, include=["everything"]),
        footnote.client.get(f"/v1/responses/{response['id']}", params={name: "everything"}),
    ):
        assert reply.status_code == 400
        assert "file_search_call.results" in reply.json()["error"]["message"]
        assert reply.json()["error"]["param"].startswith("include")


def test_a_stream_has_openais_events_in_order_and_ends_with_the_response(footnote: Footnote, house: str) -> None:
    """The order is what the SDKs accumulate, deltas join to the text, annotations come in full."""
    tools = [{"type": "file_search", "vector_store_ids": [house]}]
    events = events_of(footnote, {"input": QUESTION, "tools": tools})
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:8] == [
        "created",
        "in_progress",
        "output_item.added",
        "file_search_call.in_progress",
        "file_search_call.searching",
        "file_search_call.completed",
        "output_item.done",
        "output_item.added",
    ]
    assert kinds[8] == "content_part.added"
    assert set(kinds[9:-4]) == {"output_text.delta", "output_text.annotation.added"}
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert "".join(event["delta"] for event in events if "delta" in event) == text_of(final)
    annotations = [event["annotation"] for event in events if "annotation" in event]
    assert annotations == notes_of(final)
    assert {event["response"]["id"] for event in events if "response" in event} == {final["id"]}
    assert footnote.get(f"/v1/responses/{final['id']}") == final


def test_a_stream_and_a_plain_answer_say_the_same(footnote: Footnote, house: str) -> None:
    """Text and citations do not depend on how they are sent."""
    tools = [{"type": "file_search", "vector_store_ids": [house]}]
    streamed = events_of(footnote, {"input": QUESTION, "tools": tools})[-1]["response"]
    plain = footnote.respond(QUESTION, house)
    assert (text_of(streamed), notes_of(streamed)) == (text_of(plain), notes_of(plain))


def test_an_answer_can_be_retrieved_until_it_is_deleted(footnote: Footnote, house: str) -> None:
    """GET returns what POST returned; after DELETE it is a 404."""
    response = footnote.respond(QUESTION, house)
    path = f"/v1/responses/{response['id']}"
    assert footnote.get(path) == response
    assert SENTENCE in footnote.get(path, **{"include[]": RESULTS})["output"][0]["results"][0]["text"]
    reply = footnote.client.delete(path)
    assert reply.json() == {"id": response["id"], "object": "response", "deleted": True}
    assert footnote.client.get(path).status_code == 404
    assert footnote.client.delete(path).status_code == 404


def test_store_false_keeps_nothing(footnote: Footnote, house: str) -> None:
    """The answer is given and cannot be retrieved."""
    response = ask(footnote, house, store=False).json()
    assert response["store"] is False
    assert footnote.client.get(f"/v1/responses/{response['id']}").status_code == 404


def test_what_the_documents_do_not_hold_is_refused_without_a_citation(footnote: Footnote, house: str) -> None:
    """The text says that the documents do not contain it; plain and streamed alike."""
    for response in (
        footnote.respond("Qxzv blorp wibble?", house),
        events_of(
            footnote,
            {"input": "Qxzv blorp wibble?", "tools": [{"type": "file_search", "vector_store_ids": [house]}]},
        )[-1]["response"],
    ):
        assert (response["outcome"], notes_of(response)) == ("not_in_documents", [])
        assert "do not contain the answer" in text_of(response)


def test_without_a_tool_every_store_of_the_caller_is_searched(fresh: Footnote) -> None:
    """A bare question needs no store id; without any store the answer is a refusal."""
    assert fresh.respond(QUESTION)["outcome"] == "not_in_documents"
    fresh.add(fresh.store())
    assert SENTENCE in text_of(fresh.respond(QUESTION))


def test_the_tools_options_narrow_the_search(footnote: Footnote, house: str) -> None:
    """Filters, result limit and threshold of the tool decide what the answer may use."""

    def outcome(**options: Any) -> str:
        tool = {"type": "file_search", "vector_store_ids": [house], **options}
        return str(ask(footnote, house, tools=[tool]).json()["outcome"])

    assert outcome(filters={"type": "eq", "key": "kind", "value": "notes"}, max_num_results=1) == "answered"
    assert outcome(filters={"type": "eq", "key": "kind", "value": "plan"}) == "not_in_documents"
    assert outcome(ranking_options={"hybrid_search": {"embedding_weight": 1, "text_weight": 1}}) == "answered"


def test_the_last_user_message_of_a_conversation_is_the_question(footnote: Footnote, house: str) -> None:
    """Input items with text parts, system messages and earlier turns are read as the SDK sends them."""
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello?"},
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Yes?", "annotations": [], "logprobs": []}],
        },
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Who installed"}, {"type": "input_text", "text": "the boiler?"}],
        },
    ]
    response = footnote.respond(items, house)
    assert response["output"][0]["queries"] == ["Who installed\nthe boiler?"]
    assert "Brandt Heating" in text_of(response)


def test_a_short_output_limit_ends_the_answer_as_incomplete(footnote: Footnote, house: str) -> None:
    """The status and its reason say that the answer was cut, in the stream's last event too."""
    long = " ".join(["The annex has", *(f"window{i}" for i in range(40)), "in the annex."])
    store = footnote.store()
    footnote.add(store, long)
    tools = [{"type": "file_search", "vector_store_ids": [store]}]
    body = {"input": "What does the annex have?", "tools": tools, "max_output_tokens": 16}
    assert footnote.respond("What does the annex have?", store)["status"] == "completed"
    response = footnote.client.post("/v1/responses", json=body).json()
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert events_of(footnote, body)[-1]["type"] == "response.incomplete"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", {"id": "pmpt_1"}),
        ("moderation", {"model": "m"}),
        ("context_management", [{"type": "compaction"}]),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(footnote: Footnote, house: str, name: str, value: Any) -> None:
    """A parameter that would change the answer is never silently passed over."""
    error = ask(footnote, house, **{name: value}).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", name)


def test_every_parameter_of_openai_is_known(footnote: Footnote, house: str) -> None:
    """What cannot change an answer here is accepted, and echoed as OpenAI does."""
    echoed = {
        "instructions": "Be brief.",
        "max_tool_calls": 3,
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "reasoning": {"effort": "low", "summary": None},
        "safety_identifier": "s",
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "tool_choice": {"type": "file_search"},
        "top_logprobs": 2,
        "truncation": "auto",
        "user": "u",
    }
    response = ask(footnote, house, **echoed, service_tier="flex", stream_options=None).json()
    assert {name: response[name] for name in echoed} == echoed
    assert (response["service_tier"], response["prompt"], response["conversation"]) == ("default", None, None)
    assert response["answer_record_id"] == response["id"]


def test_tool_choice_none_answers_without_a_search(footnote: Footnote, house: str) -> None:
    """Without sources there is nothing to quote: the refusal, and no search call."""
    response = footnote.respond(QUESTION, house, tool_choice="none")
    assert [item["type"] for item in response["output"]] == ["message"]
    assert (response["outcome"], response["tool_choice"]) == ("not_in_documents", "none")


def test_several_searches_are_one_over_all_their_stores(footnote: Footnote, house: str) -> None:
    """With equal options; with different ones they are refused by name."""
    empty = footnote.store()
    tools = [{"type": "file_search", "vector_store_ids": [store], "max_num_results": 3} for store in (empty, house)]
    response = ask(footnote, house, tools=tools).json()
    assert (response["outcome"], response["tools"]) == ("answered", tools)
    error = ask(footnote, house, tools=[tools[0], {**tools[1], "max_num_results": 4}]).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "tools")


def test_deltas_are_padded_when_that_is_asked_for(footnote: Footnote, house: str) -> None:
    """OpenAI's `include_obfuscation`; without it no delta has padding."""
    body = {"input": QUESTION, "tools": [{"type": "file_search", "vector_store_ids": [house]}]}
    padded = events_of(footnote, {**body, "stream_options": {"include_obfuscation": True}})
    assert all("obfuscation" in event for event in padded if "delta" in event)
    assert not any("obfuscation" in event for event in events_of(footnote, body))


def test_input_tokens_are_what_the_answer_reads(footnote: Footnote, house: str) -> None:
    """The count before the answer equals the answer's own."""
    tools = [{"type": "file_search", "vector_store_ids": [house]}]
    body = {"model": "footnote", "input": QUESTION, "tools": tools, "instructions": "x", "personality": "friendly"}
    reply = footnote.client.post("/v1/responses/input_tokens", json=body)
    read = footnote.respond(QUESTION, house)["usage"]["input_tokens"]
    assert reply.json() == {"object": "response.input_tokens", "input_tokens": read}
    without = footnote.client.post("/v1/responses/input_tokens", json={**body, "tool_choice": "none"}).json()
    assert 0 < without["input_tokens"] < read
    assert footnote.client.post("/v1/responses/input_tokens", json={}).status_code == 400
    assert footnote.client.post("/v1/responses/input_tokens", json={**body, "model": "no"}).status_code == 404


def test_other_text_formats_are_refused_by_name(footnote: Footnote, house: str) -> None:
    """Structured output needs a language model; asking for plain text is fine."""
    schema = {"format": {"type": "json_schema", "name": "x", "schema": {}}}
    error = ask(footnote, house, text=schema).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_parameter", "text.format")
    plain = ask(footnote, house, text={"format": {"type": "text"}, "verbosity": "low"})
    assert plain.json()["text"] == {"format": {"type": "text"}, "verbosity": "low"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": " \n\t"}, "input"),
        ({"input": "x" * 100_000}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"role": "assistant", "content": "Hello."}]}, "input"),
        ({"input": [{"role": "user", "content": []}]}, "input"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            "input",
        ),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 1}, "max_output_tokens"),
        ({"text": {"format": 5}}, "text.format"),
        ({"text": {"format": "json"}}, "text.format"),
        ({"text": 5}, "text"),
        ({"stream": "perhaps"}, "stream"),
        ({"question": "x"}, "question"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "tools.0.vector_store_ids"),
        ({"tools": [{"type": "file_search"}]}, "tools.0.vector_store_ids"),
        ({"metadata": {"k": 1}}, "metadata.k"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_wrong_body_is_a_400_before_any_event(
    footnote: Footnote, house: str, body: dict[str, Any], param: str, stream: bool
) -> None:
    """Whether streamed or not, a mistake is told by a status and names the field."""
    reply = ask(footnote, house, **{"stream": stream} | body)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


def test_a_body_without_the_json_header_is_told_so(footnote: Footnote) -> None:
    """`curl -d` sends a form's header when none is given."""
    error = footnote.client.post("/v1/responses", content=b'{"input": "x"}').json()["error"]
    assert error["code"] == "invalid_content_type"
    assert "application/json" in error["message"]


def test_an_unknown_model_or_store_is_a_404_that_names_it(footnote: Footnote, house: str) -> None:
    """Before a stream begins, too."""
    for stream in (False, True):
        reply = ask(footnote, house, model="gpt-none", stream=stream)
        assert (reply.status_code, reply.json()["error"]["param"]) == (404, "model")
        reply = ask(footnote, "vs_none", stream=stream)
        assert (reply.status_code, reply.json()["error"]["param"]) == (404, "vector_store_id")
    assert footnote.client.get("/v1/responses/resp_none").status_code == 404


def test_a_question_of_the_longest_allowed_length_is_answered(footnote: Footnote, house: str) -> None:
    """The limit is inclusive, and one character more is refused with both numbers."""
    limit = footnote.settings.max_question_chars
    longest = (QUESTION + " word" * limit)[:limit]
    assert footnote.respond(longest, house)["status"] == "completed"
    reply = ask(footnote, house, input=longest + "x")
    assert reply.status_code == 400
    assert f"{limit:,}" in reply.json()["error"]["message"]


def test_an_answer_record_explains_the_answer(footnote: Footnote, house: str) -> None:
    """The catalog keeps question, prompt, candidates and index version of every stored answer."""
    from catalog import answers
    from catalog.models import DEFAULT_PROJECT

    response = footnote.respond(QUESTION, house)
    with footnote.services.catalog.database.read() as session:
        record = answers.get(session, DEFAULT_PROJECT, response["id"])
    assert (record.question, record.outcome) == (QUESTION, "answered")
    assert record.prompt["sha256"]
    assert record.trace["candidates"]
    assert record.index_version > 0

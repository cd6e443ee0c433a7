"""/v1/conversations, and responses in them."""

import json
import threading
from typing import Any

import pytest

from tests.integration.conftest import HOUSE, Footnote

QUESTION = "Who installed the boiler in the cellar?"
RESULTS = "file_search_call.results"


@pytest.fixture(scope="module")
def house(footnote: Footnote) -> str:
    store = footnote.store(name="house of talks")
    footnote.add(store, HOUSE)
    return store


def a_message(text: str = "Hello.", role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def create(footnote: Footnote, *items: Any, **body: Any) -> str:
    reply = footnote.client.post("/v1/conversations", json={"items": list(items), **body})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def items_of(footnote: Footnote, conversation: str, **params: Any) -> list[dict[str, Any]]:
    return list(footnote.get(f"/v1/conversations/{conversation}/items", **{"order": "asc"} | params)["data"])


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [item["content"][0]["text"] for item in items if item["type"] == "message"]


def test_a_conversation_is_made_read_changed_and_deleted(footnote: Footnote) -> None:
    """With OpenAI's objects; after the deletion it is a 404."""
    made = footnote.client.post("/v1/conversations", json={"metadata": {"topic": "house"}}).json()
    path = f"/v1/conversations/{made['id']}"
    assert made == {
        "id": made["id"],
        "object": "conversation",
        "created_at": made["created_at"],
        "metadata": {"topic": "house"},
    }
    assert made["id"].startswith("conv_")
    assert footnote.get(path) == made
    changed = footnote.client.post(path, json={"metadata": {"topic": "garden"}}).json()
    assert changed == footnote.get(path) == {**made, "metadata": {"topic": "garden"}}
    gone = footnote.client.delete(path).json()
    assert gone == {"id": made["id"], "object": "conversation.deleted", "deleted": True}
    for reply in (
        footnote.client.get(path),
        footnote.client.post(path, json={"metadata": {}}),
        footnote.client.delete(path),
        footnote.client.get(f"{path}/items"),
        footnote.client.post(f"{path}/items", json={"items": [a_message()]}),
    ):
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found")


def test_items_are_added_listed_read_and_deleted(footnote: Footnote) -> None:
    """In order, with ids of their own, in pages."""
    conversation = create(footnote, a_message("one"))
    path = f"/v1/conversations/{conversation}"
    reply = footnote.client.post(f"{path}/items", json={"items": [a_message("two"), a_message("three", "developer")]})
    added = reply.json()
    assert [item["id"] for item in added["data"]] == [added["first_id"], added["last_id"]]
    assert (added["object"], added["has_more"]) == ("list", False)
    items = items_of(footnote, conversation)
    assert (texts(items), items[1:]) == (["one", "two", "three"], added["data"])
    page = footnote.get(f"{path}/items", limit=2)
    assert (texts(page["data"]), page["has_more"]) == (["three", "two"], True)
    assert texts(footnote.get(f"{path}/items", limit=2, after=page["last_id"])["data"]) == ["one"]
    one = f"{path}/items/{items[0]['id']}"
    assert footnote.get(one) == items[0]
    assert footnote.client.delete(one).json() == footnote.get(path)
    assert (footnote.client.get(one).status_code, footnote.client.delete(one).status_code) == (404, 404)
    assert texts(items_of(footnote, conversation)) == ["two", "three"]


def test_items_of_an_answer_keep_their_content(footnote: Footnote, house: str) -> None:
    """Sent into another conversation they get other ids, and their results are shown where they are asked for."""
    response = footnote.respond(QUESTION, house, include=[RESULTS])
    conversation = create(footnote, *response["output"])
    call, message = items_of(footnote, conversation, **{"include[]": RESULTS})
    assert message == {**response["output"][1], "id": message["id"]}
    assert call == {**response["output"][0], "id": call["id"]}
    assert message["id"] != response["output"][1]["id"]
    assert items_of(footnote, conversation)[0]["results"] is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": []}, "items"),
        ({"items": [a_message()] * 21}, "items"),
        ({}, "items"),
        ({"items": [a_message()], "metadata": {}}, "metadata"),
        ({"items": "x"}, "items"),
        ({"items": [{"type": "message", "role": "user"}]}, "items.0.content"),
        ({"items": [{"type": "function_call", "name": "f", "arguments": "", "call_id": "c"}]}, "input"),
        ({"items": [{**a_message(), "colour": "red"}]}, "items.0.colour"),
        ({"items": [a_message("half a character: \ud800")]}, None),
    ],
)
def test_wrong_items_are_a_400_and_nothing_is_added(
    footnote: Footnote, body: dict[str, Any], param: str | None
) -> None:
    """The field is named; the good items of the request are not added either."""
    conversation = create(footnote)
    text, headers = json.dumps(body), {"content-type": "application/json"}
    reply = footnote.client.post(f"/v1/conversations/{conversation}/items", content=text, headers=headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert items_of(footnote, conversation) == []


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"k": 1}},
        {"metadata": {"k" * 65: "v"}},
        {"metadata": {str(n): "v" for n in range(17)}},
        {"items": [a_message()] * 21},
        {"name": "x"},
    ],
)
def test_a_wrong_conversation_is_not_made(footnote: Footnote, body: dict[str, Any]) -> None:
    """OpenAI's limits, and no field that is not known."""
    assert footnote.client.post("/v1/conversations", json=body).status_code == 400


def test_a_response_carries_on_and_is_added(footnote: Footnote, house: str) -> None:
    """What was said before is its context; what it was asked, and what it answered, comes behind it."""
    conversation = create(footnote, a_message("Who installed the boiler?"))
    response = footnote.respond("And in which autumn?", house, conversation=conversation)
    assert response["conversation"] == {"id": conversation}
    assert response["output"][0]["queries"][1] == "Who installed the boiler?\nAnd in which autumn?"
    items = items_of(footnote, conversation)
    assert [item["type"] for item in items] == ["message", "message", "file_search_call", "message"]
    assert items[2:] == response["output"]
    assert items[1]["id"] == footnote.get(f"/v1/responses/{response['id']}/input_items")["data"][0]["id"]
    footnote.respond("What guarantee has the roof?", house, conversation={"id": conversation}, stream=False)
    assert len(items_of(footnote, conversation)) == 7


def test_a_conversation_whose_last_word_is_the_users_needs_no_input(footnote: Footnote, house: str) -> None:
    """The question is there already; once it is answered, there is none."""
    conversation = create(footnote, a_message(QUESTION))
    tools = [{"type": "file_search", "vector_store_ids": [house]}]
    body = {"model": "footnote", "conversation": conversation, "tools": tools}
    first = footnote.client.post("/v1/responses", json=body)
    assert first.json()["outcome"] == "answered"
    assert texts(items_of(footnote, conversation))[0] == QUESTION
    assert footnote.client.post("/v1/responses", json=body).status_code == 400


def test_what_is_not_stored_is_in_the_conversation_alone(footnote: Footnote, house: str) -> None:
    """`store` is about the response."""
    conversation = create(footnote)
    tools = [{"type": "file_search", "vector_store_ids": [house]}]
    body = {"input": QUESTION, "tools": tools, "conversation": conversation, "store": False}
    response = footnote.client.post("/v1/responses", json=body).json()
    assert footnote.client.get(f"/v1/responses/{response['id']}").status_code == 404
    assert items_of(footnote, conversation)[1:] == response["output"]


def test_a_conversation_that_is_not_there_is_told_before_any_answer(footnote: Footnote, house: str) -> None:
    """404 for an unknown one, 400 for two states at once or a wrong form; streamed or not."""
    for stream in (False, True):
        body = {"input": QUESTION, "stream": stream}

        def status(body: dict[str, Any] = body, **fields: Any) -> int:
            return footnote.client.post("/v1/responses", json={**body, **fields}).status_code

        assert status(conversation="conv_none") == status(conversation={"id": "conv_none"}) == 404
        assert status(conversation=create(footnote), previous_response_id="resp_1") == 400
        assert status(conversation=5) == status(conversation={"name": "x"}) == 400


def test_two_responses_at_once_lose_nothing(footnote: Footnote, house: str) -> None:
    """Each adds its items as one block, and every id is there once."""
    conversation = create(footnote)
    questions = [f"{QUESTION} {number}" for number in range(8)]
    threads = [
        threading.Thread(target=footnote.respond, args=(question, house), kwargs={"conversation": conversation})
        for question in questions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = items_of(footnote, conversation, limit=100)
    assert [item["type"] for item in items] == ["message", "file_search_call", "message"] * 8
    assert sorted(texts(items)[::2]) == questions
    assert len({item["id"] for item in items}) == 24


def test_a_deleted_file_takes_its_words_out_of_conversations(fresh: Footnote) -> None:
    """At once, also those that a client sent back into another one; what people asked stays."""
    store = fresh.store()
    file = fresh.add(store)
    conversation = create(fresh)
    response = fresh.respond(QUESTION, store, conversation=conversation)
    copied = create(fresh, a_message("Look:"), response["output"][1])
    assert "Brandt Heating" in fresh.client.get(f"/v1/conversations/{copied}/items").text
    fresh.client.delete(f"/v1/files/{file}")
    assert texts(items_of(fresh, conversation)) == [QUESTION]
    assert texts(items_of(fresh, copied)) == ["Look:"]
    answer = response["output"][1]["id"]
    assert fresh.client.get(f"/v1/conversations/{conversation}/items/{answer}").status_code == 404


def test_deleting_a_conversation_leaves_its_responses(footnote: Footnote, house: str) -> None:
    """They are kept on their own."""
    conversation = create(footnote)
    response = footnote.respond(QUESTION, house, conversation=conversation)
    footnote.client.delete(f"/v1/conversations/{conversation}")
    assert footnote.get(f"/v1/responses/{response['id']}") == response

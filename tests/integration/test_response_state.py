"""Responses that carry on: previous_response_id and input items."""

from typing import Any

import pytest

from catalog.ids import MESSAGE
from tests.integration.conftest import HOUSE, Footnote

QUESTION = "Who installed the boiler in the cellar?"
RESULTS = "file_search_call.results"


@pytest.fixture(scope="module")
def house(footnote: Footnote) -> str:
    store = footnote.store(name="house of state")
    footnote.add(store, HOUSE)
    return store


def input_items(footnote: Footnote, response: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    return list(footnote.get(f"/v1/responses/{response['id']}/input_items", **{"order": "asc"} | params)["data"])


def texts(items: list[dict[str, Any]]) -> list[str]:
    return [item["content"][0]["text"] for item in items if item["type"] == "message"]


def error_of(footnote: Footnote, **body: Any) -> tuple[int, str | None, str | None]:
    reply = footnote.client.post("/v1/responses", json={"input": QUESTION, **body})
    error = reply.json()["error"]
    return reply.status_code, error["param"], error["code"]


def test_the_input_of_an_answer_can_be_listed(footnote: Footnote, house: str) -> None:
    """As items with ids, newest first, in pages."""
    items = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    response = footnote.respond(items, house)
    path = f"/v1/responses/{response['id']}/input_items"
    page = footnote.get(path)
    asked, told = page["data"]
    assert asked == {
        "type": "message",
        "id": asked["id"],
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": QUESTION}],
    }
    assert asked["id"].startswith(MESSAGE)
    assert (page["object"], page["first_id"], page["last_id"]) == ("list", asked["id"], told["id"])
    first = footnote.get(path, limit=1, order="asc")
    assert (first["data"], first["has_more"]) == ([told], True)
    rest = footnote.get(path, limit=1, order="asc", after=first["last_id"])
    assert (rest["data"], rest["has_more"]) == ([asked], False)


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "msg_none"}])
def test_a_wrong_page_of_input_items_is_a_400(footnote: Footnote, house: str, params: dict[str, Any]) -> None:
    """The parameter is named."""
    response = footnote.respond(QUESTION, house)
    reply = footnote.client.get(f"/v1/responses/{response['id']}/input_items", params=params)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, next(iter(params)))


def test_the_input_of_no_answer_is_a_404(footnote: Footnote) -> None:
    """As the answer itself is."""
    assert footnote.client.get("/v1/responses/resp_none/input_items").status_code == 404


def test_an_answer_carries_on_from_another(footnote: Footnote, house: str) -> None:
    """Its input is everything before: what was asked, and what was answered, down to the first."""
    first = footnote.respond(QUESTION, house)
    second = footnote.respond("What guarantee has the roof?", house, previous_response_id=first["id"])
    third = footnote.respond("And the garden?", house, previous_response_id=second["id"])
    assert (second["previous_response_id"], third["previous_response_id"]) == (first["id"], second["id"])
    items = input_items(footnote, third)
    answers = [one["output"][1]["content"][0]["text"] for one in (first, second)]
    assert texts(items) == [QUESTION, answers[0], "What guarantee has the roof?", answers[1], "And the garden?"]
    assert [item["type"] for item in items].count("file_search_call") == 2
    assert len({item["id"] for item in items}) == len(items)


def test_results_in_the_input_are_shown_where_they_are_asked_for(footnote: Footnote, house: str) -> None:
    """As those of the answer itself."""
    second = footnote.respond("And?", house, previous_response_id=footnote.respond(QUESTION, house)["id"])

    def results(**params: Any) -> Any:
        (call,) = [one for one in input_items(footnote, second, **params) if one["type"] == "file_search_call"]
        return call["results"]

    assert results() is None
    assert "Brandt Heating" in results(**{"include[]": RESULTS})[0]["text"]


def test_a_short_question_is_read_behind_the_one_before(footnote: Footnote, house: str) -> None:
    """One content word says too little alone; a whole question is searched as it is."""
    first = footnote.respond("Who installed the boiler?", house)
    short = footnote.respond("And in which autumn?", house, previous_response_id=first["id"])
    whole = footnote.respond("What guarantee has the slate roof?", house, previous_response_id=first["id"])
    assert short["output"][0]["queries"] == ["And in which autumn?", "Who installed the boiler?\nAnd in which autumn?"]
    assert "2011" in short["output"][1]["content"][0]["text"]
    assert whole["output"][0]["queries"] == ["What guarantee has the slate roof?"]


def test_instructions_are_not_inherited(footnote: Footnote, house: str) -> None:
    """As at OpenAI, each request brings its own."""
    first = footnote.respond(QUESTION, house, instructions="Be brief.")
    second = footnote.respond(QUESTION, house, previous_response_id=first["id"])
    assert (first["instructions"], second["instructions"]) == ("Be brief.", None)


def test_what_was_not_kept_cannot_be_carried_on(footnote: Footnote, house: str) -> None:
    """Unknown, never stored or deleted: the same error with OpenAI's code."""
    unstored = footnote.client.post("/v1/responses", json={"input": QUESTION, "store": False}).json()
    deleted = footnote.respond(QUESTION, house)
    footnote.client.delete(f"/v1/responses/{deleted['id']}")
    for response_id in ("resp_none", unstored["id"], deleted["id"], "conv_none", "x" * 10_000):
        found = error_of(footnote, previous_response_id=response_id)
        assert found == (400, "previous_response_id", "previous_response_not_found")


def test_a_chain_ends_where_an_answer_was_deleted(footnote: Footnote, house: str) -> None:
    """What came before is not part of the input any more; the later answers stay."""
    first = footnote.respond(QUESTION, house)
    second = footnote.respond("What guarantee has the roof?", house, previous_response_id=first["id"])
    third = footnote.respond("And the garden?", house, previous_response_id=second["id"])
    footnote.client.delete(f"/v1/responses/{first['id']}")
    assert texts(input_items(footnote, third))[0] == "What guarantee has the roof?"
    footnote.client.delete(f"/v1/responses/{second['id']}")
    assert texts(input_items(footnote, third)) == ["And the garden?"]


def test_a_deleted_file_takes_its_words_out_of_every_input(fresh: Footnote) -> None:
    """Also out of answers that carry on, and of those to which a client sent the quote back itself."""
    kept, gone = fresh.store(), fresh.store()
    fresh.add(kept, "The garden lies to the south of the house.", "garden.txt")
    file = fresh.add(gone, HOUSE)
    first = fresh.respond(QUESTION, gone)
    second = fresh.respond("Where does the garden lie?", kept, previous_response_id=first["id"])
    sent_back = fresh.respond(
        [{"role": "user", "content": QUESTION}, *first["output"], {"role": "user", "content": "Where is the garden?"}],
        kept,
    )
    assert "Brandt Heating" in fresh.client.get(f"/v1/responses/{second['id']}/input_items").text
    fresh.client.delete(f"/v1/files/{file}")
    assert error_of(fresh, previous_response_id=first["id"])[0] == 400
    assert texts(input_items(fresh, second)) == ["Where does the garden lie?"]
    for path in (f"/v1/responses/{sent_back['id']}", f"/v1/responses/{sent_back['id']}/input_items"):
        assert fresh.client.get(path).status_code == 404


def test_an_answer_and_its_items_can_be_sent_back_as_they_came(footnote: Footnote, house: str) -> None:
    """The way of clients that keep the state themselves: output becomes input."""
    first = footnote.respond(QUESTION, house, include=[RESULTS])
    history = [{"role": "user", "content": QUESTION}, *first["output"]]
    second = footnote.respond([*history, {"role": "user", "content": "What guarantee has the roof?"}], house)
    assert "forty years" in second["output"][1]["content"][0]["text"]
    items = input_items(footnote, second, include=RESULTS)
    assert items[1] == {**first["output"][0], "id": items[1]["id"]}
    assert items[2]["content"] == first["output"][1]["content"]

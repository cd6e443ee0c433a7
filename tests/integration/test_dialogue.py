"""Conversations with a language model, and searches in steps, over the API."""

from typing import Any

import pytest

from tests.integration.conftest import HOUSE, StartFootnote
from tests.unit.generation.scripted import ScriptedModel

BOILER = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011."
GARDEN = "The garden lies to the south of the house."


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    """Return the language model that applications of this test answer with."""
    model = ScriptedModel(source_tokens=2000)
    monkeypatch.setattr("api.wiring.open_generator", lambda *_, **__: model)
    return model


def queries_of(response: dict[str, Any]) -> list[str]:
    return list(response["output"][0]["queries"])


def test_a_follow_up_is_rewritten_and_answered_with_the_conversation(
    start: StartFootnote, model: ScriptedModel
) -> None:
    """Over a response that carries on and over a chat; what is searched for is told."""
    model.replies = [f"{BOILER} [1]", "When was the boiler installed?", f"{BOILER} [1]"] * 2
    with start() as footnote:
        store = footnote.store()
        footnote.add(store)
        first = footnote.respond("Who installed the boiler?", store)
        second = footnote.respond("And when?", store, previous_response_id=first["id"])
        assert queries_of(second) == ["And when?", "When was the boiler installed?"]
        assert second["outcome"] == "answered"
        assert f"User: Who installed the boiler?\nAssistant: {BOILER}" in model.asked()[2]
        said = [("user", "Who installed the boiler?"), ("assistant", BOILER), ("user", "And when?")]
        body = {"model": "footnote", "messages": [{"role": role, "content": content} for role, content in said]}
        model.replies.pop(0)
        reply = footnote.client.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200, reply.text
        assert model.asked()[3].endswith("Last question: And when?")
        assert model.asked()[4].endswith("Question: When was the boiler installed?")


def test_words_of_a_conversation_go_with_the_file_that_they_are_from(
    start: StartFootnote, model: ScriptedModel
) -> None:
    """A model that had an answer before it may have repeated it: its own answer goes with that answer's file too."""
    model.replies = [f"{BOILER} [1]", "Where does the garden lie?", f"{GARDEN} [1]", f"{GARDEN} [1]"]
    with start() as footnote:
        kept, gone = footnote.store(), footnote.store()
        footnote.add(kept, GARDEN, "garden.txt")
        file = footnote.add(gone, HOUSE)
        first = footnote.respond("Who installed the boiler?", gone)
        second = footnote.respond("And where does the garden lie?", kept, previous_response_id=first["id"])
        alone = footnote.respond("Where does the garden lie?", kept)
        footnote.client.delete(f"/v1/files/{file}")
        found = [footnote.client.get(f"/v1/responses/{one['id']}").status_code for one in (first, second, alone)]
        assert found == [404, 404, 200]


def test_files_that_a_client_makes_up_do_not_delete_its_answer(start: StartFootnote, model: ScriptedModel) -> None:
    """Only files that there are can go."""
    model.replies = ["Where does the garden lie?", f"{GARDEN} [1]"]
    note = {"type": "file_citation", "index": 0, "file_id": "file-none", "filename": "a.txt"}
    part = {"type": "output_text", "text": "Brandt.", "annotations": [note]}
    with start() as footnote:
        store = footnote.store()
        footnote.add(store, GARDEN, "garden.txt")
        said = [
            {"role": "user", "content": "Who installed the boiler?"},
            {"type": "message", "role": "assistant", "content": [part]},
            {"role": "user", "content": "And where does the garden lie?"},
        ]
        response = footnote.respond(said, store)
        assert footnote.get(f"/v1/responses/{response['id']}")["outcome"] == "answered"


def test_a_question_of_several_parts_is_searched_in_steps(start: StartFootnote) -> None:
    """By the request's max_steps, or by the setting; more than four are refused."""
    question = "Which telephone number has the firm that installed the boiler?"
    with start(search_steps=2) as footnote:
        store = footnote.store()
        footnote.add(store)
        footnote.add(store, "Offices\nBrandt Heating can be reached under 555 0199.", "phone.txt")

        def ask(**options: Any) -> Any:
            tools = [{"type": "file_search", "vector_store_ids": [store], **options}]
            body = {"input": question, "tools": tools}
            return footnote.client.post("/v1/responses", json=body)

        assert queries_of(ask(max_steps=1).json()) == [question]
        by_setting = queries_of(ask().json())
        assert (len(by_setting), "Brandt Heating" in by_setting[1]) == (2, True)
        assert len(queries_of(ask(max_steps=3).json())) > 1
        assert ask(max_steps=5).status_code == 400

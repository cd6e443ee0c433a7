"""The setting store_answers: a server that keeps no answer, and says so."""

import json
from typing import Any

import pytest

from catalog import expiry
from tests.integration.conftest import Footnote, StartFootnote

QUESTION = "Who installed the boiler in the cellar?"


def refused(footnote: Footnote, path: str = "/v1/responses", **body: Any) -> tuple[int, str, str]:
    reply = footnote.client.post(path, json={"input": QUESTION, **body})
    error = reply.json()["error"]
    assert "store_answers" in error["message"]
    return reply.status_code, error["code"], error["param"]


@pytest.mark.parametrize("body", [{}, {"store": True}, {"stream": True}])
def test_answers_are_given_and_not_kept(start: StartFootnote, body: dict[str, Any]) -> None:
    """The response says `store: false`, whatever was asked for, and is not there afterwards."""
    with start(store_answers=False) as footnote:
        footnote.add(footnote.store())
        reply = footnote.client.post("/v1/responses", json={"input": QUESTION, **body})
        text = reply.text.strip().rsplit("data: ", 1)[1] if body.get("stream") else reply.text
        found = json.loads(text)
        response = found.get("response", found)
        assert (response["store"], response["answer_record_id"]) == (False, None)
        assert "Brandt" in response["output"][1]["content"][0]["text"]
        assert footnote.client.get(f"/v1/responses/{response['id']}").status_code == 404


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens"])
def test_what_carries_on_is_refused(start: StartFootnote, path: str) -> None:
    """With the setting's name in the message: an answer, a conversation, and one that is fetched later."""
    with start(store_answers=False) as footnote:
        talk = footnote.client.post("/v1/conversations", json={}).json()["id"]
        carried_on = refused(footnote, path, previous_response_id="resp_1")
        assert carried_on == (400, "previous_response_not_found", "previous_response_id")
        assert refused(footnote, path, conversation=talk) == (400, "invalid_request", "conversation")
        if path == "/v1/responses":
            assert refused(footnote, path, background=True) == (400, "invalid_request", "background")


def test_what_was_kept_before_goes_with_the_next_sweep(start: StartFootnote) -> None:
    """Conversations stay: they are what clients put there."""
    with start() as footnote:
        footnote.add(footnote.store())
        made = footnote.respond(QUESTION)["id"]
        talk = footnote.client.post(
            "/v1/conversations", json={"items": [{"role": "user", "content": "Hello."}]}
        ).json()["id"]
    with start(store_answers=False) as footnote:
        catalog = footnote.services.catalog
        assert expiry.remove_expired(catalog.database, catalog.blobs, footnote.worker._retention) == 1
        assert footnote.client.get(f"/v1/responses/{made}").status_code == 404
        assert len(footnote.get(f"/v1/conversations/{talk}/items")["data"]) == 1


def test_the_sweep_of_a_worker_knows_for_how_long(start: StartFootnote) -> None:
    """The settings reach it."""
    with start(answer_retention_days=2.5) as footnote:
        assert footnote.worker._retention == expiry.Retention(days=2.5, keeps_answers=True)

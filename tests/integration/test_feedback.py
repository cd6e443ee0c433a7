"""POST and GET /v1/responses/{id}/feedback."""

from typing import Any

import pytest

from tests.integration.callers import bearer, make_key, mint
from tests.integration.conftest import Footnote, StartFootnote

QUESTION = "Who installed the boiler in the cellar?"


@pytest.fixture(scope="module")
def answer(footnote: Footnote) -> str:
    """Return the id of an answer."""
    store = footnote.store(name="house of feedback")
    footnote.add(store)
    return str(footnote.respond(QUESTION, store)["id"])


def give(footnote: Footnote, response_id: str, header: Any = None, **body: Any) -> Any:
    return footnote.client.post(f"/v1/responses/{response_id}/feedback", headers=header, json=body)


def said(footnote: Footnote, response_id: str, header: Any = None) -> list[tuple[str, str | None]]:
    reply = footnote.client.get(f"/v1/responses/{response_id}/feedback", headers=header)
    assert reply.status_code == 200, reply.text
    return [(one["rating"], one["text"]) for one in reply.json()["data"]]


def test_feedback_is_returned_and_listed(footnote: Footnote, answer: str) -> None:
    """As it was given, blank words as none; given again it replaces what was there."""
    whole = {"rating": "down", "text": " Not he. ", "expected_answer": "Brandt", "expected_quote": "by Brandt Heating"}
    reply = give(footnote, answer, **whole)
    assert reply.status_code == 200, reply.text
    given = reply.json()
    expected = {**whole, "text": "Not he.", "object": "response.feedback", "response_id": answer}
    assert given == expected | {"created_at": given["created_at"]}
    assert give(footnote, answer, rating="up", text="  ").status_code == 200
    page = footnote.get(f"/v1/responses/{answer}/feedback")
    assert (page["object"], page["has_more"], len(page["data"])) == ("list", False, 1)
    assert said(footnote, answer) == [("up", None)]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "rating"),
        ({"rating": "good"}, "rating"),
        ({"rating": "up", "text": "x" * 4001}, "text"),
        ({"rating": "up", "text": 3}, "text"),
        ({"rating": "up", "stars": 5}, "stars"),
    ],
)
def test_what_is_no_feedback_is_a_400(footnote: Footnote, answer: str, body: dict[str, Any], param: str) -> None:
    """The parameter is named."""
    reply = give(footnote, answer, **body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_half_a_character_is_a_400(footnote: Footnote, answer: str) -> None:
    """JSON can spell it, and no database holds it."""
    body = b'{"rating": "up", "text": "\\ud800"}'
    path, header = f"/v1/responses/{answer}/feedback", {"content-type": "application/json"}
    assert footnote.client.post(path, content=body, headers=header).status_code == 400


def test_there_is_no_feedback_without_an_answer(footnote: Footnote, answer: str) -> None:
    """Unknown, not stored, deleted, or gone with its file: 404 for giving and listing."""
    unstored = footnote.client.post("/v1/responses", json={"input": QUESTION, "store": False}).json()["id"]
    store = footnote.store()
    file = footnote.add(store)
    deleted, orphan = (footnote.respond(QUESTION, store)["id"] for _ in range(2))
    for response_id in (deleted, orphan):
        assert give(footnote, response_id, rating="down").status_code == 200
    footnote.client.delete(f"/v1/responses/{deleted}")
    footnote.client.delete(f"/v1/files/{file}")
    for response_id in ("resp_none", unstored, deleted, orphan):
        assert give(footnote, response_id, rating="up").status_code == 404
        assert footnote.client.get(f"/v1/responses/{response_id}/feedback").status_code == 404


def test_each_key_of_a_project_has_its_say_and_no_other_projects_has_any(start: StartFootnote) -> None:
    """One feedback for each key that sees the answer; for another tenant the answer does not exist."""
    with start() as footnote:
        one, two, foreign = (make_key(footnote, project)[1] for project in ("proj_a", "proj_a", "proj_b"))
        made = footnote.client.post("/v1/responses", headers=one, json={"input": QUESTION}).json()["id"]
        for header, rating in ((one, "down"), (two, "down"), (one, "up")):
            assert give(footnote, made, header, rating=rating).status_code == 200
        assert sorted(said(footnote, made, two)) == [("down", None), ("up", None)]
        assert give(footnote, made, foreign, rating="up").status_code == 404
        assert footnote.client.get(f"/v1/responses/{made}/feedback", headers=foreign).status_code == 404


def test_a_visitor_rates_its_own_answers_alone(start: StartFootnote) -> None:
    """Who may ask may say what it thinks of the answer; neither another visitor nor the portal's key sees it."""
    with start() as footnote:
        _, admin = make_key(footnote)
        eva, ben = mint(footnote, admin, subject="eva"), mint(footnote, admin, subject="ben")
        made = footnote.client.post("/v1/responses", headers=eva, json={"input": QUESTION}).json()["id"]
        assert give(footnote, made, eva, rating="up").status_code == 200
        assert give(footnote, made, ben, rating="down").status_code == 404
        assert give(footnote, made, admin, rating="down").status_code == 404
        assert said(footnote, made, eva) == [("up", None)]
        assert give(footnote, made, bearer("fn-none"), rating="up").status_code == 401

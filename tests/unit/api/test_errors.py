"""Errors become OpenAI's error object with the right status."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, HTTPException
from pydantic import Field
from starlette.testclient import TestClient

from api.errors import add_error_handlers, error_body, error_response, status_of
from api.middleware import RequestId
from api.wire.common import WireModel
from catalog import errors


class Body(WireModel):
    name: Annotated[str, Field(max_length=10)]
    count: int = 0
    inner: dict[str, list[int]] = Field(default_factory=dict)


@pytest.fixture
def client() -> TestClient:
    """Return a client of an application with one route that takes a body and one per error."""
    app = FastAPI()

    @app.post("/body")
    def take(body: Body) -> dict[str, Any]:
        return body.model_dump()

    @app.get("/raise/{name}")
    def fail(name: str) -> None:
        raise (ZeroDivisionError("secret detail") if name == "fault" else getattr(errors, name)("What went wrong."))

    @app.post("/upload")
    def upload() -> None:
        raise HTTPException(400, "There was an error parsing the body") from OSError(28, "No space left on device")

    add_error_handlers(app)
    app.add_middleware(RequestId)
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidRequest, 400),
        (errors.UnsupportedParameter, 400),
        (errors.RequestTooLarge, 413),
        (errors.InvalidFile, 400),
        (errors.UnsupportedFile, 400),
        (errors.ParseLimitExceeded, 400),
        (errors.Unauthorized, 401),
        (errors.Forbidden, 403),
        (errors.NotFound, 404),
        (errors.Conflict, 409),
        (errors.IndexIncompatible, 409),
        (errors.ServiceUnavailable, 503),
        (errors.LeaseLost, 500),
        (errors.ConfigurationError, 500),
        (errors.FootnoteError, 500),
    ],
)
def test_the_status_is_that_of_the_nearest_class(error: type[errors.FootnoteError], status: int) -> None:
    """A subclass without a status of its own has its parent's."""

    class Special(error):  # type: ignore[misc,valid-type]
        """A kind that nobody listed."""

    assert status_of(error()) == status
    assert status_of(Special()) == status


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.NotFound, None),
        (errors.Conflict, "false"),
        (errors.RequestTooLarge, "false"),
        (errors.ServiceUnavailable, "true"),
        (errors.FootnoteError, "false"),
    ],
)
def test_clients_are_told_whether_a_retry_can_help(error: type[errors.FootnoteError], expected: str | None) -> None:
    """The SDKs retry 409 and 5xx on their own unless the header forbids it."""
    assert error_response(error()).headers.get("x-should-retry") == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
def test_the_type_follows_from_the_status(status: int, kind: str) -> None:
    """As at OpenAI."""
    expected = {"error": {"message": "m", "type": kind, "param": "p", "code": "c"}}
    assert error_body("m", status=status, code="c", param="p") == expected


def test_a_stated_error_is_answered_with_its_own_words(client: TestClient) -> None:
    """Message, code and status are those of the exception."""
    reply = client.get("/raise/NotFound")
    expected = {"message": "What went wrong.", "type": "not_found_error", "param": None, "code": "not_found"}
    assert (reply.status_code, reply.json()["error"]) == (404, expected)


def test_a_fault_is_a_500_that_tells_nothing_but_where_to_look(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets a request id, and the log has the details under the same id."""
    reply = client.get("/raise/fault")
    assert reply.status_code == 500
    assert "secret detail" not in reply.text
    assert reply.headers["x-request-id"] in caplog.text
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    ("body", "code", "param", "words"),
    [
        ("{", "invalid_json", None, "not valid JSON"),
        ("{'a': 1}", "invalid_json", None, "not valid JSON"),
        ('{"name": "x", "nmae": 1}', "unknown_parameter", "nmae", "'nmae'"),
        ("{}", "missing", "name", "'name'"),
        ('{"name": 5}', "string_type", "name", "5"),
        ('{"name": "x", "count": "many"}', "int_parsing", "count", "'many'"),
        ('{"name": "x", "inner": {"a": [1, "b"]}}', "int_parsing", "inner.a.1", "'b'"),
        ('{"name": "01234567890"}', "string_too_long", "name", "10"),
        ('{"name": "\\ud800"}', "string_unicode", "name", "unicode"),
    ],
)
def test_a_malformed_body_is_a_400_that_names_the_place(
    client: TestClient, body: str, code: str, param: str | None, words: str
) -> None:
    """`param` is the path to the value, `code` the kind of mistake, and the message says both."""
    reply = client.post("/body", content=body, headers={"content-type": "application/json"})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, code, param)
    assert words in error["message"]


def test_a_long_wrong_value_is_shortened_in_the_message(client: TestClient) -> None:
    """An error never sends a large input back."""
    reply = client.post("/body", json={"name": "x" * 100_000})
    assert len(reply.json()["error"]["message"]) < 400
    assert "…" in reply.json()["error"]["message"]


def test_routing_errors_have_the_same_form(client: TestClient) -> None:
    """Unknown paths and wrong methods are told like every other error."""
    for method, path, status in (("GET", "/none", 404), ("GET", "/body", 405)):
        reply = client.request(method, path)
        assert reply.status_code == status
        assert f"{method} {path}" in reply.json()["error"]["message"]


def test_every_error_class_has_a_default_message_and_a_code() -> None:
    """The docstring is the message when a raiser gives none."""
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.FootnoteError):
            assert error().message
            assert error.code


def test_an_upload_that_the_disk_has_no_room_for_may_be_tried_again(client: TestClient) -> None:
    """FastAPI makes a 400 of it, as if the client had sent something wrong; the answer says what it was."""
    reply = client.post("/upload")
    assert (reply.status_code, reply.headers["x-should-retry"]) == (503, "true")
    assert "No space left on device" in reply.json()["error"]["message"]

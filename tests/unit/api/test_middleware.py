"""What holds for every request."""

from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from api.errors import add_error_handlers
from api.middleware import BodyLimit, RequestId

LIMIT = 1000
FILE_LIMIT = 5000
SLACK = 1 << 20


async def count(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


def limited() -> Any:
    app = FastAPI()
    app.add_api_route("/", count, methods=["POST"])
    add_error_handlers(app)
    app.add_middleware(BodyLimit, max_file_bytes=FILE_LIMIT, max_json_bytes=LIMIT)
    app.add_middleware(RequestId)
    return app


@pytest.fixture
def client() -> Iterator[TestClient]:
    with TestClient(limited(), base_url="http://127.0.0.1") as client:
        yield client


def send(pieces: list[bytes], headers: dict[str, str]) -> tuple[int, bytes, int]:
    """Drive the application as a server does, piece by piece; return status, body and the number of pieces read."""
    waiting = [*({"type": "http.request", "body": piece, "more_body": True} for piece in pieces[:-1])]
    waiting.append({"type": "http.request", "body": pieces[-1], "more_body": False})
    total = len(waiting)
    sent: list[Any] = []

    async def receive() -> Any:
        if not waiting:
            # A server has no more to give until the client leaves, which a patient client does not.
            await anyio.sleep_forever()
        return waiting.pop(0)

    async def collect(message: Any) -> None:
        sent.append(message)

    async def run() -> None:
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        with anyio.fail_after(5):
            await limited()(scope, receive, collect)

    anyio.run(run)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    return starts[0]["status"], b"".join(message.get("body", b"") for message in sent), total - len(waiting)


def test_a_body_at_the_limit_passes_and_one_byte_more_does_not(client: TestClient) -> None:
    """The announced length decides; the answer is a 413 in OpenAI's form."""
    assert client.post("/", content=b"x" * LIMIT).json() == {"bytes": LIMIT}
    reply = client.post("/", content=b"x" * (LIMIT + 1))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
    assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "pieces",
    [[b"x" * (LIMIT + 1)], [b"x" * LIMIT, b"x"], [b"x" * 100] * 11, [b"x" * 600, b"x" * 600, b""]],
    ids=["at once", "by the last piece", "bit by bit", "before the end"],
)
def test_a_body_that_announces_no_length_is_counted(pieces: list[bytes]) -> None:
    """A chunked body is refused when it passes the limit, wherever in it, and read to its end so that it is heard."""
    status, body, read = send(pieces, {"transfer-encoding": "chunked"})
    assert status == 413
    assert b"request_too_large" in body
    assert read == len(pieces)


def test_a_chunked_body_within_the_limit_passes() -> None:
    """Counting changes nothing for the others."""
    assert send([b"x" * 500, b"x" * 500], {})[:2] == (200, b'{"bytes":1000}')


def test_a_false_announcement_does_not_help() -> None:
    """A body that is longer than it claimed to be is counted all the same."""
    assert send([b"x" * 600, b"x" * 600], {"content-length": "10"})[0] == 413
    assert send([b"x" * 600, b"x" * 600], {"content-length": "-5"})[0] == 413


def test_uploads_have_the_limit_of_files(client: TestClient) -> None:
    """A multipart body may be as long as a file and what surrounds it; the message names the file's limit."""
    form = {"content-type": "multipart/form-data; boundary=b"}
    assert client.post("/", content=b"x" * (FILE_LIMIT + 1), headers=form).status_code == 200
    reply = client.post("/", content=b"x" * (FILE_LIMIT + SLACK + 1), headers=form)
    assert reply.status_code == 413
    assert f"{FILE_LIMIT:,} bytes" in reply.json()["error"]["message"]


def test_every_response_has_an_id_of_its_own_and_its_time(client: TestClient) -> None:
    """Refused requests, too."""
    replies = [client.post("/", content=b"x"), client.post("/", content=b"x" * 2000), client.get("/none")]
    ids = [reply.headers["x-request-id"] for reply in replies]
    assert len(set(ids)) == 3
    assert all(request_id.startswith("req_") for request_id in ids)
    assert all(int(reply.headers["openai-processing-ms"]) >= 0 for reply in replies)

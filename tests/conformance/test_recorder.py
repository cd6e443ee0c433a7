"""The recorder passes requests on, writes them down, and fails when it is asked to."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.conformance import exchanges
from tests.conformance.exchanges import Exchange
from tests.conformance.recorder import FAULT_HEADER, Recorder


async def _echo(request: Request) -> Response:
    if request.query_params.get("stream"):
        return StreamingResponse(iter(['data: {"n": 1}\n\n', "data: [DONE]\n\n"]), media_type="text/event-stream")
    if request.query_params.get("bytes"):
        return Response(b"\x00\x01", media_type="application/octet-stream")
    return JSONResponse({"length": len(await request.body())}, headers={"x-request-id": "req_1"})


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    config = uvicorn.Config(
        Starlette(routes=[Route("/v1/{path:path}", _echo, methods=["GET", "POST"])]), port=0, log_level="critical"
    )
    server = uvicorn.Server(config)
    sockets = [config.bind_socket()]
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    yield f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


class Recorded:
    """A recorder of its own for one test; what it wrote is there when its block has ended."""

    def __init__(self, upstream: str, log: Path) -> None:
        self._log = log
        self._recorder = Recorder(upstream, log)
        self.url = self._recorder.url("someone")

    def __enter__(self) -> "Recorded":
        self._recorder.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._recorder.__exit__()

    @property
    def exchanges(self) -> list[Exchange]:
        return list(exchanges.read(self._log))


@pytest.fixture
def recorded(upstream: str, tmp_path: Path) -> Recorded:
    return Recorded(upstream, tmp_path / "reports" / "exchanges.jsonl")


def test_a_request_and_its_reply_are_written_down(recorded: Recorded) -> None:
    """With the client's name, which is no part of the path upstream."""
    with recorded:
        reply = httpx.post(f"{recorded.url}/stores?limit=2&include[]=a&include[]=b", json={"name": "x"})
    assert (reply.json(), reply.headers["x-request-id"]) == ({"length": len(b'{"name":"x"}')}, "req_1")
    (one,) = recorded.exchanges
    assert (one.client, one.method, one.path, one.status) == ("someone", "POST", "/stores", 200)
    assert (one.query, one.body, one.reply) == ({"limit": "2", "include": ["a", "b"]}, {"name": "x"}, reply.json())


def test_forms_are_noted_by_their_fields(recorded: Recorded) -> None:
    """Brackets nest; of a file stay name and size."""
    fields = {"purpose": "assistants", "expires_after[seconds]": "3600"}
    with recorded:
        httpx.post(f"{recorded.url}/files", data=fields, files={"file": ("a.txt", b"text")})
    (one,) = recorded.exchanges
    assert one.body == {
        "purpose": "assistants",
        "expires_after": {"seconds": "3600"},
        "file": {"filename": "a.txt", "bytes": 4},
    }


def test_streams_and_bytes_pass_through(recorded: Recorded) -> None:
    """Of a stream the events are noted, of bytes nothing."""
    with recorded:
        assert httpx.get(f"{recorded.url}/answers?stream=1").text == 'data: {"n": 1}\n\ndata: [DONE]\n\n'
        assert httpx.get(f"{recorded.url}/files?bytes=1").content == b"\x00\x01"
    found = {one.path: one for one in recorded.exchanges}
    assert found["/answers"].events == [{"n": 1}, "[DONE]"]
    assert (found["/files"].reply, found["/files"].events) == (None, None)


def test_a_fault_is_met_as_often_as_it_says(recorded: Recorded) -> None:
    """The same id fails so many times and succeeds then; the faults are noted as such."""
    headers = {FAULT_HEADER: "one 500 2"}
    with recorded:
        assert [httpx.get(f"{recorded.url}/x", headers=headers).status_code for _ in range(3)] == [500, 500, 200]
        limited = httpx.get(f"{recorded.url}/x", headers={FAULT_HEADER: "two 429"})
    assert (limited.status_code, limited.headers["retry-after-ms"]) == (429, "10")
    assert sorted(str(one.fault) for one in recorded.exchanges) == ["429", "500", "500", "None"]


def test_a_connection_is_dropped_before_any_reply(recorded: Recorded) -> None:
    """The client sees neither status nor body."""
    with recorded, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{recorded.url}/x", headers={FAULT_HEADER: "drop drop"})


def test_a_stalled_reply_does_not_come(recorded: Recorded) -> None:
    """Until the client gives up."""
    with recorded, pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{recorded.url}/x", headers={FAULT_HEADER: "stall stall"}, timeout=0.2)

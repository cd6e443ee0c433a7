"""`kill -9` of the API while it writes background answers: none hangs, and each ends with its words."""

import http.client
import json
import random
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.e2e.conftest import Server, kill

KILLS = 2
ANSWERS = 6
ENDED = {"completed", "failed", "cancelled", "incomplete"}
FACT = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011."


def patiently(call: Any, *arguments: Any) -> Any:
    """Repeat a request that finds nobody listening."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return call(*arguments)
        except (URLError, OSError, http.client.HTTPException, ValueError):
            assert time.monotonic() < deadline, "the API does not come back"
            time.sleep(0.05)


@pytest.mark.parametrize("seed", [3])
def test_no_background_answer_hangs_when_the_api_is_killed(tmp_path: Path, seed: int) -> None:
    """What was answered with `queued` is written by the next process, once, with a stream that is whole."""
    dice = random.Random(seed)
    server = Server(tmp_path / "home", embedding_backend="hashing", workers=1, lease_s=2)
    try:
        store = with_a_fact(server)
        tools = [{"type": "file_search", "vector_store_ids": [store]}]
        conversation = server.post("/v1/conversations", {})["id"]
        queued: list[str] = []
        for _ in range(KILLS):
            for _ in range(ANSWERS):
                body = {"input": "Who installed the boiler in the cellar?", "tools": tools, "background": True}
                queued.append(server.post("/v1/responses", {**body, "conversation": conversation})["id"])
            time.sleep(dice.uniform(0, 0.1))
            kill(server.child("api"))
            patiently(server.get, "/healthz")
        for response_id in queued:
            done = wait_until_ended(server, response_id)
            assert (done["status"], FACT in done["output"][1]["content"][0]["text"]) == ("completed", True)
            check_stream(server, done)
        check_conversation(server, conversation, len(queued))
        assert server.stop() == 0
    finally:
        server.end()


def with_a_fact(server: Server) -> str:
    """Return a store that holds the fact, read by the worker."""
    from tests.crash.test_kill_api import upload

    file = upload(server.url.removeprefix("http://"), FACT.encode(), "house.txt")
    store = str(server.post("/v1/vector_stores", {"file_ids": [file]})["id"])
    deadline = time.monotonic() + 60
    while server.get(f"/v1/vector_stores/{store}")["file_counts"]["completed"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return store


def wait_until_ended(server: Server, response_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (now := patiently(server.get, f"/v1/responses/{response_id}"))["status"] not in ENDED:
        assert time.monotonic() < deadline, f"{response_id} hangs in {now['status']}"
        time.sleep(0.05)
    return dict(now)


def check_stream(server: Server, done: dict[str, Any]) -> None:
    """The events that are kept are one whole stream, whichever process wrote them."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    connection.request("GET", f"/v1/responses/{done['id']}?stream=true")
    text = connection.getresponse().read().decode()
    connection.close()
    events = [json.loads(block.split("data: ", 1)[1]) for block in text.strip().split("\n\n")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events].count("response.output_item.added") == 2
    assert (events[-1]["type"], events[-1]["response"]) == ("response.completed", done)


def check_conversation(server: Server, conversation: str, count: int) -> None:
    """Each answer is there once, its items together."""
    items = server.get(f"/v1/conversations/{conversation}/items?limit=100&order=asc")["data"]
    assert [item["type"] for item in items] == ["message", "file_search_call", "message"] * count
    assert len({item["id"] for item in items}) == 3 * count

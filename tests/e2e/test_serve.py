"""`footnote serve` and its processes: what dies is replaced, what is told to end ends, and no work is lost."""

import http.client
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import (
    STOP_TIMEOUT_S,
    Server,
    command_line,
    descendants,
    footnote,
    is_alive,
    kill,
    share_models,
    wait_until,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

# Takes the real embedder a minute.
LARGE = "\n\n".join(f"Paragraph {i} tells of pump {i % 97} and valve {i % 89} in hall {i % 13}." for i in range(6000))

StartServer = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path, model_cache: Path) -> Iterator[StartServer]:
    """Return what starts a server of the test's own, in the same state folder each time."""
    servers: list[Server] = []
    share_models(tmp_path / "home", model_cache)

    def start(**settings: Any) -> Server:
        servers.append(Server(tmp_path / "home", **{"embedding_backend": "hashing"} | settings))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


def add_text(server: Server, text: str, name: str = "a.txt") -> tuple[str, str]:
    """Upload a text into a new store without waiting; return the ids of store and file."""
    form = (
        '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--b\r\n'
        f'content-disposition: form-data; name="file"; filename="{name}"\r\n\r\n{text}\r\n--b--\r\n'
    )
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("POST", "/v1/files", form.encode(), {"content-type": "multipart/form-data; boundary=b"})
    file = str(json.loads(connection.getresponse().read())["id"])
    connection.close()
    return str(server.post("/v1/vector_stores", {"file_ids": [file]})["id"]), file


def state(server: Server, store: str, file: str) -> str:
    return str(server.get(f"/v1/vector_stores/{store}/files/{file}")["status"])


def wait_until_completed(server: Server, store: str, file: str, *, timeout_s: float = 60.0) -> None:
    wait_until(lambda: state(server, store, file) == "completed", timeout_s=timeout_s, what=f"{file} completed")


def wait_until_gone(pids: list[int], *, timeout_s: float) -> None:
    wait_until(lambda: not any(map(is_alive, pids)), timeout_s=timeout_s, what="the end of every process")


def test_the_serving_processes_never_load_torch(live_server: Server) -> None:
    """After an ingestion and a question, neither the API nor the worker has torch mapped."""
    store, file = add_text(live_server, "The tide gate was rebuilt in 1931.")
    wait_until_completed(live_server, store, file)
    tools = [{"type": "file_search", "vector_store_ids": [store]}]
    answer = live_server.post("/v1/responses", {"input": "When was the tide gate rebuilt?", "tools": tools})
    assert answer["outcome"] == "answered"
    for command in ("api", "worker"):
        mapped = Path(f"/proc/{live_server.child(command)}/maps").read_text()
        assert "openvino" in mapped
        assert "libtorch" not in mapped


def test_a_killed_api_process_is_restarted(serve: StartServer) -> None:
    """Shortly after `kill -9` the same address answers again, from another process."""
    server = serve()
    killed = server.child("api")
    kill(killed)
    wait_until(lambda: server.get("/healthz"), timeout_s=30, what="the new API process")
    assert server.child("api") != killed
    assert "The api process ended with status -9" in server.log
    assert server.stop() == 0


def test_a_killed_worker_process_is_restarted_and_its_job_done(serve: StartServer) -> None:
    """After `kill -9` of the worker a queued file is processed by its successor."""
    server = serve()
    killed = server.child("worker")
    kill(killed)
    store, file = add_text(server, "The tide gate was rebuilt in 1931.")
    wait_until_completed(server, store, file)
    assert server.child("worker") != killed
    assert server.stop() == 0


def test_metrics_are_those_of_all_processes(serve: StartServer) -> None:
    """The API tells what it searched, and what the worker, which gives way to it, embedded."""
    server = serve(worker_niceness=10)
    store, file = add_text(server, "The tide gate was rebuilt in 1931.")
    wait_until_completed(server, store, file)
    with httpx.Client(base_url=server.url) as client:
        client.post(f"/v1/vector_stores/{store}/search", json={"query": "tide gate"}).raise_for_status()
        told = client.get("/metrics").raise_for_status().text
    assert 'footnote_document_embeddings_total{cache="miss"} 1.0' in told
    assert "footnote_searches_total 1.0" in told
    niceness = {name: os.getpriority(os.PRIO_PROCESS, server.child(name)) for name in ("api", "worker")}
    assert niceness["worker"] == min(niceness["api"] + 10, 19)
    assert server.stop() == 0


def test_questions_are_answered_while_a_large_batch_is_ingested(live_server: Server) -> None:
    """During the ingestion no question fails, none waits long, and each sees the documents that are ready."""
    ready, file = add_text(live_server, "The tide gate was rebuilt in 1931.")
    wait_until_completed(live_server, ready, file)
    large, large_file = add_text(live_server, LARGE, "large.txt")
    tools = [{"type": "file_search", "vector_store_ids": [ready]}]
    asked, slowest = 0, 0.0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and state(live_server, large, large_file) == "in_progress":
        started = time.monotonic()
        answer = live_server.post("/v1/responses", {"input": "When was the tide gate rebuilt?", "tools": tools})
        slowest = max(slowest, time.monotonic() - started)
        assert answer["outcome"] == "answered"
        asked += 1
    assert asked >= 3, "the batch was too small to show anything"
    # Far beyond what an answer takes, and far below what the batch takes: no question waits for the batch's end.
    assert slowest < 5
    live_server.delete(f"/v1/files/{large_file}")


def test_sigterm_ends_every_process_and_loses_no_job(serve: StartServer) -> None:
    """In the midst of work the server ends in time with status 0; the next one finishes the job."""
    server = serve(embedding_backend="openvino")
    store, file = add_text(server, LARGE, "large.txt")
    wait_until(
        lambda: server.get(f"/v1/vector_stores/{store}/files/{file}")["progress"] > 0.15,
        timeout_s=150,
        what="the embedding's begin",
    )
    family = [server.pid, *descendants(server.pid)]
    started = time.monotonic()
    assert server.stop() == 0, server.log
    assert time.monotonic() - started < STOP_TIMEOUT_S / 2
    wait_until_gone(family, timeout_s=5)
    again = serve(embedding_backend="openvino")
    entry = again.get(f"/v1/vector_stores/{store}/files/{file}")
    assert entry["status"] in {"in_progress", "completed"}
    assert entry["last_error"] is None
    wait_until(
        lambda: again.get(f"/v1/vector_stores/{store}/files/{file}")["progress"] > 0.05,
        timeout_s=30,
        what="its resumption",
    )
    assert again.stop() == 0


def test_a_killed_supervisor_takes_its_children_along(serve: StartServer) -> None:
    """After `kill -9` of `footnote serve` no process of it goes on, and a new one starts on the same state."""
    server = serve()
    family = descendants(server.pid)
    assert len(family) >= 2
    kill(server.pid)
    server.process.wait(10)
    wait_until_gone(family, timeout_s=30)
    again = serve()
    assert again.get("/healthz") == {"status": "ok"}
    assert again.stop() == 0


def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    """The message names the address and the way out; the exit status is 2; nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = footnote("serve", home=tmp_path, port=port, embedding_backend="hashing")
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "FOOTNOTE_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_others_can_reach_needs_a_key(tmp_path: Path, host: str) -> None:
    """Without a key it refuses to start and says how to make one."""
    done = footnote("serve", home=tmp_path, port=0, host=host, embedding_backend="hashing")
    assert done.returncode == 2
    assert "footnote keys create" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_a_key_other_addresses_are_served_to_its_bearer_alone(serve: StartServer, tmp_path: Path) -> None:
    """0.0.0.0 starts once a key exists, and answers 401 without it."""
    made = footnote("keys", "create", "portal", home=tmp_path / "home")
    clear = made.stdout.split()[0]
    server = serve(host="0.0.0.0")
    url = server.url.replace("0.0.0.0", "127.0.0.1") + "/v1/files"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=10)
    assert caught.value.code == 401
    caught.value.close()
    with urllib.request.urlopen(
        urllib.request.Request(url, headers={"authorization": f"Bearer {clear}"}), timeout=10
    ) as reply:
        assert json.load(reply)["data"] == []
    assert server.stop() == 0


def test_the_children_run_under_the_supervisor(serve: StartServer) -> None:
    """`footnote serve` has one API process and as many workers as it was told to."""
    server = serve(workers=2)
    workers = [pid for pid in descendants(server.pid) if "\0worker\0" in command_line(pid)]
    assert len(workers) == 2
    assert server.child("api")
    assert server.stop() == 0


def test_ctrl_c_ends_it_like_sigterm(serve: StartServer) -> None:
    """SIGINT to the supervisor gives exit status 0 and leaves no process."""
    server = serve()
    family = [server.pid, *descendants(server.pid)]
    os.kill(server.pid, signal.SIGINT)
    assert server.process.wait(STOP_TIMEOUT_S) == 0
    wait_until_gone(family, timeout_s=5)

"""`kill -9` of the API in the midst of requests with an Idempotency-Key that are sent until they are answered."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import select

from api.settings import load_settings
from api.wiring import open_catalog
from catalog.models import File, VectorStore
from tests.e2e.conftest import Server, kill

CLIENTS = 4
KILLS = 6
# Short, so that a key is free soon after its process was killed.
LEASE_S = 0.5


@dataclass(kw_only=True)
class Told:
    """What the clients were told: an id by the name of each thing, or that the reply is lost."""

    made: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    seen: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> int:
        return len(self.made) + len(self.lost)


def send(host: str, name: str) -> http.client.HTTPResponse | None:
    """Ask for a file or a store of this name; None when no whole answer came."""
    if name.startswith("file"):
        path, kind = "/v1/files", "multipart/form-data; boundary=b"
        body = (
            '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--b\r\n'
            f'content-disposition: form-data; name="file"; filename="{name}"\r\n\r\n{name * 5000}\r\n--b--\r\n'
        )
    else:
        path, kind, body = "/v1/vector_stores", "application/json", json.dumps({"name": name})
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("POST", path, body, {"content-type": kind, "idempotency-key": name})
        reply = connection.getresponse()
        reply.msg["body"] = reply.read().decode()
        return reply
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def ask_until_answered(host: str, name: str, told: Told) -> None:
    while True:
        reply = send(host, name)
        if reply is None or reply.headers.get("x-should-retry") == "true":
            told.seen["no answer" if reply is None else f"{reply.status}, to be retried"] += 1
            time.sleep(0.05)
        elif reply.status == 200:
            told.seen["replayed" if reply.headers.get("idempotent-replayed") else "first reply"] += 1
            told.made[name] = json.loads(reply.msg["body"])["id"]
            return
        else:
            assert (reply.status, "was carried out" in reply.msg["body"]) == (409, True), reply.msg["body"]
            told.seen["reply lost"] += 1
            told.lost.add(name)
            return


def keep_asking(host: str, client: int, stop: threading.Event, told: Told) -> None:
    number = client
    while not stop.is_set():
        ask_until_answered(host, f"{'file' if number % 2 else 'store'} {number}", told)
        number += CLIENTS + 1


def test_whatever_is_killed_each_request_has_one_effect(tmp_path: Path) -> None:
    """Each file and store that was asked for is there once, under the id that its client was told."""
    dice = random.Random(11)
    home = tmp_path / "home"
    server = Server(home, embedding_backend="hashing", workers=0, lease_s=LEASE_S)
    host, stop, told = urlsplit(server.url).netloc, threading.Event(), Told()
    threads = [threading.Thread(target=keep_asking, args=(host, client, stop, told)) for client in range(CLIENTS)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            wait_until(told, told.ended + 10)
            time.sleep(dice.uniform(0, 0.1))
            kill(server.child("api"))
        wait_until(told, told.ended + 10)
        stop.set()
        for thread in threads:
            thread.join()
        assert server.stop() == 0
    finally:
        stop.set()
        server.end()
    print(dict(told.seen))  # noqa: T201 - The figures, with -s.
    check(home, told)


def wait_until(told: Told, count: int) -> None:
    deadline = time.monotonic() + 60
    while told.ended < count:
        assert time.monotonic() < deadline, f"{told.ended} of {count} requests were answered: {told.seen}"
        time.sleep(0.01)


def check(home: Path, told: Told) -> None:
    with (
        open_catalog(load_settings(home=home, embedding_backend="hashing")) as catalog,
        catalog.database.read() as session,
    ):
        rows = [(file.filename, file.id) for file in session.scalars(select(File))]
        rows += [(store.name, store.id) for store in session.scalars(select(VectorStore))]
    counts = Counter(name for name, _ in rows)
    assert {name: count for name, count in counts.items() if count != 1} == {}
    assert counts.keys() == told.made.keys() | told.lost
    assert told.made.items() <= dict(rows).items()

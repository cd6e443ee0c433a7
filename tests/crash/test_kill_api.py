"""`kill -9` of the API in the midst of uploads: what was answered 200 is there, with its bytes."""

import http.client
import json
import random
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.settings import load_settings
from api.wiring import open_catalog
from catalog import fsck
from catalog.files import get, sweep
from catalog.models import DEFAULT_PROJECT
from tests.e2e.conftest import Server, kill

UPLOADERS = 3
KILLS = 3


def body_of(number: int) -> bytes:
    """Return the content of upload `number`: different for each, and long enough to be cut in the middle."""
    return random.Random(number).randbytes(200_000)


def upload(host: str, content: bytes, name: str) -> str | None:
    """Return the new file's id, or None when no whole answer came."""
    form = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n--b\r\n'
        + f'content-disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n--b--\r\n"
    )
    connection = http.client.HTTPConnection(host, timeout=20)
    try:
        connection.request("POST", "/v1/files", form, {"content-type": "multipart/form-data; boundary=b"})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        return str(answer["id"]) if reply.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def keep_uploading(host: str, first: int, stop: threading.Event, answered: dict[str, int]) -> None:
    number = first
    while not stop.is_set():
        if file := upload(host, body_of(number), f"{number}.bin"):
            answered[file] = number
        else:
            time.sleep(0.05)
        number += UPLOADERS


@pytest.mark.parametrize("seed", [5])
def test_every_upload_that_was_answered_survives_a_killed_api(tmp_path: Path, seed: int) -> None:
    """After several kills of the API process each answered upload is there, byte for byte, and the catalog is sound."""
    dice = random.Random(seed)
    home = tmp_path / "home"
    server = Server(home, embedding_backend="hashing", workers=0)
    stop, answered = threading.Event(), dict[str, int]()
    host = urlsplit(server.url).netloc
    threads = [
        threading.Thread(target=keep_uploading, args=(host, first, stop, answered)) for first in range(UPLOADERS)
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            before = len(answered)
            wait_for_uploads(answered, before + 5)
            time.sleep(dice.uniform(0, 0.2))
            kill(server.child("api"))
        wait_for_uploads(answered, len(answered) + 5)
        stop.set()
        for thread in threads:
            thread.join()
        assert server.stop() == 0
    finally:
        stop.set()
        server.end()
    check_uploads(home, answered)


def wait_for_uploads(answered: dict[str, int], count: int) -> None:
    deadline = time.monotonic() + 30
    while len(answered) < count:
        assert time.monotonic() < deadline, f"{len(answered)} of {count} uploads were answered"
        time.sleep(0.01)


def check_uploads(home: Path, answered: dict[str, int]) -> None:
    with open_catalog(load_settings(home=home, embedding_backend="hashing")) as catalog:
        with catalog.database.read() as session:
            for file, number in answered.items():
                row = get(session, DEFAULT_PROJECT, file)
                assert (row.filename, row.bytes) == (f"{number}.bin", 200_000)
                with catalog.blobs.open(row.sha256) as stream:
                    assert stream.read() == body_of(number)
        # An upload that was cut after its blob got its name leaves a blob without a file, which the sweep takes.
        sweep(catalog.database, catalog.blobs, min_age_s=0.0)
        assert fsck.check(catalog.database, catalog.blobs, orphan_age_s=0.0) == []

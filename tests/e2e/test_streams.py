"""Many streams at once, slow readers, and a server that is told to stop meanwhile: real sockets, real processes."""

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import Server, footnote

QUESTION = "Who installed the boiler?"
TEXT = "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011.\n"
TIMEOUT_S = 120.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server of this test's own that has something to answer from."""
    home, documents = tmp_path / "home", tmp_path / "documents"
    home.mkdir()
    documents.mkdir()
    (documents / "house.txt").write_text(TEXT * 40)
    done = footnote("ingest", str(documents), "--store", "House", home=home, embedding_backend="hashing")
    assert done.returncode == 0, done.stderr
    server = Server(home, embedding_backend="hashing")
    yield server
    server.end()


class Client:
    """One connection over which one question is asked."""

    def __init__(self, server: Server) -> None:
        self._address = urlsplit(server.url)
        self.received = b""

    async def ask(self) -> "Client":
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        body = json.dumps({"input": QUESTION, "stream": True}).encode()
        head = (
            f"POST /v1/responses HTTP/1.1\r\nhost: {self._address.netloc}\r\nconnection: close\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await writer.drain()
        self._reader, self._writer = reader, writer
        return self

    async def begin(self) -> None:
        """Read until the first event."""
        while b"response.created" not in self.received:
            self.received += await self._some()

    async def read(self) -> None:
        """Read to the end."""
        while data := await self._some():
            self.received += data
        self._writer.close()

    async def _some(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(65_536), TIMEOUT_S)

    @property
    def is_whole(self) -> bool:
        return self.received.startswith(b"HTTP/1.1 200") and b"event: response.completed" in self.received


def test_two_hundred_streams_at_once_are_all_answered_and_nobody_else_waits_for_them(server: Server) -> None:
    """Each begins at once and ends with its answer; a list is answered before half of them are."""

    async def clients() -> None:
        streams = await asyncio.gather(*(Client(server).ask() for _ in range(200)))
        await asyncio.gather(*(stream.begin() for stream in streams))
        reading = [asyncio.create_task(stream.read()) for stream in streams]
        await asyncio.to_thread(server.get, "/v1/vector_stores")
        assert sum(task.done() for task in reading) < 100
        await asyncio.gather(*reading)
        assert [stream for stream in streams if not stream.is_whole] == []

    asyncio.run(clients())


def test_readers_that_do_not_read_keep_nobody_waiting(server: Server) -> None:
    """Fifty of them hold their connections open; another question is answered, and then theirs are whole too."""

    async def clients() -> None:
        sleepers = await asyncio.gather(*(Client(server).ask() for _ in range(50)))
        awake = await Client(server).ask()
        await awake.read()
        assert awake.is_whole
        await asyncio.gather(*(sleeper.read() for sleeper in sleepers))
        assert [sleeper for sleeper in sleepers if not sleeper.is_whole] == []

    asyncio.run(clients())


def test_a_server_that_is_stopped_finishes_its_streams(server: Server) -> None:
    """SIGTERM ends it in order: the answers that have begun are written to their end."""

    async def clients() -> None:
        streams = await asyncio.gather(*(Client(server).ask() for _ in range(10)))
        await asyncio.gather(*(stream.begin() for stream in streams))
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(stream.read() for stream in streams))
        assert [stream for stream in streams if not stream.is_whole] == []

    asyncio.run(clients())
    assert server.process.wait(TIMEOUT_S) == 0, server.log

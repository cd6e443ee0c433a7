"""Deleted means gone: out of the next search, and after `footnote compact` out of every file of the state folder."""

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from docx import Document
from reportlab.pdfgen.canvas import Canvas

from tests.builders import lexical_traces
from tests.e2e.conftest import Server, footnote, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

# One word, so that its folded form is one index term.
MARKER = "Qworvexil83Tamdurok"
TRACES = [
    form.encode(encoding)
    for form in (MARKER, MARKER.casefold(), MARKER.upper())
    for encoding in ("utf-8", "utf-16-le", "utf-16-be")
]
SENTENCE = f"The {MARKER} valve was replaced in the spring of 1987 by the crew of hall nine."
QUESTION = f"When was the {MARKER} valve replaced?"


def a_text() -> bytes:
    return f"Notes on valves.\n\n{SENTENCE}\n".encode()


def a_word_file() -> bytes:
    document = Document()
    document.core_properties.title = f"On the {MARKER}"
    document.add_heading(f"{MARKER} in detail", level=1)
    document.add_paragraph(SENTENCE)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def a_pdf() -> bytes:
    stream = io.BytesIO()
    canvas = Canvas(stream, pageCompression=0)
    canvas.setTitle(f"On the {MARKER}")
    canvas.drawString(72, 700, SENTENCE)
    canvas.save()
    return stream.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    f"{MARKER} notes.txt": a_text,
    f"{MARKER}.docx": a_word_file,
    "valves.pdf": a_pdf,
}


class Client:
    """The API of a running service, and the command line over the same state."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._http = httpx.Client(base_url=f"{server.url}/v1", timeout=60)

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        reply = self._http.request(method, path, **options)
        assert reply.is_success, reply.text
        return dict(reply.json())

    def status(self, path: str) -> int:
        return self._http.get(path).status_code

    def upload(self, name: str, content: bytes) -> str:
        return str(self.call("POST", "/files", files={"file": (name, content)}, data={"purpose": "assistants"})["id"])

    def store(self, *file_ids: str) -> str:
        """Make a store with these files and wait until they are ready."""
        store = str(self.call("POST", "/vector_stores", json={"file_ids": list(file_ids)})["id"])
        wait_until(lambda: self.counts(store)["completed"] == len(file_ids), timeout_s=60, what="the files")
        return store

    def counts(self, store: str) -> dict[str, int]:
        return dict(self.call("GET", f"/vector_stores/{store}")["file_counts"])

    def found(self, store: str) -> set[str]:
        """Return the files with a passage that holds the marker, as the next search sees them."""
        hits = self.call("POST", f"/vector_stores/{store}/search", json={"query": QUESTION, "max_num_results": 50})
        return {hit["file_id"] for hit in hits["data"] if MARKER in str(hit)}

    def ask(self, vector_store: str, **body: Any) -> dict[str, Any]:
        tools = [{"type": "file_search", "vector_store_ids": [vector_store]}]
        return self.call("POST", "/responses", json={"input": QUESTION, "tools": tools, **body})

    def cited(self, store: str) -> set[str]:
        """Ask without leaving a record; return the files that the answer cites."""
        (message,) = (item for item in self.ask(store, store=False)["output"] if item["type"] == "message")
        return {note["file_id"] for note in message["content"][0]["annotations"]}

    def command(self, *arguments: str) -> str:
        done = footnote(*arguments, home=self.server.home, embedding_backend="hashing")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def traces(self) -> set[str]:
        """Return the files of the state folder in which the marker stands, in any form, and whether it is a term."""
        home = self.server.home
        return lexical_traces(home / "lexical", MARKER.casefold()) | {
            str(path.relative_to(home)).split("/")[0]
            for path in home.rglob("*")
            if path.is_file() and any(trace in str(path).encode() + path.read_bytes() for trace in TRACES)
        }


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Yield a client of a fresh service that holds another document, which stays."""
    server = Server(tmp_path / "home", embedding_backend="hashing")
    try:
        client = Client(server)
        client.store(client.upload("other.txt", b"The boiler in hall two was installed in 2011."))
        yield client
        client.close()
    finally:
        server.end()


def check_gone_for_good(client: Client) -> None:
    """Compact while the service runs: no trace is left, then and when the service has ended."""
    assert "bytes freed" in client.command("compact")
    assert client.traces() == set()
    assert "Clean" in client.command("fsck")
    others = client.call("GET", "/vector_stores", params={"order": "asc", "limit": 1})["data"][0]["id"]
    assert "hall two" in str(client.call("POST", f"/vector_stores/{others}/search", json={"query": "boiler hall"}))
    assert client.server.stop() == 0, client.server.log
    assert client.traces() == set()
    assert MARKER not in client.server.log


def test_a_deleted_file_is_gone_from_searches_answers_and_disk(client: Client) -> None:
    """Taken out of one store it stays in the other; deleted, it is in no search, answer, record or byte."""
    ids = [client.upload(name, build()) for name, build in FILES.items()]
    one, two = client.store(*ids), client.store(*ids)
    assert client.found(one) == client.found(two) == set(ids)
    record = client.ask(two, include=["file_search_call.results"])
    assert SENTENCE in str(record)
    wait_until(lambda: "lexical" in client.traces(), timeout_s=30, what="the words on disk")
    assert {"blobs", "catalog.sqlite-wal", "lexical"} <= client.traces(), "the search for traces finds nothing"

    for file_id in ids:
        client.call("DELETE", f"/vector_stores/{one}/files/{file_id}")
    assert client.found(one) == client.cited(one) == set()
    assert client.found(two) == set(ids)
    assert client.cited(two) <= set(ids)
    assert client.status(f"/responses/{record['id']}") == 200
    client.command("compact")
    assert client.found(two) == set(ids)

    for file_id in ids:
        client.call("DELETE", f"/files/{file_id}")
    assert client.found(two) == client.cited(two) == set()
    assert client.status(f"/responses/{record['id']}") == 404
    check_gone_for_good(client)


def test_a_deleted_store_and_its_files_are_gone_without_another_search(client: Client) -> None:
    """`compact` does not rely on a search that brings the lexical index up to date."""
    ids = [client.upload(name, build()) for name, build in FILES.items()]
    store = client.store(*ids)
    assert client.found(store) == set(ids)
    client.ask(store)
    client.call("DELETE", f"/vector_stores/{store}")
    for file_id in ids:
        client.call("DELETE", f"/files/{file_id}")
    check_gone_for_good(client)


def test_a_replaced_version_is_gone(client: Client, tmp_path: Path) -> None:
    """The folder's next version takes the place of the last, whose words and bytes `compact` removes."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "valves.txt"
    path.write_bytes(a_text())
    client.command("ingest", str(folder), "--store", "folder")
    stores = client.call("GET", "/vector_stores")["data"]
    (store,) = (each["id"] for each in stores if each["name"] == "folder")
    assert len(client.found(store)) == 1
    client.ask(store)
    path.write_bytes(b"The valve of hall nine is a new one since 2020.")
    client.command("ingest", str(folder), "--store", "folder")
    assert client.found(store) == set()
    assert "hall nine" in str(client.call("POST", f"/vector_stores/{store}/search", json={"query": "valve"}))
    check_gone_for_good(client)

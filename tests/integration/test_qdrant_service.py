"""The whole service with Qdrant as its index."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.errors import ServiceUnavailable
from tests.integration.conftest import HOUSE, Command, Footnote, StartFootnote, running
from tests.qdrant import Fault, QdrantServer, qdrant_server
from tests.qdrant_engine import EngineClient


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    with qdrant_server(api_key="s3cret", engine=EngineClient()) as server:
        yield server


@pytest.fixture
def fresh(tmp_home: Path, server: QdrantServer) -> Iterator[Footnote]:
    with running(tmp_home, index="qdrant", qdrant_url=server.url, qdrant_api_key="s3cret") as footnote:
        yield footnote


def check_a_document_from_upload_to_deletion(footnote: Footnote) -> None:
    store = footnote.store(name="house")
    file = footnote.add(store, attributes={"kind": "house", "built": "2011-10-01"})
    (best, *_) = footnote.search(store, "Who installed the boiler?")
    assert "Brandt Heating" in best["content"][0]["text"]
    late = {"type": "gte", "key": "built", "value": "2012"}
    assert footnote.search(store, "boiler", filters=late) == []
    assert footnote.search(store, "boiler", filters={"type": "lt", "key": "built", "value": "2012"})
    answer = footnote.respond("Who installed the boiler?", store)
    assert "Brandt Heating" in str(answer["output"])
    reply = footnote.client.delete(f"/v1/files/{file}")
    assert reply.status_code == 200
    assert footnote.search(store, "Who installed the boiler?") == []


def test_a_document_from_upload_to_deletion(fresh: Footnote) -> None:
    """It is found, filtered, quoted and gone, as with any index."""
    check_a_document_from_upload_to_deletion(fresh)


@pytest.mark.skipif("FOOTNOTE_TEST_QDRANT_URL" not in os.environ, reason="FOOTNOTE_TEST_QDRANT_URL names no server")
def test_a_document_from_upload_to_deletion_on_a_server(start: StartFootnote) -> None:
    """The same on a real Qdrant."""
    url = os.environ["FOOTNOTE_TEST_QDRANT_URL"]
    with start(index="qdrant", qdrant_url=url, qdrant_prefix=f"test-{uuid.uuid4().hex[:12]}") as footnote:
        check_a_document_from_upload_to_deletion(footnote)
        footnote.services.replica.index._collection.drop()  # type: ignore[attr-defined]


def test_a_new_version_of_a_file_replaces_the_old_one(fresh: Footnote) -> None:
    """The next search finds the new text and nothing of the old."""
    store = fresh.store(name="house")
    first = fresh.add(store)
    fresh.search(store, "boiler")
    fresh.client.delete(f"/v1/vector_stores/{store}/files/{first}")
    fresh.add(store, HOUSE.replace("Brandt", "Miller"))
    texts = " ".join(hit["content"][0]["text"] for hit in fresh.search(store, "Who installed the boiler?"))
    assert ("Miller" in texts, "Brandt" in texts) == (True, False)


def test_an_outage_is_told_and_ends(fresh: Footnote, server: QdrantServer) -> None:
    """A search during it is answered with 503 and the reason; the next one works."""
    store = fresh.store(name="house")
    fresh.add(store)
    # Vectors and words are asked for at the same time, each with its own tries.
    server.faults.extend([Fault(path="/points/query", status=503, error="shards are gone")] * 8)
    reply = fresh.client.post(f"/v1/vector_stores/{store}/search", json={"query": "boiler"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "service_unavailable")
    assert f"Qdrant at {server.url} does not answer: 503, shards are gone" in reply.json()["error"]["message"]
    server.faults.clear()
    assert fresh.search(store, "boiler")


def test_another_start_finds_everything_in_place(fresh: Footnote, server: QdrantServer, tmp_home: Path) -> None:
    """A second process over the same catalog and server writes no document again."""
    store = fresh.store(name="house")
    fresh.add(store)
    before = fresh.search(store, "boiler")
    server.requests.clear()
    with running(tmp_home, index="qdrant", qdrant_url=server.url, qdrant_api_key="s3cret") as second:
        assert second.search(store, "boiler") == before
    assert server.sent("/points/batch") == []


def test_a_start_without_a_server_says_so(start: StartFootnote) -> None:
    """Instead of a service that finds nothing."""
    with (
        pytest.raises(ServiceUnavailable, match=r"Qdrant at http://127\.0\.0\.1:1 does not answer"),
        start(index="qdrant", qdrant_url="http://127.0.0.1:1"),
    ):
        pass


@pytest.fixture
def on_qdrant(monkeypatch: pytest.MonkeyPatch, server: QdrantServer) -> None:
    """Give commands the server by their environment."""
    monkeypatch.setenv("FOOTNOTE_INDEX", "qdrant")
    monkeypatch.setenv("FOOTNOTE_QDRANT_URL", server.url)
    monkeypatch.setenv("FOOTNOTE_QDRANT_API_KEY", "s3cret")


@pytest.mark.usefixtures("on_qdrant")
def test_fsck_compact_and_doctor_look_at_qdrant(command: Command, fresh: Footnote, server: QdrantServer) -> None:
    """A sound collection is clean; a lost one is a problem; the doctor names the index, and the reason it is down."""
    store = fresh.store(name="house")
    fresh.add(store)
    fresh.search(store, "boiler")
    assert command("fsck").status == 0
    assert "Deleted 0 chunks" in command("compact").out
    assert "qdrant, 1 chunks" in command("doctor").out
    index = fresh.services.replica.index
    (document,) = index.chunk_counts()[0]  # type: ignore[attr-defined]
    index._write([_deletion_of(document)])  # type: ignore[attr-defined]
    result = command("fsck")
    assert (result.status, "unindexed document: " in result.out) == (1, True)
    server.api_key = "another"
    result = command("doctor")
    assert result.status == 1
    assert "refuses the API key" in " ".join(result.out.split())


@pytest.mark.usefixtures("on_qdrant")
def test_another_embedding_model_has_another_collection(command: Command, fresh: Footnote) -> None:
    """It is filled before the switch, and that of the model before is deleted with its vectors."""
    store = fresh.store()
    fresh.add(store)
    fresh.search(store, "boiler")
    before = fresh.services.replica.index
    assert command("reindex", "--model", "hashing", "--dimensions", "96").status == 0
    assert "Brandt" in fresh.search(store, "boiler")[0]["content"][0]["text"]
    index = fresh.services.replica.index
    assert (index is before, index.count()) == (False, 1)
    assert command("fsck").status == 0
    ask, name = index._collection.ask, before._collection.name  # type: ignore[attr-defined]
    assert ask(lambda client: client.collection_exists(name))
    assert command("reindex", "--discard").status == 0
    assert not ask(lambda client: client.collection_exists(name))
    assert "Brandt" in fresh.search(store, "boiler")[0]["content"][0]["text"]


def _deletion_of(document: int) -> object:
    from qdrant_client import models

    own = models.FieldCondition(key="document", match=models.MatchValue(value=document))
    return models.DeleteOperation(delete=models.FilterSelector(filter=models.Filter(must=[own])))

"""What crosses the wire to Qdrant, and what becomes of a server that does not answer as it should."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from catalog.errors import ConfigurationError, FootnoteError, IndexIncompatible, ServiceUnavailable
from retrieval.filters import parse_filter
from retrieval.indexes import qdrant, qdrant_collection
from retrieval.indexes.qdrant import QdrantIndex
from tests.builders import a_publication, a_removal, a_scope
from tests.contract.passage_index import dense, ids, lexical
from tests.contract.test_qdrant_index import an_index
from tests.qdrant import Fault, QdrantServer, qdrant_server


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    with qdrant_server() as server:
        yield server


@pytest.fixture
def index(server: QdrantServer) -> Iterator[QdrantIndex]:
    index = an_index(server.url, timeout_s=1)
    index.apply([a_publication(1, 1, "red apples", "green pears")])
    server.requests.clear()
    yield index
    index.close()


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdrant_collection, "_PAUSES_S", (0.0, 0.0, 0.0))


def created(server: QdrantServer, **options: Any) -> dict[str, Any]:
    """Return the body that makes the collection."""
    an_index(server.url, **options).close()
    (body,) = [request.body for request in server.requests if request.method == "PUT" and request.path.count("/") == 2]
    return dict(body)


# --- how a collection is made -----------------------------------------------------------------------------------------


def test_a_collection_has_windows_as_multivectors_and_words_with_idf(server: QdrantServer) -> None:
    """Vectors stay float16; a chunk scores by its best window; the server knows how rare a word is."""
    body = created(server)
    assert body["vectors"] == {
        "dense": {
            "size": 64,
            "distance": "Dot",
            "datatype": "float16",
            "on_disk": False,
            "multivector_config": {"comparator": "max_sim"},
        }
    }
    assert body["sparse_vectors"] == {"words": {"index": {"on_disk": False}, "modifier": "idf"}}
    assert (body["shard_number"], body["replication_factor"], body["write_consistency_factor"]) == (1, 1, 1)


def test_shards_replicas_and_disk_are_settings(server: QdrantServer) -> None:
    """They count when a collection is made."""
    body = created(server, shards=6, replicas=3, write_consistency=2, on_disk=True)
    assert (body["shard_number"], body["replication_factor"], body["write_consistency_factor"]) == (6, 3, 2)
    assert (body["vectors"]["dense"]["on_disk"], body["sparse_vectors"]["words"]["index"]["on_disk"]) == (True, True)
    assert body["on_disk_payload"] is True


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("scalar", {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}),
        ("binary", {"binary": {"always_ram": True}}),
    ],
)
def test_quantised_vectors_stay_in_memory_and_are_scored_again(
    server: QdrantServer, kind: str, expected: dict[str, Any]
) -> None:
    """The first choice is by quantised vectors, the score by exact ones; a filtered search needs no first choice."""
    body = created(server, quantization=kind)
    assert body["vectors"]["dense"]["quantization_config"] == expected
    index = an_index(server.url, quantization=kind, oversampling=4.0, hnsw_ef=64)
    dense(index, "a")
    dense(index, "a", scope=a_scope(filter=parse_filter({"type": "eq", "key": "a", "value": 1})))
    plain, filtered = (one["params"] for one in server.sent("/points/query"))
    assert plain == {"hnsw_ef": 64, "quantization": {"rescore": True, "oversampling": 4.0}}
    assert filtered == {"exact": True}
    index.close()


def test_payload_indexes_name_the_tenant(server: QdrantServer) -> None:
    """The store is the tenant key; everything that a search or a write asks for is indexed, attributes included."""
    an_index(server.url).close()
    indexes = {body["field_name"]: body["field_schema"] for body in server.sent("/index")}
    assert indexes["store"] == {"type": "keyword", "is_tenant": True}
    assert indexes["attributes"] == {"type": "keyword"}
    assert {name: schema["type"] for name, schema in indexes.items() if name not in ("store", "attributes")} == {
        "document": "integer",
        "seq": "integer",
        "since": "integer",
    }


def test_a_collection_that_is_there_is_kept(server: QdrantServer, index: QdrantIndex) -> None:
    """A second process makes nothing, and starts at the position of the first."""
    second = an_index(server.url)
    assert (second.position, ids(dense(second, "red apples", limit=1))) == (1, [100])
    assert [request for request in server.requests if request.method == "DELETE"] == []
    second.close()


def test_two_processes_may_make_the_collection_at_once(server: QdrantServer) -> None:
    """Who comes second finds it made, also where it did not look so a moment before."""
    raced = threading.Event()

    def overtake(request: Any) -> None:
        if request.method == "PUT" and request.path.count("/") == 2 and not raced.is_set():
            raced.set()
            an_index(server.url).close()

    server.before = overtake
    index = an_index(server.url)
    index.apply([a_publication(1, 1, "words")])
    assert (raced.is_set(), ids(dense(index, "words"))) == (True, [100])
    index.close()


def test_each_embedding_model_has_a_collection_of_its_own(server: QdrantServer) -> None:
    """Named by the prefix and a digest of the model's identity."""
    one = qdrant_collection.QdrantCollection(qdrant.QdrantOptions(url=server.url), identity="m1", dimension=4)
    two = qdrant_collection.QdrantCollection(qdrant.QdrantOptions(url=server.url), identity="m2", dimension=4)
    assert one.name != two.name
    assert one.name.startswith("footnote-")
    one.close()
    two.close()


def test_a_collection_of_other_vectors_is_refused(server: QdrantServer, index: QdrantIndex) -> None:
    """The message names the collection, both dimensions and the way out."""
    options = qdrant.QdrantOptions(url=server.url, prefix="test")
    with pytest.raises(IndexIncompatible, match=r"test-.*dimension 64; hashing makes 65.*Delete the collection"):
        QdrantIndex(options, identity="hashing", dimension=65, newest_changes=lambda ids: {})


def test_a_foreign_collection_is_refused(server: QdrantServer, index: QdrantIndex) -> None:
    """A collection of that name that somebody else made is not touched."""
    name = index._collection.name
    index._collection.drop()
    client = QdrantClient(server.url, check_compatibility=False)
    client.create_collection(name, vectors_config=VectorParams(size=64, distance=Distance.COSINE))
    client.close()
    with pytest.raises(IndexIncompatible, match="was not made by Footnote"):
        an_index(server.url)


# --- what is written --------------------------------------------------------------------------------------------------


def test_writes_wait_and_keep_their_order(server: QdrantServer, index: QdrantIndex) -> None:
    """A write counts when it is applied, in strong order; the position moves in the last operation."""
    index.apply([a_publication(2, 2, "words"), a_removal(3, 1)])
    bodies = server.sent("/points/batch")
    assert [list(operation) for operation in bodies[0]["operations"]] == [["upsert"]]
    assert [next(iter(operation)) for operation in bodies[1]["operations"]] == [
        "set_payload",
        "set_payload",
        "delete",
        "set_payload",
    ]
    assert bodies[1]["operations"][-1]["set_payload"]["payload"] == {"position": 3}
    queries = [request.query for request in server.requests if request.path.endswith("/points/batch")]
    assert all("wait=true" in query and "ordering=strong" in query for query in queries)


def test_vectors_cross_the_wire_unchanged(server: QdrantServer, index: QdrantIndex) -> None:
    """Every float16 arrives as the number that it is, in windows of the right chunk."""
    vectors = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float16)
    windows = np.array([200, 200, 201], dtype=np.int64)
    index.apply([a_publication(2, 2, "one", "two", vectors=vectors, window_chunk_ids=windows)])
    points = server.sent("/points/batch")[0]["operations"][0]["upsert"]["points"]
    sent = {point["id"]: np.array(point["vector"]["dense"]) for point in points}
    assert [sent[200].shape, sent[201].shape] == [(2, 64), (1, 64)]
    np.testing.assert_array_equal(np.concatenate([sent[200], sent[201]]), vectors.astype(np.float64))


def test_large_documents_are_sent_in_parts(
    server: QdrantServer, index: QdrantIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request grows with a document, and the document still appears whole."""
    monkeypatch.setattr(qdrant, "_REQUEST_BYTES", 20_000)
    index.apply([a_publication(n, n, *[f"words {n} {i}" for i in range(40)]) for n in (2, 3)])
    inserts = [body for body in server.sent("/points/batch") if "upsert" in body["operations"][0]]
    assert len(inserts) > 4
    assert sum(len(one["upsert"]["points"]) for body in inserts for one in body["operations"]) == 80
    assert index.count() == 82


def test_a_chunk_without_words_has_no_sparse_vector(server: QdrantServer, index: QdrantIndex) -> None:
    """It is found by meaning, and Qdrant gets no empty vector."""
    index.apply([a_publication(2, 2, "?!")])
    (point,) = server.sent("/points/batch")[0]["operations"][0]["upsert"]["points"]
    assert list(point["vector"]) == ["dense"]
    assert 200 in ids(dense(index, "?!"))


# --- a server that does not answer ------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", [dense, lexical])
def test_an_error_is_never_an_empty_list(server: QdrantServer, index: QdrantIndex, search: Any) -> None:
    """A search that fails to the last try raises what is retryable, and says where and why."""
    server.faults.extend([Fault(path="/query", status=503, error="shards are gone")] * 4)
    with pytest.raises(ServiceUnavailable, match=f"^Qdrant at {server.url} does not answer: 503, shards are gone$"):
        search(index, "apples pears")
    assert ServiceUnavailable.retryable
    assert len(search(index, "apples pears")) == 2


@pytest.mark.parametrize(
    "fault",
    [Fault(), Fault(status=500), Fault(status=502), Fault(status=429, headers={"Retry-After": "1"}), Fault(status=429)],
    ids=["broken connection", "500", "502", "429 with a time", "429"],
)
@pytest.mark.parametrize("times", [1, 3])
def test_what_passes_is_tried_again(server: QdrantServer, index: QdrantIndex, fault: Fault, times: int) -> None:
    """Up to three times; every request of ours may be repeated."""
    server.faults.extend([fault] * times)
    assert ids(dense(index, "red apples", limit=1)) == [100]
    assert len(server.sent("/query")) == times + 1


@pytest.mark.parametrize("path", ["/points/batch", "/points"])
@pytest.mark.parametrize("is_done", [True, False])
def test_a_write_whose_reply_was_lost_is_written_once(
    server: QdrantServer, index: QdrantIndex, path: str, is_done: bool
) -> None:
    """Whether the server had carried it out or not."""
    server.faults.append(Fault(path=path, is_done=is_done))
    index.apply([a_publication(2, 2, "words"), a_removal(3, 1)])
    assert (index.count(), index.position, ids(dense(index, "words"))) == (1, 3, [200])


def test_a_silent_server_is_an_outage_in_time(server: QdrantServer, index: QdrantIndex) -> None:
    """After the time-out, and without a second try that would take as long again."""
    server.faults.append(Fault(path="/query", status=200, delay_s=1.5))
    with pytest.raises(ServiceUnavailable, match=r"does not answer: no reply within 1 s\."):
        dense(index, "apples")
    assert len(server.sent("/query")) == 1


def test_a_reply_that_is_not_qdrants_is_an_outage(server: QdrantServer, index: QdrantIndex) -> None:
    """As where a proxy answers in its place."""
    server.faults.append(Fault(path="/query", status=200))
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        dense(index, "apples")


def test_no_server_at_all_is_an_outage() -> None:
    """The start says whom it asked."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceUnavailable, match=f"Qdrant at {url} does not answer: .*refused"):
        an_index(url)


def test_a_refused_request_is_no_outage(server: QdrantServer, index: QdrantIndex) -> None:
    """To try again would not help, and it is not tried."""
    server.faults.append(Fault(path="/query", status=422, error="limit is too large"))
    with pytest.raises(FootnoteError, match="refuses a request: 422, limit is too large") as caught:
        dense(index, "apples")
    assert (caught.value.retryable, len(server.sent("/query"))) == (False, 1)


def test_a_collection_that_is_gone_is_an_outage(server: QdrantServer, index: QdrantIndex) -> None:
    """Not an empty answer; the next start makes it again."""
    other = an_index(server.url)
    other._collection.drop()
    with pytest.raises(ServiceUnavailable, match="has no collection"):
        dense(index, "apples")
    with pytest.raises(ServiceUnavailable, match="has no collection"):
        index.apply([a_publication(2, 2, "words")])
    other.close()
    again = an_index(server.url)
    assert (again.position, again.count()) == (0, 0)
    again.close()


def test_a_failed_change_is_applied_by_the_next_try(server: QdrantServer, index: QdrantIndex) -> None:
    """Wherever it broke off: nothing half is seen, nothing is missing afterwards, nothing is left over."""
    changes = [a_publication(2, 2, "words here", "words there"), a_removal(3, 1)]
    for path in ("/points", "/points/batch"):
        server.faults.extend([Fault(path=path, status=503)] * 4)
        with pytest.raises(ServiceUnavailable):
            index.apply(changes)
        assert {100, 101} == set(ids(dense(index, "words")))
    server.before = lambda request: server.faults.extend(
        [Fault(path="/points/batch", status=503)] * 4 if "set_payload" in str(request.body)[:40] else []
    )
    with pytest.raises(ServiceUnavailable):
        index.apply(changes)
    server.before = lambda request: None
    server.faults.clear()
    assert {100, 101} == set(ids(dense(index, "words")))
    index.apply(changes)
    assert {200, 201} == set(ids(dense(index, "words")))
    assert index.chunk_counts() == ({2: 2}, {})


# --- keys and versions ------------------------------------------------------------------------------------------------


def test_the_key_travels_in_its_header_and_nowhere_else() -> None:
    """Not in options that are printed, and not in messages."""
    with qdrant_server(api_key="s3cret") as server:
        index = an_index(server.url, api_key="s3cret")
        index.apply([a_publication(1, 1, "words")])
        assert {request.headers["api-key"] for request in server.requests} == {"s3cret"}
        assert "s3cret" not in repr(index._collection._options)
        index.close()


@pytest.mark.parametrize("key", [None, "wrong"])
def test_a_wrong_key_is_named_at_the_start(key: str | None) -> None:
    """Without the key itself, and without another try."""
    with (
        qdrant_server(api_key="s3cret") as server,
        pytest.raises(ConfigurationError, match=r"refuses the API key \(401: .*\)\. Check qdrant_api_key") as caught,
    ):
        an_index(server.url, api_key=key)
    assert "wrong" not in caught.value.message


def test_a_password_in_the_address_is_not_repeated() -> None:
    """Messages name the host."""
    with pytest.raises(ServiceUnavailable) as caught:
        an_index("http://user:s3cret@127.0.0.1:1")
    assert "127.0.0.1:1" in caught.value.message
    assert "s3cret" not in caught.value.message


def test_an_old_server_is_refused() -> None:
    """Before 1.16 it would carry out conditional writes without their condition."""
    with (
        qdrant_server(version="1.15.5") as server,
        pytest.raises(ConfigurationError, match=r"is version 1\.15\.5; Footnote needs 1\.16"),
    ):
        an_index(server.url)

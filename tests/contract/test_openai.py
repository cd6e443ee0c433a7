"""The remote back end keeps the contract, on our own /v1/embeddings and on a server that fails in every way."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from api.app import create_app
from api.settings import load_settings
from catalog.errors import ConfigurationError, IndexIncompatible, ServiceUnavailable
from retrieval.embedders.base import Embedder
from retrieval.embedders.conversion import DEFAULT_MODEL, ensure_converted
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.embedders.openai import OpenAIEmbedder
from retrieval.embedders.opener import open_embedder
from retrieval.embedders.prefixes import WantedPrefixes
from retrieval.embedders.remote import RemoteModel
from tests.contract.embedder import TEXTS, EmbedderContract
from tests.model_server import Deed, Exchange, ModelServer, fails, sends, stalls

HASHING = HashingEmbedder(dimension=8)


@pytest.fixture(scope="module")
def footnote_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a Footnote that embeds with hashed words."""
    home = tmp_path_factory.mktemp("remote")
    app = create_app(load_settings(home=home, embedding_backend="hashing", log_level="error"))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def of_footnote(footnote_url: str) -> Iterator[Embedder]:
    remote_model = RemoteModel(url=footnote_url, max_tokens=256)
    embedder = open_embedder("openai", model="hashing", cache=Path(), remote=remote_model)
    yield embedder
    embedder.close()


class TestOpenAIEmbedderOnFootnote(EmbedderContract):
    @pytest.fixture
    def opened(self, of_footnote: Embedder) -> Embedder:
        return of_footnote

    def test_its_vectors_are_those_of_the_server(self, opened: Embedder) -> None:
        """Bit by bit but for the norm, which is 1 again."""
        np.testing.assert_allclose(HashingEmbedder().embed_documents(TEXTS), opened.embed_documents(TEXTS), atol=1e-6)


@pytest.fixture
def footnotes_tokenizer(model_cache: Path) -> Path:
    return ensure_converted(DEFAULT_MODEL, model_cache) / "tokenizer.json"


def reply_to(body: dict[str, Any], *, dimension: int = 8) -> dict[str, Any]:
    """Return what OpenAI does, with vectors that are twice too long."""
    vectors = HashingEmbedder(dimension=dimension).embed_documents(body["input"]) * 2
    data = [
        {"object": "embedding", "index": index, "embedding": base64.b64encode(vector.tobytes()).decode()}
        for index, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data, "model": body["model"]}


def rightly(exchange: Exchange) -> None:
    exchange.reply(json.dumps(reply_to(exchange.body)).encode())


def altered(change: Callable[[list[dict[str, Any]]], Any]) -> Deed:
    """Answer rightly but for what `change` does with the list of vectors."""

    def deed(exchange: Exchange) -> None:
        reply = reply_to(exchange.body)
        change(reply["data"])
        exchange.reply(json.dumps(reply).encode())

    return deed


def truncated(exchange: Exchange) -> None:
    exchange.reply(json.dumps(reply_to(exchange.body)).encode()[:-40])


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer(usual=rightly)
    yield server
    server.close()


Opener = Callable[..., OpenAIEmbedder]


@pytest.fixture
def opened_on(server: ModelServer) -> Iterator[Opener]:
    """Return what opens an embedder on the server; keyword arguments are fields of `RemoteModel`."""
    embedders: list[OpenAIEmbedder] = []

    def opened(*, prefixes: WantedPrefixes | None = None, **fields: Any) -> OpenAIEmbedder:
        model = RemoteModel(
            **{"url": server.url, "dimension": 8, "timeout_s": 10.0, "patience_s": 10.0, "first_pause_s": 0.01} | fields
        )
        embedders.append(OpenAIEmbedder("org/model-x", model, prefixes=prefixes))
        return embedders[-1]

    yield opened
    for embedder in embedders:
        embedder.close()


def test_the_dimension_is_found_out_when_no_setting_names_it(server: ModelServer, opened_on: Opener) -> None:
    """One request; with the setting none is sent, and later ones ask for that dimension."""
    assert opened_on(dimension=None).identity.dimension == 8
    assert "dimensions" not in server.bodies[0]
    embedder = opened_on(dimension=8)
    assert len(server.bodies) == 1
    embedder.embed_queries(["a"])
    assert server.bodies[1]["dimensions"] == 8


def test_requests_are_those_of_openai(server: ModelServer, opened_on: Opener) -> None:
    """Model, texts with their prefix, base64, and the key as a bearer token, which no representation shows."""
    model = RemoteModel(url=server.url, api_key="sk-secret")
    assert "sk-secret" not in repr(model)
    embedder = opened_on(api_key="sk-secret", prefixes=WantedPrefixes(query="query: ", document="passage: "))
    embedder.embed_queries(["why?"])
    embedder.embed_documents([""])
    assert [body["input"] for body in server.bodies] == [["query: why?"], ["passage: "]]
    assert {(body["model"], body["encoding_format"]) for body in server.bodies} == {("org/model-x", "base64")}
    assert set(server.keys) == {"Bearer sk-secret"}


def test_a_text_without_a_character_is_sent_as_a_space(server: ModelServer, opened_on: Opener) -> None:
    """OpenAI refuses empty texts."""
    opened_on().embed_documents(["", "a"])
    assert sorted(server.bodies[0]["input"]) == [" ", "a"]


def test_the_identity_is_that_of_the_model_wherever_it_is_served(opened_on: Opener) -> None:
    """Address, key and pace are not part of it; prefixes are."""
    one = opened_on(api_key="a", requests_per_minute=6000).identity
    assert one == opened_on(api_key="b", url="http://127.0.0.1:9/v1").identity
    assert one.key.startswith("model-x@")
    assert one != opened_on(prefixes=WantedPrefixes(query="q: ")).identity


def test_many_texts_go_in_batches(server: ModelServer, opened_on: Opener) -> None:
    """Of bounded count and tokens, and the rows come back in the order of the texts."""
    texts = [f"text {n} " + "word " * (n * 7 % 400) for n in range(150)]
    np.testing.assert_allclose(HASHING.embed_documents(texts), opened_on().embed_documents(texts), atol=1e-6)
    assert max(len(body["input"]) for body in server.bodies) == 32
    assert sum(len(body["input"]) for body in server.bodies) == 150


def test_no_more_requests_are_under_way_than_allowed(server: ModelServer, opened_on: Opener) -> None:
    """Also with several threads: the bound is the embedder's."""
    under_way, most = 0, 0
    lock = threading.Lock()

    def slowly(exchange: Exchange) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        rightly(exchange)

    server.deeds = [slowly] * 12
    opened_on(concurrency=3).embed_documents([f"t{n}" for n in range(12 * 32)])
    assert most == 3


@pytest.mark.parametrize(
    "deed",
    [
        fails(429, retry_after="0"),
        fails(429, retry_after="soon"),
        fails(500),
        fails(503),
        fails(408),
        truncated,
        sends(),
        sends(b'{"data": [{"index": 0}]}'),
        sends(b"[]"),
        altered(lambda data: data.pop()),
        altered(lambda data: data[0].update(index=1)),
        altered(lambda data: data[0].update(embedding="!!!")),
        altered(lambda data: data[0].update(embedding=[0.0] * 8)),
        altered(lambda data: data[0].update(embedding=[float("nan")] * 8)),
        altered(lambda data: data[0].update(embedding=[1.0] * 4)),
    ],
)
def test_what_may_pass_is_asked_again(server: ModelServer, opened_on: Opener, deed: Deed) -> None:
    """Overload, faults and replies that cannot be read: the second answer counts."""
    server.deeds = [deed, deed]
    vectors = opened_on().embed_documents(["a", "b"])
    np.testing.assert_allclose(HASHING.embed_documents(["a", "b"]), vectors, atol=1e-6)
    assert len(server.bodies) == 3


def test_the_order_of_a_reply_is_that_of_its_indexes(server: ModelServer, opened_on: Opener) -> None:
    """Servers answer in any order."""
    server.deeds = [altered(lambda data: data.reverse())]
    texts = ["first words", "second words", "third"]
    np.testing.assert_allclose(HASHING.embed_documents(texts), opened_on().embed_documents(texts), atol=1e-6)
    assert len(server.bodies) == 1


def test_vectors_may_come_as_lists(server: ModelServer, opened_on: Opener) -> None:
    """From servers that do not know `encoding_format`."""
    server.deeds = [altered(lambda data: data[0].update(embedding=[3.0, 4.0, 0, 0, 0, 0, 0, 0]))]
    np.testing.assert_allclose([[0.6, 0.8, 0, 0, 0, 0, 0, 0]], opened_on().embed_queries(["a"]), atol=1e-6)


def test_the_server_says_how_long_to_wait(server: ModelServer, opened_on: Opener) -> None:
    """Retry-After is kept to."""
    server.deeds = [fails(429, retry_after="0.3")]
    opened_on().embed_queries(["a"])
    assert server.times[1] - server.times[0] >= 0.3


def test_a_wait_beyond_the_patience_is_not_begun(server: ModelServer, opened_on: Opener) -> None:
    """The work waits in the queue instead, with what the server said."""
    server.deeds = [fails(429, "quota spent", retry_after="3600")]
    with pytest.raises(ServiceUnavailable, match=r"status 429, quota spent") as raised:
        opened_on().embed_documents(["a"])
    assert raised.value.retry_after_s == 3600
    assert len(server.bodies) == 1


def test_a_server_that_stalls_is_asked_again(server: ModelServer, opened_on: Opener) -> None:
    """Each request has its own time limit."""
    server.deeds = [stalls]
    assert opened_on(timeout_s=0.2).embed_documents(["a"]).shape == (1, 8)
    assert len(server.bodies) == 2


def test_a_server_that_is_not_there_is_an_outage(opened_on: Opener) -> None:
    """Retryable, with its address."""
    with pytest.raises(ServiceUnavailable, match=r"http://127\.0\.0\.1:9/v1 does not answer: ConnectError"):
        opened_on(url="http://127.0.0.1:9/v1", patience_s=0.05).embed_documents(["a"])


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (fails(401, "Incorrect key sk-secret"), r"refuses embedding_api_key: status 401, Incorrect key …\."),
        (fails(403), r"refuses embedding_api_key"),
        (fails(404, "no such model"), r"embedding_model='org/model-x': status 404, no such model"),
        (fails(400, "dimensions"), r"status 400, dimensions"),
        (fails(301, location="/elsewhere"), r"status 301"),
    ],
)
def test_a_wrong_setting_is_not_asked_again(server: ModelServer, opened_on: Opener, deed: Deed, message: str) -> None:
    """The message names the setting and what the server says, never the key."""
    server.deeds = [deed]
    with pytest.raises(ConfigurationError, match=message) as raised:
        opened_on(api_key="sk-secret").embed_documents(["a"])
    assert "sk-secret" not in raised.value.message
    assert len(server.bodies) == 1


def test_another_dimension_is_another_model(server: ModelServer, opened_on: Opener) -> None:
    """Its vectors are never mixed with the first ones."""
    embedder = opened_on(dimension=None)
    server.deeds = [lambda exchange: exchange.reply(json.dumps(reply_to(exchange.body, dimension=12)).encode())]
    with pytest.raises(IndexIncompatible, match=r"12 dimensions, and had 8.*embedding_dimensions"):
        embedder.embed_documents(["a"])


def test_requests_keep_their_pace(server: ModelServer, opened_on: Opener) -> None:
    """600 a minute are one each tenth of a second, the first at once."""
    embedder = opened_on(requests_per_minute=600)
    began = time.monotonic()
    for _ in range(3):
        embedder.embed_queries(["a"])
    # Not from the arrival of the first: it can have been late.
    assert server.times[2] - began >= 0.2


def test_tokens_are_counted_with_a_tokenizer_that_is_here(
    server: ModelServer, opened_on: Opener, footnotes_tokenizer: Path
) -> None:
    """Its spans are the model's own, and texts are cut by them."""
    embedder = opened_on(tokenizer=footnotes_tokenizer, max_tokens=3)
    assert embedder.token_spans("three pumps") == [(0, 5), (6, 11)]
    embedder.embed_documents(["one two three four"])
    assert server.bodies[0]["input"] == ["one two three"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokenizer": Path("/nowhere/tokenizer.json")}, r"embedding_tokenizer='/nowhere/tokenizer\.json'"),
        ({"api_key": "sk-\n"}, r"embedding_api_key"),
        ({"api_key": "schlüssel"}, r"embedding_api_key"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_opened(opened_on: Opener, fields: dict[str, Any], message: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=message):
        opened_on(**fields)


def test_the_back_end_needs_an_address(tmp_path: Path) -> None:
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match="embedding_url"):
        open_embedder("openai", model="m", cache=tmp_path)

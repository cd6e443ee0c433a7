"""A rerank endpoint is asked in its own dialect; what it answers wrongly is an error and never a ranking."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from catalog.errors import ConfigurationError, ServiceUnavailable
from retrieval.rerankers.http import HttpReranker
from retrieval.rerankers.opener import open_reranker
from tests.model_server import Deed, ModelServer, drops_after, fails, sends


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.close()


Opener = Callable[..., HttpReranker]


@pytest.fixture
def opened_on(server: ModelServer) -> Iterator[Opener]:
    """Return what opens a reranker on the server; keyword arguments are those of `HttpReranker`."""
    with ExitStack() as stack:

        def opened(url: str = f"{server.url}/rerank", **options: Any) -> HttpReranker:
            reranker = HttpReranker(url, **{"model": "m", "sleep": lambda _: None, "timeout_s": 2.0} | options)
            stack.callback(reranker.close)
            return reranker

        yield opened


def scores(*results: Any) -> Deed:
    """Answer as `POST /v1/rerank` does."""
    return replies({"results": results})


def replies(value: Any) -> Deed:
    return lambda exchange: exchange.reply(json.dumps(value).encode())


def test_openais_dialect(server: ModelServer, opened_on: Opener) -> None:
    """Results may come in any order; each score goes to its text, and the key travels as a bearer token."""
    server.usual = scores({"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.2})
    reranker = opened_on(key="secret")
    assert reranker.score("q", ["a", "b"]) == [0.2, 0.9]
    assert server.bodies == [{"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2}]
    assert server.keys == ["Bearer secret"]
    assert reranker.score("q", []) == []


def test_the_dialect_of_text_embeddings_inference(server: ModelServer, opened_on: Opener) -> None:
    """Logits become probabilities, in the same order."""
    server.usual = replies([{"index": 0, "score": -4.0}, {"index": 1, "score": 3.0}])
    low, high = opened_on(dialect="tei").score("q", ["a", "b"])
    assert (low, high) == (pytest.approx(0.018, abs=1e-3), pytest.approx(0.953, abs=1e-3))
    assert server.bodies == [{"query": "q", "texts": ["a", "b"], "raw_scores": False}]


def test_a_passing_failure_is_tried_again(server: ModelServer, opened_on: Opener) -> None:
    """Twice, with growing pauses, or those that the server asks for."""
    pauses: list[float] = []
    server.usual = scores({"index": 0, "relevance_score": 0.5})
    reranker = opened_on(sleep=pauses.append)
    server.deeds = [fails(429), fails(503)]
    assert reranker.score("q", ["a"]) == [0.5]
    server.deeds = [fails(429, retry_after="2"), drops_after()]
    assert reranker.score("q", ["a"]) == [0.5]
    bounds = [(0.1, 0.2), (0.2, 0.4), (2.0, 2.0), (0.2, 0.4)]
    assert [least <= pause <= most for pause, (least, most) in zip(pauses, bounds, strict=True)] == [True] * 4


def test_a_wait_beyond_the_timeout_is_not_begun(server: ModelServer, opened_on: Opener) -> None:
    """Who searches is told when to come again."""
    server.usual = fails(429, "quota spent", retry_after="3600")
    with pytest.raises(ServiceUnavailable, match="status 429, quota spent") as raised:
        opened_on().score("q", ["a"])
    assert raised.value.retry_after_s == 3600
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        (fails(500, "broken"), "status 500, broken"),
        (fails(400, "no such field"), "no such field"),
        (sends(b"no json"), "no JSON"),
        (replies({}), "scored 0 of 2"),
        (scores({"index": 0, "relevance_score": 0.5}), "scored 1 of 2"),
        (scores({"index": 0, "relevance_score": 0.5}, {"index": 9, "relevance_score": 1}), "1 of 2"),
        (replies([{"index": 0, "score": "high"}, None]), "scored 0 of 2"),
    ],
)
def test_a_wrong_answer_is_an_error(server: ModelServer, opened_on: Opener, deed: Deed, expected: str) -> None:
    """It names the endpoint and what it said."""
    server.usual = deed
    with pytest.raises(ServiceUnavailable, match=expected) as raised:
        opened_on().score("q", ["a", "b"])
    assert f"{server.url}/rerank" in raised.value.message


def test_a_wrong_key_is_a_wrong_setting(server: ModelServer, opened_on: Opener) -> None:
    """It is not tried again, and what the server says of it is told without the key."""
    server.usual = fails(401, "who is sk-secret")
    with pytest.raises(ConfigurationError, match=r"who is ….*reranker_key") as raised:
        opened_on(key="sk-secret").score("q", ["a"])
    assert "sk-secret" not in raised.value.message
    assert len(server.bodies) == 1


def test_a_key_that_no_header_can_hold_is_refused(opened_on: Opener) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match="reranker_key"):
        opened_on(key="schlüssel")


def test_an_endpoint_that_is_away_is_an_error(opened_on: Opener) -> None:
    """Nobody listens there."""
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        opened_on("http://127.0.0.1:9/rerank").score("q", ["a"])


@pytest.mark.parametrize(
    ("backend", "expected"), [("openai", "reranker_url"), ("cross-encoder", "reranker_model"), ("magic", "not known")]
)
def test_an_incomplete_setting_is_refused(backend: str, expected: str) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=expected):
        open_reranker(backend, model="", url=None)
    assert open_reranker("none", model="", url=None) is None

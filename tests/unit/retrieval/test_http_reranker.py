"""A rerank endpoint is asked in its own dialect; what it answers wrongly is an error and never a ranking."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from catalog.errors import ConfigurationError, ServiceUnavailable
from retrieval.rerankers.http import HttpReranker
from retrieval.rerankers.opener import open_reranker


class Endpoint:
    """A server on loopback that gives out prepared replies and remembers what it was asked."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, str]] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.asked.append(json.loads(body))
                endpoint.keys.append(self.headers.get("Authorization"))
                status, reply = endpoint.replies.pop(0) if len(endpoint.replies) > 1 else endpoint.replies[0]
                self.send_response(status)
                self.end_headers()
                self.wfile.write(reply.encode())

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/rerank"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


def a_reranker(endpoint: Endpoint, **options: Any) -> HttpReranker:
    return HttpReranker(endpoint.url, **{"model": "m", "sleep": lambda _: None, "timeout_s": 2.0} | options)


def test_openais_dialect(endpoint: Endpoint) -> None:
    """Results may come in any order; each score goes to its text, and the key travels as a bearer token."""
    results = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.2}]
    endpoint.replies = [(200, json.dumps({"results": results}))]
    reranker = a_reranker(endpoint, key="secret")
    assert reranker.score("q", ["a", "b"]) == [0.2, 0.9]
    assert endpoint.asked == [{"model": "m", "query": "q", "documents": ["a", "b"], "top_n": 2}]
    assert endpoint.keys == ["Bearer secret"]
    assert reranker.score("q", []) == []
    reranker.close()


def test_the_dialect_of_text_embeddings_inference(endpoint: Endpoint) -> None:
    """Logits become probabilities, in the same order."""
    endpoint.replies = [(200, json.dumps([{"index": 0, "score": -4.0}, {"index": 1, "score": 3.0}]))]
    reranker = a_reranker(endpoint, dialect="tei")
    low, high = reranker.score("q", ["a", "b"])
    assert (low, high) == (pytest.approx(0.018, abs=1e-3), pytest.approx(0.953, abs=1e-3))
    assert endpoint.asked == [{"query": "q", "texts": ["a", "b"], "raw_scores": False}]
    reranker.close()


def test_a_passing_failure_is_tried_again(endpoint: Endpoint) -> None:
    """Twice, with growing pauses."""
    pauses: list[float] = []
    whole = (200, json.dumps({"results": [{"index": 0, "relevance_score": 0.5}]}))
    endpoint.replies = [(429, "slow down"), (503, "later"), whole]
    reranker = a_reranker(endpoint, sleep=pauses.append)
    assert reranker.score("q", ["a"]) == [0.5]
    assert pauses == [0.2, 0.4]
    reranker.close()


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ((500, "broken"), "status 500"),
        ((400, "no such field"), "no such field"),
        ((200, "no json"), "no JSON"),
        ((200, "{}"), "scored 0 of 2"),
        ((200, '{"results": [{"index": 0, "relevance_score": 0.5}]}'), "scored 1 of 2"),
        ((200, '{"results": [{"index": 0, "relevance_score": 0.5}, {"index": 9, "relevance_score": 1}]}'), "1 of 2"),
        ((200, '[{"index": 0, "score": "high"}, null]'), "scored 0 of 2"),
    ],
)
def test_a_wrong_answer_is_an_error(endpoint: Endpoint, reply: tuple[int, str], expected: str) -> None:
    """It names the endpoint and what it said."""
    endpoint.replies = [reply]
    reranker = a_reranker(endpoint)
    with pytest.raises(ServiceUnavailable, match=expected) as raised:
        reranker.score("q", ["a", "b"])
    assert endpoint.url in raised.value.message
    reranker.close()


def test_a_wrong_key_is_a_wrong_setting(endpoint: Endpoint) -> None:
    """It is not tried again."""
    endpoint.replies = [(401, "who are you")]
    reranker = a_reranker(endpoint)
    with pytest.raises(ConfigurationError, match="reranker_key"):
        reranker.score("q", ["a"])
    assert len(endpoint.asked) == 1
    reranker.close()


def test_an_endpoint_that_is_away_is_an_error(endpoint: Endpoint) -> None:
    """Nobody listens there."""
    endpoint.close()
    reranker = a_reranker(endpoint)
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        reranker.score("q", ["a"])
    reranker.close()
    endpoint.__init__()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("backend", "expected"), [("openai", "reranker_url"), ("cross-encoder", "reranker_model"), ("magic", "not known")]
)
def test_an_incomplete_setting_is_refused(backend: str, expected: str) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError, match=expected):
        open_reranker(backend, model="", url=None)
    assert open_reranker("none", model="", url=None) is None

"""Tokens are counted by the model's own tokenizer where it can be reached, and by a safe rule elsewhere."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from generation.backends.token_counts import TokenCounter
from retrieval.remote import rule_spans

TEXT = "Größe 日本 pumps"
Server = Callable[[dict[str, Any]], httpx.Response]


def of_vllm(body: dict[str, Any]) -> httpx.Response:
    if "prompt" not in body:
        return httpx.Response(400, json={"message": "prompt is missing"})
    return httpx.Response(200, json={"count": len(body["prompt"]), "max_model_len": 10, "tokens": [1]})


def of_llama_cpp(body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json={"tokens": list(body.get("content", ""))})


def fails(status: int) -> Server:
    return lambda _body: httpx.Response(status, json={"detail": "no"})


class Network:
    """Servers by their host, and how often each was asked."""

    def __init__(self, **servers: Server) -> None:
        self.servers = servers
        self.asked: list[tuple[str, str]] = []
        self.now = 0.0

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert request.url.path == "/tokenize"
        assert request.headers["authorization"] == "Bearer k"
        self.asked.append((request.url.host, body.get("prompt", body.get("content"))))
        if request.url.host not in self.servers:
            raise httpx.ConnectError("refused", request=request)
        return self.servers[request.url.host](body)


Opener = Callable[[Network, list[str]], TokenCounter]


@pytest.fixture
def opened() -> Iterator[Opener]:
    counters: list[TokenCounter] = []

    def open_one(network: Network, hosts: list[str]) -> TokenCounter:
        counter = TokenCounter(
            "m",
            [f"http://{host}/v1" for host in hosts],
            headers={"authorization": "Bearer k"},
            clock=lambda: network.now,
            transport=httpx.MockTransport(network.answer),
        )
        counters.append(counter)
        return counter

    yield open_one
    for counter in counters:
        counter.close()


@pytest.mark.parametrize("server", [of_vllm, of_llama_cpp])
def test_the_server_counts_in_its_own_words(opened: Opener, server: Server) -> None:
    """vLLM and SGLang give a count, llama.cpp the tokens; a text is asked for once."""
    network = Network(a=server)
    counter = opened(network, ["a"])
    assert [counter.count(TEXT) for _ in range(3)] == [len(TEXT)] * 3
    assert network.asked.count(("a", TEXT)) == 1


@pytest.mark.parametrize(
    "server",
    [
        fails(401),
        fails(404),
        fails(501),
        lambda _body: httpx.Response(200, text="<html>"),
        lambda _body: httpx.Response(200, json=[]),
        lambda _body: httpx.Response(200, json={"count": "many"}),
        lambda _body: httpx.Response(200, json={"tokens": []}),
    ],
)
def test_a_server_that_does_not_count_is_asked_with_a_word_alone(opened: Opener, server: Server) -> None:
    """It never sees a document's text there, and is not asked again."""
    network = Network(a=server)
    counter = opened(network, ["a"])
    for network.now in (0.0, 1000.0):
        assert counter.count(TEXT) == len(rule_spans(TEXT))
    assert {text for _, text in network.asked} == {"word"}
    assert len(network.asked) == 2


def test_a_server_that_does_not_answer_is_asked_again_after_a_rest(opened: Opener) -> None:
    """Meanwhile the rule counts, and nothing waits."""
    network = Network()
    counter = opened(network, ["a"])
    assert [counter.count(TEXT) for _ in range(3)] == [len(rule_spans(TEXT))] * 3
    assert len(network.asked) == 1
    network.servers["a"] = of_vllm
    network.now = 31.0
    assert counter.count(TEXT) == len(TEXT)


def test_another_server_counts_when_one_is_gone(opened: Opener) -> None:
    """Each text costs at most one attempt at the one that is gone, and later none."""
    network = Network(a=of_vllm, b=of_llama_cpp)
    counter = opened(network, ["a", "b"])
    counter.count("first")
    del network.servers["a"]
    assert counter.count(TEXT) == len(TEXT)
    assert counter.count(TEXT + "!") == len(TEXT) + 1
    assert network.asked[-3:] == [("a", TEXT), ("b", TEXT), ("b", TEXT + "!")]


def test_a_count_that_failed_is_not_remembered(opened: Opener) -> None:
    """The rule's number is given while no server answers, and the exact one afterwards."""
    network = Network(a=of_vllm)
    counter = opened(network, ["a"])
    counter.count("first")
    network.servers["a"] = fails(503)
    assert counter.count(TEXT) == len(rule_spans(TEXT))
    network.servers["a"] = of_vllm
    network.now = 31.0
    assert counter.count(TEXT) == len(TEXT)

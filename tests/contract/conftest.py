"""A generator on servers of a language model, for the three files of tests on it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from generation.backends.chat_request import ChatServers
from generation.backends.openai import OpenAIGenerator
from generation.backends.opener import open_generator
from generation.backends.upstreams import News
from tests.model_server import MODEL, ModelServer

KEY = "sk-secret"
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.close()


Opener = Callable[..., OpenAIGenerator]


@pytest.fixture
def opened_on(server: ModelServer) -> Iterator[Opener]:
    """Return what opens a generator on the server; keyword arguments are fields of `ChatServers`."""
    opened: list[OpenAIGenerator] = []

    def open_one(observe: Callable[[News], None] = lambda _: None, **fields: Any) -> OpenAIGenerator:
        given = {"urls": [server.url], "model": MODEL, "api_key": KEY, "first_pause_s": 0.01} | fields
        generator = open_generator("openai", servers=ChatServers(**given), observe=observe)
        assert isinstance(generator, OpenAIGenerator)
        opened.append(generator)
        return generator

    yield open_one
    for generator in opened:
        generator.close()


def event(value: Any) -> bytes:
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


def part(text: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"delta": {"content": text}, "finish_reason": finish}]})

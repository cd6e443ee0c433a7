"""The generator behind OpenAI's chat API keeps the contract, and asks as that API wants it."""

import time
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import ConfigurationError, InvalidRequest
from generation.backends.base import FinishReason, Generator, Sampling
from generation.backends.chat_request import ChatServers
from generation.backends.opener import open_generator
from retrieval.embedders.conversion import DEFAULT_MODEL, ensure_converted
from tests.contract.conftest import KEY, Opener
from tests.contract.generator import GeneratorContract, a_prompt, begin, never, write
from tests.model_server import ANSWER, MODEL, Exchange, ModelServer, fails, says, stalls_after


def echoes(exchange: Exchange) -> None:
    """Answer in words that depend on the prompt."""
    exchange.words(f"{ANSWER} {sum(map(ord, exchange.body['messages'][-1]['content']))}")


class TestOnAServerThatIsRight(GeneratorContract):
    @pytest.fixture
    def opened(self, server: ModelServer, opened_on: Opener) -> Generator:
        server.usual = echoes
        server.counts = True
        return opened_on()


def test_requests_are_those_of_openai(server: ModelServer, opened_on: Opener) -> None:
    """Messages as the prompt has them, limits, sampling, a stream with its usage, and the key, which nothing shows."""
    generator = opened_on()
    prompt = a_prompt()
    list(generator.generate(prompt, sampling=Sampling(max_tokens=30, temperature=0.2, top_p=0.9), cancelled=never))
    assert server.bodies == [
        {
            "model": MODEL,
            "messages": [{"role": m.role, "content": m.content} for m in prompt.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": 30,
            "temperature": 0.2,
            "top_p": 0.9,
        }
    ]
    assert server.keys == [f"Bearer {KEY}"]
    assert KEY not in repr(ChatServers(urls=[server.url], model=MODEL, api_key=KEY))


def test_what_the_request_leaves_open_is_the_models_own(server: ModelServer, opened_on: Opener) -> None:
    """Neither temperature nor top_p is sent then."""
    list(opened_on().generate(a_prompt(), sampling=Sampling(), cancelled=never))
    assert {"temperature", "top_p"} & server.bodies[0].keys() == set()


def test_the_servers_count_is_the_usage(server: ModelServer, opened_on: Opener) -> None:
    """With the tokens that it had in its cache."""
    text, finished = write(opened_on())
    words = sum(len(message["content"].split()) for message in server.bodies[0]["messages"])
    assert text == ANSWER
    usage = finished.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (words, len(ANSWER.split()), 3)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5},
        {"prompt_tokens": 0},
        {"prompt_tokens": "many"},
        {"prompt_tokens": True},
        {"completion_tokens": 0},
        {"completion_tokens": 10**7},
        {"completion_tokens": None},
        {"prompt_tokens_details": {"cached_tokens": 10**6}},
    ],
)
def test_a_count_that_cannot_be_true_is_replaced_by_our_own(
    server: ModelServer, opened_on: Opener, usage: dict[str, Any]
) -> None:
    """By the rule that counts rather too many; nothing is taken as cached."""
    server.deeds = [says(ANSWER, usage=usage)]
    generator = opened_on()
    finished = write(generator)[1]
    prompt = "\n".join(message.content for message in a_prompt().messages)
    assert finished.usage.input_tokens == generator.count_tokens(prompt)
    assert finished.usage.output_tokens == generator.count_tokens(ANSWER)
    assert finished.usage.cached_tokens == 0


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("stop", FinishReason.STOP), ("eos", FinishReason.STOP), ("length", FinishReason.LENGTH)],
)
def test_finish_reasons_are_those_of_the_seam(
    server: ModelServer, opened_on: Opener, finish: str, reason: FinishReason
) -> None:
    """Whatever the servers call them."""
    server.deeds = [says(ANSWER, finish=finish)]
    assert write(opened_on())[1].reason is reason


def test_the_limit_is_named_as_the_server_wants_it(server: ModelServer, opened_on: Opener) -> None:
    """Once it has said so, every request has the new name."""
    server.deeds = [fails(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")]
    generator = opened_on()
    for _ in range(2):
        assert write(generator)[0] == ANSWER
    names = [sorted(body.keys() & {"max_tokens", "max_completion_tokens"}) for body in server.bodies]
    assert names == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]
    server.deeds = [fails(400, "max_completion_tokens is too large")]
    with pytest.raises(ConfigurationError, match="too large"):
        write(generator)


def test_thoughts_are_no_part_of_the_answer(server: ModelServer, opened_on: Opener) -> None:
    """Under either name; they count against the limit."""

    def thinks(exchange: Exchange) -> None:
        exchange.head()
        exchange.delta("", reasoning_content="Let me ")
        exchange.delta("", reasoning="see.")
        exchange.delta("Spring. [1]")
        exchange.delta("", finish="stop")
        exchange.end()

    server.deeds = [thinks]
    assert write(opened_on())[0] == "Spring. [1]"


def test_tokens_are_counted_by_the_server_where_it_can(server: ModelServer, opened_on: Opener) -> None:
    """It is asked once for a text, and how is tried out with a word that is nobody's."""
    server.counts = True
    generator = opened_on()
    assert [generator.count_tokens("extraordinarily long words") for _ in range(3)] == [3, 3, 3]
    assert server.counted == ["word", "extraordinarily long words"]


def test_a_tokenizer_that_is_here_counts_without_the_server(
    server: ModelServer, opened_on: Opener, model_cache: Path
) -> None:
    """It costs no round trip, and counts as the model does."""
    server.counts = True
    generator = opened_on(tokenizer=ensure_converted(DEFAULT_MODEL, model_cache) / "tokenizer.json")
    assert generator.count_tokens("three red pumps") == 3
    assert server.counted == []


def test_the_answer_gets_the_room_that_the_prompt_leaves(server: ModelServer, opened_on: Opener) -> None:
    """Servers refuse what could not fit; a prompt that leaves none is refused here, with both numbers."""
    server.counts = True
    prompt = a_prompt()
    read = len("\n".join(message.content for message in prompt.messages).split())
    generator = opened_on(context_tokens=read + 100)
    write(generator, prompt, max_tokens=1000)
    assert server.bodies[0]["max_tokens"] == 100 - 2 * 16
    with pytest.raises(InvalidRequest, match=rf"are {read} tokens.* and writes {read + 40} in all"):
        write(opened_on(context_tokens=read + 40), prompt, max_tokens=1000)


@pytest.mark.parametrize(("context", "expected"), [(8192, 6144), (2048, 1024), (131_072, 129_024)])
def test_sources_have_what_instructions_and_answer_leave(opened_on: Opener, context: int, expected: int) -> None:
    """At least half of the context."""
    assert opened_on(context_tokens=context).source_tokens == expected


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokenizer": Path("/nowhere/tokenizer.json")}, r"generator_tokenizer='/nowhere/tokenizer\.json'"),
        ({"api_key": "schlüssel"}, r"generator_api_key"),
    ],
)
def test_what_cannot_work_is_said_when_it_is_opened(opened_on: Opener, fields: dict[str, Any], message: str) -> None:
    """Before any request."""
    with pytest.raises(ConfigurationError, match=message):
        opened_on(**fields)


def test_the_back_end_needs_an_address() -> None:
    """The message names the settings."""
    with pytest.raises(ConfigurationError, match=r"generator_url.*generator_model"):
        open_generator("openai")


def test_answers_at_the_same_time_wait_for_none_of_each_other(server: ModelServer, opened_on: Opener) -> None:
    """One that stalls holds up nobody."""
    server.deeds = [stalls_after("The ")]
    generator = opened_on()
    stalled = begin(generator)
    next(stalled)
    started = time.monotonic()
    assert write(generator)[0] == ANSWER
    assert time.monotonic() - started < 10
    stalled.close()  # type: ignore[attr-defined]

"""The generator behind OpenAI's chat API keeps the contract, also on a server that fails in every way."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import ConfigurationError, InvalidRequest, ServiceUnavailable
from generation.backends import openai as backend
from generation.backends.base import (
    Finished,
    FinishReason,
    Generator,
    Message,
    Prompt,
    Sampling,
    TextDelta,
    ToolCall,
    Usage,
)
from generation.backends.chat_request import ChatServers
from generation.backends.openai import OpenAIGenerator
from generation.backends.opener import open_generator
from generation.backends.upstreams import FAILURES, BreakerState, FaultKind, News
from generation.search_tool import FILE_SEARCH
from retrieval.embedders.conversion import DEFAULT_MODEL, ensure_converted
from tests.chat_server import (
    ANSWER,
    MODEL,
    ChatServer,
    Deed,
    Exchange,
    calls,
    comments,
    drops_after,
    fails,
    floods,
    says,
    sends,
    stalls,
    stalls_after,
)
from tests.contract.generator import GeneratorContract, a_prompt, begin, never, write

KEY = "sk-secret"
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[ChatServer]:
    server = ChatServer()
    yield server
    server.close()


Opener = Callable[..., OpenAIGenerator]


@pytest.fixture
def opened_on(server: ChatServer) -> Iterator[Opener]:
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


def echoes(exchange: Exchange) -> None:
    """Answer in words that depend on the prompt."""
    exchange.words(f"{ANSWER} {sum(map(ord, exchange.body['messages'][-1]['content']))}")


class TestOnAServerThatIsRight(GeneratorContract):
    @pytest.fixture
    def opened(self, server: ChatServer, opened_on: Opener) -> Generator:
        server.usual = echoes
        server.counts = True
        return opened_on()


def event(value: Any) -> bytes:
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


def part(text: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"delta": {"content": text}, "finish_reason": finish}]})


def test_requests_are_those_of_openai(server: ChatServer, opened_on: Opener) -> None:
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


def a_prompt_with_a_tool(*, may_call: bool = True) -> Prompt:
    """Build a prompt behind one call."""
    call = ToolCall(call_id="call00001", name="file_search", arguments='{"queries": ["pump"]}')
    messages = [
        *a_prompt().messages,
        Message(role="assistant", content="", calls=[call]),
        Message(role="tool", content="Nothing was found.", call_id="call00001"),
    ]
    return replace(a_prompt(), messages=messages, tools=[FILE_SEARCH], may_call=may_call)


def end_of(generator: OpenAIGenerator, prompt: Prompt) -> tuple[str, Finished]:
    *pieces, last = generator.generate(prompt, sampling=Sampling(max_tokens=200), cancelled=never)
    assert isinstance(last, Finished)
    return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)), last


@pytest.mark.parametrize(("may_call", "choice"), [(True, "auto"), (False, "none")])
def test_tools_are_offered_as_openai_has_them(
    server: ChatServer, opened_on: Opener, may_call: bool, choice: str
) -> None:
    """Functions with a JSON schema, earlier calls and what they were answered; without tools no word of them."""
    generator = opened_on()
    end_of(generator, a_prompt_with_a_tool(may_call=may_call))
    (body,) = server.bodies
    assert body["tool_choice"] == choice
    (tool,) = body["tools"]
    assert (tool["type"], tool["function"]["name"]) == ("function", "file_search")
    assert tool["function"]["parameters"]["required"] == ["queries"]
    function = {"name": "file_search", "arguments": '{"queries": ["pump"]}'}
    assert body["messages"][-2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call00001", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call00001", "content": "Nothing was found."},
    ]
    end_of(generator, a_prompt())
    assert {"tools", "tool_choice"} & server.bodies[1].keys() == set()


def test_calls_are_put_together(server: ChatServer, opened_on: Opener) -> None:
    """From their pieces, with the text in front of them and the usage that the server told."""
    server.deeds = [calls({"queries": ["red pump"]}, {"queries": ["roof"]}, text="I search.")]
    text, last = end_of(opened_on(), a_prompt_with_a_tool())
    assert (text, last.reason) == ("I search.", FinishReason.STOP)
    assert [(call.call_id, json.loads(call.arguments)) for call in last.calls] == [
        ("call_0x", {"queries": ["red pump"]}),
        ("call_1x", {"queries": ["roof"]}),
    ]
    assert last.usage == Usage(input_tokens=100, output_tokens=20)


def test_calls_that_nobody_offered_are_no_answer(server: ChatServer, opened_on: Opener) -> None:
    """They are a fault of the server where there are no tools, and the model's own where it has to write."""
    generator = opened_on(retries=0)
    server.deeds = [calls({"queries": ["pump"]})] * 2
    with pytest.raises(ServiceUnavailable, match="finish_reason 'tool_calls'"):
        end_of(generator, a_prompt())
    text, last = end_of(generator, a_prompt_with_a_tool(may_call=False))
    assert (text, len(last.calls)) == ("", 1)


def test_calls_that_break_off_are_asked_for_again(server: ChatServer, opened_on: Opener) -> None:
    """Nothing of them was given out."""

    def breaks_off(exchange: Exchange) -> None:
        exchange.head()
        exchange.delta(
            "", tool_calls=[{"index": 0, "id": "a", "function": {"name": "file_search", "arguments": '{"q'}}]
        )
        exchange.drop()

    server.deeds = [breaks_off, calls({"queries": ["pump"]})]
    _, last = end_of(opened_on(), a_prompt_with_a_tool())
    assert [call.arguments for call in last.calls] == ['{"queries": ["pump"]}']


def test_a_flood_of_calls_is_cut(server: ChatServer, opened_on: Opener) -> None:
    """At the limit of tokens; what was called until then is told."""

    def floods_calls(exchange: Exchange) -> None:
        exchange.head()
        number = 0
        while True:
            number += 1
            call = {"index": number, "id": f"c{number}", "function": {"name": "file_search", "arguments": "{}"}}
            exchange.delta("", tool_calls=[call])

    server.deeds = [floods_calls]
    _, last = end_of(opened_on(), a_prompt_with_a_tool())
    assert last.reason is FinishReason.LENGTH
    assert 10 < len(last.calls) <= 201


@pytest.mark.parametrize("wrong", ["search", [7], [{"index": 0}], [{"function": "f"}], [{"function": {"name": 7}}]])
def test_calls_that_cannot_be_read_are_a_fault(server: ChatServer, opened_on: Opener, wrong: Any) -> None:
    """Another attempt is made, and then the answer fails with a reason."""
    event_of = event({"choices": [{"delta": {"tool_calls": wrong}, "finish_reason": None}]})
    server.deeds = [sends(event_of), sends(event_of)]
    with pytest.raises(ServiceUnavailable, match="tool call that cannot be read"):
        end_of(opened_on(retries=1), a_prompt_with_a_tool())
    assert len(server.bodies) == 2


def test_a_server_without_tools_is_told_apart(server: ChatServer, opened_on: Opener) -> None:
    """The message says what the server says, and which setting asks for tools."""
    server.deeds = [fails(400, '"auto" tool choice requires --enable-auto-tool-choice')]
    with pytest.raises(ConfigurationError, match=r"requires --enable-auto-tool-choice.*search_by=.model. needs them"):
        end_of(opened_on(), a_prompt_with_a_tool())


def test_tools_count_as_part_of_the_prompt(server: ChatServer, opened_on: Opener) -> None:
    """Without the server's count, calls and tools are counted here too."""
    server.usual = says(ANSWER, usage={"prompt_tokens": 0})
    generator = opened_on()
    with_tools = end_of(generator, a_prompt_with_a_tool())[1].usage.input_tokens
    assert with_tools > end_of(generator, a_prompt())[1].usage.input_tokens + 100


def test_what_the_request_leaves_open_is_the_models_own(server: ChatServer, opened_on: Opener) -> None:
    """Neither temperature nor top_p is sent then."""
    list(opened_on().generate(a_prompt(), sampling=Sampling(), cancelled=never))
    assert {"temperature", "top_p"} & server.bodies[0].keys() == set()


def test_the_servers_count_is_the_usage(server: ChatServer, opened_on: Opener) -> None:
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
    server: ChatServer, opened_on: Opener, usage: dict[str, Any]
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
    server: ChatServer, opened_on: Opener, finish: str, reason: FinishReason
) -> None:
    """Whatever the servers call them."""
    server.deeds = [says(ANSWER, finish=finish)]
    assert write(opened_on())[1].reason is reason


@pytest.mark.parametrize(
    "deed",
    [
        fails(408),
        fails(409),
        fails(429, retry_after="0"),
        fails(500),
        fails(503),
        drops_after(),
        sends(),
        sends(b"<html>Welcome</html>", content_type="text/html"),
        sends(b'{"choices": []}', content_type="application/json"),
        sends(b"data: {broken\n\n"),
        sends(b"data: \xff\xfe\n\n"),
        sends(event([1, 2])),
        sends(event({"choices": "none"})),
        sends(event({"choices": [{"delta": {"content": 7}}]})),
        sends(event({"error": {"message": "out of memory", "code": 500}})),
        sends(b"data: " + b"x" * 2**20 + b"x\n\n"),
        sends(event("[DONE]")),
        sends(part("", "stop"), event("[DONE]")),
        sends(part("", "abort")),
        sends(event({"choices": [{"delta": {"role": "assistant"}}]})),
    ],
)
def test_what_fails_before_the_first_token_is_asked_again(server: ChatServer, opened_on: Opener, deed: Deed) -> None:
    """Overload, faults, replies that are no stream or no answer: the second reply counts, and nothing of the first."""
    server.deeds = [deed]
    assert write(opened_on())[0] == ANSWER
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (fails(503, f"overloaded, {KEY}"), r"status 503, overloaded, …\. Its own log"),
        (sends(b"<html>", content_type="text/html"), r"content type 'text/html' .*generator_url"),
        (sends(b"data: {broken\n\n"), r"no JSON: '\{broken'"),
        (sends(event({"error": {"message": f"{KEY} is broke"}})), r"an error: .*… is broke"),
        (sends(part("", "stop")), r"its answer is empty"),
        (sends(part("", "tool_calls")), r"finish_reason 'tool_calls'"),
        (sends(b": nothing\n\n"), r"without a finish_reason"),
        (drops_after(), r"RemoteProtocolError|ReadError"),
    ],
)
def test_when_nothing_helps_the_error_is_retryable_and_says_why(
    server: ChatServer, opened_on: Opener, deed: Deed, message: str
) -> None:
    """It names the server and what to do, never the key."""
    server.usual = deed
    with pytest.raises(ServiceUnavailable, match=message) as raised:
        write(opened_on(retries=1))
    assert raised.value.retryable
    assert server.url in raised.value.message
    assert KEY not in raised.value.message
    assert len(server.bodies) == 2


def test_a_server_that_is_not_there_is_an_outage(opened_on: Opener) -> None:
    """Retryable, with its address and what to look at."""
    with pytest.raises(ServiceUnavailable, match=r"http://127\.0\.0\.1:9/v1: ConnectError.*Is the server running"):
        write(opened_on(urls=[NOWHERE], retries=1))


def test_the_server_says_how_long_to_wait(server: ChatServer, opened_on: Opener) -> None:
    """Retry-After is kept to."""
    server.deeds = [fails(429, retry_after="0.3")]
    write(opened_on())
    assert server.times[1] - server.times[0] >= 0.3


def test_a_wait_beyond_the_deadline_is_not_begun(server: ChatServer, opened_on: Opener) -> None:
    """Who asked is told when to come again."""
    server.deeds = [fails(429, "quota spent", retry_after="3600")]
    with pytest.raises(ServiceUnavailable, match="quota spent") as raised:
        write(opened_on())
    assert raised.value.retry_after_s == 3600
    assert len(server.bodies) == 1


def test_repetitions_of_all_answers_together_are_bounded(
    server: ChatServer, opened_on: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that have too much to do do not get a multiple of it."""
    monkeypatch.setattr("generation.backends.upstreams.FAILURES", 10**6)
    server.usual = fails(503)
    generator = opened_on(retries=5, first_pause_s=0.0)
    for _ in range(10):
        with pytest.raises(ServiceUnavailable):
            write(generator)
    assert len(server.bodies) == 20


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (fails(401, f"Incorrect key {KEY}"), r"status 401, Incorrect key …\. Check generator_api_key"),
        (fails(403), r"generator_api_key"),
        (fails(404, "no such model"), r"status 404, no such model\. .*generator_model"),
        (fails(302, location="/elsewhere"), r"status 302"),
        (fails(400, "maximum context length is 10 tokens"), r"maximum context length.*generator_context_tokens"),
        (fails(422, "unknown field"), r"unknown field"),
    ],
)
def test_a_wrong_setting_is_not_asked_again(server: ChatServer, opened_on: Opener, deed: Deed, message: str) -> None:
    """The message names the setting and what the server says, never the key."""
    server.deeds = [deed]
    with pytest.raises(ConfigurationError, match=message) as raised:
        write(opened_on())
    assert KEY not in raised.value.message
    assert len(server.bodies) == 1


def test_the_limit_is_named_as_the_server_wants_it(server: ChatServer, opened_on: Opener) -> None:
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


@pytest.mark.parametrize("deed", [stalls, comments])
def test_the_first_token_is_not_waited_for_without_end(server: ChatServer, opened_on: Opener, deed: Deed) -> None:
    """Neither is a server that only keeps the connection open: it is asked again."""
    server.deeds = [deed]
    assert write(opened_on(first_token_timeout_s=0.5))[0] == ANSWER
    assert server.hung_up.wait(5)


def test_a_pause_between_tokens_has_a_limit(server: ChatServer, opened_on: Opener) -> None:
    """What was given out stays as it is; the answer is no whole one, and is not begun anew."""
    server.deeds = [stalls_after("The red ", "pump ")]
    pieces: list[str] = []
    with pytest.raises(ServiceUnavailable, match=r"broke off in mid-answer: no further token within 0\.5 s.*ask again"):
        pieces.extend(piece.text for piece in begin(opened_on(token_timeout_s=0.5)) if isinstance(piece, TextDelta))
    assert pieces == ["The red ", "pump "]
    assert len(server.bodies) == 1


def test_an_answer_has_a_deadline(server: ChatServer, opened_on: Opener) -> None:
    """However regularly its tokens come."""
    server.deeds = [says("word " * 100, pause_s=0.05)]
    with pytest.raises(ServiceUnavailable, match=r"its answer is not there after 0\.5 s"):
        write(opened_on(deadline_s=0.5), max_tokens=200)
    assert server.hung_up.wait(5)


@pytest.mark.parametrize(
    "deed",
    [
        drops_after("The red ", "pump "),
        sends(part("The red pump ")),
        sends(part("The red pump "), b"data: {brok"),
        sends(part("The red pump "), event({"error": {"message": "CUDA error"}})),
        sends(part("The red pump "), part("", "abort")),
        sends(part("The red pump "), event("[DONE]")),
    ],
)
def test_a_server_that_dies_in_mid_answer_is_an_error(
    server: ChatServer, opened_on: Opener, deed: Deed, caplog: pytest.LogCaptureFixture
) -> None:
    """Never an answer that looks whole; the log says what came when, and nobody is asked a second time."""
    server.deeds = [deed]
    with caplog.at_level(logging.ERROR, logger=backend.__name__), pytest.raises(ServiceUnavailable) as raised:
        write(opened_on())
    assert f"{server.url} broke off in mid-answer" in raised.value.message
    (line,) = [record.getMessage() for record in caplog.records]
    assert "s after the request" in line
    assert "13 characters" in line
    assert len(server.bodies) == 1


@pytest.mark.parametrize("deed", [floods(), floods("word " * 50), floods("\n")])
def test_a_flood_is_cut_at_the_limit(server: ChatServer, opened_on: Opener, deed: Deed) -> None:
    """A server that does not heed the limit is hung up on, and its answer ends with LENGTH."""
    server.deeds = [deed]
    text, finished = write(opened_on(), max_tokens=16)
    assert finished.reason is FinishReason.LENGTH
    assert len(text.split()) <= 4 * 16
    assert len(text) <= 16 * 5 * 4
    assert server.hung_up.wait(5)


def test_what_follows_the_last_token_cannot_spoil_an_answer(server: ChatServer, opened_on: Opener) -> None:
    """A connection that breaks, or noise, where the usage should be: the answer is whole, and counted here."""
    for tail in ([], [b"data: "], [part("noise")]):
        server.deeds = [sends(part("Every spring. [1]"), part("", "stop"), *tail)]
        text, finished = write(opened_on())
        assert text == "Every spring. [1]"
        assert finished.reason is FinishReason.STOP
        assert finished.usage.output_tokens > 0


def test_thoughts_are_no_part_of_the_answer(server: ChatServer, opened_on: Opener) -> None:
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


def test_an_answer_of_thoughts_alone_says_what_to_change(server: ChatServer, opened_on: Opener) -> None:
    """The server is not at fault, so nothing is repeated and nothing held against it."""

    def ponders(exchange: Exchange) -> None:
        exchange.head()
        exchange.delta("", reasoning_content="Hm.")
        exchange.delta("", finish="length")
        exchange.end()

    server.usual = ponders
    generator = opened_on()
    for _ in range(FAILURES + 1):
        with pytest.raises(InvalidRequest, match=r"within 64 tokens; allow it more"):
            write(generator)
    assert len(server.bodies) == FAILURES + 1


def test_a_filter_of_the_server_is_told(server: ChatServer, opened_on: Opener) -> None:
    """It is the request that it objects to."""
    server.deeds = [sends(part("The "), part("", "content_filter"))]
    with pytest.raises(InvalidRequest, match="filter"):
        write(opened_on())


@pytest.mark.parametrize("deed", [stalls, stalls_after("The ")])
def test_the_server_is_hung_up_on_when_the_reader_goes(server: ChatServer, opened_on: Opener, deed: Deed) -> None:
    """Also while the first token is waited for: the server notices, and stops to write."""
    server.deeds = [deed]
    *_, last = begin(opened_on(), cancelled=lambda: bool(server.bodies))
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.CANCELLED
    assert server.hung_up.wait(5)


def test_an_answer_that_nobody_reads_on_ends_at_the_server(server: ChatServer, opened_on: Opener) -> None:
    """Dropping the iterator is enough."""
    server.deeds = [stalls_after("The ")]
    answer = begin(opened_on())
    next(answer)
    answer.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(5)


def test_closing_ends_what_is_under_way(server: ChatServer) -> None:
    """As when the process stops: the answer is an outage for its reader."""
    server.deeds = [stalls_after("The ")]
    generator = OpenAIGenerator(ChatServers(urls=[server.url], model=MODEL))
    answer = begin(generator)
    next(answer)
    generator.close()
    with pytest.raises(ServiceUnavailable, match="being stopped"):
        next(answer)


def test_another_server_takes_over_at_once(server: ChatServer, other: ChatServer, opened_on: Opener) -> None:
    """Without the pause before a repetition, and also for one that refuses the key."""
    for deed in (fails(503, retry_after="60"), fails(401), drops_after(), fails(404)):
        server.deeds = [deed]
        assert write(opened_on(urls=[server.url, other.url], first_pause_s=60.0))[0] == ANSWER
    assert len(other.bodies) == 4


def test_a_server_that_failed_repeatedly_is_left_alone(
    server: ChatServer, other: ChatServer, opened_on: Opener
) -> None:
    """Questions do not pay for its state any more, and whoever watches hears of each step."""
    server.usual = fails(500)
    news: list[News] = []
    generator = opened_on(observe=news.append, urls=[server.url, other.url])
    for _ in range(FAILURES + 5):
        assert write(generator)[0] == ANSWER
    assert len(server.bodies) == FAILURES
    assert [(one.url, one.state, one.fault) for one in news] == [
        *[(server.url, BreakerState.CLOSED, FaultKind.STATUS)] * (FAILURES - 1),
        (server.url, BreakerState.OPEN, FaultKind.STATUS),
    ]


def test_when_all_servers_are_left_alone_answers_fail_at_once(server: ChatServer, opened_on: Opener) -> None:
    """With the time of the next try and the last reason, and without a request."""
    server.usual = fails(500, "out of memory")
    generator = opened_on(retries=0)
    for _ in range(FAILURES):
        with pytest.raises(ServiceUnavailable):
            write(generator)
    with pytest.raises(ServiceUnavailable, match=r"left alone for \d+ s.*status 500, out of memory") as raised:
        write(generator)
    assert 1 <= (raised.value.retry_after_s or 0) <= 10
    assert len(server.bodies) == FAILURES


def test_a_server_that_is_left_alone_meanwhile_is_not_waited_for(server: ChatServer, opened_on: Opener) -> None:
    """The failure that is one too many ends the answer too, whatever repetitions are left."""
    server.usual = fails(500)
    with pytest.raises(ServiceUnavailable, match="status 500"):
        write(opened_on(retries=10))
    assert len(server.bodies) == FAILURES


def test_the_least_busy_server_is_asked(server: ChatServer, other: ChatServer, opened_on: Opener) -> None:
    """One after the other they go to the first, whose cache knows the prompts; at the same time to both."""
    generator = opened_on(urls=[server.url, other.url])
    for _ in range(3):
        write(generator)
    assert (len(server.bodies), len(other.bodies)) == (3, 0)
    server.deeds = [stalls_after("The ")]
    under_way = begin(generator)
    next(under_way)
    write(generator)
    assert (len(server.bodies), len(other.bodies)) == (4, 1)
    under_way.close()  # type: ignore[attr-defined]


def test_tokens_are_counted_by_the_server_where_it_can(server: ChatServer, opened_on: Opener) -> None:
    """It is asked once for a text, and how is tried out with a word that is nobody's."""
    server.counts = True
    generator = opened_on()
    assert [generator.count_tokens("extraordinarily long words") for _ in range(3)] == [3, 3, 3]
    assert server.counted == ["word", "extraordinarily long words"]


def test_a_tokenizer_that_is_here_counts_without_the_server(
    server: ChatServer, opened_on: Opener, model_cache: Path
) -> None:
    """It costs no round trip, and counts as the model does."""
    server.counts = True
    generator = opened_on(tokenizer=ensure_converted(DEFAULT_MODEL, model_cache) / "tokenizer.json")
    assert generator.count_tokens("three red pumps") == 3
    assert server.counted == []


def test_the_answer_gets_the_room_that_the_prompt_leaves(server: ChatServer, opened_on: Opener) -> None:
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


def test_each_server_is_checked_for_the_model(server: ChatServer, opened_on: Opener) -> None:
    """Reachable, with the model, and with a context as large as the setting."""
    assert opened_on().check() == [f"{server.url} serves {MODEL}"]
    for fields, message in (
        ({"model": "other"}, "it serves org/model-x; generator_model='other'"),
        ({"context_tokens": 9000}, "it reads 8192 tokens; generator_context_tokens=9000"),
        ({"urls": [NOWHERE, server.url]}, f"{NOWHERE}: ConnectError.*; {server.url} serves"),
    ):
        with pytest.raises(ServiceUnavailable, match=message):
            opened_on(**fields).check()


def test_answers_at_the_same_time_wait_for_none_of_each_other(server: ChatServer, opened_on: Opener) -> None:
    """One that stalls holds up nobody."""
    server.deeds = [stalls_after("The ")]
    generator = opened_on()
    stalled = begin(generator)
    next(stalled)
    started = time.monotonic()
    assert write(generator)[0] == ANSWER
    assert time.monotonic() - started < 10
    stalled.close()  # type: ignore[attr-defined]

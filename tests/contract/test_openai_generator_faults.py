"""A server that fails in every way: what may pass is asked again, the rest is an error that says why."""

import logging

import pytest

from catalog.errors import ConfigurationError, InvalidRequest, ServiceUnavailable
from generation.backends import openai as backend
from generation.backends.base import Finished, FinishReason, TextDelta
from generation.backends.chat_request import ChatServers
from generation.backends.openai import OpenAIGenerator
from generation.backends.upstreams import FAILURES
from tests.contract.conftest import KEY, NOWHERE, Opener, event, part
from tests.contract.generator import begin, write
from tests.model_server import (
    ANSWER,
    MODEL,
    Deed,
    Exchange,
    ModelServer,
    comments,
    drops_after,
    fails,
    floods,
    says,
    sends,
    stalls,
    stalls_after,
)


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
def test_what_fails_before_the_first_token_is_asked_again(server: ModelServer, opened_on: Opener, deed: Deed) -> None:
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
    server: ModelServer, opened_on: Opener, deed: Deed, message: str
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


def test_the_server_says_how_long_to_wait(server: ModelServer, opened_on: Opener) -> None:
    """Retry-After is kept to."""
    server.deeds = [fails(429, retry_after="0.3")]
    write(opened_on())
    assert server.times[1] - server.times[0] >= 0.3


def test_a_wait_beyond_the_deadline_is_not_begun(server: ModelServer, opened_on: Opener) -> None:
    """Who asked is told when to come again."""
    server.deeds = [fails(429, "quota spent", retry_after="3600")]
    with pytest.raises(ServiceUnavailable, match="quota spent") as raised:
        write(opened_on())
    assert raised.value.retry_after_s == 3600
    assert len(server.bodies) == 1


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
def test_a_wrong_setting_is_not_asked_again(server: ModelServer, opened_on: Opener, deed: Deed, message: str) -> None:
    """The message names the setting and what the server says, never the key."""
    server.deeds = [deed]
    with pytest.raises(ConfigurationError, match=message) as raised:
        write(opened_on())
    assert KEY not in raised.value.message
    assert len(server.bodies) == 1


@pytest.mark.parametrize("deed", [stalls, comments])
def test_the_first_token_is_not_waited_for_without_end(server: ModelServer, opened_on: Opener, deed: Deed) -> None:
    """Neither is a server that only keeps the connection open: it is asked again."""
    server.deeds = [deed]
    assert write(opened_on(first_token_timeout_s=0.5))[0] == ANSWER
    assert server.hung_up.wait(5)


def test_a_pause_between_tokens_has_a_limit(server: ModelServer, opened_on: Opener) -> None:
    """What was given out stays as it is; the answer is no whole one, and is not begun anew."""
    server.deeds = [stalls_after("The red ", "pump ")]
    pieces: list[str] = []
    with pytest.raises(ServiceUnavailable, match=r"broke off in mid-answer: no further token within 0\.5 s.*ask again"):
        pieces.extend(piece.text for piece in begin(opened_on(token_timeout_s=0.5)) if isinstance(piece, TextDelta))
    assert pieces == ["The red ", "pump "]
    assert len(server.bodies) == 1


def test_an_answer_has_a_deadline(server: ModelServer, opened_on: Opener) -> None:
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
    server: ModelServer, opened_on: Opener, deed: Deed, caplog: pytest.LogCaptureFixture
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
def test_a_flood_is_cut_at_the_limit(server: ModelServer, opened_on: Opener, deed: Deed) -> None:
    """A server that does not heed the limit is hung up on, and its answer ends with LENGTH."""
    server.deeds = [deed]
    text, finished = write(opened_on(), max_tokens=16)
    assert finished.reason is FinishReason.LENGTH
    assert len(text.split()) <= 4 * 16
    assert len(text) <= 16 * 5 * 4
    assert server.hung_up.wait(5)


def test_what_follows_the_last_token_cannot_spoil_an_answer(server: ModelServer, opened_on: Opener) -> None:
    """A connection that breaks, or noise, where the usage should be: the answer is whole, and counted here."""
    for tail in ([], [b"data: "], [part("noise")]):
        server.deeds = [sends(part("Every spring. [1]"), part("", "stop"), *tail)]
        text, finished = write(opened_on())
        assert text == "Every spring. [1]"
        assert finished.reason is FinishReason.STOP
        assert finished.usage.output_tokens > 0


def test_an_answer_of_thoughts_alone_says_what_to_change(server: ModelServer, opened_on: Opener) -> None:
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


def test_a_filter_of_the_server_is_told(server: ModelServer, opened_on: Opener) -> None:
    """It is the request that it objects to."""
    server.deeds = [sends(part("The "), part("", "content_filter"))]
    with pytest.raises(InvalidRequest, match="filter"):
        write(opened_on())


@pytest.mark.parametrize("deed", [stalls, stalls_after("The ")])
def test_the_server_is_hung_up_on_when_the_reader_goes(server: ModelServer, opened_on: Opener, deed: Deed) -> None:
    """Also while the first token is waited for: the server notices, and stops to write."""
    server.deeds = [deed]
    *_, last = begin(opened_on(), cancelled=lambda: bool(server.bodies))
    assert isinstance(last, Finished)
    assert last.reason is FinishReason.CANCELLED
    assert server.hung_up.wait(5)


def test_an_answer_that_nobody_reads_on_ends_at_the_server(server: ModelServer, opened_on: Opener) -> None:
    """Dropping the iterator is enough."""
    server.deeds = [stalls_after("The ")]
    answer = begin(opened_on())
    next(answer)
    answer.close()  # type: ignore[attr-defined]
    assert server.hung_up.wait(5)


def test_closing_ends_what_is_under_way(server: ModelServer) -> None:
    """As when the process stops: the answer is an outage for its reader."""
    server.deeds = [stalls_after("The ")]
    generator = OpenAIGenerator(ChatServers(urls=[server.url], model=MODEL))
    answer = begin(generator)
    next(answer)
    generator.close()
    with pytest.raises(ServiceUnavailable, match="being stopped"):
        next(answer)

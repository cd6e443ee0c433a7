"""Several servers of one model: who is asked, who is left alone, and how often a request is repeated."""

import pytest

from catalog.errors import ServiceUnavailable
from generation.backends.upstreams import FAILURES, BreakerState, FaultKind, News
from tests.contract.conftest import NOWHERE, Opener
from tests.contract.generator import begin, write
from tests.model_server import ANSWER, MODEL, ModelServer, drops_after, fails, stalls_after


def test_another_server_takes_over_at_once(server: ModelServer, other: ModelServer, opened_on: Opener) -> None:
    """Without the pause before a repetition, and also for one that refuses the key."""
    for deed in (fails(503, retry_after="60"), fails(401), drops_after(), fails(404)):
        server.deeds = [deed]
        assert write(opened_on(urls=[server.url, other.url], first_pause_s=60.0))[0] == ANSWER
    assert len(other.bodies) == 4


def test_a_server_that_failed_repeatedly_is_left_alone(
    server: ModelServer, other: ModelServer, opened_on: Opener
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


def test_when_all_servers_are_left_alone_answers_fail_at_once(server: ModelServer, opened_on: Opener) -> None:
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


def test_a_server_that_is_left_alone_meanwhile_is_not_waited_for(server: ModelServer, opened_on: Opener) -> None:
    """The failure that is one too many ends the answer too, whatever repetitions are left."""
    server.usual = fails(500)
    with pytest.raises(ServiceUnavailable, match="status 500"):
        write(opened_on(retries=10))
    assert len(server.bodies) == FAILURES


def test_the_least_busy_server_is_asked(server: ModelServer, other: ModelServer, opened_on: Opener) -> None:
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


def test_repetitions_of_all_answers_together_are_bounded(
    server: ModelServer, opened_on: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Servers that have too much to do do not get a multiple of it."""
    monkeypatch.setattr("generation.backends.upstreams.FAILURES", 10**6)
    server.usual = fails(503)
    generator = opened_on(retries=5, first_pause_s=0.0)
    for _ in range(10):
        with pytest.raises(ServiceUnavailable):
            write(generator)
    assert len(server.bodies) == 20


def test_each_server_is_checked_for_the_model(server: ModelServer, opened_on: Opener) -> None:
    """Reachable, with the model, and with a context as large as the setting."""
    assert opened_on().check() == [f"{server.url} serves {MODEL}"]
    for fields, message in (
        ({"model": "other"}, "it serves org/model-x; generator_model='other'"),
        ({"context_tokens": 9000}, "it reads 8192 tokens; generator_context_tokens=9000"),
        ({"urls": [NOWHERE, server.url]}, f"{NOWHERE}: ConnectError.*; {server.url} serves"),
    ):
        with pytest.raises(ServiceUnavailable, match=message):
            opened_on(**fields).check()

"""Which server is asked: a breaker for each, and a budget for repetitions."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.backends.upstreams import (
    FAILURES,
    FIRST_REST_S,
    LONGEST_REST_S,
    Breaker,
    BreakerState,
    FaultKind,
    News,
    NoneAdmitted,
    RetryBudget,
    UpstreamFault,
    Upstreams,
)

FAULT = UpstreamFault(FaultKind.STATUS, "status 500, no")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(upstreams: Upstreams, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(UpstreamFault), upstreams.turn():
            raise FAULT


def url_of(upstreams: Upstreams, *, tried: tuple[str, ...] = (), useless: tuple[str, ...] = ()) -> str:
    with upstreams.turn(tried=tried, useless=useless) as turn:
        return turn.url


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker = breaker.failed(now)
    return breaker


def test_a_breaker_opens_after_failures_in_a_row_alone() -> None:
    """A success between them starts the count anew."""
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker = breaker.failed(0.0)
    assert breaker.state(0.0) is BreakerState.CLOSED
    assert breaker.succeeded().failed(0.0).state(0.0) is BreakerState.CLOSED
    assert breaker.failed(0.0).state(0.0) is BreakerState.OPEN


def test_after_its_rest_one_request_tries_it() -> None:
    """And no second one before the first has told."""
    breaker = opened()
    assert not breaker.admits(FIRST_REST_S - 0.01)
    assert breaker.state(FIRST_REST_S) is BreakerState.HALF_OPEN
    assert breaker.admits(FIRST_REST_S)
    trying = breaker.begun()
    assert not trying.admits(FIRST_REST_S)
    assert trying.abandoned().admits(FIRST_REST_S)
    assert trying.succeeded() == Breaker()


def test_a_first_token_ends_the_trial_and_one_more_failure_is_too_many() -> None:
    """A server that always dies in mid-answer is not used again for long."""
    answering = opened().begun().answering()
    assert answering.state(FIRST_REST_S) is BreakerState.CLOSED
    assert answering.failed(50.0).state(50.0) is BreakerState.OPEN


def test_the_rest_doubles_with_each_failed_trial_up_to_a_bound() -> None:
    """A server that is gone for good costs a request every two minutes."""
    breaker, now, rests = opened(), 0.0, []
    for _ in range(8):
        assert breaker.retry_at is not None
        rests.append(breaker.retry_at - now)
        now = breaker.retry_at
        breaker = breaker.begun().failed(now)
    assert rests == [5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0, 120.0]


def test_requests_that_were_sent_before_it_opened_count_for_nothing_more() -> None:
    """Eight at the same time fail as one: the rest is the first one."""
    breaker = opened()
    assert breaker.failed(1.0) == breaker


EVENTS: list[Callable[[Breaker, float], Breaker]] = [
    lambda breaker, now: breaker.begun() if breaker.admits(now) else breaker,
    lambda breaker, _: breaker.answering(),
    lambda breaker, _: breaker.succeeded(),
    lambda breaker, now: breaker.failed(now),
    lambda breaker, _: breaker.abandoned(),
]


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(0.0, 200.0))))
def test_whatever_happens_a_server_is_tried_again_in_bounded_time(
    happened: list[tuple[Callable[[Breaker, float], Breaker], float]],
) -> None:
    """No order of events shuts a server out: once what is under way has told, at the latest after the longest rest."""
    breaker, now = Breaker(), 0.0
    for event, passed in happened:
        now += passed
        breaker = event(breaker, now)
        assert breaker.admits(now) is (
            breaker.state(now) is BreakerState.CLOSED
            or (breaker.state(now) is BreakerState.HALF_OPEN and not breaker.is_on_trial)
        )
        assert breaker.abandoned().admits(now + LONGEST_REST_S)
        assert breaker.state(now) is not BreakerState.OPEN or breaker.failures >= FAILURES
    assert breaker.succeeded() == Breaker()


def test_servers_are_asked_in_their_order_while_they_are_idle(clock: Clock) -> None:
    """Those that were tried come last, those that are useless never."""
    upstreams = Upstreams(["a", "b"], clock=clock)
    assert [url_of(upstreams) for _ in range(2)] == ["a", "a"]
    assert url_of(upstreams, tried=("a",)) == "b"
    assert url_of(upstreams, tried=("a", "b")) == "a"
    assert url_of(upstreams, useless=("a",)) == "b"
    assert (upstreams.admits_any(but=("a",)), upstreams.admits_any(but=("a", "b"))) == (True, False)
    with pytest.raises(NoneAdmitted):
        url_of(upstreams, useless=("a", "b"))


def test_the_least_busy_is_asked(clock: Clock) -> None:
    """Until the others are as busy."""
    upstreams = Upstreams(["a", "b"], clock=clock)
    with upstreams.turn() as first, upstreams.turn() as second, upstreams.turn() as third:
        assert [first.url, second.url, third.url] == ["a", "b", "a"]
    assert url_of(upstreams) == "a"


def test_a_server_at_rest_is_not_asked(clock: Clock) -> None:
    """When none is left that is said, with the reasons and the time of the next try."""
    upstreams = Upstreams(["a"], clock=clock)
    fail(upstreams, FAILURES)
    clock.now += 2.0
    with pytest.raises(NoneAdmitted, match="a: status 500, no") as raised:
        url_of(upstreams)
    assert raised.value.retry_after_s == FIRST_REST_S - 2.0
    clock.now += FIRST_REST_S
    assert url_of(upstreams) == "a"


def test_one_request_at_a_time_tries_a_server_that_rested(clock: Clock) -> None:
    """Its first token lets the others in."""
    upstreams = Upstreams(["a"], clock=clock)
    fail(upstreams, FAILURES)
    clock.now += FIRST_REST_S
    with upstreams.turn() as trial:
        with pytest.raises(NoneAdmitted):
            url_of(upstreams)
        trial.note_answering()
        assert url_of(upstreams) == "a"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("of the reader")])
def test_another_end_says_nothing_of_the_server(clock: Clock, error: BaseException) -> None:
    """Who goes away during a trial leaves it to the next one."""
    upstreams = Upstreams(["a"], clock=clock)
    fail(upstreams, FAILURES)
    clock.now += FIRST_REST_S
    with pytest.raises(type(error)), upstreams.turn():
        raise error
    assert url_of(upstreams) == "a"


def test_whoever_watches_hears_of_failures_and_changes(clock: Clock) -> None:
    """And of nothing else."""
    heard: list[News] = []
    upstreams = Upstreams(["a"], clock=clock, observe=heard.append)
    url_of(upstreams)
    fail(upstreams, FAILURES)
    clock.now += FIRST_REST_S
    url_of(upstreams)
    status = FaultKind.STATUS
    assert [(one.state, one.fault) for one in heard] == [
        *[(BreakerState.CLOSED, status)] * (FAILURES - 1),
        (BreakerState.OPEN, status),
        (BreakerState.HALF_OPEN, None),
        (BreakerState.CLOSED, None),
    ]


def test_repetitions_are_bounded_and_earned_by_answers() -> None:
    """Ten at once, then one for each ten answers."""
    budget = RetryBudget()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2
    for _ in range(11):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]
    for _ in range(1000):
        budget.earn()
    assert [budget.spend() for _ in range(12)] == [True] * 10 + [False] * 2

"""Requests per minute: a bucket that is refilled evenly, and the times that it tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import limits
from api.limits import RateLimits, duration, take
from catalog.errors import RateLimitExceeded


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_full_bucket_gives_its_limit_at_once_and_then_waits() -> None:
    """The next one comes after a share of the minute, not after the whole."""
    clock = Clock()
    bucket = RateLimits(clock)
    given = [bucket.take("k", 3) for _ in range(4)]
    assert [one.remaining for one in given] == [2, 1, 0, 0]
    assert [one.retry_after_s for one in given] == [None, None, None, pytest.approx(20.0)]
    assert [one.reset_s for one in given] == pytest.approx([20.0, 40.0, 60.0, 60.0])
    clock.now += 20.0
    assert bucket.take("k", 3).retry_after_s is None
    assert bucket.take("k", 3).retry_after_s == pytest.approx(20.0)


def test_names_do_not_share_a_bucket() -> None:
    """What one used up, another still has."""
    bucket = RateLimits(Clock())
    assert [bucket.take(name, 1).retry_after_s is None for name in ("a", "a", "b")] == [True, False, True]


def test_a_refused_request_is_not_counted() -> None:
    """Who asks too early does not wait longer for it."""
    clock = Clock()
    bucket = RateLimits(clock)
    for _ in range(10):
        bucket.take("k", 1)
    clock.now += 60.0
    assert bucket.take("k", 1).retry_after_s is None


def test_full_buckets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many visitors leave nothing behind."""
    monkeypatch.setattr(limits, "_SWEEP_AT", 10)
    clock = Clock()
    bucket = RateLimits(clock)
    for number in range(100):
        bucket.take(f"visitor {number}", 60)
        clock.now += 1.0
    assert len(bucket._full_at) <= 10


def test_buckets_in_use_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: nobody gets a new one by coming with a crowd."""
    monkeypatch.setattr(limits, "_SWEEP_AT", 10)
    bucket = RateLimits(Clock())
    for number in range(100):
        bucket.take(f"visitor {number}", 1)
    assert bucket.take("visitor 0", 1).retry_after_s is not None


@given(st.integers(1, 10_000), st.lists(st.floats(0, 30), min_size=1, max_size=200))
def test_no_minute_has_more_than_a_burst_and_a_refill(limit: int, pauses: list[float]) -> None:
    """Within any time t at most `limit` plus what was refilled in t pass, and a minute's rest fills the bucket."""
    now, full_at, passed = 0.0, 0.0, 0
    for pause in pauses:
        now += pause
        full_at, left = take(full_at, now, limit)
        passed += left.retry_after_s is None
        assert 0 <= left.remaining < limit
    assert passed <= limit + now / 60 * limit + 1e-3
    _, rested = take(full_at, now + 60.0, limit)
    assert (rested.remaining, rested.retry_after_s) == (limit - 1, None)


def test_an_allowance_that_is_used_up_is_an_error() -> None:
    """It says the limit and the wait, as number and in words."""
    bucket = RateLimits(Clock())
    bucket.take("k", 1).check()
    with pytest.raises(RateLimitExceeded, match=r"1 requests per minute. Try again in 1m0s") as caught:
        bucket.take("k", 1).check()
    assert caught.value.retry_after_s == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.0, "0ms"), (0.0001, "1ms"), (0.012, "12ms"), (1.0, "1s"), (1.5, "1.5s"), (59.999, "59.999s"), (60.0, "1m0s")],
)
def test_times_are_told_as_openai_tells_them(seconds: float, expected: str) -> None:
    """Rounded up, so that who waits so long does not come too early."""
    assert duration(seconds) == expected

"""Pauses, pace and tokens of a remote model."""

from datetime import UTC, datetime

import pytest

from retrieval.remote import Pace, is_passing, pause_s, retry_after_s, rule_spans, stated_reason


@pytest.mark.parametrize(
    ("attempt", "asked_s", "chance", "expected"),
    [
        (1, None, 0.0, 0.25),
        (1, None, 1.0, 0.5),
        (2, None, 1.0, 1.0),
        (4, None, 1.0, 4.0),
        (50, None, 1.0, 20.0),
        (1, 7.0, 1.0, 7.0),
        (5, 1.0, 1.0, 8.0),
    ],
)
def test_pauses_double_and_are_never_shorter_than_asked(
    attempt: int, asked_s: float | None, chance: float, expected: float
) -> None:
    """Half of a pause is up to chance, and the longest is bounded."""
    assert expected == pause_s(attempt, first_s=0.5, asked_s=asked_s, chance=chance)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3.0),
        (" 0.5 ", 0.5),
        ("Sat, 21 Nov 2026 20:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 19:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    """A date that is past is no pause, and what is neither says nothing."""
    now = datetime(2026, 11, 21, 20, 0, 0, tzinfo=UTC)
    assert expected == retry_after_s({"retry-after": value}, now)


def test_requests_are_spread_over_the_minute() -> None:
    """The first leaves at once, each further one its share of a minute after the one before, also after a rest."""
    now, slept = 100.0, []
    pace = Pace(30, clock=lambda: now, sleep=slept.append)
    for _ in range(3):
        pace.wait()
    now = 200.0
    pace.wait()
    assert slept == [2.0, 4.0]


def test_without_a_limit_nobody_waits() -> None:
    """0 is any number of requests."""
    slept: list[float] = []
    pace = Pace(0, sleep=slept.append)
    for _ in range(10):
        pace.wait()
    assert slept == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n", []),
        ("pumps", ["pump", "s"]),
        ("PX-200/4", ["PX", "-", "20", "0", "/", "4"]),
        ("日本", ["日", "本"]),
        ("a_é", ["a", "_", "é"]),
    ],
)
def test_tokens_by_rule_are_short_pieces(text: str, expected: list[str]) -> None:
    """Four Latin letters, two digits, or one of anything else."""
    assert expected == [text[start:end] for start, end in rule_spans(text)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"error": {"message": "quota spent"}}', "quota spent"),
        (b'{"error": "quota spent"}', "quota spent"),
        (b'{"object": "error", "message": "too long"}', "too long"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"[]", "[]"),
        (b"<html>502 sk-1</html>", "<html>502 …</html>"),
        (b'{"error": {"message": "wrong key sk-1"}}', "wrong key …"),
        (b"", "no message"),
        (b"\xff" * 2, "��"),
        (b"x" * 1000, "x" * 300),
    ],
)
def test_the_reason_is_what_the_server_says_without_the_key(content: bytes, expected: str) -> None:
    """Whatever form its errors have, and never all of a long page."""
    assert expected == stated_reason(content, "sk-1")


def test_overload_and_faults_pass_and_wrong_requests_do_not() -> None:
    """What is asked again, by the status of the reply."""
    assert [status for status in (400, 401, 404, 408, 409, 422, 425, 429, 500, 503, 529) if is_passing(status)] == [
        408,
        409,
        425,
        429,
        500,
        503,
        529,
    ]

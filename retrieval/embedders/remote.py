"""How a model behind an HTTP endpoint is asked: its settings, pauses, pace, and what counts as a token."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from retrieval.embedders.base import TokenSpan

LONGEST_PAUSE_S: Final = 20.0
# Latin letters by four, digits by two, everything else by one: no tokenizer in use makes fewer tokens of ordinary text.
_PIECE: Final = re.compile(r"[A-Za-z]{1,4}|[0-9]{1,2}|[^\sA-Za-z0-9]")


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteModel:
    """Where a remote model answers, and how much may be asked of it."""

    # With the version in it: https://HOST/v1.
    url: str
    api_key: str | None = field(default=None, repr=False)
    # To ask for; None is the model's own, which the first request finds out.
    dimension: int | None = None
    # Tokens of a text that are sent; what is beyond is cut.
    max_tokens: int = 512
    # A tokenizer.json of the model; None counts tokens by rule.
    tokenizer: Path | None = None
    # 0 is any number.
    requests_per_minute: int = 0
    # Requests that may be under way at once.
    concurrency: int = 4
    # For one request.
    timeout_s: float = 30.0
    # For a batch of documents with all its repetitions; a query waits as long as one request may take.
    patience_s: float = 120.0
    # Before the first repetition; each further pause is twice as long, up to the longest.
    first_pause_s: float = 0.5


def rule_spans(text: str) -> list[TokenSpan]:
    """Return tokens by a rule that counts rather too many than too few, for a model whose tokenizer is not here."""
    return [match.span() for match in _PIECE.finditer(text)]


def pause_s(attempt: int, *, first_s: float, asked_s: float | None, chance: float) -> float:
    """Return seconds to wait before the repetition number `attempt`, from 1 on.

    Exponential, and up to half of it random, so that many clients do not come back at once; `chance` is 0 to 1. What
    the server asked for is the least.
    """
    grown = min(first_s * 2.0 ** (attempt - 1), LONGEST_PAUSE_S)
    return max(grown * (0.5 + chance / 2), asked_s or 0.0)


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return what a reply asks to wait, in seconds or until a date (RFC 9110, 10.2.3); None if it does not say."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError):
        return None


class Pace:
    """Spreads requests evenly over a minute, those of all threads together."""

    def __init__(
        self,
        requests_per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`requests_per_minute`: 0 is any number. `clock` and `sleep` are in seconds."""
        self._gap_s = 60 / requests_per_minute if requests_per_minute else 0.0
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._next = float("-inf")

    def wait(self) -> None:
        """Return when the next request may leave."""
        if not self._gap_s:
            return
        with self._lock:
            now = self._clock()
            due = max(now, self._next)
            self._next = due + self._gap_s
        if due > now:
            self._sleep(due - now)

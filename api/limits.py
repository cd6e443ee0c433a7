"""Requests per minute, counted in this process."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from catalog.errors import RateLimitExceeded

_MINUTE_S: Final = 60.0
# So many buckets are looked through for full ones, which need not be remembered.
_SWEEP_AT: Final = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What is left after a request was counted."""

    limit: int
    # Requests that may come at once now.
    remaining: int
    # Until all `limit` of them may.
    reset_s: float
    # None: the request may pass. Else it was not counted, and this long there is no room for it.
    retry_after_s: float | None

    @property
    def headers(self) -> dict[str, str]:
        """OpenAI's headers."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": duration(self.reset_s),
        }

    def check(self) -> None:
        """Raises RateLimitExceeded."""
        if self.retry_after_s is not None:
            raise RateLimitExceeded(
                f"Rate limit reached: {self.limit} requests per minute. Try again in {duration(self.retry_after_s)}.",
                retry_after_s=self.retry_after_s,
            )


def take(full_at: float, now: float, limit: int) -> tuple[float, Allowance]:
    """Take one request out of a bucket that holds `limit` and is refilled evenly, `limit` a minute.

    `full_at`: when the bucket will be full again, and all that is to be remembered of it (the generic cell rate
    algorithm). Return the new one.
    """
    interval = _MINUTE_S / limit
    later = max(full_at, now) + interval
    # A bucket that was filled to the brim by the last drop must not refuse for a rounding error.
    is_allowed = later - now <= _MINUTE_S + interval * 1e-6
    kept = later if is_allowed else full_at
    left = Allowance(
        limit=limit,
        remaining=max(0, int((_MINUTE_S - (kept - now)) / interval + 1e-6)),
        reset_s=max(0.0, kept - now),
        retry_after_s=None if is_allowed else later - now - _MINUTE_S,
    )
    return kept, left


class RateLimits:
    """One bucket for each name. Thread-safe; several API processes count each for itself."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}
        self._sweep_at = _SWEEP_AT
        self._lock = threading.Lock()

    def take(self, name: str, limit: int) -> Allowance:
        """Count a request against a limit per minute, which is at least 1."""
        with self._lock:
            now = self._clock()
            if len(self._full_at) >= self._sweep_at:
                self._full_at = {known: full_at for known, full_at in self._full_at.items() if full_at > now}
                self._sweep_at = max(_SWEEP_AT, 2 * len(self._full_at))
            self._full_at[name], left = take(self._full_at.get(name, now), now, limit)
        return left


def duration(seconds: float) -> str:
    """Return a time as OpenAI's headers tell it: `12ms`, `1.5s`, `1m0s`; rounded up."""
    ms = math.ceil(seconds * 1000)
    if ms < 1000:
        return f"{ms}ms"
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"

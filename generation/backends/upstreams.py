"""Servers of one model: how each is doing, which one is asked next, and how often a request is repeated."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Self

log = logging.getLogger(__name__)

# Failures in a row after which a server is left alone.
FAILURES: Final = 3
# For how long at first, and at most: each failed trial doubles it.
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 120.0
# Repetitions that may be saved up, and what an answer that succeeds adds: under lasting trouble one request in ten is
# repeated, so that repetition never multiplies the load of servers that have too much of it already.
_MOST_REPETITIONS: Final = 10.0
_EARNED: Final = 0.1


class FaultKind(StrEnum):
    # No connection, or it ended before a reply.
    UNREACHABLE = "unreachable"
    # A status after which the same request may succeed.
    STATUS = "status"
    # The key or the model is not taken: asking the same server again is useless.
    REFUSED = "refused"
    TIMEOUT = "timeout"
    # The reply is not what the API says it is.
    PROTOCOL = "protocol"


class UpstreamFault(Exception):
    """A server did not answer as it should; another one may, or the same one later."""

    def __init__(self, kind: FaultKind, reason: str, *, retry_after_s: float | None = None) -> None:
        """`reason`: completes "http://HOST/v1: …", and holds no key."""
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.retry_after_s = retry_after_s


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    # It has rested: one request may try it.
    HALF_OPEN = "half_open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """When a server that fails is left alone. Pure: each event returns what holds afterwards. Times are in seconds."""

    # In a row.
    failures: int = 0
    # When one request may try it again; None while it is used as any other.
    retry_at: float | None = None
    is_on_trial: bool = False

    def state(self, now: float) -> BreakerState:
        if self.retry_at is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self.is_on_trial or now >= self.retry_at else BreakerState.OPEN

    def admits(self, now: float) -> bool:
        """Whether a request may be sent now."""
        return self.retry_at is None or (now >= self.retry_at and not self.is_on_trial)

    def begun(self) -> Self:
        """A request that was admitted is sent."""
        return replace(self, is_on_trial=self.retry_at is not None)

    def answering(self) -> Self:
        """A first token came: others may be sent too, and one more failure is one too many."""
        return replace(self, failures=min(self.failures, FAILURES - 1), retry_at=None, is_on_trial=False)

    def succeeded(self) -> Self:
        return replace(self, failures=0, retry_at=None, is_on_trial=False)

    def failed(self, now: float) -> Self:
        """Failures of requests that were sent before it was left alone count for nothing more."""
        if self.retry_at is not None and not self.is_on_trial:
            return self
        failures = self.failures + 1
        if failures < FAILURES:
            return replace(self, failures=failures)
        rest_s = min(FIRST_REST_S * 2.0 ** (failures - FAILURES), LONGEST_REST_S)
        return replace(self, failures=failures, retry_at=now + rest_s, is_on_trial=False)

    def abandoned(self) -> Self:
        """A request ended that says nothing of the server: its reader went away."""
        return replace(self, is_on_trial=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class News:
    """What happened to a server, for whoever watches."""

    url: str
    state: BreakerState
    # Of the request that failed, if one did.
    fault: FaultKind | None = None


class NoneAdmitted(Exception):
    """Every server is left alone at the moment."""

    def __init__(self, reasons: Sequence[str], retry_after_s: float) -> None:
        super().__init__("; ".join(reasons))
        self.retry_after_s = retry_after_s


@dataclass(kw_only=True)
class _Upstream:
    url: str
    breaker: Breaker = Breaker()
    # The state that was told last: after a rest it changes by itself, and is told with the request that tries.
    told: BreakerState = BreakerState.CLOSED
    under_way: int = 0
    # What its last failure was.
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A request to one server, from its sending to its end."""

    url: str
    # To be called when the first token comes.
    note_answering: Callable[[], None]


class Upstreams:
    """Servers of one model. Thread-safe."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
        observe: Callable[[News], None] = lambda _: None,
    ) -> None:
        """`clock` is in seconds; `observe` hears of every change and failure."""
        self._upstreams = [_Upstream(url=url) for url in urls]
        self._clock, self._observe = clock, observe
        self._lock = threading.RLock()

    def admits_any(self, *, but: Collection[str] = ()) -> bool:
        """Whether a request may be sent now to a server that is not among `but`."""
        now = self._clock()
        with self._lock:
            return any(one.breaker.admits(now) for one in self._upstreams if one.url not in but)

    @contextmanager
    def turn(self, *, tried: Collection[str] = (), useless: Collection[str] = ()) -> Iterator[Turn]:
        """Choose a server for one request: the least busy that is admitted, `tried` ones last and `useless` ones never.

        Left without an error it has succeeded, by UpstreamFault it has failed, and any other way out says nothing of
        the server. Raises NoneAdmitted.
        """
        one = self._begin(tried, useless)
        after: Callable[[Breaker], Breaker] = Breaker.abandoned
        fault: UpstreamFault | None = None
        try:
            yield Turn(url=one.url, note_answering=lambda: self._change(one, Breaker.answering))
            after = Breaker.succeeded
        except UpstreamFault as raised:
            fault = raised
            after = self._failed
            raise
        finally:
            with self._lock:
                one.under_way -= 1
                one.reason = fault.reason if fault else one.reason
                self._change(one, after, fault.kind if fault else None)

    def _begin(self, tried: Collection[str], useless: Collection[str]) -> _Upstream:
        now = self._clock()
        with self._lock:
            admitted = [one for one in self._upstreams if one.url not in useless and one.breaker.admits(now)]
            if not admitted:
                reasons = [f"{one.url}: {one.reason}" for one in self._upstreams]
                waits = [(one.breaker.retry_at or now) - now for one in self._upstreams]
                raise NoneAdmitted(reasons, max(min(waits), 1.0))
            chosen = min(admitted, key=lambda one: (one.url in tried, one.under_way))
            chosen.under_way += 1
            self._change(chosen, Breaker.begun)
        return chosen

    def _failed(self, breaker: Breaker) -> Breaker:
        return breaker.failed(self._clock())

    def _change(self, one: _Upstream, change: Callable[[Breaker], Breaker], fault: FaultKind | None = None) -> None:
        with self._lock:
            one.breaker = change(one.breaker)
            now = self._clock()
            before, one.told = one.told, one.breaker.state(now)
            rest_s = (one.breaker.retry_at or now) - now
        if one.told is not before and one.told is BreakerState.OPEN:
            log.error("%s is left alone for %.0f s: %s.", one.url, rest_s, one.reason)
        elif one.told is not before and one.told is BreakerState.CLOSED:
            log.warning("%s answers again.", one.url)
        if fault or one.told is not before:
            self._observe(News(url=one.url, state=one.told, fault=fault))


class RetryBudget:
    """Bounds the repetitions of all answers together. Thread-safe."""

    def __init__(self) -> None:
        self._left = _MOST_REPETITIONS
        self._lock = threading.Lock()

    def earn(self) -> None:
        """An answer succeeded."""
        with self._lock:
            self._left = min(_MOST_REPETITIONS, self._left + _EARNED)

    def spend(self) -> bool:
        """Whether one more repetition is allowed; it is taken if so."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True

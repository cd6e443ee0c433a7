"""What every client of a model behind HTTP needs: pauses, pace, what a failed reply says, what counts as a token."""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from catalog.errors import ConfigurationError
from retrieval.embedders.base import TokenSpan

LONGEST_PAUSE_S: Final = 20.0
# Replies after which the same request may succeed; 5xx are others.
_PASSING: Final = frozenset({408, 409, 425, 429})
# Latin letters by four, digits by two, everything else by one: no tokenizer in use makes fewer tokens of ordinary text.
_PIECE: Final = re.compile(r"[A-Za-z]{1,4}|[0-9]{1,2}|[^\sA-Za-z0-9]")
_MAX_REASON_CHARS: Final = 300


def rule_spans(text: str) -> list[TokenSpan]:
    """Return tokens by a rule that counts rather too many than too few, for a model whose tokenizer is not here."""
    return [match.span() for match in _PIECE.finditer(text)]


def open_tokenizer(path: Path, setting: str) -> Tokenizer:
    """Open a tokenizer.json that neither pads nor cuts. Raises ConfigurationError, which names `setting`."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # The library raises nothing narrower.
        raise ConfigurationError(f"{setting}={str(path)!r} cannot be read: {error}.") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def bearer(key: str | None, setting: str) -> dict[str, str]:
    """Return the header that carries a key, if there is one. Raises ConfigurationError, which names `setting`."""
    if not key:
        return {}
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError(f"{setting} holds characters that no HTTP header can; is it copied whole?")
    return {"authorization": f"Bearer {key}"}


def is_passing(status: int) -> bool:
    """Whether the same request may succeed after a reply of this status."""
    return status in _PASSING or status >= 500


def stated_reason(content: bytes, key: str | None) -> str:
    """Return what a server says of its failure, in short and without the key, which some repeat."""
    try:
        text = _message(json.loads(content))
    except (ValueError, RecursionError):
        text = content.decode(errors="replace")
    text = text.replace(key, "…") if key else text
    return text.strip()[:_MAX_REASON_CHARS] or "no message"


def _message(reply: Any) -> str:
    """OpenAI's form is `error.message`; proxies and frameworks say `message` or `detail`, or an `error` of words."""
    found = (reply.get("error") or reply) if isinstance(reply, dict) else reply
    return str(found.get("message") or found.get("detail") or found) if isinstance(found, dict) else str(found)


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

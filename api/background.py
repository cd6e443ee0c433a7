"""Background answers are written here: in every API process, by a few threads of it."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Annotated, Final, Self

from fastapi import Depends, Request

from api.asking import stated
from api.wire.response_stream import Event, failed_response, is_piece
from api.wiring import Services
from api.writing import Plan, Writing, keep_claimed
from catalog import background
from catalog.background import MAX_CLAIMS, Claim
from catalog.errors import FootnoteError, LeaseLost
from catalog.models import AnswerRecord

log = logging.getLogger(__name__)

# Answers that one process writes at once.
_THREADS: Final = 4
# How often a process looks for answers that another one left, and at most for a cancellation.
_POLL_S: Final = 1.0
# Text is kept this often while it comes: what a reader of the stream waits at most, and what bounds the writes.
_FLUSH_S: Final = 0.2
_FORGET_INTERVAL_S: Final = 60.0
# Rest after the database did not answer, or something went wrong that should not.
_PAUSE_S: Final = 1.0


class BackgroundAnswers:
    """Claims queued answers and writes them, until it is closed; those under way then go back to the queue."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.catalog.database
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._lease_s = services.settings.lease_s
        self._bell = threading.Semaphore(0)
        self._stop = threading.Event()
        # By id: the fence of the claim, and what is set when it must not be written any more.
        self._running: dict[str, tuple[int, threading.Event]] = {}
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._serve, name=f"answers-{n}") for n in range(_THREADS)]
        self._threads.append(threading.Thread(target=self._beat, name="answers-beat"))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with self._lock:
            for _, lost in self._running.values():
                lost.set()
        for _ in range(_THREADS):
            self._bell.release()
        for thread in self._threads:
            thread.join()
        with _faults_logged(), self._database.write() as session:
            background.release(session, self._owner)

    def wake(self) -> None:
        """Say that an answer is queued."""
        self._bell.release()

    def _serve(self) -> None:
        while not self._stop.is_set():
            with _faults_logged() as fault:
                claim = self._claim()
                if claim is not None:
                    self._write(claim)
                else:
                    self._bell.acquire(timeout=_POLL_S)
            if fault:
                self._stop.wait(_PAUSE_S)

    def _claim(self) -> Claim | None:
        with self._lock:
            mine = list(self._running)
        with self._database.read() as session:
            if not background.is_waiting(session, but=mine):
                return None
        with self._database.write() as session:
            return background.claim(session, self._owner, lease_s=self._lease_s, but=mine)

    def _write(self, claim: Claim) -> None:
        lost = threading.Event()
        with self._lock:
            self._running[claim.id] = (claim.fence, lost)
        if self._stop.is_set():
            lost.set()
        try:
            self._run(claim, lost)
        except LeaseLost as error:
            log.info("%s", error.message)
        finally:
            with self._lock:
                if self._running.get(claim.id) == (claim.fence, lost):
                    del self._running[claim.id]

    def _run(self, claim: Claim, lost: threading.Event) -> None:
        """Write an answer to its end. What breaks off is told by its last event; LeaseLost ends it without one."""
        try:
            if claim.claims > MAX_CLAIMS:
                raise FootnoteError(f"The process that wrote this answer ended {MAX_CLAIMS} times; it is given up.")
            writing = Writing(Plan.from_json(claim.request), is_background=True)
        except Exception as error:  # noqa: BLE001 - Queued by another version, perhaps; it is logged and told.
            self._give_up(claim, stated(error, claim.id))
            return
        pending: list[Event] = []
        try:
            flushed = 0.0
            for batch in writing.run(self._services.answerer_of(writing.plan.model), lost.is_set):
                pending += batch
                is_text = all(map(is_piece, batch))
                if not is_text or time.monotonic() - flushed >= _FLUSH_S:
                    self._flush(claim, writing, pending, lost)
                    pending, flushed = [], time.monotonic()
            last = writing.stream.end()
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - It is logged and told.
            last = writing.stream.fail(stated(error, claim.id))
        with self._database.write() as session:
            keep_claimed(session, claim, writing, [*pending, last])

    def _give_up(self, claim: Claim, error: FootnoteError) -> None:
        """End an answer that cannot even be begun."""
        with self._database.write() as session:
            record = session.get(AnswerRecord, claim.id)
            if record is None:
                return  # Deleted meanwhile.
            response = failed_response(record.response, error)
            values = {"status": response["status"], "response": response, "ended_at": time.time(), "request": None}
            event = {
                "type": "response.failed",
                "sequence_number": background.QUEUED_EVENTS,
                "response": response,
            }
            background.write(session, claim, [event], values)

    def _flush(self, claim: Claim, writing: Writing, events: list[Event], lost: threading.Event) -> None:
        if lost.is_set():
            raise LeaseLost(f"Response {claim.id!r} is not written on.")
        with self._database.write() as session:
            background.write(session, claim, events, writing.unfinished_columns())

    def _beat(self) -> None:
        """Extend the leases of what is being written, and notice what was cancelled, deleted or taken over."""
        interval, forgotten = min(_POLL_S, self._lease_s / 4), 0.0
        while not self._stop.wait(interval):
            with _faults_logged():
                self._extend()
                if time.monotonic() - forgotten >= _FORGET_INTERVAL_S:
                    forgotten = time.monotonic()
                    with self._database.write() as session:
                        background.forget_events(session)

    def _extend(self) -> None:
        with self._lock:
            running = dict(self._running)
        if not running:
            return
        with self._database.write() as session:
            held = background.extend(session, self._owner, list(running), lease_s=self._lease_s)
        for response_id, (fence, lost) in running.items():
            if held.get(response_id) != fence:
                lost.set()


@contextmanager
def _faults_logged() -> Iterator[list[Exception]]:
    """Log what goes wrong, and go on; the list holds it afterwards."""
    faults: list[Exception] = []
    try:
        yield faults
    except Exception as error:
        log.error("Background answers: %s", error, exc_info=not isinstance(error, FootnoteError))
        faults.append(error)


def _background(request: Request) -> BackgroundAnswers:
    found: BackgroundAnswers = request.app.state.background
    return found


BackgroundOf = Annotated[BackgroundAnswers, Depends(_background)]

"""Wakes idle workers when there is work."""

import logging
import threading
from contextlib import suppress
from typing import Any, Final

import sqlalchemy.exc

from catalog.database import Database
from catalog.jobs import CHANNEL

log = logging.getLogger(__name__)

# How often a worker looks for work by itself. SQLite has no notifications; one look is an indexed query of 0.2 ms.
_POLL_S: Final = 0.25
# With notifications, a look is only for retries that come due and leases that end.
_NOTIFIED_POLL_S: Final = 2.0
# How long the listener waits in one go, and before it connects again.
_LISTEN_S: Final = 1.0


class Doorbell:
    """Tells waiting threads that a job was queued: on PostgreSQL by NOTIFY, on SQLite after a short time in any case.

    A thread reads `rings` before it looks for work, and then waits for another number: nothing that is queued in
    between is missed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Condition()
        self._rings = 0
        self._closed = threading.Event()
        self._is_listening = False
        if not database.is_sqlite:
            threading.Thread(target=self._listen, name="doorbell", daemon=True).start()

    @property
    def rings(self) -> int:
        with self._changed:
            return self._rings

    def ring(self) -> None:
        """Wake every waiting thread."""
        with self._changed:
            self._rings += 1
            self._changed.notify_all()

    def wait(self, rings: int) -> None:
        """Return when the bell has rung since it read `rings`, or when it is time to look anyhow."""
        with self._changed:
            self._changed.wait_for(lambda: self._rings != rings, _NOTIFIED_POLL_S if self._is_listening else _POLL_S)

    def close(self) -> None:
        self._closed.set()
        self.ring()

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                connection = self._database.engine.raw_connection()
                try:
                    self._hear(connection.driver_connection)
                finally:
                    self._is_listening = False
                    # Never back into the pool: it still listens.
                    with suppress(Exception):
                        connection.detach()
                        connection.close()
            except Exception as error:  # noqa: BLE001 - Of the driver or the pool; polling goes on meanwhile.
                if not isinstance(error, sqlalchemy.exc.OperationalError):
                    log.warning("No notifications of new jobs: %s", error)
                self._closed.wait(_LISTEN_S)

    def _hear(self, driver: Any) -> None:
        driver.autocommit = True
        driver.execute(f"LISTEN {CHANNEL}")
        self._is_listening = True
        # What was queued before LISTEN took effect.
        self.ring()
        while not self._closed.is_set():
            for _ in driver.notifies(timeout=_LISTEN_S, stop_after=1):
                self.ring()

"""Idle workers wake up for new jobs. Runs on every database."""

import threading
import time

from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.doorbell import Doorbell
from tests.builders import a_file, a_store, an_entry


def test_a_ring_wakes_every_waiting_thread(database: Database) -> None:
    """All wait for the same bell."""
    bell, woken = Doorbell(database), threading.Semaphore(0)

    def wait() -> None:
        bell.wait(bell.rings)
        woken.release()

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    bell.ring()
    for thread in threads:
        thread.join(10)
    assert [woken.acquire(timeout=0) for _ in threads] == [True] * 3
    bell.close()


def test_a_queued_job_rings_or_is_found_by_the_next_look(database: Database, blobs: BlobStore) -> None:
    """On PostgreSQL the commit rings, on SQLite the wait is short: either way it ends soon after the file came."""
    bell = Doorbell(database)
    deadline = time.monotonic() + 10
    while not database.is_sqlite and bell.rings == 0:  # It rings once when it has begun to listen.
        assert time.monotonic() < deadline
        time.sleep(0.01)
    before = bell.rings
    an_entry(database, a_store(database), a_file(database, blobs))
    while not database.is_sqlite and bell.rings == before:
        assert time.monotonic() < deadline, "NOTIFY did not arrive"
        time.sleep(0.01)
    bell.wait(bell.rings if database.is_sqlite else before)
    assert time.monotonic() < deadline
    bell.close()

"""Estimates of the time left. Runs on every database."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from catalog import estimates
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import JobStatus, VectorStoreFile
from tests.builders import a_file, a_store, an_entry


def change(database: Database, entry_id: int, **values: object) -> VectorStoreFile:
    with database.write() as session:
        session.execute(update(VectorStoreFile).where(VectorStoreFile.id == entry_id).values(**values))
    with database.read() as session:
        return session.get_one(VectorStoreFile, entry_id)


def left(database: Database, entry: VectorStoreFile) -> float | None:
    with database.read() as session:
        return estimates.seconds_left(session, entry)


def test_without_a_measured_rate_there_is_no_estimate(database: Database, blobs: BlobStore) -> None:
    """A guess would look like a measurement."""
    entry = an_entry(database, a_store(database), a_file(database, blobs))
    assert left(database, entry) is None


def test_a_job_under_way_is_measured_by_its_own_progress(database: Database, blobs: BlobStore) -> None:
    """A quarter took ten seconds: thirty are left, whatever the rate of other files."""
    entry = an_entry(database, a_store(database), a_file(database, blobs))
    held = change(database, entry.id, owner="w", progress=0.25, started_at=time.time() - 10, lease_until=2e9)
    assert left(database, held) == pytest.approx(30, abs=1)


def test_a_retry_is_not_promised_before_its_time(database: Database, blobs: BlobStore) -> None:
    """The wait before the next try counts, however small the file."""
    store = a_store(database)
    done = an_entry(database, store, a_file(database, blobs, b"d" * 100))
    change(database, done.id, status=JobStatus.COMPLETED, started_at=0.0, ended_at=1.0)
    entry = an_entry(database, store, a_file(database, blobs, b"e"))
    waiting = change(database, entry.id, not_before=time.time() + 60)
    assert left(database, waiting) == pytest.approx(60, abs=1)


def note(database: Database, entry: VectorStoreFile) -> str | None:
    with database.read() as session:
        return estimates.wait_for(session, entry).note


def test_a_file_that_waits_for_another_try_says_why(database: Database, blobs: BlobStore) -> None:
    """The reason of the last one, and when the next follows."""
    entry = an_entry(database, a_store(database), a_file(database, blobs))
    waiting = change(database, entry.id, not_before=time.time() + 60, failures=1, error_message="Disk full.")
    assert note(database, waiting) in {f"Try 2 follows in {s} s: Disk full." for s in (59, 60)}


def test_a_file_that_nobody_takes_up_says_so(database: Database, blobs: BlobStore) -> None:
    """Not in the first seconds, and not while a worker is busy with another file."""
    store = a_store(database)
    entry = an_entry(database, store, a_file(database, blobs))
    assert note(database, entry) is None
    waiting = change(database, entry.id, created_at=time.time() - 100)
    assert "No worker" in str(note(database, waiting))
    other = an_entry(database, store, a_file(database, blobs, b"other"))
    held = change(database, other.id, owner="w", lease_until=time.time() + 30)
    assert (note(database, waiting), note(database, held)) == (None, None)


def test_an_ended_file_is_not_waited_for(database: Database, blobs: BlobStore) -> None:
    """Neither seconds nor a note."""
    entry = an_entry(database, a_store(database), a_file(database, blobs))
    ended = change(database, entry.id, status=JobStatus.FAILED, created_at=0.0)
    with database.read() as session:
        assert estimates.wait_for(session, ended) == estimates.Wait()


Intervals = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: (min(pair), max(pair))))


@given(Intervals)
def test_covered_time_is_counted_once(intervals: list[tuple[int, int]]) -> None:
    """The union of intervals has as many units as there are in any of them."""
    units = {unit for start, end in intervals for unit in range(start, end)}
    assert estimates.covered(intervals) == len(units)

"""Jobs are claimed by one worker at a time, and only its holder may write. Runs on every database."""

import threading
import time

import pytest
from sqlalchemy import update

from catalog import jobs, publication, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import FootnoteError, InvalidFile, LeaseLost, ParserKilled, ServiceUnavailable
from catalog.jobs import Job, Lane
from catalog.models import DEFAULT_PROJECT, JobStatus, VectorStoreFile
from tests.builders import a_claim, a_document_record, a_file, a_store, an_entry, cancel_entry


def queue(database: Database, blobs: BlobStore, *contents: bytes) -> list[int]:
    store = a_store(database)
    return [an_entry(database, store, a_file(database, blobs, content)).id for content in contents]


def entry_of(database: Database, job: Job) -> VectorStoreFile:
    with database.read() as session:
        return session.get_one(VectorStoreFile, job.id)


def change_entry(database: Database, job_id: int, **values: object) -> None:
    with database.write() as session:
        session.execute(update(VectorStoreFile).where(VectorStoreFile.id == job_id).values(**values))


def claim_or_none(database: Database, owner: str = "a worker") -> Job | None:
    with database.write() as session:
        return next(iter(jobs.claim(session, owner)), None)


def test_an_empty_queue_gives_no_job(database: Database) -> None:
    """Without a queued file there is nothing to claim."""
    assert claim_or_none(database) is None


def test_small_files_are_claimed_first_and_equals_in_order_of_arrival(database: Database, blobs: BlobStore) -> None:
    """A large file does not keep many small ones waiting."""
    large, first, second = queue(database, blobs, b"l" * 100, b"first", b"later")
    assert [first, second, large] == [a_claim(database).id for _ in range(3)]


def test_a_claim_holds_everything_that_the_work_needs(database: Database, blobs: BlobStore) -> None:
    """The job carries the entry's fields, so that the worker does not read the row again."""
    store, file = a_store(database), a_file(database, blobs)
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
    entry = an_entry(database, store, file, attributes={"a": 1}, chunking_strategy=strategy, source="x/a.txt")
    expected = Job(
        id=entry.id,
        vector_store_id=store.id,
        file_id=file.id,
        bytes=file.bytes,
        attributes={"a": 1},
        chunking_strategy=strategy,
        source="x/a.txt",
        owner="w",
        fence=1,
        failures=0,
        claims=1,
    )
    assert expected == a_claim(database, "w")


def test_a_held_job_is_not_claimed_again(database: Database, blobs: BlobStore) -> None:
    """While the lease runs, the job belongs to its holder."""
    queue(database, blobs, b"only one")
    a_claim(database)
    assert claim_or_none(database, "another") is None


def test_a_job_whose_lease_ended_is_claimed_under_a_higher_fence(database: Database, blobs: BlobStore) -> None:
    """What a dead worker held goes to another one."""
    queue(database, blobs, b"only one")
    lost = a_claim(database, "dead", lease_s=-1)
    taken = a_claim(database, "alive")
    assert (lost.id, lost.fence + 1, "alive") == (taken.id, taken.fence, taken.owner)


def test_several_small_jobs_are_claimed_together(database: Database, blobs: BlobStore) -> None:
    """Up to a number and a size in all, in the lane's order; what does not fit with the others is passed over."""
    ids = queue(database, blobs, b"1", b"22", b"333", b"55555", b"666666")

    def claimed(most: int) -> list[int]:
        with database.write() as session:
            return [job.id for job in jobs.claim(session, "w", most=most, most_bytes=8)]

    assert [claimed(2), claimed(3), claimed(3), claimed(3)] == [ids[:2], ids[2:4], ids[4:], []]


def test_the_first_job_is_claimed_whatever_its_size(database: Database, blobs: BlobStore) -> None:
    """What is too large for company is taken alone."""
    large, small = queue(database, blobs, b"large" * 10, b"small")
    with database.write() as session:
        assert [job.id for job in jobs.claim(session, "w", lane=Lane(by_age=True), most=9, most_bytes=8)] == [large]
        assert [job.id for job in jobs.claim(session, "w", lane=Lane(by_age=True), most=9, most_bytes=8)] == [small]


def test_a_job_is_not_claimed_before_its_time(database: Database, blobs: BlobStore) -> None:
    """The wait before a retry is kept."""
    (job_id,) = queue(database, blobs, b"only one")
    change_entry(database, job_id, not_before=time.time() + 60)
    assert claim_or_none(database) is None


@pytest.mark.parametrize("status", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_an_ended_job_is_not_claimed(database: Database, blobs: BlobStore, status: JobStatus) -> None:
    """Only files in progress are work."""
    (job_id,) = queue(database, blobs, b"only one")
    change_entry(database, job_id, status=status)
    assert claim_or_none(database) is None


def test_a_heartbeat_extends_the_lease_and_notes_the_progress(database: Database, blobs: BlobStore) -> None:
    """A worker that is alive keeps its job as long as it needs."""
    queue(database, blobs, b"only one")
    job = a_claim(database, lease_s=1)
    with database.write() as session:
        assert jobs.heartbeat(session, [(job, 0.5)], lease_s=1000) == set()
    entry = entry_of(database, job)
    assert entry.progress == 0.5
    assert entry.lease_until is not None
    assert entry.lease_until > time.time() + 900


@pytest.mark.parametrize("deed", ["fail", "publish"])
def test_a_stale_holder_can_write_nothing(database: Database, blobs: BlobStore, deed: str) -> None:
    """A worker that lost its lease, even one that comes back under the same name, changes nothing any more."""
    queue(database, blobs, b"only one")
    stale = a_claim(database, lease_s=-1)
    current = a_claim(database)
    before = _fields(entry_of(database, current))
    with pytest.raises(LeaseLost, match=f"Job {stale.id}"):
        if deed == "publish":
            publication.publish(database, stale, a_document_record())
        else:
            with database.write() as session:
                jobs.fail(session, stale, InvalidFile())
    assert before == _fields(entry_of(database, current))


def _fields(entry: VectorStoreFile) -> dict[str, object]:
    return {column.name: getattr(entry, column.name) for column in VectorStoreFile.__table__.columns}


def test_a_cancelled_job_is_not_held_any_more(database: Database, blobs: BlobStore) -> None:
    """The user's cancellation reaches the worker at its next heartbeat."""
    queue(database, blobs, b"only one")
    job = a_claim(database)
    with database.write() as session:
        cancel_entry(session, job.id)
    with database.write() as session:
        assert jobs.heartbeat(session, [(job, 0.5)]) == {job.id}


def test_a_heartbeat_tells_which_jobs_are_lost(database: Database, blobs: BlobStore) -> None:
    """The others are extended, each with its own progress."""
    queue(database, blobs, b"1", b"22", b"333")
    lost, taken = a_claim(database, lease_s=-1), a_claim(database, "another")
    held = [a_claim(database, lease_s=1) for _ in range(2)]
    before = _fields(entry_of(database, taken))
    with database.write() as session:
        assert jobs.heartbeat(session, [(held[0], 0.25), (lost, 0.5), (held[1], 0.75)], lease_s=1000) == {lost.id}
    assert before == _fields(entry_of(database, taken))
    assert [entry_of(database, job).progress for job in held] == [0.25, 0.75]
    assert all((entry_of(database, job).lease_until or 0) > time.time() + 900 for job in held)


def test_a_job_of_a_deleted_store_is_not_held_any_more(database: Database, blobs: BlobStore) -> None:
    """A row that is gone counts as a lost lease, not as an error of the database."""
    queue(database, blobs, b"only one")
    job = a_claim(database)
    with database.write() as session:
        stores.delete(database, session, DEFAULT_PROJECT, job.vector_store_id)
    with pytest.raises(LeaseLost):
        publication.publish(database, job, a_document_record())


def test_a_retryable_error_queues_the_job_again_later(database: Database, blobs: BlobStore) -> None:
    """It costs a try and a wait, and the row says what happened."""
    queue(database, blobs, b"only one")
    job = a_claim(database)
    with database.write() as session:
        status = jobs.fail(session, job, ParserKilled("It was killed."))
    entry = entry_of(database, job)
    assert (status, entry.status) == (JobStatus.IN_PROGRESS, JobStatus.IN_PROGRESS)
    assert (entry.failures, entry.owner, entry.lease_until, entry.error_message) == (1, None, None, "It was killed.")
    assert entry.not_before > time.time() + 0.5
    assert claim_or_none(database) is None


def test_an_outage_is_no_failure_of_the_file(database: Database, blobs: BlobStore) -> None:
    """However long the blob store is down: each try waits longer, and the file says what it waits for."""
    queue(database, blobs, b"only one")
    waits = []
    for _ in range(10):
        job = a_claim(database)
        with database.write() as session:
            assert jobs.fail(session, job, ServiceUnavailable("It is down.")) == JobStatus.IN_PROGRESS
        entry = entry_of(database, job)
        assert (entry.failures, entry.error_message) == (0, "It is down.")
        waits.append(entry.not_before - time.time())
        with database.write() as session:
            session.execute(update(VectorStoreFile).values(not_before=0.0))
    assert waits[0] < 2.1
    assert 149 < waits[-1] <= 300


@pytest.mark.parametrize(
    ("error", "code"),
    [(InvalidFile("It is damaged."), "invalid_file"), (FootnoteError("It is damaged."), "server_error")],
)
def test_a_final_error_fails_the_file_with_a_reason(
    database: Database, blobs: BlobStore, error: FootnoteError, code: str
) -> None:
    """A file that cannot become a document is given up at once, and the row says why."""
    queue(database, blobs, b"only one")
    job = a_claim(database)
    with database.write() as session:
        status = jobs.fail(session, job, error)
    entry = entry_of(database, job)
    assert (status, entry.status) == (JobStatus.FAILED, JobStatus.FAILED)
    assert (code, "It is damaged.", None) == (entry.error_code, entry.error_message, entry.owner)


@pytest.mark.parametrize(
    ("failures", "claims", "delay"),
    [(1, 1, 2.0), (2, 2, 4.0), (4, 4, 16.0), (4, 99, 16.0), (5, 5, None), (9, 9, None), (1, 100, None)],
)
def test_the_wait_before_a_retry_doubles_until_the_tries_are_used_up(
    failures: int, claims: int, delay: float | None
) -> None:
    """Five failures, or a hundred claims, end the tries."""
    assert delay == jobs.retry_delay_s(ParserKilled(), failures=failures, claims=claims, jitter=1.0)


def test_the_wait_before_a_retry_is_scattered() -> None:
    """Jobs that failed together come back within half to all of the wait."""
    delays = {jobs.retry_delay_s(ParserKilled(), failures=2, claims=2) for _ in range(50)}
    assert len(delays) > 1
    assert all(delay is not None and 2.0 <= delay <= 4.0 for delay in delays)


def test_an_error_that_is_not_retryable_is_not_retried() -> None:
    """A damaged file does not get better by waiting."""
    assert jobs.retry_delay_s(InvalidFile(), failures=1, claims=1) is None


def test_release_lets_go_of_the_jobs_of_one_worker_alone(database: Database, blobs: BlobStore) -> None:
    """Jobs of a worker that is known to be dead are claimed at once; those of others stay theirs."""
    queue(database, blobs, b"1", b"22", b"333")
    held = [a_claim(database, owner) for owner in ("dead", "alive", "dead")]
    with database.write() as session:
        assert jobs.release(session, "dead") == 2
    again = [a_claim(database, "alive"), a_claim(database, "alive")]
    assert [held[0].id, held[2].id] == [job.id for job in again]
    assert claim_or_none(database) is None


def test_two_threads_never_get_the_same_job(database: Database, blobs: BlobStore) -> None:
    """Claims at the same instant divide the queue between them."""
    expected = sorted(queue(database, blobs, *(b"x" * n for n in range(1, 21))))
    claimed: list[int] = []
    start = threading.Barrier(4)

    def work(owner: str) -> None:
        start.wait()
        while job := claim_or_none(database, owner):
            claimed.append(job.id)

    threads = [threading.Thread(target=work, args=(f"worker {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert expected == sorted(claimed)

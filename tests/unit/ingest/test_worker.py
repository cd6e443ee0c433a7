"""The worker ends every job: published, failed with a reason, to be tried again, or given back."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select, update

from catalog import jobs, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidFile, LeaseLost, ParserKilled, ServiceUnavailable
from catalog.jobs import Job
from catalog.models import DEFAULT_PROJECT, Document, File, JobStatus, VectorStoreFile
from catalog.stores import NewVectorStoreFile
from ingest.documents import DocumentBuilder
from ingest.pipeline import Draft, Facts, Progress
from ingest.spool import ChunkSpool
from ingest.worker import Worker, presence, release_dead
from tests.builders import IDENTITY, a_chunk_record, a_claim, a_file, a_store, an_entry, cancel_entry

LEASE_S = 0.3


@dataclass
class ScriptedPipeline:
    """Does what it is told to instead of parsing."""

    deed: Callable[[Job, Progress], None] = lambda job, progress: None
    # Raised instead of embedding.
    fault: Exception | None = None
    # Raised instead of looking up what is known of the files.
    outage: Exception | None = None
    # Number of a job whose document the database does not take.
    spoiled: int | None = None
    built: int = 0
    # Drafts in each call of `embed`.
    batches: list[int] = field(default_factory=list)

    def facts(self, claimed: Sequence[Job]) -> Facts:
        if self.outage:
            raise self.outage
        keys = {job.id: f"of {job.file_id}" for job in claimed}
        files = {job.file_id: File(id=job.file_id) for job in claimed}
        return Facts(files=files, members=(), refusals={}, content_keys=keys, originals=keys.values())

    def sandbox(self) -> AbstractContextManager[None]:
        return nullcontext()

    def parse(self, job: Job, facts: Facts, progress: Progress, _: object) -> Draft:
        self.built += 1
        self.deed(job, progress)
        builder = DocumentBuilder("text/plain")
        builder.add(job.file_id)
        return Draft(
            job=job,
            progress=progress,
            filename="a.txt",
            content_key=facts.content_key(job),
            embedding_identity=IDENTITY,
            parsed=builder.build(),
            chunks=ChunkSpool(),
        )

    def embed(self, drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
        self.batches.append(len(drafts))
        if self.fault:
            raise self.fault
        for draft in drafts:
            spoiled = {"embedding_key": None} if draft.job.id == self.spoiled else {}
            draft.chunks.extend([a_chunk_record(draft.parsed.text, **spoiled)])
        yield list(drafts)


class Shop:
    """A store with one waiting file, and a worker."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database, self.blobs = database, blobs
        self.stop = threading.Event()
        self.entry_id = an_entry(database, a_store(database), a_file(database, blobs)).id

    def worker(self, deed: Callable[[Job, Progress], None] = lambda job, progress: None) -> Worker:
        self.pipeline = ScriptedPipeline(deed)
        return Worker(self.database, self.blobs, self.pipeline, name="w", lease_s=LEASE_S)  # type: ignore[arg-type]

    @property
    def entry(self) -> VectorStoreFile:
        with self.database.read() as session:
            return session.get_one(VectorStoreFile, self.entry_id)

    @property
    def document_count(self) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(Document)) or 0

    def change(self, **values: object) -> None:
        with self.database.write() as session:
            session.execute(update(VectorStoreFile).values(**values))


@pytest.fixture
def shop(database: Database, blobs: BlobStore) -> Shop:
    return Shop(database, blobs)


def raising(error: Exception) -> Callable[[Job, Progress], None]:
    def deed(job: Job, progress: Progress) -> None:
        raise error

    return deed


def until_lost(job: Job, progress: Progress) -> None:
    """Work until the lease is lost."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        progress(0.5)
        time.sleep(0.02)
    raise TimeoutError("the lease was never lost")


def test_a_job_is_processed_and_published(shop: Shop) -> None:
    """The file is completed, and then there is nothing to do."""
    worker = shop.worker()
    assert [worker.run_one(shop.stop), worker.run_one(shop.stop)] == [True, False]
    assert (shop.entry.status, shop.document_count, shop.pipeline.built) == (JobStatus.COMPLETED, 1, 1)


def test_a_file_that_cannot_be_read_fails_with_its_reason(shop: Shop) -> None:
    """It is not tried again."""
    worker = shop.worker(raising(InvalidFile("It is encrypted.")))
    assert worker.run_one(shop.stop)
    entry = shop.entry
    assert (
        entry.status,
        entry.error_code,
        entry.error_message,
    ) == (JobStatus.FAILED, "invalid_file", "It is encrypted.")
    assert not worker.run_one(shop.stop)


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (ParserKilled("It was killed."), "It was killed.", "invalid_file"),
        (KeyError("oops"), "KeyError: 'oops'", "server_error"),
    ],
)
def test_an_error_that_may_pass_is_retried_and_then_failed(
    shop: Shop, error: Exception, message: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed parsers and faults of our own cost tries; after five of them the file fails with the last words."""
    worker = shop.worker(raising(error))
    for failures in range(1, jobs.MAX_FAILURES + 1):
        assert shop.entry.status == JobStatus.IN_PROGRESS
        assert worker.run_one(shop.stop)
        assert (failures, message) == (shop.entry.failures, shop.entry.error_message)
        assert not worker.run_one(shop.stop)
        shop.change(not_before=0.0)
    assert (shop.entry.status, shop.entry.error_code) == (JobStatus.FAILED, code)
    assert shop.pipeline.built == jobs.MAX_FAILURES
    assert isinstance(error, ParserKilled) or "Unexpected error" in caplog.text


def test_a_file_that_is_ready_after_a_retry_shows_no_error(shop: Shop) -> None:
    """What went wrong before is forgotten when the document is there."""
    assert shop.worker(raising(ServiceUnavailable())).run_one(shop.stop)
    shop.change(not_before=0.0)
    assert shop.worker().run_one(shop.stop)
    assert (shop.entry.status, shop.entry.error_code, shop.entry.error_message) == (JobStatus.COMPLETED, None, None)


def test_a_file_that_kills_its_workers_is_given_up(shop: Shop) -> None:
    """After a hundred claims that came to no end, it is not even begun."""
    shop.change(claims=jobs.MAX_CLAIMS)
    assert shop.worker().run_one(shop.stop)
    assert (shop.entry.status, shop.pipeline.built) == (JobStatus.FAILED, 0)
    assert "100 times" in str(shop.entry.error_message)


def test_a_file_that_was_given_up_can_be_queued_again(shop: Shop) -> None:
    """Its count begins anew; the fence goes on, so that no earlier holder can write."""
    shop.change(claims=jobs.MAX_CLAIMS, fence=jobs.MAX_CLAIMS)
    shop.worker().run_one(shop.stop)
    with shop.database.write() as session:
        store = stores.get(session, DEFAULT_PROJECT, shop.entry.vector_store_id)
        stores.attach(session, store, NewVectorStoreFile(file_id=shop.entry.file_id))
    assert shop.worker().run_one(shop.stop)
    assert (shop.entry.status, shop.entry.fence) == (JobStatus.COMPLETED, jobs.MAX_CLAIMS + 2)


def test_the_lease_is_kept_while_the_work_goes_on(shop: Shop) -> None:
    """A document that takes several leases stays with its worker, and the row shows the progress."""
    seen: list[float] = []

    def slow(job: Job, progress: Progress) -> None:
        progress(0.4)
        time.sleep(3 * LEASE_S)
        seen.append(shop.entry.progress)
        with shop.database.write() as session:
            assert jobs.claim(session, "another") == []

    assert shop.worker(slow).run_one(shop.stop)
    assert (seen, shop.entry.status) == ([0.4], JobStatus.COMPLETED)


def test_a_cancelled_file_is_left_alone(shop: Shop) -> None:
    """The worker ends its work at the next sign of life, and publishes nothing."""

    def deed(job: Job, progress: Progress) -> None:
        with shop.database.write() as session:
            cancel_entry(session, job.id)
        until_lost(job, progress)

    assert shop.worker(deed).run_one(shop.stop)
    assert (shop.entry.status, shop.document_count) == (JobStatus.CANCELLED, 0)


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_file_that_is_deleted_midway_is_not_published(shop: Shop, is_noticed: bool) -> None:
    """Whether the heartbeat notices it or the publication does: no document, and no error."""

    def deed(job: Job, progress: Progress) -> None:
        with shop.database.write() as session:
            session.execute(delete(File))
        if is_noticed:
            until_lost(job, progress)

    assert shop.worker(deed).run_one(shop.stop)
    assert shop.document_count == 0


def test_a_job_that_was_taken_over_stays_with_the_new_worker(shop: Shop) -> None:
    """A worker that slept too long neither publishes nor lets go of what is no longer its own."""
    taken: list[Job] = []

    def deed(job: Job, progress: Progress) -> None:
        shop.change(lease_until=1.0)
        taken.append(a_claim(shop.database, "another", lease_s=60))

    assert shop.worker(deed).run_one(shop.stop)
    assert ("another", taken[0].fence, 0) == (shop.entry.owner, shop.entry.fence, shop.document_count)


def test_a_worker_that_is_stopped_gives_its_job_back_at_once(shop: Shop) -> None:
    """Another one can claim it without waiting for the lease, and no failure is counted."""

    def deed(job: Job, progress: Progress) -> None:
        shop.stop.set()
        until_lost(job, progress)

    assert shop.worker(deed).run_one(shop.stop)
    assert (shop.entry.status, shop.entry.owner, shop.entry.failures) == (JobStatus.IN_PROGRESS, None, 0)
    assert shop.entry_id == a_claim(shop.database, "another").id


def queue_more(shop: Shop, *sizes: int) -> list[int]:
    store = a_store(shop.database)
    return [
        an_entry(shop.database, store, a_file(shop.database, shop.blobs, f"{number}".encode().ljust(size, b"."))).id
        for number, size in enumerate(sizes)
    ]


def test_small_files_are_embedded_together_and_a_large_one_alone(shop: Shop) -> None:
    """One claim takes files up to a quarter of a megabyte in all; the next one takes what is larger."""
    queue_more(shop, 100_000, 100_000, 300_000)
    worker = shop.worker()
    while worker.run_one(shop.stop):
        pass
    assert shop.pipeline.batches == [3, 1]
    assert shop.document_count == 4


def test_one_bad_file_of_a_batch_costs_the_others_nothing(shop: Shop) -> None:
    """It fails with its reason, and the rest is published."""
    bad, _ = queue_more(shop, 10, 20)

    def deed(job: Job, progress: Progress) -> None:
        if job.id == bad:
            raise InvalidFile("It is encrypted.")

    assert shop.worker(deed).run_one(shop.stop)
    with shop.database.read() as session:
        assert session.get_one(VectorStoreFile, bad).error_message == "It is encrypted."
    assert shop.document_count == 2


def test_a_document_that_cannot_be_stored_costs_the_others_of_its_batch_nothing(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be published together is published one by one, and only the bad one is tried again."""
    bad, _ = queue_more(shop, 10, 20)
    worker = shop.worker()
    shop.pipeline.spoiled = bad
    assert worker.run_one(shop.stop)
    with shop.database.read() as session:
        entry = session.get_one(VectorStoreFile, bad)
    assert (entry.status, entry.failures, shop.document_count) == (JobStatus.IN_PROGRESS, 1, 2)
    assert "3 documents could not be published together" in caplog.text


def test_a_file_of_a_batch_that_is_cancelled_unnoticed_is_not_published(shop: Shop) -> None:
    """The publication sees it; the others of the batch are published."""
    cancelled, _ = queue_more(shop, 10, 20)

    def deed(job: Job, progress: Progress) -> None:
        if job.id == cancelled:
            with shop.database.write() as session:
                cancel_entry(session, job.id)

    assert shop.worker(deed).run_one(shop.stop)
    with shop.database.read() as session:
        assert session.get_one(VectorStoreFile, cancelled).status == JobStatus.CANCELLED
    assert shop.document_count == 2


def test_an_outage_before_the_first_file_is_begun_keeps_none_until_its_lease_ends(shop: Shop) -> None:
    """All of the batch go back to the queue with a wait."""
    queue_more(shop, 10)
    worker = shop.worker()
    shop.pipeline.outage = ServiceUnavailable("The catalog database does not answer.")
    assert worker.run_one(shop.stop)
    with shop.database.read() as session:
        entries = session.scalars(select(VectorStoreFile)).all()
    assert [(entry.status, entry.owner, entry.failures) for entry in entries] == [(JobStatus.IN_PROGRESS, None, 0)] * 2
    shop.pipeline.outage = None
    shop.change(not_before=0.0)
    assert worker.run_one(shop.stop)
    assert shop.document_count == 2


def test_a_fault_of_the_embedder_is_that_of_every_file_it_was_to_embed(shop: Shop) -> None:
    """All of them are tried again, and none is stuck until its lease ends."""
    queue_more(shop, 10)
    worker = shop.worker()
    shop.pipeline.fault = RuntimeError("out of order")
    assert worker.run_one(shop.stop)
    with shop.database.read() as session:
        entries = session.scalars(select(VectorStoreFile)).all()
    assert [(entry.failures, entry.owner, entry.error_message) for entry in entries] == [
        (1, None, "RuntimeError: out of order")
    ] * 2


def test_an_outage_of_the_embedder_costs_no_file_a_try(shop: Shop) -> None:
    """All go back to the queue with a wait, and none is failed, however long it lasts."""
    queue_more(shop, 10)
    worker = shop.worker()
    shop.pipeline.fault = ServiceUnavailable("The embeddings server does not answer.")
    for _ in range(jobs.MAX_FAILURES + 2):
        assert worker.run_one(shop.stop)
        assert not worker.run_one(shop.stop), "they wait"
        with shop.database.read() as session:
            entries = session.scalars(select(VectorStoreFile)).all()
        found = {(entry.status, entry.failures, entry.owner) for entry in entries}
        assert found == {(JobStatus.IN_PROGRESS, 0, None)}
        shop.change(not_before=0.0)
    shop.pipeline.fault = None
    assert worker.run_one(shop.stop)
    assert shop.document_count == 2


def test_a_small_file_does_not_wait_for_large_ones_that_are_under_way(shop: Shop) -> None:
    """Every lane that takes large files is busy with one; the small one that comes then is ready before they are."""
    shop.change(status=JobStatus.CANCELLED)
    large = set(queue_more(shop, 17 * 1024**2, 2 * 1024**2))
    under_way, may_end = set[int](), threading.Event()

    def deed(job: Job, progress: Progress) -> None:
        if job.id in large:
            under_way.add(job.id)
            may_end.wait(20)

    thread = threading.Thread(target=shop.worker(deed).run, args=(shop.stop,))
    thread.start()
    wait_for(lambda: under_way == large)
    queue_more(shop, 10)
    wait_for(lambda: shop.document_count == 1)
    may_end.set()
    wait_for(lambda: shop.document_count == 3)
    shop.stop.set()
    thread.join(10)


def wait_for(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_works_until_it_is_stopped(shop: Shop) -> None:
    """`run` takes job after job, waits while there is none, and ends soon after the signal."""
    thread = threading.Thread(target=shop.worker().run, args=(shop.stop,))
    thread.start()
    store = a_store(shop.database)
    for n in range(3):
        an_entry(shop.database, store, a_file(shop.database, shop.blobs, b"more %d" % n))
    deadline = time.monotonic() + 20
    while shop.document_count < 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    shop.stop.set()
    thread.join(10)
    assert (shop.document_count, thread.is_alive()) == (4, False)


def test_an_outage_of_the_database_does_not_end_the_worker(
    shop: Shop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, waits, and tries again."""
    empty = Database(f"sqlite:///{tmp_path / 'not-migrated.sqlite'}")
    worker = Worker(empty, shop.blobs, ScriptedPipeline(), name="w", lease_s=LEASE_S)  # type: ignore[arg-type]
    with caplog.at_level(logging.WARNING):
        thread = threading.Thread(target=worker.run, args=(shop.stop,))
        thread.start()
        deadline = time.monotonic() + 20
        while "Trying again" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
        assert thread.is_alive()
        shop.stop.set()
        thread.join(10)
    empty.close()
    assert "does not answer" in caplog.text


def test_a_fault_that_nobody_expected_does_not_end_a_lane(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A lane that ended would be missed by nobody: the process lives, and its files wait for ever."""
    monkeypatch.setattr("ingest.worker._PAUSE_S", 0.01)
    waiting = jobs.is_waiting
    faults = iter([RuntimeError("can't start new thread")] * 3)

    def is_waiting(*args: Any) -> bool:
        if (fault := next(faults, None)) is not None:
            raise fault
        return waiting(*args)

    monkeypatch.setattr(jobs, "is_waiting", is_waiting)
    thread = threading.Thread(target=shop.worker().run, args=(shop.stop,))
    thread.start()
    deadline = time.monotonic() + 20
    while shop.entry.status != JobStatus.COMPLETED and time.monotonic() < deadline:
        time.sleep(0.02)
    shop.stop.set()
    thread.join(10)
    assert shop.entry.status == JobStatus.COMPLETED
    assert "can't start new thread" in caplog.text


# --- presence ---------------------------------------------------------------------------------------------------------

CLAIM_AND_WAIT = """
import sys, time
from pathlib import Path
from catalog import jobs
from catalog.database import Database
from ingest.worker import presence
database = Database(sys.argv[1])
with presence(database, Path(sys.argv[2])) as name:
    with database.write() as session:
        assert jobs.claim(session, name, lease_s=3600)
    print(name, flush=True)
    time.sleep(60)
"""


def test_the_jobs_of_a_killed_worker_are_free_at_once(shop: Shop, tmp_path: Path) -> None:
    """Nobody waits an hour for the lease of a process that is gone; one that lives keeps its job."""
    folder = tmp_path / "workers"
    command = [sys.executable, "-c", CLAIM_AND_WAIT, shop.database.url.render_as_string(), str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        name = process.stdout.readline().strip()
        assert (name, 0) == (shop.entry.owner, release_dead(shop.database, folder))
        process.kill()
    with presence(shop.database, folder) as own:
        assert [f"{own}.lock"] == [path.name for path in folder.iterdir()]
        assert None is shop.entry.owner
        assert shop.entry_id == a_claim(shop.database, own).id
    assert list(folder.iterdir()) == []


def test_a_worker_that_leaves_lets_go_of_its_jobs(shop: Shop, tmp_path: Path) -> None:
    """Also when it leaves by an exception."""
    with pytest.raises(LeaseLost), presence(shop.database, tmp_path / "workers") as name:
        a_claim(shop.database, name, lease_s=3600)
        raise LeaseLost
    assert None is shop.entry.owner

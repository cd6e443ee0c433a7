"""The worker: claims jobs, builds documents, publishes them."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from catalog import expiry, files, jobs, publication
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.doorbell import Doorbell
from catalog.errors import FootnoteError, LeaseLost, ServiceUnavailable
from catalog.expiry import FOR_EVER, Retention
from catalog.jobs import ANY, Job, Lane
from catalog.models import JobStatus
from ingest.pipeline import Draft, Facts, Pipeline, Progress
from ingest.sandbox import Sandbox

log = logging.getLogger(__name__)

_MIB: Final = 1024**2
# What a worker does at the same time. The first lane takes files of any size in the order of their arrival, so none
# waits for ever; the others take small ones, which so never wait for a large one.
LANES: Final = (Lane(by_age=True), Lane(max_bytes=16 * _MIB), Lane(max_bytes=_MIB))
# Small files that are claimed together, to be embedded together: at most so many, and so many bytes in all.
_BATCH_FILES: Final = 128
_BATCH_BYTES: Final = 256 * 1024
# Batches under way without lanes: while the model computes for one, the other is read, cut and published.
_AT_ONCE: Final = 2
# How often an idle worker looks for what has expired, and for blobs that no file needs.
_SWEEP_INTERVAL_S: Final = 600.0
# Rest after the database did not answer, or something went wrong that should not.
_PAUSE_S: Final = 2.0


class UnexpectedError(FootnoteError):
    """A fault of Footnote itself. Tried again, in case it passes; then the file is failed with its words."""

    retryable = True


class Worker:
    """Processes jobs in several lanes until it is told to stop.

    Any number of workers may run. Whatever kills one, its jobs are claimed again by another, and it can
    publish nothing after that: every write is guarded by the fence of the claim.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        pipeline: Pipeline,
        *,
        name: str,
        lease_s: float = jobs.LEASE_S,
        retention: Retention = FOR_EVER,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._pipeline = pipeline
        self._name = name
        self._lease_s = lease_s
        self._retention = retention

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; jobs that are under way then go back to the queue at once."""
        bell = Doorbell(self._database)
        lanes = [
            threading.Thread(target=self._serve, args=(lane, bell, stop), name=f"lane-{number}")
            for number, lane in enumerate(LANES)
        ]
        for thread in lanes:
            thread.start()
        while not stop.is_set():
            with _faults_logged():
                expiry.remove_expired(self._database, self._blobs, self._retention)
                files.sweep(self._database, self._blobs)
            stop.wait(_SWEEP_INTERVAL_S)
        bell.close()
        for thread in lanes:
            thread.join()

    def _serve(self, lane: Lane, bell: Doorbell, stop: threading.Event) -> None:
        while not stop.is_set():
            rings = bell.rings
            with _faults_logged() as fault:
                if not self.run_one(stop, lane):
                    bell.wait(rings)
            if fault:
                stop.wait(_PAUSE_S)

    def work_off(self, stop: threading.Event, *, enough: Callable[[], bool] = lambda: False) -> None:
        """Process what waits, two batches at once, until nothing does, or it is `enough`.

        When `stop` is set, jobs that are under way go back to the queue at once.
        """

        def work() -> None:
            while not stop.is_set() and not enough() and self.run_one(stop):
                pass

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="batch") as pool:
            for worked in [pool.submit(work) for _ in range(_AT_ONCE)]:
                worked.result()

    def run_one(self, stop: threading.Event, lane: Lane = ANY) -> bool:
        """Claim what comes next, one large file or several small ones, and process it; False when nothing waits."""
        claimed = self._claim(lane)
        if not claimed:
            return False
        with _Hold(self._database, claimed, self._lease_s, stop) as hold, self._all_settled(claimed) as left:
            facts = self._pipeline.facts(claimed)
            # From here on each ends by itself.
            left.clear()
            drafts: list[Draft] = []
            for _, group in groupby(claimed, key=lambda job: job.vector_store_id):
                with self._pipeline.sandbox() as sandbox:
                    for job in group:
                        with self._settled(job):
                            drafts += self._start(job, facts, hold.progress_of(job), sandbox)
            self._finish(drafts)
        return True

    def _claim(self, lane: Lane) -> list[Job]:
        with self._database.read() as session:
            if not jobs.is_waiting(session, lane):
                return []
        with self._database.write() as session:
            return jobs.claim(
                session, self._name, lane=lane, lease_s=self._lease_s, most=_BATCH_FILES, most_bytes=_BATCH_BYTES
            )

    def _start(self, job: Job, facts: Facts, progress: Progress, sandbox: Sandbox) -> list[Draft]:
        """Parse; return nothing when an equal document was there to copy."""
        if job.claims > jobs.MAX_CLAIMS:
            raise FootnoteError(f"Work on this file was cut short {jobs.MAX_CLAIMS} times; it is given up.")
        key = facts.content_key(job)
        if key in facts.originals and publication.publish_copy(self._database, job, key) is not None:
            log.info("Published %s in %s, a copy.", job.file_id, job.vector_store_id)
            return []
        return [self._pipeline.parse(job, facts, progress, sandbox)]

    def _finish(self, drafts: Sequence[Draft]) -> None:
        """Embed and publish. A fault of the embedder is every unfinished draft's; for an outage of it all wait."""
        try:
            with self._all_settled([draft.job for draft in drafts]) as left:
                for finished in self._pipeline.embed(drafts):
                    del left[: len(finished)]
                    self._publish(finished)
        finally:
            for draft in drafts:
                draft.chunks.close()

    def _publish(self, drafts: Sequence[Draft]) -> None:
        """Publish in one transaction what may be, and by itself what may not or could not be so."""
        ordinary = [draft for draft in drafts if draft.is_ordinary]
        published: Collection[int] = ()
        if len(ordinary) > 1:
            try:
                together = [(draft.job, draft.record()) for draft in ordinary]
                published = publication.publish_all(self._database, together)
            except Exception as fault:  # noqa: BLE001 - Perhaps the fault of one: each is tried by itself.
                log.warning("%d documents could not be published together: %s", len(ordinary), fault)
        for draft in drafts:
            with self._settled(draft.job):
                if draft.job.id not in published:
                    publication.publish(self._database, draft.job, draft.record())
                log.info("Published %s in %s.", draft.job.file_id, draft.job.vector_store_id)

    @contextmanager
    def _all_settled(self, claimed: Sequence[Job]) -> Iterator[list[Job]]:
        """Like `_settled` for several jobs; yield their list, from which the block takes those that end otherwise."""
        left = list(claimed)
        try:
            yield left
        except Exception as fault:
            if not left:
                raise
            for job in left:
                with self._settled(job):
                    raise fault

    @contextmanager
    def _settled(self, job: Job) -> Iterator[None]:
        """End the job with the error that the block raises; hand it back when it is lost or the worker stops."""
        error: FootnoteError
        try:
            yield
            return
        except LeaseLost as lost:
            log.info("%s", lost.message)
            with self._database.write() as session:
                jobs.give_back(session, job)
            return
        except FootnoteError as stated:
            error = stated
        except Exception as fault:
            log.exception("Unexpected error while processing %s", job.file_id)
            error = UnexpectedError(f"{type(fault).__name__}: {fault}")
        with suppress(LeaseLost), self._database.write() as session:
            status = jobs.fail(session, job, error)
            ending = "given up" if status == JobStatus.FAILED else "to be retried"
            log.warning("%s: %s (%s)", job.file_id, error.message, ending)


@contextmanager
def _faults_logged() -> Iterator[list[Exception]]:
    """Yield a list that then holds what ended the block, if something did: a worker works on, whatever happens."""
    faults: list[Exception] = []
    try:
        yield faults
    except ServiceUnavailable as error:
        log.warning("%s Trying again.", error.message)
        faults.append(error)
    except Exception as error:
        log.exception("Unexpected error of a worker; trying again.")
        faults.append(error)


class _Hold:
    """Keeps the leases of jobs alive from a thread of its own, and tells the pipeline when one is lost."""

    def __init__(self, database: Database, held: Sequence[Job], lease_s: float, stop: threading.Event) -> None:
        self._database = database
        self._shares = dict.fromkeys((job.id for job in held), 0.0)
        self._held = {job.id: job for job in held}
        self._lease_s = lease_s
        self._stop = stop
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{held[0].id}", daemon=True)

    def __enter__(self) -> "_Hold":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def progress_of(self, job: Job) -> Callable[[float], None]:
        """Return what notes the share of the job's work that is done, and raises LeaseLost when it should end."""

        def progress(share: float) -> None:
            self._shares[job.id] = max(self._shares[job.id], share)
            if job.id not in self._held:
                raise LeaseLost(f"Job {job.id} was cancelled, deleted or taken over.")
            if self._stop.is_set():
                raise LeaseLost(f"Job {job.id} goes back to the queue: the worker was asked to stop.")

        return progress

    def _beat(self) -> None:
        # A third of the lease: two beats may fail before it ends. At least once a second, for the progress bar.
        while not self._done.wait(min(1.0, self._lease_s / 3)):
            held = self._held
            if not held:
                continue
            try:
                with self._database.write() as session:
                    shares = [(job, self._shares[number]) for number, job in held.items()]
                    lost = jobs.heartbeat(session, shares, lease_s=self._lease_s)
            except FootnoteError as error:
                log.warning("No heartbeat for jobs %s: %s", sorted(held), error.message)
                continue
            # Ended ones are among them; nobody asks for those any more.
            self._held = {number: job for number, job in held.items() if number not in lost}


@contextmanager
def presence(database: Database, folder: Path) -> Iterator[str]:
    """Yield this worker's name, and hold a lock under that name while it lives.

    Locks of dead processes can be taken: then their jobs are released at once, without waiting for the lease to end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    with FileLock(folder / f"{name}.lock"):
        release_dead(database, folder)
        try:
            yield name
        finally:
            with database.write() as session:
                jobs.release(session, name)
    (folder / f"{name}.lock").unlink(missing_ok=True)


def release_dead(database: Database, folder: Path) -> int:
    """Release the jobs of workers of this machine that died; return how many jobs."""
    released = 0
    for path in folder.glob("*.lock"):
        try:
            with FileLock(path, timeout=0), database.write() as session:
                released += jobs.release(session, path.stem)
                path.unlink(missing_ok=True)
        except Timeout:
            continue  # Its worker is alive.
    return released


def living(folder: Path) -> list[str]:
    """Return the names of the workers of this machine that are alive."""
    names = []
    for path in sorted(folder.glob("*.lock")):
        try:
            with FileLock(path, timeout=0):
                pass
        except Timeout:
            names.append(path.stem)
    return names

"""The worker: claims jobs, builds documents, publishes them."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from catalog import documents, expiry, files, jobs
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import FootnoteError, LeaseLost, ServiceUnavailable
from catalog.jobs import Job
from catalog.models import JobStatus
from ingest.pipeline import Pipeline

log = logging.getLogger(__name__)

# How often an idle worker looks for work. One indexed query: 0.2 ms.
POLL_INTERVAL_S: Final = 0.25
# How often an idle worker looks for what has expired, and for blobs that no file needs.
_SWEEP_INTERVAL_S: Final = 600.0
# Rest after the database or blob store did not answer.
_OUTAGE_PAUSE_S: Final = 2.0


class UnexpectedError(FootnoteError):
    """A fault of Footnote itself. Tried again, in case it passes; then the file is failed with its words."""

    retryable = True


class Worker:
    """Processes jobs one after the other until it is told to stop.

    Any number of workers may run. Whatever kills one, its job is claimed again by another, and it can
    publish nothing after that: every write is guarded by the fence of the claim.
    """

    def __init__(
        self, database: Database, blobs: BlobStore, pipeline: Pipeline, *, name: str, lease_s: float = jobs.LEASE_S
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._pipeline = pipeline
        self._name = name
        self._lease_s = lease_s

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; a job that is under way then goes back to the queue at once."""
        next_sweep = 0.0
        while not stop.is_set():
            try:
                if self.run_one(stop):
                    continue
                if time.monotonic() >= next_sweep:
                    expiry.remove_expired(self._database, self._blobs)
                    files.sweep(self._database, self._blobs)
                    next_sweep = time.monotonic() + _SWEEP_INTERVAL_S
                stop.wait(POLL_INTERVAL_S)
            except ServiceUnavailable as error:
                log.warning("%s Trying again in %.0f s.", error.message, _OUTAGE_PAUSE_S)
                stop.wait(_OUTAGE_PAUSE_S)

    def run_one(self, stop: threading.Event) -> bool:
        """Claim and process one job; return False when there was none."""
        with self._database.write() as session:
            job = jobs.claim(session, self._name, lease_s=self._lease_s)
        if job is None:
            return False
        try:
            with _Hold(self._database, job, self._lease_s, stop) as hold:
                self._process(job, hold.progress)
        except LeaseLost as lost:
            log.info("%s", lost.message)
            with self._database.write() as session:
                jobs.release(session, self._name)
        return True

    def _process(self, job: Job, progress: Callable[[float], None]) -> None:
        error: FootnoteError
        try:
            if job.claims > jobs.MAX_CLAIMS:
                raise FootnoteError(f"Work on this file was cut short {jobs.MAX_CLAIMS} times; it is given up.")
            documents.publish(self._database, job, self._pipeline.build(job, progress))
            log.info("Published %s in %s.", job.file_id, job.vector_store_id)
            return
        except LeaseLost:
            raise
        except FootnoteError as stated:
            error = stated
        except Exception as fault:
            log.exception("Unexpected error while processing %s", job.file_id)
            error = UnexpectedError(f"{type(fault).__name__}: {fault}")
        with self._database.write() as session:
            status = jobs.fail(session, job, error)
        log.warning(
            "%s: %s (%s)", job.file_id, error.message, "given up" if status == JobStatus.FAILED else "to be retried"
        )


class _Hold:
    """Keeps a job's lease alive from a thread of its own, and tells the pipeline when it is lost."""

    def __init__(self, database: Database, job: Job, lease_s: float, stop: threading.Event) -> None:
        self._database = database
        self._job = job
        self._lease_s = lease_s
        self._stop = stop
        self._share = 0.0
        self._lost = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{job.id}", daemon=True)

    def __enter__(self) -> "_Hold":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def progress(self, share: float) -> None:
        """Note the share of the work that is done. Raises LeaseLost when it should end."""
        self._share = max(self._share, share)
        if self._lost.is_set():
            raise LeaseLost(f"Job {self._job.id} was cancelled, deleted or taken over.")
        if self._stop.is_set():
            raise LeaseLost(f"Job {self._job.id} goes back to the queue: the worker was asked to stop.")

    def _beat(self) -> None:
        # A third of the lease: two beats may fail before it ends. At least once a second, for the progress bar.
        while not self._done.wait(min(1.0, self._lease_s / 3)):
            try:
                with self._database.write() as session:
                    jobs.heartbeat(session, self._job, progress=self._share, lease_s=self._lease_s)
            except LeaseLost:
                self._lost.set()
                return
            except FootnoteError as error:
                log.warning("No heartbeat for job %s: %s", self._job.id, error.message)


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

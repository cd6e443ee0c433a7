"""Processes to be killed, and what the catalog says afterwards."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from api.settings import Settings, load_settings
from api.wiring import lexical_path, make_embedder, open_catalog, open_services
from catalog import fsck, stores
from catalog.models import DEFAULT_PROJECT, Chunk, Document, File, JobStatus, VectorStoreFile
from catalog.stores import NewVectorStore
from ingest.folder import take_in
from retrieval.consistency import check_lexical
from tests.e2e.conftest import FOOTNOTE, SAMPLE, environment, is_alive, share_models, wait_until

FINISH_TIMEOUT_S = 60.0

# File name, ordinal, start, end and text of every chunk.
Chunks = list[tuple[str, int, int, int, str]]


@dataclass(kw_only=True)
class Site:
    """A state folder with data/sample queued in it, and the workers that a test starts there."""

    home: Path
    backend: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.home, embedding_backend=self.backend)

    def queue(self, folder: Path = SAMPLE) -> int:
        """Queue every file of the folder; return how many."""
        settings = self.settings
        with open_catalog(settings) as catalog:
            embedder = make_embedder(settings)
            with catalog.database.write() as session:
                new = NewVectorStore(
                    project_id=DEFAULT_PROJECT, name="sample", embedding_identity=embedder.identity.key
                )
                store = stores.create(session, new)
            embedder.close()
            entries = take_in(catalog.database, catalog.blobs, store, folder, max_bytes=settings.max_file_bytes)
        return len(entries)

    def worker(self, **settings: Any) -> subprocess.Popen[bytes]:
        """Start a worker process, as an operator does."""
        with (self.home.parent / f"{self.home.name}.log").open("ab") as log:
            process = subprocess.Popen(
                [FOOTNOTE, "worker"],
                env=environment(self.home, embedding_backend=self.backend, **settings),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def statuses(self) -> dict[str, list[str]]:
        """Return the states of the entries by file name: one each, when nothing is doubled."""
        found: dict[str, list[str]] = {}
        with open_catalog(self.settings) as catalog, catalog.database.read() as session:
            query = select(File.filename, VectorStoreFile.status).join(File, File.id == VectorStoreFile.file_id)
            for name, status in session.execute(query):
                found.setdefault(name, []).append(status)
        return found

    def open_jobs(self) -> int:
        return sum(statuses.count(JobStatus.IN_PROGRESS) for statuses in self.statuses().values())

    def finish(self, **settings: Any) -> None:
        """Let one last worker run until nothing is queued; SIGTERM must then end it in order."""
        last = self.worker(**settings)
        wait_until(lambda: self.open_jobs() == 0, timeout_s=FINISH_TIMEOUT_S, what="the last worker's end of the queue")
        last.send_signal(signal.SIGTERM)
        assert last.wait(20) == 0

    def chunks(self) -> Chunks:
        """Return every published chunk, duplicates included, in a fixed order."""
        with open_catalog(self.settings) as catalog, catalog.database.read() as session:
            rows = session.execute(
                select(File.filename, Chunk.ordinal, Chunk.start, Chunk.end, Chunk.text)
                .join(Document, Document.id == Chunk.document_id)
                .join(File, File.id == Document.file_id)
            )
            return sorted(tuple(row) for row in rows)

    def problems(self) -> list[Any]:
        """Return what fsck finds, once the lexical index has caught up with the catalog."""
        settings = self.settings
        with open_services(settings) as services:
            catalog = services.catalog
            found = fsck.check(catalog.database, catalog.blobs, orphan_age_s=0.0)
            return found + check_lexical(catalog.database, lexical_path(settings))

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait(20)


def wait_until_busy(site: Site, process: subprocess.Popen[bytes], *, timeout_s: float = 30.0) -> None:
    """Wait until this very process has claimed a job, so that a kill soon after hits a worker at work."""
    # A worker's name holds its process id; the job of a killed one stays in its name until another worker looks.
    own = VectorStoreFile.owner.contains(f"-{process.pid}-")

    def is_claimed() -> bool:
        assert process.poll() is None, "the worker ended by itself"
        with open_catalog(site.settings) as catalog, catalog.database.read() as session:
            return session.scalar(select(VectorStoreFile.id).where(own)) is not None

    wait_until(lambda: is_claimed() or site.open_jobs() == 0, timeout_s=timeout_s, what="a claimed job")


def kill_at_random(site: Site, dice: random.Random, *, within_s: float) -> None:
    """Start a worker, let it claim something, and kill it a random instant later."""
    process = site.worker()
    wait_until_busy(site, process)
    time.sleep(dice.uniform(0, within_s))
    process.kill()
    process.wait()
    assert not is_alive(process.pid)


@pytest.fixture
def site(tmp_path: Path, model_cache: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Yield an empty state folder; the parameter is the embedding back end."""
    home = tmp_path / "home"
    share_models(home, model_cache)
    site = Site(home=home, backend=getattr(request, "param", "hashing"))
    yield site
    site.end()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Callable[[str], Chunks]:
    """Return what gives, for an embedding back end, the chunks of data/sample after a run without a kill."""

    @cache
    def chunks(backend: str) -> Chunks:
        home = tmp_path_factory.mktemp(f"undisturbed-{backend}") / "home"
        share_models(home, model_cache)
        site = Site(home=home, backend=backend)
        try:
            site.queue()
            site.finish()
            return site.chunks()
        finally:
            site.end()

    return chunks

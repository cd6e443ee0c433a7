"""The processes of a running Footnote: killed or stopped one by one, and started again as its supervisor does."""

import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import func, select

from api.settings import Settings, load_settings
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.models import JobStatus, VectorStoreFile
from tests.e2e.conftest import STOP_TIMEOUT_S, command_line, descendants, environment, is_alive, kill, wait_until
from tests.postgresql import PostgreSQL

LEASE_S: Final = 1.0
_READY_TIMEOUT_S: Final = 60.0
# uvicorn ends in order and then dies of the signal that asked for it.
_IN_ORDER: Final = {0, -signal.SIGTERM}
# Every process of a cluster, its children's children included, has the cluster's name in its environment.
_MARK: Final = "FOOTNOTE_TEST_CLUSTER"


@dataclass(kw_only=True)
class Service:
    """A process that is started again when it was killed: an API or a worker."""

    name: str
    command: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Cluster:
    """API and worker processes over one state folder and one catalog."""

    def __init__(
        self,
        folder: Path,
        *,
        server: PostgreSQL | None = None,
        database_url: str | None = None,
        apis: int = 1,
        workers: int = 1,
        **settings: Any,
    ) -> None:
        """`folder`: holds the state folder `home` and the processes' logs.

        `database_url`: SQLite in the state folder unless `server` is given, whose first database is then the default.
        """
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        # A socket's path may have 107 characters, and a test's folder has most of them.
        self._temporary = TemporaryDirectory(prefix="footnote-", ignore_cleanup_errors=True)
        self._mark = secrets.token_hex(8)
        self._given = {"embedding_backend": "hashing", "lease_s": LEASE_S} | settings
        self._server = server
        if url := database_url or (server and server.url):
            self._given["database_url"] = url
        self._lock = threading.RLock()
        self.services = [self._make("api", number) for number in range(1, apis + 1)]
        self.services += [self._make("worker", number) for number in range(1, workers + 1)]
        # One-off commands that run now.
        self._commands: list[subprocess.Popen[bytes]] = []
        # Jobs that were in work in a process at the moment of its death.
        self.interrupted_claims = 0

    @cached_property
    def settings(self) -> Settings:
        """What the processes were started with."""
        return load_settings(home=self.home, **self._given)

    @cached_property
    def database(self) -> Database:
        database = Database(self.settings.resolved_database_url)
        database.migrate()
        return database

    @cached_property
    def blobs(self) -> BlobStore:
        return BlobStore(self.settings.resolved_blob_url, staging=self.home / "staging")

    @property
    def apis(self) -> list[Service]:
        return [service for service in self.services if service.command == "api"]

    @property
    def urls(self) -> list[str]:
        return [service.url for service in self.apis]

    @property
    def workers(self) -> list[Service]:
        return [service for service in self.services if service.command == "worker"]

    def wait_until_ready(self) -> None:
        """Wait until every API listens and every worker has made itself known."""
        for service in self.services:
            wait_until(lambda it=service: self._is_ready(it), timeout_s=_READY_TIMEOUT_S, what=service.name)

    def kill(self, *services: Service) -> None:
        """Kill them all at the same instant, and start each again."""
        with self._lock:
            for service in services:
                kill(service.process.pid)
            for service in services:
                service.process.wait()
                self.interrupted_claims += self._jobs_in_work(service.process.pid)
                self._start(service)

    def restart(self, service: Service) -> None:
        """End it as an operator does, and start it again."""
        with self._lock:
            service.process.terminate()
            assert service.process.wait(STOP_TIMEOUT_S) in _IN_ORDER, self.log(service.name)[-4000:]
            self._start(service)

    def stop(self, service: Service) -> None:
        """Stop it where it is (SIGSTOP)."""
        with self._lock:
            service.process.send_signal(signal.SIGSTOP)

    def wake(self, service: Service) -> None:
        """Let a stopped one go on; one that was killed and started again meanwhile runs already."""
        with self._lock:
            service.process.send_signal(signal.SIGCONT)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Keep the database out of service: PostgreSQL crashes, and SQLite is locked by somebody else.

        The processes have to have started: without a database none can.
        """
        with self._lock:
            if self._server:
                self._server.crash()
                yield
                self._server.start()
                return
            connection = sqlite3.connect(str(self.database.url.database), timeout=30.0, isolation_level=None)
            with closing(connection):
                connection.execute("BEGIN EXCLUSIVE")
                yield

    def fork_servers(self) -> Iterator[int]:
        """Yield the fork server of each worker that has one."""
        for service in self.workers:
            for pid in descendants(service.process.pid):
                if "multiprocessing.forkserver" in command_line(pid) and _parent(pid) == service.process.pid:
                    yield pid

    def parsers(self) -> Iterator[int]:
        """Yield the processes that read a document right now."""
        for server in self.fork_servers():
            yield from descendants(server)

    def start_command(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command of the command line."""
        process = self._spawn("command", list(arguments))
        with self._lock:
            self._commands = [one for one in self._commands if one.poll() is None] + [process]
        return process

    def kill_commands(self) -> int:
        """Kill the one-off commands that run; return how many."""
        with self._lock:
            running = [one for one in self._commands if one.poll() is None]
            for process in running:
                kill(process.pid)
                process.wait()
                self.interrupted_claims += self._jobs_in_work(process.pid)
            return len(running)

    def check_alive(self) -> None:
        """No process may end by itself, whatever happens to the others."""
        for service in self.services:
            assert service.process.poll() is None, (
                f"{service.name} ended with {service.process.returncode}:\n{self.log(service.name)[-4000:]}"
            )

    def log(self, name: str) -> str:
        """Return what a process and those before it under the same name have logged."""
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def shut_down(self) -> None:
        """End every process as an operator does: each in order, and none is left behind."""
        for service in self.services:
            service.process.terminate()
        statuses = {service.name: service.process.wait(STOP_TIMEOUT_S) for service in self.services}
        assert all(status in _IN_ORDER for status in statuses.values()), statuses
        wait_until(lambda: not self.leftovers(), timeout_s=STOP_TIMEOUT_S, what="the end of all processes")
        assert list((self.home / "workers").glob("*.lock")) == []

    def end(self) -> None:
        """Leave nothing behind, also after a failed test."""
        for pid in self.leftovers():
            kill(pid)
        for process in [*(service.process for service in self.services), *self._commands]:
            process.wait(STOP_TIMEOUT_S)
            if process.stdin:
                process.stdin.close()
        if "database" in vars(self):
            self.database.close()
        self._temporary.cleanup()

    def leftovers(self) -> list[int]:
        """Return every process of this cluster that is alive, started by whomever."""
        mark, found = f"{_MARK}={self._mark}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes() and is_alive(int(path.parent.name)):
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def environment(self, port: int = 0) -> dict[str, str]:
        given = environment(self.home, **self._given, port=port)
        return given | {_MARK: self._mark, "TMPDIR": self._temporary.name}

    def _is_ready(self, service: Service) -> bool:
        self.check_alive()
        if service.command == "worker":
            return any((self.home / "workers").glob(f"*-{service.process.pid}-*.lock"))
        with socket.create_connection(("127.0.0.1", service.port), timeout=1.0):
            return True

    def _make(self, command: str, number: int) -> Service:
        name, port = f"{command} {number}", _free_port() if command == "api" else 0
        return Service(name=name, command=command, port=port, process=self._spawn(name, [command], port))

    def _start(self, service: Service) -> None:
        if service.process.stdin:
            service.process.stdin.close()
        service.process = self._spawn(service.name, [service.command], service.port)

    def _spawn(self, name: str, arguments: list[str], port: int = 0) -> subprocess.Popen[bytes]:
        # As api/supervisor.py does: the child ends with the pipe that is its stdin, and so with this process.
        is_service = arguments in (["api"], ["worker"])
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "api.cli", *arguments, *(["--die-with-parent"] if is_service else [])],
                env=self.environment(port),
                cwd=self.home,
                stdin=subprocess.PIPE if is_service else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _jobs_in_work(self, pid: int) -> int:
        # A worker's name holds its process id; the job of a killed one stays in its name until another worker looks.
        own = (VectorStoreFile.owner.contains(f"-{pid}-"), VectorStoreFile.status == JobStatus.IN_PROGRESS)
        with suppress(ServiceUnavailable), self.database.read() as session:
            return session.scalar(select(func.count()).select_from(VectorStoreFile).where(*own)) or 0
        return 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0

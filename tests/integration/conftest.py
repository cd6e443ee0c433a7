"""The application in this process, with the embedder that needs no model, and a worker that is run by hand."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from api.cli import main
from api.settings import Settings, load_settings
from api.wiring import Services, make_worker, open_services
from ingest.worker import Worker
from tests.builders import a_catalog

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
HOUSE = (
    "The garden lies to the south and is watered twice a week in summer.\n\n"
    "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011.\n\n"
    "The roof was covered with slate and has a guarantee of forty years.\n"
)


@dataclass(frozen=True, kw_only=True)
class Footnote:
    """A running application."""

    settings: Settings
    services: Services
    client: TestClient
    worker: Worker

    def upload(self, content: bytes | str = HOUSE, name: str = "house.txt") -> str:
        """Upload a file; return its id."""
        data = content.encode() if isinstance(content, str) else content
        reply = self.client.post("/v1/files", files={"file": (name, data)}, data={"purpose": "assistants"})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])

    def store(self, **body: Any) -> str:
        """Make a vector store; return its id."""
        reply = self.client.post("/v1/vector_stores", json=body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])

    def attach(self, store: str, file: str, **body: Any) -> dict[str, Any]:
        """Attach a file and let the worker finish the queue; return the file's last state."""
        reply = self.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file, **body})
        assert reply.status_code == 200, reply.text
        self.work()
        return self.get(f"/v1/vector_stores/{store}/files/{file}")

    def add(self, store: str, content: bytes | str = HOUSE, name: str = "house.txt", **body: Any) -> str:
        """Upload, attach and process; the file must become ready. Return its id."""
        file = self.upload(content, name)
        assert self.attach(store, file, **body)["status"] == "completed"
        return file

    def work(self) -> None:
        """Process everything that is queued."""
        while self.worker.run_one(threading.Event()):
            pass

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        reply = self.client.get(path, params=params)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def search(self, store: str, query: str | list[str], **body: Any) -> list[dict[str, Any]]:
        reply = self.client.post(f"/v1/vector_stores/{store}/search", json={"query": query, **body})
        assert reply.status_code == 200, reply.text
        return list(reply.json()["data"])

    def respond(self, question: Any, store: str | None = None, **body: Any) -> dict[str, Any]:
        tools = [{"type": "file_search", "vector_store_ids": [store]}] if store else []
        reply = self.client.post("/v1/responses", json={"input": question, "tools": tools, **body})
        assert reply.status_code == 200, reply.text
        return dict(reply.json())


@contextmanager
def running(home: Path, **overrides: Any) -> Iterator[Footnote]:
    """Yield the application over the state in `home`."""
    # Tests put generators of their own in: what another one wrote must not be given again.
    defaults = {"embedding_backend": "hashing", "log_level": "error", "answer_cache": 0}
    settings = load_settings(**{"home": home} | defaults | overrides)
    if "database_url" not in overrides:
        a_catalog(home)
    with open_services(settings) as services:
        app = create_app(settings, services=services)
        with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
            worker = make_worker(settings, services.catalog, services.embedder, name="the test's worker")
            yield Footnote(settings=settings, services=services, client=client, worker=worker)


StartFootnote = Callable[..., AbstractContextManager[Footnote]]


@pytest.fixture
def start(tmp_home: Path) -> StartFootnote:
    """Return what opens an application of the test's own; keyword arguments are settings."""
    return lambda **overrides: running(tmp_home, **overrides)


@pytest.fixture
def fresh(tmp_home: Path) -> Iterator[Footnote]:
    """Yield an application without any data."""
    with running(tmp_home) as footnote:
        yield footnote


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command left."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Result]


@pytest.fixture
def command(tmp_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Return what runs `footnote ARGUMENTS` as the console script does."""
    monkeypatch.setenv("FOOTNOTE_HOME", str(tmp_home))
    monkeypatch.setenv("FOOTNOTE_EMBEDDING_BACKEND", "hashing")
    monkeypatch.chdir(tmp_home)
    interrupt = signal.getsignal(signal.SIGINT)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["footnote", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(status=int(ended.value.code or 0), out=captured.out, err=captured.err)

    yield run
    signal.signal(signal.SIGINT, interrupt)


@pytest.fixture(scope="session")
def footnote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Footnote]:
    """Yield one application for all tests that look at objects of their own alone."""
    with running(tmp_path_factory.mktemp("shared")) as footnote:
        yield footnote


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[tuple[Footnote, str]]:
    """Yield an application with the real embedder that holds data/sample, and the store's id."""
    home = tmp_path_factory.mktemp("sample")
    (home / "models").symlink_to(model_cache, target_is_directory=True)
    model_cache.mkdir(parents=True, exist_ok=True)
    with running(home, embedding_backend="openvino") as footnote:
        files = [footnote.upload(path.read_bytes(), path.name) for path in sorted(SAMPLE.iterdir())]
        store = footnote.store(name="sample", file_ids=files)
        footnote.work()
        yield footnote, store

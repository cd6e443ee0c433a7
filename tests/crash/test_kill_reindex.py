"""`kill -9` of `footnote reindex` at any instant, under a running service whose searches are right all the while."""

import json
import random
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from api.models import all_models
from api.settings import load_settings
from api.wiring import open_catalog
from catalog import embeddings, fsck
from catalog.models import DEFAULT_PROJECT, Document, ModelRole, VectorStore
from catalog.stores import find_by_name
from retrieval.consistency import check_lexical
from tests.e2e.conftest import FOOTNOTE, Server, environment, footnote, is_alive, kill, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

DOCUMENTS = 40
PASSAGES = 20
KILLS = 3
# From the start of the command to its end takes about so long: the kills fall into every step.
WITHIN_S = 7.0
SETTINGS = {"embedding_backend": "hashing", "log_level": "info"}


class Reader(threading.Thread):
    """Searches without a pause; each document has a word of its own, by which it must be the first result."""

    def __init__(self, server: Server, store: str) -> None:
        super().__init__(name="reader", daemon=True)
        self._server, self._store = server, store
        self._dice = random.Random(1)
        self.stop = threading.Event()
        self.searches = 0
        self.refused = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        while not self.stop.is_set():
            number = self._dice.randrange(DOCUMENTS)
            try:
                found = self._server.post(f"/v1/vector_stores/{self._store}/search", {"query": f"word{number}x"})
            except urllib.error.HTTPError as error:
                body = json.load(error)
                if error.code == 503 and error.headers["retry-after"]:
                    self.refused += 1
                    time.sleep(0.1)
                else:
                    self.wrong.append(f"{error.code}: {body}")
                continue
            self.searches += 1
            names = [hit["filename"] for hit in found["data"]]
            if not names or names[0] != f"{number}.txt":
                self.wrong.append(f"{number} gave {names}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    for n in range(DOCUMENTS):
        write(folder, n)
    return folder


def write(folder: Path, number: int, passages: int = PASSAGES) -> None:
    text = "\n\n".join(f"Part {i}. " + f"word{number}x " * 150 for i in range(passages))
    (folder / f"{number}.txt").write_text(text)


@pytest.fixture
def server(tmp_path: Path, folder: Path) -> Iterator[Server]:
    home = tmp_path / "home"
    home.mkdir()
    assert footnote("ingest", str(folder), home=home, **SETTINGS).returncode == 0
    server = Server(home, **SETTINGS)
    yield server
    server.end()


def start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [FOOTNOTE, "reindex", *arguments],
        env=environment(home, **SETTINGS),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check_whole(home: Path) -> str:
    """Everything agrees, and all stores have one model, which is the current one; return its identity."""
    settings = load_settings(home=home, embedding_backend="hashing")
    with open_catalog(settings) as catalog:
        assert fsck.check(catalog.database, catalog.blobs) == []
        for model in all_models(settings, catalog.database):
            assert check_lexical(catalog.database, model.lexical, identity=model.known_identity()) == []
        with catalog.database.read() as session:
            (identity,) = set(session.scalars(select(VectorStore.embedding_identity)))
            current = embeddings.current(session)
        assert current is None or current.identity == identity
        return identity


def a_store_id(home: Path) -> str:
    with open_catalog(load_settings(home=home, embedding_backend="hashing")) as catalog, catalog.database.read() as s:
        store = find_by_name(s, DEFAULT_PROJECT, "documents")
        assert store is not None
        return store.id


@pytest.mark.parametrize("seed", [1])
def test_a_migration_can_be_killed_at_any_instant(server: Server, folder: Path, seed: int) -> None:
    """Every search of the whole time is right, or told to come again; the run that is let finish ends in the new model.

    Then the same on the way back, and what was published with either model is found with the other.
    """
    dice, home = random.Random(seed), server.home
    reader = Reader(server, a_store_id(home))
    reader.start()
    old = check_whole(home)
    new = old.replace("/64", "/96")
    ends = []
    for arguments, wanted in ((("--model", "hashing", "--dimensions", "96"), new), (("--rollback",), old)):
        for _ in range(KILLS):
            process = start(home, *arguments)
            time.sleep(dice.uniform(0.5, WITHIN_S))
            is_at_work = process.poll() is None
            kill(process.pid)
            process.communicate()
            assert not is_alive(process.pid)
            ends.append(check_whole(home))
            if ends[-1] == wanted or not is_at_work:
                break
        if ends[-1] != wanted:
            # What is published meanwhile has to be taken along.
            process = start(home, *arguments)
            write(folder, dice.randrange(DOCUMENTS), PASSAGES + len(ends))
            assert footnote("ingest", str(folder), home=home, **SETTINGS).returncode in {0, 2}
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0, output
        assert check_whole(home) == wanted
        wait_until(lambda it=wanted: server.get("/readyz")["embedding_model"] == it, what="the new model", timeout_s=30)
    reader.stop.set()
    reader.join()
    assert reader.wrong == []
    assert reader.searches > 100
    assert footnote("reindex", "--discard", home=home, **SETTINGS).returncode == 0
    assert check_whole(home) == old
    with open_catalog(load_settings(home=home)) as catalog, catalog.database.read() as session:
        assert embeddings.with_role(session, ModelRole.PREVIOUS) is None
        assert len(session.scalars(select(Document.id)).all()) == DOCUMENTS

"""`kill -9` of `footnote compact` at any instant: the state is whole, and the next run finishes the work."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import select

from api.models import Model
from api.settings import Settings, load_settings
from api.wiring import open_catalog, open_services
from catalog import answers, files, fsck
from catalog.models import DEFAULT_PROJECT, AnswerRecord, File, VectorStore
from retrieval.consistency import check_lexical
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest
from tests.builders import IDENTITY, a_store, lexical_traces, publish_text
from tests.e2e.conftest import FOOTNOTE, environment, footnote, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are watched through /proc")

MARKER = "qworvexil83tamdurok"
DOCUMENTS = 70
KILLS = 6
# What is left to do after the first line takes about that long: the kills fall into every step.
WITHIN_S = 0.25


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", embedding_backend="hashing", log_level="error")


def fill(settings: Settings) -> tuple[VectorStore, list[str]]:
    """Publish documents, answer from each, let the index follow; return the store and the files with the marker."""
    with open_services(settings) as services:
        database, blobs = services.catalog.database, services.catalog.blobs
        store = a_store(database)
        for n in range(DOCUMENTS):
            word = MARKER if n % 2 else "stays"
            publish_text(database, blobs, store, *[f"{word} {n} {i} " + f"word{i} " * 150 for i in range(20)])
        services.replica.catch_up()
        with database.read() as session:
            ids = list(session.scalars(select(File.id).order_by(File.created_at)))
        with database.write() as session:
            for n, file_id in enumerate(ids):
                answers.save(session, a_record(f"resp_{n}", file_id, MARKER if n % 2 else "stays"))
    return store, ids[1::2]


def delete(settings: Settings, file_ids: Sequence[str]) -> None:
    with open_catalog(settings) as catalog:
        for file_id in file_ids:
            files.delete(catalog.database, catalog.blobs, DEFAULT_PROJECT, file_id)


def a_record(record_id: str, file_id: str, text: str) -> AnswerRecord:
    return AnswerRecord(
        id=record_id,
        project_id=DEFAULT_PROJECT,
        created_at=1.0,
        question="Why?",
        model="footnote",
        outcome="answered",
        index_version=1,
        prompt={},
        trace={"candidates": [{"file_id": file_id}]},
        response={"text": text},
    )


def kill_one(settings: Settings, dice: random.Random) -> bool:
    """Start a compaction, wait until it has begun to work, and kill it a random instant later.

    Return whether it was still at work.
    """
    process = subprocess.Popen(
        [FOOTNOTE, "compact"],
        env=environment(settings.home, embedding_backend="hashing", **{"log_level": "error"}),
        cwd=settings.home,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        assert output.readline().startswith("Removed"), "it ended before it began"
        time.sleep(dice.uniform(0, WITHIN_S))
        process.kill()
    status = process.wait()
    assert not is_alive(process.pid)
    return status == -signal.SIGKILL


def check_whole(settings: Settings, store: VectorStore, left: int) -> None:
    """Nothing is lost: fsck is clean, and searches find the documents that stay, and no others."""
    with open_catalog(settings) as catalog:
        assert fsck.check(catalog.database, catalog.blobs) == []
        assert check_lexical(catalog.database, Model(settings=settings).lexical, identity=IDENTITY) == []
    with open_services(settings) as services:
        scope = Scope(vector_store_ids=frozenset([store.id]))
        found = services.searcher.search(SearchRequest(queries=["stays"], scope=scope, limit=10))
        assert services.replica.index.count() == left * 20
        assert len(found.passages) == 10
        assert all(passage.chunk.text.startswith("stays") for passage in found.passages)
        assert check_lexical(services.catalog.database, Model(settings=settings).lexical, identity=IDENTITY) == []


def traces(home: Path) -> set[str]:
    """Return the files in which the marker stands, and whether it is an index term."""
    files = {path for path in home.rglob("*") if path.is_file()}
    return lexical_traces(home / "lexical", MARKER) | {f.name for f in files if MARKER.encode() in f.read_bytes()}


@pytest.mark.parametrize("seed", [1])
def test_a_compaction_can_be_killed_at_any_instant(settings: Settings, seed: int) -> None:
    """After each of several kills the state is whole; the run that is let finish leaves no trace."""
    dice = random.Random(seed)
    store, marked = fill(settings)
    share = len(marked) // (KILLS + 1)
    hits = 0
    for n in range(KILLS):
        delete(settings, marked[n * share : (n + 1) * share])
        hits += kill_one(settings, dice)
        check_whole(settings, store, DOCUMENTS - (n + 1) * share)
    assert hits >= KILLS // 2, "most compactions had ended before they were killed: the test shows little"
    delete(settings, marked[KILLS * share :])
    assert "lexical" in traces(settings.home), "the search for traces finds nothing"
    assert footnote("compact", home=settings.home, embedding_backend="hashing").returncode == 0
    assert traces(settings.home) == set()
    check_whole(settings, store, DOCUMENTS // 2)
    with open_catalog(settings) as catalog, catalog.database.read() as session:
        assert set(session.scalars(select(AnswerRecord.id))) == {f"resp_{n}" for n in range(0, DOCUMENTS, 2)}

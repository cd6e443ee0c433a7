"""Postings of removed documents go in the background, in steps that end when they are told to."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval import lexical, purging
from retrieval.lexical import LexicalIndex
from retrieval.purging import Purger, purge
from tests.builders import a_publication, a_removal

WAIT_S = 30.0


class CountedIndex(LexicalIndex):
    """Tells when a purge had nothing left to do, or failed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.steps: list[int] = []
        self.looked = threading.Event()

    def purge(self, limit: int) -> int:
        try:
            self.steps.append(super().purge(limit))
        except BaseException:
            self.looked.set()
            raise
        if not self.steps[-1]:
            self.looked.set()
        return self.steps[-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexical.sqlite"


@pytest.fixture
def index(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CountedIndex]:
    """Yield an index with ten passages to purge, two in a step."""
    monkeypatch.setattr(purging, "_BATCH", 2)
    index = CountedIndex(path)
    index.apply([a_publication(1, 1, *["words"] * 10), a_publication(2, 2, "words")])
    index.apply([a_removal(3, 1)])
    yield index
    index.close()


@pytest.fixture
def purger(index: CountedIndex) -> Iterator[Purger]:
    purger = Purger(index)
    yield purger
    purger.close()


def test_purging_takes_as_many_steps_as_it_needs(index: CountedIndex) -> None:
    """The total is returned, and only the removed document's passages go."""
    assert purge(index) == 10
    assert index.steps == [2, 2, 2, 2, 2, 0]
    assert index.passage_counts() == {2: 1}


def test_purging_ends_when_it_is_told_to(index: CountedIndex) -> None:
    """After the step under way."""
    assert purge(index, stop=lambda: len(index.steps) == 2) == 4
    assert purge(index) == 6


def test_a_woken_purger_works_until_nothing_is_left(index: CountedIndex, purger: Purger) -> None:
    """And again each time it is woken."""
    for removed in (1, 2):
        purger.wake()
        assert index.looked.wait(WAIT_S)
        index.looked.clear()
        assert index.unmatched() == (0, 0)
        assert index.purge(100) == 0
        index.looked.clear()
        index.apply([a_removal(3 + removed, 2)])
    assert index.passage_counts() == {}
    assert sum(index.steps) == 11


def test_a_purger_that_was_never_woken_closes(index: CountedIndex, purger: Purger) -> None:
    """No thread was started, and none starts afterwards."""
    purger.close()
    purger.wake()
    assert index.steps == []


def test_an_outage_does_not_end_the_purger(
    index: CountedIndex, purger: Purger, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While another process holds the file it gives up with a line in the log; woken again, it goes on."""
    with index.connection():
        pass
    monkeypatch.setattr(lexical, "_BUSY_TIMEOUT_S", 0.0)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    purger.wake()
    assert index.looked.wait(WAIT_S)
    index.looked.clear()
    writer.execute("COMMIT")
    writer.close()
    assert index.steps == []
    purger.wake()
    assert index.looked.wait(WAIT_S)
    assert sum(index.steps) == 10
    assert "stay until the next removal" in caplog.text

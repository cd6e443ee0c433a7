"""The lexical index: one file, several processes, postings and position in one transaction."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.errors import ServiceUnavailable
from retrieval.lexical import LexicalIndex
from tests.builders import a_publication, a_removal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexical.sqlite"


@pytest.fixture
def index(path: Path) -> Iterator[LexicalIndex]:
    index = LexicalIndex(path)
    yield index
    index.close()


def found(index: LexicalIndex, query: str, document_ids: set[int] | None = None) -> list[int]:
    return [hit.chunk_id for hit in index.search(query, limit=10, document_ids=document_ids)]


def test_documents_can_be_named(index: LexicalIndex) -> None:
    """A search may be limited to documents; an empty set finds nothing."""
    index.apply([a_publication(n, n, "words") for n in (1, 2, 3)])
    assert found(index, "words") == [100, 200, 300]
    assert found(index, "words", {1, 3, 99}) == [100, 300]
    assert found(index, "words", set()) == []
    assert {1, 2, 3} == set(index.passage_counts())


def test_ten_thousand_documents_can_be_named(index: LexicalIndex) -> None:
    """No limit of SQLite's on the number of variables applies."""
    index.apply([a_publication(1, 1, "words")])
    assert found(index, "words", set(range(10_000))) == [100]


def test_changes_that_were_seen_are_skipped(index: LexicalIndex) -> None:
    """An older change does not undo a newer one."""
    publication = a_publication(1, 1, "words")
    index.apply([publication, a_removal(2, 1)])
    index.apply([publication])
    assert (found(index, "words"), index.position) == ([], 2)


def test_a_failing_change_leaves_nothing(index: LexicalIndex) -> None:
    """Postings and position are one transaction: a batch counts as a whole."""
    index.apply([a_publication(1, 1, "words")])
    broken = a_publication(3, 3, "words", texts=["words", "one text too many"])
    with pytest.raises(ValueError, match="zip"):
        index.apply([a_publication(2, 2, "words"), broken])
    assert ([100], 1, {1}) == (found(index, "words"), index.position, set(index.passage_counts()))


def test_clearing_begins_anew(index: LexicalIndex) -> None:
    """Nothing is found, and the feed is followed from its beginning."""
    changes = [a_publication(5, 1, "words")]
    index.apply(changes)
    index.clear()
    assert ([], 0, set()) == (found(index, "words"), index.position, set(index.passage_counts()))
    index.apply(changes)
    assert found(index, "words") == [100]


def test_content_outlives_the_process(index: LexicalIndex, path: Path) -> None:
    """Another index on the same file finds the same, and goes on from there."""
    index.apply([a_publication(1, 1, "words")])
    again = LexicalIndex(path)
    assert (found(again, "words"), again.position) == ([100], 1)
    again.apply([a_publication(2, 2, "words")])
    again.close()
    assert (found(index, "words"), index.position) == ([100, 200], 2)


def test_two_writers_at_once_write_each_document_once(path: Path) -> None:
    """Whoever comes second finds it done."""
    changes = [a_publication(n, n, f"words {n}") for n in range(1, 31)]
    indexes = [LexicalIndex(path), LexicalIndex(path)]
    start = threading.Barrier(2)

    def follow(index: LexicalIndex) -> None:
        start.wait()
        for change in changes:
            index.apply([change])

    threads = [threading.Thread(target=follow, args=(index,)) for index in indexes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hits = indexes[0].search("words", limit=1000, document_ids=None)
    assert sorted(100 * n for n in range(1, 31)) == sorted(hit.chunk_id for hit in hits)
    for index in indexes:
        index.close()


def test_a_file_that_is_no_index_is_an_outage(index: LexicalIndex, path: Path) -> None:
    """The driver's error becomes one of ours that names the file."""
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE state")
    connection.close()
    with pytest.raises(ServiceUnavailable, match=str(path)):
        _ = index.position


# --- removal in two steps ---------------------------------------------------------------------------------------------


def rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


@pytest.fixture
def half_removed(index: LexicalIndex) -> LexicalIndex:
    """Return an index with three documents of four passages each, of which the second is removed and not purged."""
    index.apply([a_publication(n, n, *["words"] * 4) for n in (1, 2, 3)])
    index.apply([a_removal(4, 2)])
    return index


STAY = [100, 101, 102, 103, 300, 301, 302, 303]


def test_a_removed_document_is_out_of_every_search_before_it_is_purged(half_removed: LexicalIndex, path: Path) -> None:
    """Its postings are still in the file, and no search of any process sees them, not even one that names it."""
    other = LexicalIndex(path)
    for index in (half_removed, other):
        assert found(index, "words") == STAY
        assert found(index, "words", {2}) == []
        assert found(index, "words", {2, 3}) == STAY[4:]
        assert index.passage_counts() == {1: 4, 3: 4}
    assert rows(path, "passages") == rows(path, "postings") == 12
    other.close()


def test_purging_goes_step_by_step(half_removed: LexicalIndex, path: Path) -> None:
    """Each step deletes at most as many passages as it may, searches are the same at all times, and it ends."""
    assert half_removed.unmatched() == (0, 0)
    for purged, left in ((3, 9), (1, 8), (0, 8)):
        assert half_removed.purge(3) == purged
        assert rows(path, "passages") == rows(path, "postings") == left
        assert half_removed.unmatched() == (0, 0)
        assert found(half_removed, "words") == STAY
    assert rows(path, "removed") == 0


def test_a_purge_that_was_cut_off_goes_on_in_another_process(half_removed: LexicalIndex, path: Path) -> None:
    """What is to be purged stands in the file."""
    half_removed.purge(3)
    other = LexicalIndex(path)
    assert other.purge(100) == 1
    assert rows(path, "removed") == 0
    other.close()


def test_purging_with_nothing_removed_writes_nothing(index: LexicalIndex, path: Path) -> None:
    """It does not wait for another process's transaction either."""
    index.apply([a_publication(1, 1, "words")])
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert index.purge(100) == 0
    writer.close()


def test_a_document_can_be_removed_before_its_turn(index: LexicalIndex, path: Path) -> None:
    """A publication that is applied after it is passed over, and so is the removal when its turn comes."""
    index.apply([a_publication(1, 1, "words")])
    index.remove_early({1: 5, 2: 6})
    assert (found(index, "words"), index.position) == ([], 1)
    assert index.purge(100) == 1
    index.apply([a_publication(2, 2, "words"), a_publication(3, 3, "words")])
    assert found(index, "words") == [300]
    index.apply([a_removal(5, 1), a_removal(6, 2)])
    assert (index.purge(100), index.passage_counts(), rows(path, "removed")) == (0, {3: 1}, 0)


def test_merging_leaves_no_term_of_a_purged_passage(index: LexicalIndex, path: Path) -> None:
    """The words that stay are found as before, and those that went stand in no page that is in use."""
    index.apply([a_publication(n, n, f"word{n} stays", f"marker{n}x") for n in range(1, 40)])
    index.apply([a_publication(100, 100, *[f"qworvexil{n}" for n in range(200)])])
    index.apply([a_removal(101, 100)])
    while index.purge(7):
        pass
    steps = sum(1 for _ in index.merge())
    assert 1 <= steps < 100
    connection = sqlite3.connect(path)
    blocks = b"".join(block for (block,) in connection.execute("SELECT block FROM postings_data"))
    connection.close()
    assert b"qworvexil" not in blocks
    assert b"xil7" not in blocks
    assert b"marker" in blocks
    assert len(index.search("stays", limit=100, document_ids=None)) == 39


def test_a_search_in_many_named_documents_takes_no_time(index: LexicalIndex) -> None:
    """FTS5 evaluates the query once, and not once for each passage in scope."""
    index.apply([a_publication(1, 1, *["some words of a text"] * 50)])
    with index.connection() as connection:
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        connection.set_progress_handler(count, 1)
        index.search("some words", limit=10, document_ids=None)
        everywhere, steps = steps, 0
        index.search("some words", limit=10, document_ids={1})
        connection.set_progress_handler(None, 0)
    assert steps < 3 * everywhere

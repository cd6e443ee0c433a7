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
    assert {1, 2, 3} == index.document_ids()


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
    assert ([100], 1, {1}) == (found(index, "words"), index.position, index.document_ids())


def test_clearing_begins_anew(index: LexicalIndex) -> None:
    """Nothing is found, and the feed is followed from its beginning."""
    changes = [a_publication(5, 1, "words")]
    index.apply(changes)
    index.clear()
    assert ([], 0, set()) == (found(index, "words"), index.position, index.document_ids())
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

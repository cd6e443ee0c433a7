"""The embedded index keeps the contract, and agrees with the exact one about every history of changes."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.feed import DocumentChange
from retrieval.filters import parse_filter
from retrieval.indexes.base import Hit, PassageIndex, Scope
from retrieval.indexes.faiss import FaissIndex
from retrieval.indexes.memory import MemoryIndex
from retrieval.indexes.partition import Sizes
from retrieval.indexes.vectors import VectorReplica
from retrieval.lexical import LexicalIndex
from tests.builders import a_publication, a_removal, a_scope
from tests.contract.passage_index import DIMENSION, TOLERANCE, PassageIndexContract, dense, ids, lexical


class TestFaissIndexInMemory(PassageIndexContract):
    """With the words in a folder that goes."""

    def open_index(self) -> PassageIndex:
        return FaissIndex(dimension=DIMENSION, lexical=None)


class TestFaissIndexOnDisk(PassageIndexContract):
    """With the words in a folder that stays."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def open_index(self) -> PassageIndex:
        return FaissIndex(dimension=DIMENSION, lexical=self.folder / "new" / "lexical")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexical"


@pytest.fixture
def opened() -> Iterator[list[FaissIndex]]:
    """Close every index that a test puts here."""
    indexes: list[FaissIndex] = []
    yield indexes
    for index in indexes:
        index.close()


def in_segments_of(rows: int) -> FaissIndex:
    """Open an index whose vectors lie in segments of so many rows."""
    return FaissIndex(dimension=DIMENSION, lexical=None, vectors=VectorReplica(DIMENSION, Sizes(segment=rows)))


# --- histories --------------------------------------------------------------------------------------------------------

# Scores keep 13 bits of their mantissa.
BM25_TOLERANCE = 2e-4
WORDS = st.sampled_from(["apple", "pear", "plum", "fig", "PX-200/4", "日本語", "Öl", "c++", "2020"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=4)
DOCUMENTS = st.integers(1, 8)
DEEDS = st.one_of(
    st.tuples(st.just("publish"), DOCUMENTS, TEXTS, st.sampled_from(["vs_1", "vs_2"]), st.integers(0, 2)),
    st.tuples(st.just("publish"), DOCUMENTS, TEXTS, st.sampled_from(["vs_1", "vs_2"]), st.integers(0, 2)),
    st.tuples(st.just("remove"), DOCUMENTS),
    st.tuples(st.just("attributes"), DOCUMENTS, st.integers(0, 2)),
)


def changes_of(deeds: list[Any]) -> list[DocumentChange]:
    """Turn a history into what a feed says: a document keeps texts and store for life; its number is not used again."""
    alive: dict[int, tuple[Any, ...]] = {}
    generation = dict.fromkeys(range(1, 9), 0)
    changes = []
    for seq, (kind, slot, *rest) in enumerate(deeds, start=1):
        if kind == "publish" and slot not in alive:
            generation[slot] += 1
            alive[slot] = tuple(rest)
        elif kind == "attributes" and slot in alive:
            alive[slot] = (*alive[slot][:2], rest[0])
        elif kind == "remove":
            alive.pop(slot, None)
        number = slot + 10 * generation[slot]
        if slot in alive:
            texts, store, value = alive[slot]
            attributes = {"value": value}
            changes.append(a_publication(seq, number, *texts, vector_store_id=store, attributes=attributes))
        else:
            changes.append(a_removal(seq, number))
    return changes


def newest_of_each(changes: list[DocumentChange]) -> list[DocumentChange]:
    """Keep what the catalog keeps: each document's newest change, which shows its last state."""
    newest = {change.document_id: change for change in changes}
    return [change for change in changes if newest[change.document_id] is change]


SCOPES = [
    a_scope("vs_1"),
    a_scope("vs_1", "vs_2"),
    a_scope("vs_2", filter=parse_filter({"type": "eq", "key": "value", "value": 1})),
    a_scope("vs_1", "vs_2", filter=parse_filter({"type": "ne", "key": "value", "value": 0})),
]


def assert_equal_answers(index: PassageIndex, oracle: PassageIndex, *, removed_count: bool = False) -> None:
    """`removed_count`: statistics of words hold removed passages, so scores of words may differ, and their order."""
    assert (oracle.count(), oracle.position) == (index.count(), index.position)
    for scope in SCOPES:
        for query in ("apple pear", "PX-200/4 öl 日本"):
            for limit in (1, 3, 50):
                assert_equal_dense(index, oracle, query, scope, limit)
                expected, found = (lexical(i, query, scope=scope, limit=limit) for i in (oracle, index))
                if removed_count:
                    assert len(expected) == len(found)
                    assert set(ids(found)) <= set(ids(lexical(oracle, query, scope=scope, limit=1000)))
                    continue
                assert [hit.score for hit in found] == pytest.approx([h.score for h in expected], rel=BM25_TOLERANCE)
                everything = lexical(oracle, query, scope=scope, limit=1000)
                assert_same_order(expected, found, everything, 10 * BM25_TOLERANCE)


def assert_equal_dense(index: PassageIndex, oracle: PassageIndex, query: str, scope: Scope, limit: int) -> None:
    expected, found = (dense(i, query, scope=scope, limit=limit) for i in (oracle, index))
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=TOLERANCE)
    assert_same_order(expected, found, dense(oracle, query, scope=scope, limit=1000), TOLERANCE)


def assert_same_order(expected: list[Hit], found: list[Hit], everything: list[Hit], tolerance: float) -> None:
    """At every rank stands a chunk whose exact score is that rank's, up to `tolerance`."""
    exact = {hit.chunk_id: hit.score for hit in everything}
    assert len(set(ids(found))) == len(found) == len(expected)
    for one, other in zip(expected, found, strict=True):
        assert exact[other.chunk_id] == pytest.approx(one.score, abs=tolerance)


@pytest.mark.parametrize("rows", [1, 4, 16_384])
@settings(max_examples=25, deadline=None)
@given(deeds=st.lists(DEEDS, max_size=40), batch=st.integers(1, 10))
def test_faiss_agrees_with_the_exact_index_after_any_history(rows: int, deeds: list[Any], batch: int) -> None:
    """Publications, changes of attributes and removals in any order give equal hits, scores and counts.

    However many segments they make of the vectors.
    """
    changes = changes_of(deeds)
    index, oracle = in_segments_of(rows), MemoryIndex(dimension=DIMENSION)
    for start in range(0, len(changes), batch):
        index.apply(changes[start : start + batch])
        oracle.apply(changes[start : start + batch])
    assert_equal_answers(index, oracle)
    index.close()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deeds=st.lists(DEEDS, min_size=1, max_size=30), data=st.data())
def test_a_restart_over_the_same_file_gives_the_same_answers(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[Any], data: st.DataObject
) -> None:
    """The words are there already and the vectors are replayed from the feed; nothing is doubled and nothing lost."""
    changes = changes_of(deeds)
    stop = data.draw(st.integers(0, len(changes)))
    path = tmp_path_factory.mktemp("restart") / "lexical"
    before = FaissIndex(dimension=DIMENSION, lexical=path)
    before.apply(newest_of_each(changes[:stop]))
    before.close()
    after, oracle = FaissIndex(dimension=DIMENSION, lexical=path), MemoryIndex(dimension=DIMENSION)
    assert after.position == 0
    for change in newest_of_each(changes):
        after.apply([change])
        oracle.apply([change])
    assert_equal_answers(after, oracle, removed_count=True)
    after.close()


@pytest.mark.parametrize("rows", [4, 16_384])
def test_answers_stay_equal_while_memory_is_given_back(opened: list[FaissIndex], rows: int) -> None:
    """Removing one document after the other leads through every move of vectors."""
    index, oracle = in_segments_of(rows), MemoryIndex(dimension=DIMENSION)
    opened.append(index)
    published = [a_publication(n, n, f"apple {n}", f"pear {n % 3}") for n in range(1, 17)]
    for each in (index, oracle):
        each.apply(published)
    for seq, document_id in enumerate((7, *range(1, 7), *range(8, 17)), start=17):
        for each in (index, oracle):
            each.apply([a_removal(seq, document_id)])
        assert_equal_answers(index, oracle)


def test_removed_vectors_give_their_memory_back(opened: list[FaissIndex]) -> None:
    """At no time do segments have room for more than twice the vectors that are there, and one segment."""
    index = in_segments_of(8)
    opened.append(index)
    index.apply([a_publication(n, n, *[f"text {n} {i}" for i in range(3)]) for n in range(1, 41)])
    order = [n for first in (1, 2, 3) for n in range(first, 41, 3)]
    for seq, document_id in enumerate(order, start=41):
        index.apply([a_removal(seq, document_id)])
        partitions = index._vectors.partitions.values()
        assert sum(partition.count for partition in partitions) == index.count()
        segments = [segment for partition in partitions for segment in partition.segments.values()]
        assert sum(segment.rows for segment in segments) <= 2 * index.count() + 8
    assert segments == []


def test_a_large_document_goes_at_once(path: Path, opened: list[FaissIndex]) -> None:
    """The next search of every process sees nothing of it, whether the disk has been told or not."""
    one, other = (FaissIndex(dimension=DIMENSION, lexical=path) for _ in range(2))
    opened += [one, other]
    changes = [a_publication(1, 1, *[f"words {n}" for n in range(999)]), a_publication(2, 20, "words stay")]
    for index in (one, other):
        index.apply(changes)
    one.apply([a_removal(3, 1)])
    for index in (one, other):
        index.apply([a_removal(3, 1)])
        assert [2000] == ids(dense(index, "words")) == ids(lexical(index, "words"))
        assert index.count() == 1
    one.close()
    other.close()
    opened.clear()
    left = LexicalIndex(path)
    assert left.passage_counts() == {20: 1}
    assert [hit.chunk_id for hit in left.search("words", limit=10, document_ids=None)] == [2000]
    left.close()


# --- several processes on one file ------------------------------------------------------------------------------------


def test_an_index_that_is_behind_the_file_replays_what_it_has_not_seen(path: Path, opened: list[FaissIndex]) -> None:
    """Another process wrote the words already: this one takes the vectors and writes no word again."""
    one, other = (FaissIndex(dimension=DIMENSION, lexical=path) for _ in range(2))
    opened += [one, other]
    changes = [a_publication(1, 1, "words one"), a_publication(2, 2, "words two"), a_removal(3, 1)]
    one.apply(changes)
    assert (one.position, other.position) == (3, 0)
    other.apply(changes)
    for index in (one, other):
        assert [200] == ids(dense(index, "words")) == ids(lexical(index, "words"))


def test_a_store_that_another_process_has_just_filled_stays_out_of_sight(path: Path, opened: list[FaissIndex]) -> None:
    """The words of a store outside the scope are not found, also while this process does not know that store yet."""
    one, other = (FaissIndex(dimension=DIMENSION, lexical=path) for _ in range(2))
    opened += [one, other]
    first = a_publication(1, 1, "words", vector_store_id="vs_1")
    for index in (one, other):
        index.apply([first])
    other.apply([a_publication(2, 2, "words", vector_store_id="vs_2")])
    assert ids(lexical(one, "words", scope=a_scope("vs_1"))) == [100]


def test_a_folder_that_is_lost_is_made_anew(path: Path, opened: list[FaissIndex]) -> None:
    """Deleting the folder of words costs a replay and no data."""
    index = FaissIndex(dimension=DIMENSION, lexical=path)
    index.apply([a_publication(1, 1, "words")])
    index.close()
    shutil.rmtree(path)
    again = FaissIndex(dimension=DIMENSION, lexical=path)
    opened.append(again)
    assert again.position == 0
    again.apply([a_publication(1, 1, "words")])
    assert ids(lexical(again, "words")) == [100]

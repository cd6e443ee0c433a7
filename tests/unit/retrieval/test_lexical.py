"""The lexical index: postings on disk, the newest changes in memory, several processes on one folder."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import tantivy

from catalog.errors import ServiceUnavailable
from catalog.feed import DocumentChange
from retrieval import lexical, postings
from retrieval.indexes.memory import MemoryIndex
from retrieval.lexical import LexicalIndex
from tests.builders import a_publication, a_removal, a_scope, lexical_terms


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lexical"


@pytest.fixture
def index(path: Path) -> Iterator[LexicalIndex]:
    index = LexicalIndex(path)
    yield index
    index.close()


@pytest.fixture
def other(path: Path, index: LexicalIndex) -> Iterator[LexicalIndex]:
    """Return a second index on the folder, as another process has it."""
    assert index.position == 0
    other = LexicalIndex(path)
    yield other
    other.close()


def found(index: LexicalIndex, query: str, document_ids: set[int] | None = None, *, limit: int = 10) -> list[int]:
    return [hit.chunk_id for hit in index.search(query, limit=limit, document_ids=document_ids)]


def segments(path: Path) -> list[str]:
    return [each["segment_id"].replace("-", "") for each in json.loads((path / "meta.json").read_bytes())["segments"]]


@pytest.mark.parametrize("on_disk", [False, True])
def test_documents_can_be_named(index: LexicalIndex, on_disk: bool) -> None:
    """A search may be limited to documents; an empty set finds nothing."""
    index.apply([a_publication(n, n, "words") for n in (1, 2, 3)])
    if on_disk:
        index.flush()
    assert found(index, "words") == [100, 200, 300]
    assert found(index, "words", {1, 3, 99}) == [100, 300]
    assert found(index, "words", set()) == []
    assert found(index, "words", set(range(10_000))) == [100, 200, 300]


@pytest.mark.parametrize("share", [1, 2, 7, 30, 150])
def test_a_filter_is_exact_at_any_selectivity(index: LexicalIndex, share: int) -> None:
    """Also where all that it selects is worse than all that it does not."""
    index.apply([a_publication(n, n, "needle " + "hay " * (n if n % share else 400 + n)) for n in range(1, 301)])
    index.flush()
    chosen = {n for n in range(1, 301) if n % share == 0}
    everything = [i for i in found(index, "needle hay", limit=1000) if i // 100 in chosen]
    for limit in (1, 5, 1000):
        assert everything[:limit] == found(index, "needle hay", chosen, limit=limit)


def test_changes_that_were_seen_are_skipped(index: LexicalIndex) -> None:
    """An older change does not undo a newer one."""
    publication = a_publication(1, 1, "words")
    index.apply([publication, a_removal(2, 1)])
    index.apply([publication])
    assert (found(index, "words"), index.position) == ([], 2)


def test_a_failing_change_leaves_nothing(index: LexicalIndex) -> None:
    """A batch counts as a whole."""
    index.apply([a_publication(1, 1, "words")])
    broken = a_publication(3, 3, "words", texts=["words", "one text too many"])
    with pytest.raises(ValueError, match="zip"):
        index.apply([a_publication(2, 2, "words"), broken])
    assert (found(index, "words"), index.position) == ([100], 1)


@pytest.mark.parametrize("on_disk", [False, True])
def test_new_attributes_write_no_word_again(index: LexicalIndex, on_disk: bool) -> None:
    """A document that is there already is passed over; its texts cannot have changed."""
    index.apply([a_publication(1, 1, "words", "more")])
    if on_disk:
        index.flush()
    index.apply([a_publication(2, 1, "words", "more"), a_publication(3, 1, "words", "more")])
    index.flush()
    assert (index.passage_counts(), index.position, index.deleted) == ({1: 2}, 3, 0)


def test_clearing_begins_anew(index: LexicalIndex) -> None:
    """Nothing is found, and the feed is followed from its beginning."""
    changes = [a_publication(5, 1, "words")]
    index.apply(changes)
    index.flush()
    index.apply([a_publication(6, 2, "words")])
    index.clear()
    assert (found(index, "words"), index.position, index.passage_counts()) == ([], 0, {})
    index.apply(changes)
    assert found(index, "words") == [100]


def test_scores_do_not_depend_on_where_passages_are(index: LexicalIndex) -> None:
    """In memory, on disk, and in the exact index a passage has the same score, long ones up to a step of length."""
    changes = [a_publication(n, n, "apple " * (n % 4) + "pear fig " * n) for n in range(1, 40)]
    oracle = MemoryIndex(dimension=64)
    oracle.apply(changes)
    index.apply(changes)
    in_memory = index.search("apple fig", limit=50, document_ids=None)
    index.flush()
    assert in_memory == index.search("apple fig", limit=50, document_ids=None)
    expected = {hit.chunk_id: hit.score for hit in oracle.search_lexical("apple fig", limit=50, scope=a_scope())}
    assert expected == pytest.approx({hit.chunk_id: hit.score for hit in in_memory}, rel=0.05)


def test_the_order_of_equals_does_not_depend_on_their_segments(index: LexicalIndex, path: Path) -> None:
    """Equal passages stand by chunk id, whichever commit brought them, and where the limit cuts through them."""
    order = [7, 2, 9, 1, 8, 3, 6, 4, 5]
    for seq, number in enumerate(order, start=1):
        index.apply([a_publication(seq, number, "equal words of one text")])
        if seq % 3:
            index.flush()
    assert len(segments(path)) > 1
    for limit in (1, 4, 9):
        assert [100 * n for n in range(1, limit + 1)] == found(index, "equal text words", limit=limit)


# --- removal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_removed_document_is_out_of_the_next_search(index: LexicalIndex, on_disk: bool) -> None:
    """Before the disk is told and after, however many passages it had, not even for a search that names it."""
    index.apply([a_publication(1, 1, *["words"] * 700), a_publication(2, 20, "words too")])
    if on_disk:
        index.flush()
    index.apply([a_removal(3, 1)])
    for _ in range(2):
        assert found(index, "words") == [2000]
        assert found(index, "words", {1}) == []
        index.flush()
    assert index.passage_counts() == {20: 1}


def test_rewriting_leaves_no_word_of_a_removed_document(index: LexicalIndex, other: LexicalIndex, path: Path) -> None:
    """What stays is found as before, by this process and by another one."""
    stays = [a_publication(n, n, f"word{n} stays", f"marker{n}x") for n in range(1, 40)]
    index.apply([*stays, a_publication(100, 100, *[f"qworvexil{n}" for n in range(200)])])
    index.flush()
    index.apply([a_removal(101, 100)])
    index.flush()
    assert {"qworvexil7", "marker7x"} <= lexical_terms(path)
    assert index.deleted == 200
    index.rewrite([[*stays, a_removal(101, 100)]], wait_s=5)
    assert not any(term.startswith("qworvexil") for term in lexical_terms(path))
    assert "marker7x" in lexical_terms(path)
    index.collect_garbage()
    assert {file.stem for file in path.glob("*.term")} == set(segments(path)), "files of before are still there"
    other.flush()
    for each in (index, other):
        assert (each.position, each.deleted) == (101, 0)
        assert len(found(each, "stays", limit=100)) == 39


# --- several processes ------------------------------------------------------------------------------------------------


def test_content_outlives_the_process(index: LexicalIndex, path: Path) -> None:
    """What was in memory goes to disk at the end; another index goes on from there."""
    index.apply([a_publication(1, 1, "words")])
    index.close()
    again = LexicalIndex(path)
    assert (found(again, "words"), again.position) == ([100], 1)
    again.apply([a_publication(2, 2, "words")])
    assert found(again, "words") == [100, 200]
    again.close()


def test_whoever_writes_first_writes_for_all(index: LexicalIndex, other: LexicalIndex, path: Path) -> None:
    """The other one finds it done, and forgets what it held in memory."""
    changes = [a_publication(n, n, "words") for n in range(1, 6)]
    for each in (index, other):
        each.apply(changes)
    other.apply([a_publication(6, 6, "words")])
    index.flush()
    before = segments(path)
    other.flush()
    assert len(segments(path)) == len(before) + 1
    index.flush()
    for each in (index, other):
        assert (found(each, "words"), each.position) == ([100, 200, 300, 400, 500, 600], 6)
        assert dict.fromkeys(range(1, 7), 1) == each.passage_counts()


def test_a_process_that_lags_behind_writes_nothing_twice(index: LexicalIndex, other: LexicalIndex) -> None:
    """Its older changes, a document that is removed by now among them, are passed over."""
    changes: list[DocumentChange] = [a_publication(1, 1, "words"), a_publication(2, 2, "words"), a_removal(3, 1)]
    index.apply(changes)
    index.flush()
    other.apply(changes[:2])
    assert found(other, "words") == [100, 200]
    other.flush()
    assert (found(other, "words"), other.position, other.passage_counts()) == ([200], 3, {2: 1})


def test_two_writers_at_once_write_each_document_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change brings a commit, and whoever comes second finds it done."""
    monkeypatch.setattr(lexical, "_MOST_RECENT", 1)
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
    for index in indexes:
        index.flush()
        assert sorted(100 * n for n in range(1, 31)) == sorted(found(index, "words", limit=1000))
        assert dict.fromkeys(range(1, 31), 1) == index.passage_counts()
        index.close()


def test_searches_do_not_wait_for_another_process_that_writes(index: LexicalIndex, path: Path) -> None:
    """Changes stay in memory, where they are found; a flush that may not wait says who is in the way."""
    writer = tantivy.Index.open(str(path)).writer(15_000_000, 1)
    index.apply([a_publication(1, 1, "words")])
    assert found(index, "words") == [100]
    with pytest.raises(ServiceUnavailable, match="Another process"):
        index.flush(wait_s=0)
    assert (found(index, "words"), index.position, index.passage_counts()) == ([100], 1, {})
    writer.wait_merging_threads()
    index.flush()
    assert index.passage_counts() == {1: 1}


def test_the_thread_brings_changes_to_disk(index: LexicalIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many at once when they are worth it, and the last ones when nothing comes for a while."""
    monkeypatch.setattr(lexical, "_IDLE_S", 0.05)
    monkeypatch.setattr(lexical, "_WORTH_A_COMMIT", 3)
    index.apply([a_publication(1, 1, *["words"] * 5)])
    index.apply([a_publication(2, 2, "words")])
    done = threading.Event()
    for _ in range(200):
        if index.passage_counts() == {1: 5, 2: 1}:
            done.set()
            break
        threading.Event().wait(0.05)
    assert done.is_set()


# --- crashes and damage -----------------------------------------------------------------------------------------------

WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from retrieval import lexical
from retrieval.lexical import LexicalIndex
from tests.builders import a_publication, a_removal
lexical._MOST_RECENT = 1
index = LexicalIndex(Path(sys.argv[1]))
print("open", flush=True)
for seq in range(index.position + 1, 10_000):
    index.apply([a_removal(seq, seq - 5) if seq % 7 == 0 else a_publication(seq, seq, f"words of {seq}", "words")])
"""


def test_a_writer_can_be_killed_at_any_instant(path: Path) -> None:
    """What is on disk is what its position says, its lock blocks nobody, and the next process goes on."""
    for turn in range(5):
        command = [sys.executable, "-c", WRITE_UNTIL_KILLED, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
            threading.Event().wait(0.15 + 0.07 * turn)
            process.send_signal(signal.SIGKILL)
        index = LexicalIndex(path)
        assert index.damaged_files() == []
        seen = range(1, index.position + 1)
        gone = {seq - 5 for seq in seen if seq % 7 == 0}
        assert {seq: 2 for seq in seen if seq % 7 and seq not in gone} == index.passage_counts()
        index.flush(wait_s=5)
        index.close()
    assert index.position > 0


@pytest.mark.parametrize("name", ["meta.json", "position.json", ".term"])
def test_a_damaged_folder_is_made_anew(path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is empty and at position 0, so the feed fills it again; the log says why."""
    before = LexicalIndex(path)
    before.apply([a_publication(1, 1, "words")])
    before.close()
    (file,) = path.glob(f"*{name}")
    file.write_bytes(b"{}")
    with caplog.at_level(logging.WARNING):
        index = LexicalIndex(path)
    assert f"{path} is built anew" in caplog.text
    assert (index.position, found(index, "words")) == (0, [])
    index.apply([a_publication(1, 1, "words")])
    index.flush()
    assert index.passage_counts() == {1: 1}
    index.close()


def test_a_lost_position_makes_the_folder_anew(path: Path) -> None:
    """Postings of which nobody can say what they stand for are worth nothing."""
    before = LexicalIndex(path)
    before.apply([a_publication(1, 1, "words")])
    before.close()
    (path / "position.json").unlink()
    index = LexicalIndex(path)
    assert (index.position, found(index, "words")) == (0, [])
    index.close()


def test_a_changed_byte_is_found(index: LexicalIndex, path: Path) -> None:
    """Checksums cover every file of every segment."""
    index.apply([a_publication(1, 1, "words")])
    index.flush()
    assert index.damaged_files() == []
    for file in sorted(path.glob(f"{segments(path)[0]}.*")):
        whole = file.read_bytes()
        file.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        assert index.damaged_files() == [file.name]
        file.write_bytes(whole)


def test_another_analysis_makes_the_folder_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Terms of documents and of questions must be cut alike."""
    before = LexicalIndex(path)
    before.apply([a_publication(1, 1, "words")])
    before.close()
    monkeypatch.setattr(postings, "_FORMAT", {"postings": 1, "analysis": -1})
    index = LexicalIndex(path)
    assert index.position == 0
    index.close()


def test_a_path_that_is_no_folder_is_an_outage(path: Path) -> None:
    """The error names it."""
    path.write_text("something else")
    with pytest.raises(ServiceUnavailable, match=str(path)):
        LexicalIndex(path)


def test_a_folder_that_cannot_be_written_is_an_outage(
    index: LexicalIndex, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is named, nothing has changed, and what could not be written is still found and written later."""
    index.apply([a_publication(1, 1, "words")])
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patched.setattr(os, "fsync", fail)
        with pytest.raises(ServiceUnavailable, match=rf"{path}.*No space left"):
            index.flush()
        assert (found(index, "words"), index.position) == ([100], 1)
    index.flush()
    assert index.passage_counts() == {1: 1}

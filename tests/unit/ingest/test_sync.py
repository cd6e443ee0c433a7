"""A store follows a source: once or again and again, nothing happens twice, and nothing is deleted on a guess."""

import io
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from catalog import archives, files, jobs, publication, sources, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import Conflict, InvalidFile, InvalidRequest, LeaseLost, NotFound, ServiceUnavailable
from catalog.files import NewFile
from catalog.models import ArchiveMember, Chunk, File, JobStatus, VectorStoreFile
from ingest.intake import Outcome
from ingest.sources.base import Found, Gap, Memory, Skipped
from ingest.sources.local import LocalSource
from ingest.sources.patterns import Patterns
from tests.builders import a_claim, a_document_record, a_file, a_store, an_entry, cancel_entry
from tests.unit.ingest.shelf import ListedSource, Shelf, outcomes, unreadable


@pytest.fixture
def shelf(database: Database, blobs: BlobStore, tmp_path: Path) -> Shelf:
    folder = tmp_path / "documents"
    folder.mkdir()
    return Shelf(database, blobs, folder)


def ingest(shelf: Shelf, **options: Any) -> dict[str, Outcome]:
    """What `footnote ingest` does: nothing is deleted or moved."""
    return shelf.sync(prune=False, **options)


class Slow(ListedSource):
    """Does something else once it has listed `after` documents, before anything is made of the last of them."""

    def __init__(self, listing: Any, meanwhile: Callable[[], object], *, after: int = 1) -> None:
        super().__init__(listing)
        self._meanwhile = meanwhile
        self._after = after

    def entries(self, memory: Any) -> Any:
        for number, found in enumerate(super().entries(memory), start=1):
            if number == self._after:
                self._meanwhile()
            yield found


# Adding and replacing


@pytest.mark.parametrize("prune", [False, True])
def test_new_files_are_queued_in_path_order(shelf: Shelf, prune: bool) -> None:
    """Paths are relative, with forward slashes; hidden files and folders are passed over."""
    for name in ("b.txt", "a/2.txt", "a/1.txt", ".hidden", ".git/config", "a/.x"):
        shelf.put(name, name)
    assert list(shelf.sync(prune=prune)) == ["a/1.txt", "a/2.txt", "b.txt"]
    assert shelf.file_of("a/1.txt").filename == "1.txt"
    assert (shelf.count(File), shelf.count(VectorStoreFile)) == (3, 3)


@pytest.mark.parametrize("prune", [False, True])
def test_an_unchanged_folder_is_left_alone(shelf: Shelf, prune: bool) -> None:
    """Running it again queues nothing, before and after the work is done."""
    shelf.put("a.txt", "one")
    assert shelf.sync(prune=prune) == {"a.txt": Outcome.ADDED}
    assert shelf.sync(prune=prune) == {"a.txt": Outcome.UNCHANGED}
    shelf.publish_all()
    assert shelf.sync(prune=prune) == {"a.txt": Outcome.UNCHANGED}
    assert (shelf.count(File), shelf.count(VectorStoreFile)) == (1, 1)


@pytest.mark.parametrize("prune", [False, True])
def test_a_changed_file_replaces_the_old_one_when_it_is_ready(shelf: Shelf, prune: bool) -> None:
    """Until the new version is published, the old one stays searchable; after that only the new one is there."""
    shelf.put("a.txt", "one")
    shelf.follow(prune=prune)
    old = shelf.file_of("a.txt").id
    shelf.put("a.txt", "twice")
    assert shelf.sync(prune=prune) == {"a.txt": Outcome.REPLACED}
    assert (shelf.count(VectorStoreFile), shelf.count(Chunk)) == (2, 1)
    shelf.publish_all()
    assert (shelf.count(File), shelf.count(VectorStoreFile), shelf.count(Chunk)) == (1, 1, 1)
    assert old != shelf.file_of("a.txt").id


def test_many_new_files_are_queued_in_few_transactions(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of their paths, each with its own bytes."""
    # Groups by number alone, however slow the machine is.
    monkeypatch.setattr("ingest.sync._GROUP_S", 600.0)
    contents = {f"{number:02}.txt": f"text {number}" for number in range(70)}
    for name, content in contents.items():
        shelf.put(name, content)
    commits: list[object] = []
    event.listen(shelf.database.engine, "commit", commits.append)
    assert set(shelf.sync().values()) == {Outcome.ADDED}
    assert len(commits) == 1 + 3
    with shelf.database.read() as session:
        assert list(session.scalars(select(VectorStoreFile.source).order_by(VectorStoreFile.id))) == list(contents)
    for name, content in contents.items():
        with shelf.blobs.open(shelf.file_of(name).sha256) as stream:
            assert stream.read() == content.encode()


def test_a_file_does_not_wait_for_a_slow_source(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while it is queued, although there are too few for a group."""
    monkeypatch.setattr("ingest.sync._GROUP_S", 0.0)
    seen: list[str] = []
    listing = [("a", "1", b"one"), ("b", "1", b"two")]
    shelf.sync(Slow(listing, lambda: seen.append(shelf.file_of("a").filename), after=2))
    assert seen == ["a"]


def test_a_file_that_the_database_does_not_take_keeps_no_other_out(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone is refused, and leaves nothing."""
    insert_rows = files.insert_rows

    def picky(database: Any, session: Any, new: Any) -> Any:
        rows = insert_rows(database, session, new)
        if any(one.filename == "b" for _, one in new):
            raise InvalidRequest("A value cannot be stored.")
        return rows

    monkeypatch.setattr(files, "insert_rows", picky)
    found = shelf.sync(ListedSource([(path, "1", path.encode()) for path in "abc"]))
    assert found == {"a": Outcome.ADDED, "b": Outcome.REFUSED, "c": Outcome.ADDED}
    shelf.publish_all()
    assert (shelf.paths(), shelf.problems(), list(shelf.staging.iterdir())) == (["a", "c"], [], [])


def test_a_changed_file_keeps_its_attributes_and_its_chunking(shelf: Shelf) -> None:
    """A filter that found the old version finds the new one."""
    shelf.put("a.txt", "one")
    shelf.follow()
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
    with shelf.database.write() as session:
        entry = session.get_one(VectorStoreFile, shelf.entry_of("a.txt").id)
        entry.attributes, entry.chunking_strategy = {"team": "sales"}, strategy
    shelf.put("a.txt", "twice")
    shelf.sync()
    newest = shelf.entry_of("a.txt")
    assert newest.id != entry.id
    assert (newest.attributes, newest.chunking_strategy) == ({"team": "sales"}, strategy)


def test_a_file_that_changes_back_is_replaced_again(shelf: Shelf) -> None:
    """Only the newest version counts as known."""
    for content in ("one", "two", "one"):
        shelf.put("a.txt", content)
        shelf.follow()
    assert shelf.sync() == {"a.txt": Outcome.UNCHANGED}
    assert shelf.count(VectorStoreFile) == 1


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
@pytest.mark.parametrize("is_touched", [False, True])
def test_a_file_that_ended_badly_is_tried_again(shelf: Shelf, ending: str, is_touched: bool) -> None:
    """The same entry goes back to the queue, unless failures are to be left alone."""
    shelf.put("a.txt", "one")
    shelf.sync()
    job = a_claim(shelf.database)
    with shelf.database.write() as session:
        if ending == "failed":
            jobs.fail(session, job, InvalidFile())
        else:
            cancel_entry(session, job.id)
    if is_touched:
        shelf.put("a.txt", "one")
    assert shelf.sync(retry_failed=False) == {"a.txt": Outcome.UNCHANGED}
    assert shelf.sync() == {"a.txt": Outcome.RETRIED}
    assert job.id == a_claim(shelf.database).id


def test_a_file_that_cannot_be_taken_is_refused_and_the_others_are_not(shelf: Shelf) -> None:
    """Empty and too large files have a reason, cost no other file its place, and leave nothing behind."""
    for name, content in [("empty.txt", ""), ("large.txt", "x" * 101), ("right.txt", "x" * 100)]:
        shelf.put(name, content)
    report = shelf.report()
    assert outcomes(report) == {
        "empty.txt": Outcome.REFUSED,
        "large.txt": Outcome.REFUSED,
        "right.txt": Outcome.ADDED,
    }
    assert ["empty" in str(report.entries[0].reason), "larger than the 100" in str(report.entries[1].reason)] == [1, 1]
    assert shelf.count(File) == 1
    assert list(shelf.staging.iterdir()) == []


def test_what_is_larger_than_its_listing_says_is_refused(shelf: Shelf) -> None:
    """The limit holds for the bytes that arrive."""
    assert shelf.sync(ListedSource([("a", "1", b"x" * 101)])) == {"a": Outcome.REFUSED}


def test_a_file_that_cannot_be_read_keeps_its_old_version(shelf: Shelf) -> None:
    """It is there: nothing says that its document is gone."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("b", "1", b"two")]))
    assert shelf.sync(ListedSource([unreadable("a"), ("b", "1", b"two")])) == {
        "a": Outcome.REFUSED,
        "b": Outcome.UNCHANGED,
    }
    assert shelf.paths() == ["a", "b"]


def test_equal_files_at_two_paths_are_two_documents(shelf: Shelf) -> None:
    """The path is what a file is known by; the bytes are stored once."""
    shelf.put("a.txt", "same")
    shelf.put("b.txt", "same")
    assert shelf.follow() == {"a.txt": Outcome.ADDED, "b.txt": Outcome.ADDED}
    assert (shelf.count(VectorStoreFile), len(list(shelf.blobs.names()))) == (2, 1)
    shelf.put("0/c.txt", "same")
    assert shelf.follow()["0/c.txt"] is Outcome.ADDED
    assert shelf.paths() == ["0/c.txt", "a.txt", "b.txt"]
    assert len(list(shelf.blobs.names())) == 1


def test_names_are_kept_as_they_are(shelf: Shelf) -> None:
    """Case, emoji, scripts that run right to left and both forms of an accent are data; only controls are not shown."""
    names = ["README.txt", "readme.txt", "😀.txt", "שלום.txt", "caf\u00e9.txt", "cafe\u0301.txt", "line\nbreak.txt"]
    for i, name in enumerate(names):
        shelf.put(name, f"text {i}")
    assert set(shelf.sync()) == set(names)
    assert shelf.file_of("caf\u00e9.txt").filename == "caf\u00e9.txt"
    assert shelf.file_of("line\nbreak.txt").filename == "linebreak.txt"


def test_a_name_of_which_nothing_can_be_shown_gets_another(shelf: Shelf) -> None:
    """The path stays what it is."""
    shelf.sync(ListedSource([("\u202e\n", "1", b"words")]))
    assert shelf.file_of("\u202e\n").filename == "document"


def test_what_is_no_folder_is_refused(shelf: Shelf) -> None:
    """The message names the path."""
    with pytest.raises(InvalidRequest, match=r"no-such-folder' is not a folder"):
        LocalSource(shelf.folder / "no-such-folder")


def test_a_store_that_is_gone_takes_nothing(shelf: Shelf) -> None:
    """A file whose store was deleted meanwhile leaves no file row behind."""
    shelf.put("a.txt", "one")
    with shelf.database.write() as session:
        stores.delete(shelf.database, session, shelf.store.project_id, shelf.store.id)
    with pytest.raises(NotFound):
        shelf.sync()
    assert shelf.count(File) == 0


# The cheap skip


def test_a_version_that_is_the_same_is_not_read_again(shelf: Shelf) -> None:
    """Only new and changed documents are opened."""
    shelf.sync(ListedSource([("a", "1", b"one"), ("b", "1", b"two")]))
    again = ListedSource([("a", "1", b"one"), ("b", "2", b"three"), ("c", "1", b"four")])
    assert shelf.sync(again) == {"a": Outcome.UNCHANGED, "b": Outcome.REPLACED, "c": Outcome.ADDED}
    assert again.read == ["b", "c"]


def test_a_new_version_of_the_same_bytes_is_read_once(shelf: Shelf) -> None:
    """A touched document is recognised by its hash; its new version is noted, and no work is queued."""
    shelf.follow(ListedSource([("a", "1", b"one")]))
    touched = ListedSource([("a", "2", b"one")])
    assert (shelf.sync(touched), shelf.sync(touched)) == ({"a": Outcome.UNCHANGED}, {"a": Outcome.UNCHANGED})
    assert touched.read == ["a"]
    assert shelf.count(VectorStoreFile) == 1


def test_a_document_without_a_version_is_read_every_time(shelf: Shelf) -> None:
    """It is compared by its hash."""
    nameless = ListedSource([("a", None, b"one")])  # type: ignore[list-item]
    assert shelf.sync(nameless) == {"a": Outcome.ADDED}
    assert shelf.sync(nameless) == {"a": Outcome.UNCHANGED}
    assert nameless.read == ["a", "a"]


def test_an_unchanged_source_costs_the_same_queries_however_large_it_is(shelf: Shelf) -> None:
    """What the store has is asked once, not for each file."""
    counts = []
    for size in (3, 30):
        source = ListedSource([(f"{i}", "1", f"text {i}".encode()) for i in range(size)])
        shelf.sync(source)
        statements: list[str] = []

        def note(*arguments: Any, seen: list[str] = statements) -> None:
            seen.append(arguments[2])

        event.listen(shelf.database.engine, "before_cursor_execute", note)
        assert set(shelf.sync(source).values()) == {Outcome.UNCHANGED}
        event.remove(shelf.database.engine, "before_cursor_execute", note)
        counts.append(len(statements))
    assert counts[0] == counts[1]


# Deleting


def test_what_is_gone_from_the_source_is_gone_from_the_store(shelf: Shelf) -> None:
    """Entry, document, chunks, file and bytes; documents that came another way stay."""
    for name in ("a.txt", "b.txt"):
        shelf.put(name, name)
    shelf.follow()
    uploaded = a_file(shelf.database, shelf.blobs, b"uploaded")
    an_entry(shelf.database, shelf.store, uploaded)
    shelf.publish_all()
    (shelf.folder / "a.txt").unlink()
    assert shelf.sync() == {"b.txt": Outcome.UNCHANGED, "a.txt": Outcome.DELETED}
    assert shelf.paths() == ["None", "b.txt"]
    assert (shelf.count(File), shelf.count(VectorStoreFile), shelf.count(Chunk)) == (2, 2, 2)
    assert {name for name, _ in shelf.blobs.names()} == {uploaded.sha256, shelf.file_of("b.txt").sha256}
    assert shelf.problems() == []


def test_ingesting_deletes_and_moves_nothing(shelf: Shelf) -> None:
    """Without pruning the store keeps what the folder has lost."""
    shelf.put("a.txt", "one")
    shelf.put("b.txt", "two")
    shelf.follow(prune=False)
    (shelf.folder / "a.txt").rename(shelf.folder / "c.txt")
    (shelf.folder / "b.txt").unlink()
    assert ingest(shelf) == {"c.txt": Outcome.ADDED}
    shelf.publish_all()
    assert shelf.paths() == ["a.txt", "b.txt", "c.txt"]


def test_a_deleted_document_goes_with_all_its_versions(shelf: Shelf) -> None:
    """Also the old one that is searchable while the new one waits, and the worker that has it publishes nothing."""
    shelf.put("a.txt", "one")
    shelf.put("b.txt", "b")
    shelf.follow()
    shelf.put("a.txt", "twice")
    shelf.sync()
    job = a_claim(shelf.database)
    (shelf.folder / "a.txt").unlink()
    assert shelf.sync()["a.txt"] is Outcome.DELETED
    with pytest.raises(LeaseLost):
        publication.publish(shelf.database, job, a_document_record())
    assert (shelf.paths(), shelf.count(VectorStoreFile)) == (["b.txt"], 1)


def test_a_file_that_another_store_holds_stays_there(shelf: Shelf) -> None:
    """It is taken out of the synced store alone."""
    shelf.put("a.txt", "one")
    shelf.put("b.txt", "two")
    shelf.follow()
    other = a_store(shelf.database)
    an_entry(shelf.database, other, shelf.file_of("a.txt"))
    (shelf.folder / "a.txt").unlink()
    shelf.sync()
    with shelf.database.read() as session:
        assert stores.file_counts(session, [other.id])[other.id]["total"] == 1
    assert shelf.count(File) == 2
    assert shelf.problems() == []


def test_bytes_that_another_file_has_stay(shelf: Shelf) -> None:
    """The blob goes with the last file that has it."""
    shelf.put("a.txt", "same")
    shelf.put("b.txt", "same")
    shelf.follow()
    (shelf.folder / "a.txt").unlink()
    shelf.sync()
    assert len(list(shelf.blobs.names())) == 1
    assert shelf.problems() == []


def test_many_documents_are_deleted_in_several_transactions(shelf: Shelf) -> None:
    """More than one batch of them, and nothing is left."""
    listing = [(f"{i}", "1", f"text {i}".encode()) for i in range(450)]
    shelf.sync(ListedSource(listing))
    found = shelf.sync(ListedSource(listing[:1]))
    assert list(found.values()).count(Outcome.DELETED) == 449
    assert (shelf.count(File), len(list(shelf.blobs.names()))) == (1, 1)


def test_what_patterns_exclude_now_is_deleted(shelf: Shelf) -> None:
    """The store equals the source as the patterns show it."""
    shelf.put("a.txt", "one")
    shelf.put("drafts/b.txt", "two")
    shelf.follow()
    source = LocalSource(shelf.folder, patterns=Patterns(exclude=["drafts/"]))
    assert shelf.sync(source) == {"a.txt": Outcome.UNCHANGED, "drafts/b.txt": Outcome.DELETED}


# What is not known


GAP = Gap(path="b/", reason="The folder cannot be listed: Permission denied.")


def test_a_source_that_fails_half_way_deletes_nothing(shelf: Shelf) -> None:
    """What was seen is added and replaced; the rest stays, and the report says why."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("b/x", "1", b"two"), ("c", "1", b"three")]))
    report = shelf.report(ListedSource([("a", "2", b"changed"), GAP, ("d", "1", b"new")]))
    assert outcomes(report) == {"a": Outcome.REPLACED, "b/": Outcome.UNLISTED, "d": Outcome.ADDED}
    assert report.withheld is not None
    assert "are kept (2)" in report.withheld
    shelf.publish_all()
    assert shelf.paths() == ["a", "b/x", "c", "d"]


def test_a_source_that_fails_half_way_moves_nothing_away(shelf: Shelf) -> None:
    """The same bytes at a new path are another document until the old path is known to be gone."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("b/x", "1", b"two")]))
    assert shelf.follow(ListedSource([("a", "1", b"one"), GAP, ("c", "1", b"two")]))["c"] is Outcome.ADDED
    assert shelf.paths() == ["a", "b/x", "c"]


def test_a_source_that_breaks_off_deletes_nothing(shelf: Shelf) -> None:
    """The error is passed on; what was added until then stays."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("b", "1", b"two")]))
    broken = ListedSource([("c", "1", b"three")], error=ServiceUnavailable("gone"))
    with pytest.raises(ServiceUnavailable, match="gone"):
        shelf.sync(broken)
    shelf.publish_all()
    assert shelf.paths() == ["a", "b", "c"]


def test_an_empty_listing_deletes_nothing_unless_told(shelf: Shelf) -> None:
    """A folder whose disk is not mounted looks like this; the reason names the way out."""
    for name in ("a.txt", "b.txt"):
        shelf.put(name, name)
    shelf.follow()
    for name in ("a.txt", "b.txt"):
        (shelf.folder / name).unlink()
    report = shelf.report()
    assert report.entries == []
    assert report.withheld is not None
    assert "are kept (2)" in report.withheld
    assert "--allow-empty" in report.withheld
    assert shelf.paths() == ["a.txt", "b.txt"]
    assert set(shelf.sync(allow_empty=True).values()) == {Outcome.DELETED}
    assert shelf.paths() == []
    assert shelf.report().withheld is None


def test_patterns_that_match_nothing_delete_nothing(shelf: Shelf) -> None:
    """A misspelt pattern looks like an empty source."""
    shelf.put("a.txt", "one")
    shelf.follow()
    report = shelf.report(LocalSource(shelf.folder, patterns=Patterns(include=["*.pfd"])))
    assert (report.entries, shelf.paths()) == ([], ["a.txt"])
    assert report.withheld is not None


def test_what_is_passed_over_is_said_and_is_no_part_of_the_source(shelf: Shelf) -> None:
    """Its reason is in the report."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("b", "1", b"two")]))
    report = shelf.report(ListedSource([("a", "1", b"one"), Skipped(path="b", reason="a link")]))
    assert [(e.path, e.outcome, e.reason) for e in report.entries[1:]] == [
        ("b", Outcome.SKIPPED, "a link"),
        ("b", Outcome.DELETED, None),
    ]


# Moving


def test_a_file_in_another_folder_is_moved_without_work(shelf: Shelf) -> None:
    """Entry, file and document stay what they are; nothing is queued."""
    shelf.put("old/a.txt", "one")
    shelf.put("b.txt", "two")
    shelf.follow()
    before = shelf.entry_of("old/a.txt")
    (shelf.folder / "old").rename(shelf.folder / "new")
    report = shelf.report()
    assert outcomes(report) == {"b.txt": Outcome.UNCHANGED, "new/a.txt": Outcome.MOVED}
    assert report.entries[-1].reason == "from old/a.txt"
    after = shelf.entry_of("new/a.txt")
    assert (after.id, after.file_id, after.status) == (before.id, before.file_id, JobStatus.COMPLETED)
    assert shelf.paths() == ["b.txt", "new/a.txt"]
    assert shelf.sync() == {"b.txt": Outcome.UNCHANGED, "new/a.txt": Outcome.UNCHANGED}


def test_a_file_with_another_name_can_be_found_all_the_time(shelf: Shelf) -> None:
    """The name is embedded with it, so it is published anew; the old document stays until that is done."""
    shelf.put("a.txt", "one")
    shelf.follow()
    with shelf.database.write() as session:
        session.get_one(VectorStoreFile, shelf.entry_of("a.txt").id).attributes = {"team": "sales"}
    (shelf.folder / "a.txt").rename(shelf.folder / "b.txt")
    assert shelf.sync() == {"b.txt": Outcome.MOVED}
    assert shelf.paths() == ["b.txt"]
    assert shelf.file_of("b.txt").filename == "b.txt"
    assert shelf.entry_of("b.txt").attributes == {"team": "sales"}
    shelf.publish_all()
    assert shelf.paths() == ["b.txt"]
    assert (shelf.count(File), shelf.count(VectorStoreFile), shelf.count(Chunk)) == (1, 1, 1)
    assert shelf.sync() == {"b.txt": Outcome.UNCHANGED}
    assert shelf.problems() == []


def test_a_copy_is_no_move(shelf: Shelf) -> None:
    """The old path is listed after the new one, and still there."""
    shelf.put("b.txt", "one")
    shelf.follow()
    shelf.put("a.txt", "one")
    assert shelf.follow() == {"b.txt": Outcome.UNCHANGED, "a.txt": Outcome.ADDED}
    assert shelf.paths() == ["a.txt", "b.txt"]


def test_of_equal_files_the_one_of_the_same_name_is_moved(shelf: Shelf) -> None:
    """Two were there, one is left at a new place: it keeps its document, and the other one goes."""
    shelf.put("1/x.txt", "same")
    shelf.put("2/y.txt", "same")
    shelf.put("keep.txt", "other")
    shelf.follow()
    kept = shelf.entry_of("2/y.txt").id
    for name in ("1/x.txt", "2/y.txt"):
        (shelf.folder / name).unlink()
    shelf.put("3/y.txt", "same")
    assert shelf.sync() == {
        "keep.txt": Outcome.UNCHANGED,
        "3/y.txt": Outcome.MOVED,
        "1/x.txt": Outcome.DELETED,
    }
    assert shelf.entry_of("3/y.txt").id == kept


def test_names_that_are_exchanged_are_two_changes(shelf: Shelf) -> None:
    """Both paths are still there, with other bytes."""
    shelf.put("a.txt", "one")
    shelf.put("b.txt", "two")
    shelf.follow()
    shelf.put("a.txt", "two")
    shelf.put("b.txt", "one")
    assert set(shelf.follow().values()) == {Outcome.REPLACED}
    assert shelf.paths() == ["a.txt", "b.txt"]


def test_a_chain_of_renames_loses_nothing(shelf: Shelf) -> None:
    """`b` becomes `c` and `a` becomes `b`: the bytes of the old `b` are taken again under their new name."""
    shelf.put("a.txt", "one")
    shelf.put("b.txt", "two")
    shelf.follow()
    (shelf.folder / "b.txt").rename(shelf.folder / "c.txt")
    (shelf.folder / "a.txt").rename(shelf.folder / "b.txt")
    found = shelf.follow()
    assert found == {"b.txt": Outcome.REPLACED, "c.txt": Outcome.ADDED, "a.txt": Outcome.DELETED}
    assert shelf.paths() == ["b.txt", "c.txt"]
    assert shelf.problems() == []


def test_a_file_that_is_moved_while_it_is_processed_is_not_doubled(shelf: Shelf) -> None:
    """The job that knows the old path gives way; the searchable version is replaced by the new job."""
    shelf.put("old/a.txt", "one")
    shelf.follow()
    shelf.put("old/a.txt", "twice")
    shelf.sync()
    job = a_claim(shelf.database)
    (shelf.folder / "old").rename(shelf.folder / "new")
    assert shelf.sync() == {"new/a.txt": Outcome.MOVED}
    with pytest.raises(LeaseLost):
        publication.publish(shelf.database, job, a_document_record())
    assert shelf.paths() == ["new/a.txt"]
    shelf.publish_all()
    assert (shelf.paths(), shelf.count(VectorStoreFile), shelf.count(File)) == (["new/a.txt"], 1, 1)
    assert shelf.problems() == []


def test_a_moved_file_that_had_failed_is_tried_again(shelf: Shelf) -> None:
    """Its entry goes to the new path and back to the queue."""
    shelf.put("old/a.txt", "one")
    shelf.sync()
    job = a_claim(shelf.database)
    with shelf.database.write() as session:
        jobs.fail(session, job, InvalidFile())
    (shelf.folder / "old").rename(shelf.folder / "new")
    assert shelf.sync() == {"new/a.txt": Outcome.MOVED}
    claimed = a_claim(shelf.database)
    assert (claimed.id, claimed.source) == (job.id, "new/a.txt")


def test_bytes_that_somebody_deletes_meanwhile_are_a_stated_refusal(shelf: Shelf) -> None:
    """A document that looked moved is not taken from bytes that are not there; the next sync takes it."""
    shelf.put("a.txt", "one")
    shelf.put("b.txt", "two")
    shelf.follow()
    (shelf.folder / "a.txt").rename(shelf.folder / "c.txt")

    class Meddler(LocalSource):
        def entries(self, memory: Any) -> Any:
            yield from super().entries(memory)
            files.delete(shelf.database, shelf.blobs, shelf.store.project_id, shelf.file_of("a.txt").id)

    report = shelf.report(Meddler(shelf.folder))
    assert outcomes(report)["c.txt"] is Outcome.REFUSED
    assert "sync again" in str(report.entries[-1].reason)
    assert shelf.follow()["c.txt"] is Outcome.ADDED
    assert shelf.paths() == ["b.txt", "c.txt"]


def test_bytes_of_a_copy_that_somebody_deletes_meanwhile_are_a_stated_refusal(shelf: Shelf) -> None:
    """The first document is gone by the time that its copy is to be taken from its bytes."""
    shelf.follow(ListedSource([("b", "1", b"one")]))
    listing = Slow(
        [("a", "1", b"one"), ("b", "1", b"one")],
        lambda: files.delete(shelf.database, shelf.blobs, shelf.store.project_id, shelf.file_of("b").id),
        after=2,
    )
    assert shelf.sync(listing) == {"b": Outcome.UNCHANGED, "a": Outcome.REFUSED}
    assert set(shelf.follow(ListedSource([("a", "1", b"one"), ("b", "1", b"one")])).values()) == {Outcome.ADDED}


# A rehearsal


def test_a_dry_run_says_what_would_happen_and_changes_nothing(shelf: Shelf) -> None:
    """Its report equals that of the run that follows it."""
    for name in ("changed.txt", "gone.txt", "moved.txt", "same.txt"):
        shelf.put(name, name)
    shelf.follow()
    (shelf.folder / "gone.txt").unlink()
    (shelf.folder / "moved.txt").rename(shelf.folder / "elsewhere.txt")
    shelf.put("changed.txt", "other words")
    shelf.put("new.txt", "new")
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(str(arguments[2]).split(maxsplit=1)[0].upper())

    event.listen(shelf.database.engine, "before_cursor_execute", note)
    rehearsed = shelf.sync(dry_run=True)
    event.remove(shelf.database.engine, "before_cursor_execute", note)
    assert set(statements) <= {"BEGIN", "SELECT"}
    assert list(shelf.staging.iterdir()) == []
    assert rehearsed == {
        "changed.txt": Outcome.REPLACED,
        "new.txt": Outcome.ADDED,
        "same.txt": Outcome.UNCHANGED,
        "elsewhere.txt": Outcome.MOVED,
        "gone.txt": Outcome.DELETED,
    }
    assert shelf.sync() == rehearsed


def test_a_dry_run_tries_nothing_again(shelf: Shelf) -> None:
    """It says what would be tried."""
    source = ListedSource([("a", "1", b"one")])
    shelf.sync(source)
    job = a_claim(shelf.database)
    with shelf.database.write() as session:
        jobs.fail(session, job, InvalidFile())
    assert shelf.sync(source, dry_run=True) == {"a": Outcome.RETRIED}
    assert shelf.entry_of("a").status == JobStatus.FAILED


# Where a store's documents come from


def test_a_store_follows_one_source(shelf: Shelf, tmp_path: Path) -> None:
    """Another folder of the same name would delete everything: it is refused before anything is changed."""
    shelf.put("a.txt", "one")
    shelf.follow()
    other = tmp_path / "other" / "documents"
    other.mkdir(parents=True)
    (other / "b.txt").write_text("two")
    for dry_run in (True, False):
        with pytest.raises(Conflict, match=r"follows '.*documents'.*--store.*--adopt"):
            shelf.sync(LocalSource(other), dry_run=dry_run)
    assert shelf.paths() == ["a.txt"]
    assert shelf.sync(LocalSource(other), adopt=True) == {"b.txt": Outcome.ADDED, "a.txt": Outcome.DELETED}
    assert shelf.sync(LocalSource(other)) == {"b.txt": Outcome.UNCHANGED}


def test_a_store_of_several_folders_is_followed_by_none(shelf: Shelf, tmp_path: Path) -> None:
    """Documents that were ingested from elsewhere are not lost to a sync of one of the folders."""
    shelf.put("a.txt", "one")
    ingest(shelf)
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.txt").write_text("two")
    shelf.sync(LocalSource(other), prune=False)
    with pytest.raises(Conflict, match="documents of other folders"):
        shelf.sync()


def test_an_ingested_folder_can_be_synced(shelf: Shelf) -> None:
    """One folder alone was ingested: it is the store's source."""
    shelf.put("a.txt", "one")
    ingest(shelf)
    ingest(shelf)
    assert shelf.sync() == {"a.txt": Outcome.UNCHANGED}


# Others at the same time


def test_two_syncs_at_once_do_not_double(shelf: Shelf) -> None:
    """The second one finds the path taken when it comes to write."""
    listing = [("a", "1", b"one")]
    found = shelf.sync(Slow(listing, lambda: shelf.sync(ListedSource(listing))))
    assert found == {"a": Outcome.UNCHANGED}
    assert shelf.count(VectorStoreFile) == 1


def test_a_slow_sync_does_not_put_back_what_a_faster_one_has_renewed(shelf: Shelf) -> None:
    """What it has read may be older than what the store has by now: it says so, and the next sync decides."""
    shelf.follow(ListedSource([("a", "1", b"one")]))
    newest = [("a", "3", b"three"), ("b", "2", b"two")]
    found = shelf.sync(Slow([("a", "2", b"two"), ("b", "1", b"one")], lambda: shelf.sync(ListedSource(newest))))
    assert found == {"a": Outcome.REFUSED, "b": Outcome.REFUSED}
    assert shelf.sync(ListedSource(newest)) == {"a": Outcome.UNCHANGED, "b": Outcome.UNCHANGED}


def test_a_failed_document_that_another_sync_renews_is_not_tried_again(shelf: Shelf) -> None:
    """Its entry is not the one that this sync saw."""
    shelf.sync(ListedSource([("a", "1", b"one")]))
    job = a_claim(shelf.database)
    with shelf.database.write() as session:
        jobs.fail(session, job, InvalidFile())
    renewed = ListedSource([("a", "2", b"two")])
    assert shelf.sync(Slow([("a", "1", b"one")], lambda: shelf.sync(renewed))) == {"a": Outcome.REFUSED}
    assert shelf.entry_of("a").status == JobStatus.IN_PROGRESS


def test_two_syncs_at_once_move_once(shelf: Shelf) -> None:
    """The second one finds the document at its new path already."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("c", "1", b"three")]))
    listing = [("b", "1", b"one"), ("c", "1", b"three")]
    found = shelf.sync(Slow(listing, lambda: shelf.sync(ListedSource(listing))))
    assert found == {"b": Outcome.UNCHANGED, "c": Outcome.UNCHANGED}
    shelf.publish_all()
    assert shelf.paths() == ["b", "c"]


def test_what_another_sync_has_renewed_is_not_deleted(shelf: Shelf) -> None:
    """A document that came back after this sync's listing stays."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("b", "1", b"two")]))
    renewed = [("a", "1", b"one"), ("b", "2", b"other")]
    found = shelf.sync(Slow([("a", "1", b"one")], lambda: shelf.sync(ListedSource(renewed))))
    assert found == {"a": Outcome.UNCHANGED}
    shelf.publish_all()
    assert shelf.paths() == ["a", "b"]


def test_a_document_that_changed_while_it_looked_moved_is_a_stated_refusal(shelf: Shelf) -> None:
    """Its old entry is not the one that this sync saw: nothing is renamed."""
    shelf.follow(ListedSource([("a", "1", b"one"), ("c", "1", b"three")]))
    renewed = [("a", "2", b"other"), ("c", "1", b"three")]
    found = shelf.sync(Slow([("b", "1", b"one"), ("c", "1", b"three")], lambda: shelf.sync(ListedSource(renewed))))
    assert found["b"] is Outcome.REFUSED
    shelf.publish_all()
    assert shelf.paths() == ["a", "c"]


def test_many_syncs_at_once_do_not_double(shelf: Shelf) -> None:
    """Each document comes, is replaced, is moved and goes once, whoever is first."""
    for i in range(12):
        shelf.put(f"{i}.txt", f"text {i}")

    def all_at_once() -> set[str]:
        with ThreadPoolExecutor(4) as pool:
            reports = [pool.submit(shelf.report) for _ in range(4)]
            return {entry.path for report in reports for entry in report.result().entries}

    for expected in ([f"{i}.txt" for i in range(12)], [*(f"{i}.txt" for i in range(1, 11)), "sub/11.txt"]):
        assert set(expected) <= all_at_once()
        shelf.publish_all()
        assert shelf.paths() == sorted(expected)
        assert shelf.count(VectorStoreFile) == shelf.count(File) == len(expected)
        shelf.put("3.txt", "other words")
        if (shelf.folder / "0.txt").exists():
            (shelf.folder / "0.txt").unlink()
            (shelf.folder / "sub").mkdir()
            (shelf.folder / "11.txt").rename(shelf.folder / "sub" / "11.txt")
    assert shelf.problems() == []


# Archives


def an_archive(shelf: Shelf, path: str) -> tuple[str, str]:
    """Publish an archive with one member, as unpacking does; return the ids of both files."""
    shelf.follow(ListedSource([(path, "1", b"PK archive"), ("other", "1", b"other")]))
    archive = shelf.file_of(path)
    blob = shelf.blobs.stage(io.BytesIO(b"member"), max_bytes=100)
    with shelf.database.write() as session:
        new = NewFile(project_id=shelf.store.project_id, filename="m.txt", purpose="assistants")
        member = files.insert(shelf.database, session, shelf.blobs, blob, new)
        session.add(ArchiveMember(file_id=member.id, archive_id=archive.id, path="in/m.txt"))
        store = stores.get(session, shelf.store.project_id, shelf.store.id)
        source = f"{path}{archives.MEMBER_SEPARATOR}in/m.txt"
        stores.attach(session, store, stores.NewVectorStoreFile(file_id=member.id, source=source))
    shelf.publish_all()
    return archive.id, member.id


def test_members_of_an_archive_are_left_alone_while_it_stays(shelf: Shelf) -> None:
    """The source does not list them, and they are not deleted."""
    an_archive(shelf, "old/a.zip")
    assert set(shelf.sync(ListedSource([("old/a.zip", "1", b""), ("other", "1", b"")])).values()) == {Outcome.UNCHANGED}
    assert shelf.paths() == ["old/a.zip", "old/a.zip!/in/m.txt", "other"]


def test_members_of_an_archive_go_with_it(shelf: Shelf) -> None:
    """Their entries, files and bytes too."""
    an_archive(shelf, "old/a.zip")
    assert shelf.sync(ListedSource([("other", "1", b"")])) == {
        "other": Outcome.UNCHANGED,
        "old/a.zip": Outcome.DELETED,
    }
    assert (shelf.paths(), shelf.count(File), len(list(shelf.blobs.names()))) == (["other"], 1, 1)
    assert shelf.problems() == []


def test_members_of_an_archive_move_with_it(shelf: Shelf) -> None:
    """Nothing is unpacked or embedded again."""
    _, member = an_archive(shelf, "old/a.zip")
    moved = ListedSource([("new/a.zip", "1", b"PK archive"), ("other", "1", b"")])
    assert shelf.sync(moved)["new/a.zip"] is Outcome.MOVED
    assert shelf.paths() == ["new/a.zip", "new/a.zip!/in/m.txt", "other"]
    with shelf.database.read() as session:
        assert sources.unfinished(session, shelf.store.id) == {}
        assert session.get(File, member) is not None


def test_a_member_is_no_place_that_a_document_can_have_come_from(shelf: Shelf) -> None:
    """The same bytes unpacked beside the archive are a new document."""
    an_archive(shelf, "a.zip")
    found = shelf.follow(ListedSource([("a.zip", "1", b""), ("m.txt", "1", b"member"), ("other", "1", b"")]))
    assert found["m.txt"] is Outcome.ADDED
    assert shelf.paths() == ["a.zip", "a.zip!/in/m.txt", "m.txt", "other"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder_deletes_nothing(shelf: Shelf) -> None:
    """What lies below it is not known."""
    shelf.put("a/x.txt", "one")
    shelf.follow()
    (shelf.folder / "a").chmod(0)
    assert shelf.sync() == {"a/": Outcome.UNLISTED}
    assert shelf.paths() == ["a/x.txt"]


def test_a_document_that_goes_while_others_are_listed_is_no_error(shelf: Shelf) -> None:
    """Somebody deletes one over the API; what is noted about the others is noted."""
    shelf.follow(ListedSource([("a.txt", "1", b"aa"), ("b.txt", "1", b"bb")]))
    gone = shelf.file_of("a.txt")

    class Source(ListedSource):
        def entries(self, memory: Memory) -> Generator[Found, None, None]:
            yield from super().entries(memory)
            files.delete(shelf.database, shelf.blobs, shelf.store.project_id, gone.id)

    shelf.sync(Source([("a.txt", "2", b"aa"), ("b.txt", "2", b"bb")]))
    assert (shelf.paths(), shelf.entry_of("b.txt").source_version) == (["b.txt"], "2")

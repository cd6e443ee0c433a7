"""Files that were unpacked from an archive come, change and go with it. Runs on every database."""

import io
import random
import threading
import time
from collections.abc import Mapping

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError, NoResultFound

from catalog import archives, batches, expiry, files, fsck, jobs, publication, sources, stores
from catalog.archives import Surroundings
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidFile, LeaseLost, ServiceUnavailable
from catalog.files import NewFile
from catalog.jobs import Job
from catalog.models import DEFAULT_PROJECT, ArchiveMember, Document, File, JobStatus, VectorStore, VectorStoreFile
from catalog.stores import NewVectorStoreFile
from tests.builders import a_claim, a_document_record, a_file, a_store, an_entry

# Members of an archive by path; of an archive in it, a mapping of its own.
Tree = Mapping[str, "bytes | Tree"]


class Attic:
    """A store, and archives that are unpacked by hand: what the pipeline does between claim and publication."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database, self.blobs = database, blobs
        self.store: VectorStore = a_store(database)
        self.trees: dict[str, Tree] = {}
        self.claimed: dict[int, Job] = {}

    def archive(self, tree: Tree, **overrides: object) -> File:
        """Return an uploaded archive that holds these files."""
        file = a_file(self.database, self.blobs, repr(tree).encode(), **{"filename": "x.zip"} | overrides)
        self.trees[file.id] = tree
        return file

    def attach(self, file: File, **overrides: object) -> VectorStoreFile:
        return an_entry(self.database, self.store, file, **overrides)

    def job(self, entry: VectorStoreFile) -> Job:
        """Claim until this entry's turn has come."""
        while entry.id not in self.claimed:
            job = a_claim(self.database)
            self.claimed[job.id] = job
        return self.claimed[entry.id]

    def unpack(self, job: Job) -> list[str]:
        tree = self.trees.get(job.file_id, {})
        return [self._member(job, path, content) for path, content in tree.items()]

    def _member(self, job: Job, path: str, content: "bytes | Tree") -> str:
        data = content if isinstance(content, bytes) else repr(content).encode()
        blob = self.blobs.stage(io.BytesIO(data), max_bytes=1 << 20)
        with self.database.write() as session:
            archives.hold(session, job)
            archive = session.get_one(File, job.file_id)
            new = NewFile(
                project_id=archive.project_id, filename=path, purpose="assistants", expires_at=archive.expires_at
            )
            file_id = files.insert(self.database, session, self.blobs, blob, new).id
            session.add(ArchiveMember(file_id=file_id, archive_id=archive.id, path=path))
        if not isinstance(content, bytes):
            self.trees[file_id] = content
        return file_id

    def publish(self, entry: VectorStoreFile) -> None:
        """Do what a worker does with an entry."""
        job = self.job(entry)
        publication.publish(self.database, job, a_document_record(f"{job.file_id}", members=self.unpack(job)))

    def publish_all(self) -> None:
        while waiting := [entry for entry in self.entries().values() if entry.status == JobStatus.IN_PROGRESS]:
            for entry in waiting:
                self.publish(entry)

    def add(self, tree: Tree, **overrides: object) -> File:
        """Bring an archive with all that is in it into the store."""
        file = self.archive(tree)
        self.attach(file, **overrides)
        self.publish_all()
        return file

    def entries(self, store: VectorStore | None = None) -> dict[str, VectorStoreFile]:
        """Return the entries of a store, newest last, by the path to them from the archive that was uploaded."""
        with self.database.read() as session:
            query = select(VectorStoreFile).where(VectorStoreFile.vector_store_id == (store or self.store).id)
            found = session.scalars(query.order_by(VectorStoreFile.id)).all()
            return {f"{self._path(entry.file_id)} {entry.id}": entry for entry in found}

    def paths(self, store: VectorStore | None = None) -> list[str]:
        """Return the paths of what can be searched in a store, in order; an archive's own path is empty."""
        done = self.entries(store).items()
        return sorted(key.split(" ")[0] for key, entry in done if entry.status == JobStatus.COMPLETED)

    def entry(self, path: str) -> VectorStoreFile:
        """Return the newest entry of a path."""
        return [entry for key, entry in self.entries().items() if key.split(" ")[0] == path][-1]

    def _path(self, file_id: str) -> str:
        with self.database.read() as session:
            member = session.get(ArchiveMember, file_id)
        return f"{self._path(member.archive_id)}/{member.path}" if member else ""

    def count(self, table: type[File | Document | VectorStoreFile | ArchiveMember]) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def problems(self) -> list[fsck.Problem]:
        return fsck.check(self.database, self.blobs)


@pytest.fixture
def attic(database: Database, blobs: BlobStore) -> Attic:
    return Attic(database, blobs)


# --- coming -----------------------------------------------------------------------------------------------------------


def test_the_files_of_an_archive_are_queued_when_it_is_published(attic: Attic) -> None:
    """They take over attributes, chunking strategy and batches; their source continues the archive's."""
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 20}}
    new = NewVectorStoreFile(
        file_id=attic.archive({"a.txt": b"a", "b/c.txt": b"cc"}).id,
        attributes={"year": 2025},
        chunking_strategy=strategy,
        source="f/x.zip",
    )
    with attic.database.write() as session:
        store = stores.get(session, DEFAULT_PROJECT, attic.store.id)
        batch = batches.create(session, store, [new])
    attic.publish(attic.entry(""))
    assert attic.paths() == [""]
    for path, source, size in (("/a.txt", "f/x.zip!/a.txt", 1), ("/b/c.txt", "f/x.zip!/b/c.txt", 2)):
        entry = attic.entry(path)
        assert (entry.status, entry.source, entry.bytes) == (JobStatus.IN_PROGRESS, source, size)
        assert (entry.attributes, entry.chunking_strategy) == ({"year": 2025}, strategy)
    with attic.database.read() as session:
        counts = batches.file_counts(session, batch)
    assert (counts["total"], counts["completed"], counts["in_progress"]) == (3, 1, 2)
    attic.publish_all()
    assert attic.paths() == ["", "/a.txt", "/b/c.txt"]
    assert attic.problems() == []


def test_without_a_source_members_have_none(attic: Attic) -> None:
    """An upload replaces nothing, and neither do its members."""
    for _ in range(2):
        attic.add({"a.txt": b"a"})
    assert {entry.source for entry in attic.entries().values()} == {None}
    assert attic.paths() == ["", "", "/a.txt", "/a.txt"]


def test_attributes_that_changed_while_the_archive_was_read_hold(attic: Attic) -> None:
    """What the entry says when it is published goes to the members."""
    entry = attic.attach(attic.archive({"a.txt": b"a"}), attributes={"year": 2024})
    attic.job(entry)
    with attic.database.write() as session:
        current = session.get_one(VectorStoreFile, entry.id)
        stores.set_attributes(attic.database, session, current, {"year": 2025})
    attic.publish(entry)
    assert attic.entry("/a.txt").attributes == {"year": 2025}


def test_a_worker_that_lost_its_claim_queues_nothing(attic: Attic) -> None:
    """The files wait for the worker that has it now."""
    entry = attic.attach(attic.archive({"a.txt": b"a"}))
    members = attic.unpack(attic.job(entry))
    with attic.database.write() as session:
        session.execute(update(VectorStoreFile).values(fence=99))
    with pytest.raises(LeaseLost):
        publication.publish(attic.database, attic.job(entry), a_document_record(members=members))
    with attic.database.write() as session, pytest.raises(LeaseLost):
        archives.hold(session, attic.job(entry))
    assert (attic.count(VectorStoreFile), attic.count(File)) == (1, 2)


def test_a_file_that_is_in_the_store_already_is_not_queued_again(attic: Attic) -> None:
    """Somebody attached the member by its id; it is counted to the batch of the archive all the same."""
    archive = attic.archive({"a.txt": b"a"})
    with attic.database.write() as session:
        store = stores.get(session, DEFAULT_PROJECT, attic.store.id)
        batch = batches.create(session, store, [NewVectorStoreFile(file_id=archive.id)])
    job = attic.job(attic.entry(""))
    (member,) = attic.unpack(job)
    with attic.database.read() as session:
        attic.attach(session.get_one(File, member), attributes={"own": True})
    publication.publish(attic.database, job, a_document_record(members=[member]))
    with attic.database.read() as session:
        assert batches.file_counts(session, batch)["total"] == 2
    assert attic.entry("/a.txt").attributes == {"own": True}


def test_the_room_in_a_tree_of_archives_is_counted(attic: Attic) -> None:
    """What lies in the archive itself does not count: it is unpacked again and comes to the same files."""
    attic.add({"a.txt": b"aaa", "in.zip": {"b.txt": b"bb", "deep.zip": {"c.txt": b"c"}}, "other.zip": {"d": b"dddd"}})
    sizes = {key.split(" ")[0]: entry.bytes for key, entry in attic.entries().items()}
    everything = sum(sizes.values()) - sizes[""]
    with attic.database.read() as session:
        found = {path: archives.surroundings(session, attic.entry(path).file_id) for path in sizes}
    assert found[""] == Surroundings(depth=0, members=0, bytes=0)
    inside = sizes["/in.zip/b.txt"] + sizes["/in.zip/deep.zip"] + sizes["/in.zip/deep.zip/c.txt"]
    assert found["/in.zip"] == Surroundings(depth=1, members=7 - 3, bytes=everything - inside)
    assert found["/in.zip/deep.zip"] == Surroundings(depth=2, members=7 - 1, bytes=everything - 1)


# --- going ------------------------------------------------------------------------------------------------------------

TREE: Tree = {"a.txt": b"a", "in.zip": {"b.txt": b"b", "deep.zip": {"c.txt": b"c"}}}


def test_deleting_an_archive_deletes_what_was_unpacked_from_it(attic: Attic) -> None:
    """Rows, documents, entries in every store and bytes; other files stay, and so do bytes that one of them has."""
    archive = attic.add(TREE)
    other = a_store(attic.database)
    with attic.database.read() as session:
        member = session.get_one(File, attic.entry("/in.zip/b.txt").file_id)
    an_entry(attic.database, other, member)
    same = a_file(attic.database, attic.blobs, b"a")
    files.delete(attic.database, attic.blobs, DEFAULT_PROJECT, archive.id)
    assert [attic.count(table) for table in (File, ArchiveMember, VectorStoreFile, Document)] == [1, 0, 0, 0]
    assert [name for name, _ in attic.blobs.names()] == [same.sha256]
    assert fsck.check(attic.database, attic.blobs, orphan_age_s=0) == []


def test_deleting_a_member_leaves_the_rest(attic: Attic) -> None:
    """The archive and its other files stay; an archive in it takes along what it held."""
    attic.add(TREE)
    files.delete(attic.database, attic.blobs, DEFAULT_PROJECT, attic.entry("/in.zip").file_id)
    assert attic.paths() == ["", "/a.txt"]
    assert (attic.count(File), attic.count(ArchiveMember)) == (2, 1)
    assert fsck.check(attic.database, attic.blobs, orphan_age_s=0) == []


def test_detaching_an_archive_detaches_its_files_from_that_store_alone(attic: Attic) -> None:
    """Files stay, and so does what another store holds of them."""
    archive = attic.add(TREE)
    first, attic.store = attic.store, a_store(attic.database)
    attic.attach(archive)
    attic.trees = {archive.id: {}}
    attic.publish_all()
    with attic.database.read() as session:
        member = session.scalars(select(File).where(File.filename == "b.txt")).one()
    attic.attach(member)
    with attic.database.write() as session:
        entry = stores.get_file(session, stores.get(session, DEFAULT_PROJECT, first.id), archive.id)
        stores.detach(attic.database, session, entry)
    assert (attic.paths(first), attic.count(File)) == ([], 6)
    assert sorted(key.split(" ")[0] for key in attic.entries()) == ["", "/in.zip/b.txt"]
    assert attic.problems() == []


def test_an_expired_archive_goes_with_its_files(attic: Attic) -> None:
    """They end at the same time."""
    archive = attic.archive(TREE, expires_at=time.time() + 100)
    attic.attach(archive)
    attic.publish_all()
    with attic.database.write() as session:
        assert session.scalars(select(File.expires_at)).all() == [archive.expires_at] * 6
        session.execute(update(File).values(expires_at=time.time() - 1))
    expiry.remove_expired(attic.database, attic.blobs)
    assert [attic.count(table) for table in (File, ArchiveMember, VectorStoreFile, Document)] == [0, 0, 0, 0]
    assert list(attic.blobs.names()) == []


def test_the_database_does_not_let_an_archive_go_without_its_files(attic: Attic) -> None:
    """So no code can forget them."""
    archive = attic.add({"a.txt": b"a"})
    with pytest.raises(IntegrityError), attic.database.write() as session:
        session.execute(delete(File).where(File.id == archive.id))


@pytest.mark.parametrize("how", ["delete", "detach"])
def test_what_goes_while_it_is_unpacked_leaves_nothing(attic: Attic, how: str) -> None:
    """Whichever step of its worker the deletion meets: nothing is left in the store, and no file without its archive.

    On PostgreSQL the two run at the same time; on SQLite one waits for the other.
    """
    dice = random.Random(7)
    for _ in range(12):
        archive = attic.archive(TREE)
        entry = attic.attach(archive)
        worker = threading.Thread(target=work_until_it_is_gone, args=(attic, entry))
        worker.start()
        time.sleep(dice.uniform(0, 0.15))
        if how == "delete":
            files.delete(attic.database, attic.blobs, DEFAULT_PROJECT, archive.id)
        else:
            with attic.database.write() as session:
                stores.detach(attic.database, session, session.get_one(VectorStoreFile, entry.id))
        worker.join()
        assert (attic.count(VectorStoreFile), attic.count(Document)) == (0, 0)
        if how == "delete":
            assert (attic.count(File), attic.count(ArchiveMember)) == (0, 0)
        assert attic.problems() == []


def work_until_it_is_gone(attic: Attic, entry: VectorStoreFile) -> None:
    try:
        attic.publish(entry)
        attic.publish_all()
    except (LeaseLost, ServiceUnavailable, AssertionError, NoResultFound):
        pass  # The deletion was faster; or the two waited for each other, and PostgreSQL chose this one.


def test_leaving_a_source_takes_the_files_along(attic: Attic) -> None:
    """The archive's path is gone: nothing of it stays in the store or the catalog, detached members included."""
    attic.add(TREE, source="x.zip")
    with attic.database.write() as session:
        entry = session.get_one(VectorStoreFile, attic.entry("/a.txt").id)
        stores.detach(attic.database, session, entry)
    with attic.database.write() as session:
        hashes = sources.remove(attic.database, session, attic.store.id, ["x.zip"])
    assert [attic.count(table) for table in (File, ArchiveMember, VectorStoreFile, Document)] == [0, 0, 0, 0]
    assert len(hashes) == 6


# --- changing ---------------------------------------------------------------------------------------------------------


def test_a_changed_archive_replaces_its_files_one_by_one(attic: Attic) -> None:
    """What is in both stays searchable until the new one is ready; what is not in the new one goes with the archive."""
    attic.add({"a.txt": b"a", "b.txt": b"b"}, source="x.zip")
    old = attic.entry("/a.txt").file_id
    new = attic.attach(attic.archive({"a.txt": b"A", "c.txt": b"c"}), source="x.zip")
    assert attic.paths() == ["", "/a.txt", "/b.txt"]
    attic.publish(new)
    assert attic.paths() == ["", "/a.txt"]
    assert [e.status for k, e in attic.entries().items() if "/a.txt" in k] == ["completed", "in_progress"]
    attic.publish_all()
    assert attic.paths() == ["", "/a.txt", "/c.txt"]
    assert attic.entry("/a.txt").file_id != old
    assert (attic.count(File), attic.count(ArchiveMember)) == (3, 2)
    files.sweep(attic.database, attic.blobs, min_age_s=0)
    assert fsck.check(attic.database, attic.blobs, orphan_age_s=0) == []


def test_a_changed_archive_in_an_archive_replaces_its_files_one_by_one(attic: Attic) -> None:
    """The same one level down, and for an archive that is there no more."""
    old: Tree = {"in.zip": {"b.txt": b"b", "deep.zip": {"c.txt": b"c"}}, "gone.zip": {"d.txt": b"d"}}
    attic.add(old, source="x.zip")
    attic.attach(attic.archive({"in.zip": {"b.txt": b"B", "e.txt": b"e"}}), source="x.zip")
    attic.publish(attic.entry(""))
    assert attic.paths() == ["", "/in.zip", "/in.zip/b.txt", "/in.zip/deep.zip", "/in.zip/deep.zip/c.txt"]
    attic.publish(attic.entry("/in.zip"))
    assert attic.paths() == ["", "/in.zip", "/in.zip/b.txt"]
    attic.publish_all()
    assert attic.paths() == ["", "/in.zip", "/in.zip/b.txt", "/in.zip/e.txt"]
    assert (attic.count(File), attic.count(ArchiveMember)) == (4, 3)
    assert attic.problems() == []


def test_an_old_file_stays_while_its_new_version_fails_and_goes_with_the_archive(attic: Attic) -> None:
    """It has passed to the new archive, so that the archive's deletion finds it."""
    attic.add({"a.txt": b"a"}, source="x.zip")
    new = attic.archive({"a.txt": b"A"})
    attic.attach(new, source="x.zip")
    attic.publish(attic.entry(""))
    job = attic.job(attic.entry("/a.txt"))
    with attic.database.write() as session:
        jobs.fail(session, job, InvalidFile("It cannot be read."))
    assert attic.paths() == ["", "/a.txt"]
    assert (attic.count(File), attic.count(ArchiveMember)) == (3, 2)
    files.delete(attic.database, attic.blobs, DEFAULT_PROJECT, new.id)
    assert [attic.count(table) for table in (File, ArchiveMember, VectorStoreFile, Document)] == [0, 0, 0, 0]


def test_an_archive_that_became_a_plain_document_loses_its_files(attic: Attic) -> None:
    """At once: nothing replaces them."""
    attic.add(TREE, source="x.zip")
    attic.attach(a_file(attic.database, attic.blobs, b"No archive any more."), source="x.zip")
    attic.publish_all()
    assert (attic.paths(), attic.count(File), attic.count(ArchiveMember)) == ([""], 1, 0)


def test_files_of_an_old_version_that_another_store_holds_stay_there(attic: Attic) -> None:
    """The other store holds the old archive, or a file of it alone."""
    archive = attic.add(TREE, source="x.zip")
    other, first = a_store(attic.database), attic.store
    attic.store = other
    attic.trees[archive.id] = {"a.txt": b"a"}
    attic.attach(archive)
    attic.publish_all()
    attic.store = first
    attic.attach(attic.archive({"z.txt": b"z"}), source="x.zip")
    attic.publish_all()
    assert attic.paths() == ["", "/z.txt"]
    assert attic.paths(other) == ["", "/a.txt"]
    assert attic.problems() == []


def test_a_file_of_an_old_version_that_another_store_holds_passes_to_the_new_one(attic: Attic) -> None:
    """And goes with that."""
    attic.add(TREE, source="x.zip")
    other = a_store(attic.database)
    with attic.database.read() as session:
        member = session.get_one(File, attic.entry("/in.zip/b.txt").file_id)
    an_entry(attic.database, other, member)
    new = attic.archive({"z.txt": b"z"})
    attic.attach(new, source="x.zip")
    attic.publish_all()
    assert (attic.count(File), len(attic.entries(other))) == (3, 1)
    files.delete(attic.database, attic.blobs, DEFAULT_PROJECT, new.id)
    assert (attic.count(File), attic.entries(other)) == (0, {})


def test_a_version_that_is_overtaken_before_its_files_are_read_leaves_nothing(attic: Attic) -> None:
    """Three versions in a row, the second one's files never read: the store ends with the third."""
    attic.add({"a.txt": b"1", "b.txt": b"1"}, source="x.zip")
    for content in (b"2", b"3"):
        entry = attic.attach(attic.archive({"a.txt": content, content.decode(): content}), source="x.zip")
        attic.publish(entry)
    assert attic.paths() == ["", "/a.txt"]
    attic.publish_all()
    assert attic.paths() == ["", "/3", "/a.txt"]
    assert (attic.count(File), attic.count(ArchiveMember)) == (3, 2)


# --- versions of an archive in a folder that is followed --------------------------------------------------------------


def test_an_archive_that_moves_while_a_member_is_read_leaves_no_old_text(attic: Attic) -> None:
    """The job was claimed under the old path; what it replaces has the new one."""
    attic.add({"x.txt": b"old"}, source="a.zip")
    attic.attach(attic.archive({"x.txt": b"new"}), source="a.zip")
    attic.publish(attic.entry(""))
    member = attic.entry("/x.txt")
    attic.job(member)
    with attic.database.write() as session:
        sources.rename(session, attic.store.id, "a.zip", "b/a.zip", version=None)
    attic.publish(member)
    assert sorted(str(entry.source) for entry in attic.entries().values()) == ["b/a.zip", "b/a.zip!/x.txt"]
    assert attic.problems() == []


def test_members_that_wait_to_be_replaced_are_not_counted(attic: Attic) -> None:
    """They hang on the new version of the archive for a while, and would leave an archive in it no room."""
    attic.add({"a.txt": b"a", "n.zip": {"x.txt": b"x"}}, source="a.zip")
    nested: Tree = {"x.txt": b"y"}
    attic.attach(attic.archive({"a.txt": b"bb", "n.zip": nested}), source="a.zip")
    attic.publish(attic.entry(""))
    with attic.database.read() as session:
        around = archives.surroundings(session, attic.entry("/n.zip").file_id)
    assert around == Surroundings(depth=1, members=2, bytes=len(b"bb") + len(repr(nested)))
    attic.publish_all()
    assert attic.paths() == ["", "/a.txt", "/n.zip", "/n.zip/x.txt"]


def test_a_file_whose_path_looks_like_that_of_a_member_is_another_one(attic: Attic) -> None:
    """A folder may be called `a.zip!`. Neither of the two replaces the other."""
    attic.attach(a_file(attic.database, attic.blobs, b"a real file"), source="a.zip!/x.txt")
    attic.add({"x.txt": b"a member"}, source="a.zip")
    assert len(attic.entries()) == 3
    attic.attach(a_file(attic.database, attic.blobs, b"a newer file"), source="a.zip!/x.txt")
    attic.publish_all()
    assert len(attic.entries()) == 3
    assert attic.problems() == []

"""What was unpacked becomes files of the catalog: once, and within the limits of the whole tree."""

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import select, update

from catalog import archives
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import LeaseLost, ParseLimitExceeded
from catalog.jobs import Job
from catalog.models import ArchiveMember, File, VectorStore, VectorStoreFile
from ingest.archives import keep, limits_left
from ingest.documents import Member
from ingest.unpacking import ArchiveLimits
from tests.builders import a_claim, a_file, a_store, an_entry

LIMITS = ArchiveLimits(total_bytes=100, members=10, nesting=2)


@dataclass(kw_only=True)
class Bench:
    """Archives whose jobs are claimed, and a folder with what came out of one."""

    database: Database
    blobs: BlobStore
    folder: Path
    store: VectorStore
    steps: list[float] = field(default_factory=list)

    def job(self, **overrides: object) -> Job:
        an_entry(self.database, self.store, a_file(self.database, self.blobs, **overrides))
        return a_claim(self.database)

    def keep(self, job: Job, *members: tuple[str, bytes], limits: ArchiveLimits = LIMITS) -> list[str]:
        for number, (_, content) in enumerate(members):
            (self.folder / str(number)).write_bytes(content)
        described = [Member(path=path, bytes=len(content)) for path, content in members]
        return keep(self.database, self.blobs, job, self.folder, described, limits=limits, progress=self.steps.append)

    def job_inside(self, outer: Job, *members: tuple[str, bytes]) -> Job:
        """Keep the members of an archive, and claim the job of the first, which is an archive too."""
        first = self.keep(outer, *members)[0]
        with self.database.read() as session:
            file = session.get_one(File, first)
        entry = an_entry(self.database, self.store, file)
        while (job := a_claim(self.database)).id != entry.id:
            pass
        return job

    def members(self) -> dict[str, File]:
        with self.database.read() as session:
            rows = session.execute(select(ArchiveMember.path, File).join(File, File.id == ArchiveMember.file_id))
            return {row[0]: row[1] for row in rows}


@pytest.fixture
def bench(database: Database, blobs: BlobStore, tmp_path: Path) -> Bench:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    return Bench(database=database, blobs=blobs, folder=folder, store=a_store(database))


def test_members_become_files_of_the_archives_project(bench: Bench) -> None:
    """Named as in their folder, with the archive's purpose and end; the archive and they are in no other relation."""
    job = bench.job(purpose="user_data", expires_at=5.0, filename="x.zip")
    ids = bench.keep(job, ("a.txt", b"aa"), ("b/c.txt", b"ccc"))
    found = bench.members()
    assert sorted(file.id for file in found.values()) == sorted(ids)
    assert {path: file.filename for path, file in found.items()} == {"a.txt": "a.txt", "b/c.txt": "c.txt"}
    assert {(file.purpose, file.expires_at) for file in found.values()} == {("user_data", 5.0)}
    with bench.blobs.open(found["b/c.txt"].sha256) as stream:
        assert stream.read() == b"ccc"


@pytest.mark.parametrize("group", [1, 2, 50])
def test_keeping_the_same_again_gives_the_same_files(bench: Bench, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    """However many come in one transaction; other bytes at a path are another file, equal bytes at two paths two."""
    monkeypatch.setattr("ingest.archives._GROUP_FILES", group)
    job = bench.job()
    members = [("a", b"same"), ("b", b"same"), ("c", b"other"), ("d", b"last")]
    first = bench.keep(job, *members)
    assert len(set(first)) == 4
    assert sorted(bench.keep(job, *members)) == sorted(first)
    changed = bench.keep(job, ("a", b"new"), *members[1:])
    assert len(set(changed) - set(first)) == 1
    assert len(bench.steps) == 3 * -(-4 // group)


def test_a_large_file_is_a_transaction_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group ends with the file that makes it too large."""
    monkeypatch.setattr("ingest.archives._GROUP_BYTES", 5)
    bench.keep(bench.job(), ("a", b"1"), ("b", b"22222"), ("c", b"3"), ("d", b"4"))
    assert len(bench.steps) == 2


def test_what_is_left_of_the_limits_depends_on_the_archives_around(bench: Bench) -> None:
    """An upload has all; an archive in it has what the others did not take."""
    outer = bench.job()
    assert limits_left(bench.database, outer.file_id, LIMITS) == LIMITS
    inner = bench.job_inside(outer, ("in.zip", b"x" * 30), ("a.txt", b"a" * 50))
    left = limits_left(bench.database, inner.file_id, LIMITS)
    assert (left.total_bytes, left.members, left.nesting) == (100 - 80, 10 - 2, 1)
    bench.keep(inner, ("b.txt", b"b" * 20))
    assert limits_left(bench.database, inner.file_id, LIMITS) == left


@pytest.mark.parametrize(
    "members", [[("b", b"b" * 21)], [(str(n), b"b") for n in range(9)]], ids=["too large", "too many"]
)
def test_what_another_archive_took_meanwhile_is_not_there_any_more(
    bench: Bench, members: list[tuple[str, bytes]]
) -> None:
    """The limit is looked at again when the files are stored: two archives of one tree may be unpacked at once."""
    inner = bench.job_inside(bench.job(), ("in.zip", b"x" * 30), ("a.txt", b"a" * 50))
    with pytest.raises(ParseLimitExceeded, match="the archive around this one holds more than 10 files or unpacks to"):
        bench.keep(inner, *members)
    assert set(bench.members()) == {"in.zip", "a.txt"}


def test_a_job_that_was_lost_keeps_nothing(bench: Bench) -> None:
    """Neither one that another worker has now, nor one whose file is gone."""
    job = bench.job()
    with bench.database.write() as session:
        session.execute(update(VectorStoreFile).values(fence=9))
    with pytest.raises(LeaseLost):
        bench.keep(job, ("a", b"a"))
    assert bench.members() == {}


def test_two_workers_that_unpack_the_same_archive_for_two_stores_share_its_files(bench: Bench) -> None:
    """Each sees what the other has stored."""
    first = bench.job()
    with bench.database.read() as session:
        file = session.get_one(File, first.file_id)
    an_entry(bench.database, a_store(bench.database), file)
    second = a_claim(bench.database)
    members = [(f"{n}", f"{n}".encode()) for n in range(10)]
    kept: list[list[str]] = []

    def work(job: Job, folder: Path) -> None:
        folder.mkdir()
        kept.append(replace(bench, folder=folder).keep(job, *members))

    threads = [
        threading.Thread(target=work, args=(job, bench.folder / f"worker {number}"))
        for number, job in enumerate((first, second))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept[0]) == sorted(kept[1])
    assert len(bench.members()) == 10
    with bench.database.read() as session:
        assert len(archives.members_of(session, kept[0])) == 10

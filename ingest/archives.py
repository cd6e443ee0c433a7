"""The files that come out of an archive become files of the catalog, before the archive itself is published."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlalchemy.orm import Session

from catalog import archives, files
from catalog.archives import Surroundings
from catalog.blobs import BlobStore, StagedBlob
from catalog.database import Database
from catalog.errors import ParseLimitExceeded
from catalog.files import NewFile
from catalog.jobs import Job
from catalog.models import ArchiveMember, File
from ingest.documents import Member
from ingest.unpacking import ArchiveLimits

# What one transaction takes in: on SQLite nobody else can write meanwhile.
_GROUP_FILES: Final = 50
_GROUP_BYTES: Final = 64 * 1024**2


def limits_left(database: Database, file_id: str, limits: ArchiveLimits) -> ArchiveLimits:
    """Return what is left of `limits` for an archive, given the archives that it lies in."""
    with database.read() as session:
        around = archives.surroundings(session, file_id)
    return replace(
        limits,
        total_bytes=max(limits.total_bytes - around.bytes, 0),
        members=max(limits.members - around.members, 0),
        nesting=limits.nesting - around.depth,
    )


def keep(
    database: Database,
    blobs: BlobStore,
    job: Job,
    folder: Path,
    members: Sequence[Member],
    *,
    limits: ArchiveLimits,
    progress: Callable[[float], None],
) -> list[str]:
    """Store what was unpacked into `folder` as files of the job's project; return their ids.

    Doing it again returns the same files. They belong to the archive and go with it; no store holds them yet. So a
    crash at any point leaves nothing that neither the next try nor the archive's deletion finds.

    Raises LeaseLost, and ParseLimitExceeded when another archive within the same one took what was left of `limits`.
    """
    kept: list[str] = []
    for group in _groups(members):
        progress(0.0)
        staged = [(members[number].path, blobs.adopt(folder / str(number))) for number in group]
        with database.write() as session:
            archives.hold(session, job)
            _check(archives.surroundings(session, job.file_id), members, limits)
            kept += _insert(database, session, blobs, session.get_one(File, job.file_id), staged)
    return kept


def _groups(members: Sequence[Member]) -> Iterator[list[int]]:
    """Yield the numbers of all members, in order, in groups for one transaction each."""
    group: list[int] = []
    size = 0
    for number, member in enumerate(members):
        group.append(number)
        size += member.bytes
        if len(group) == _GROUP_FILES or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _check(around: Surroundings, members: Sequence[Member], limits: ArchiveLimits) -> None:
    too_many = around.members + len(members) > limits.members
    if too_many or around.bytes + sum(member.bytes for member in members) > limits.total_bytes:
        raise ParseLimitExceeded(
            f"the archive around this one holds more than {limits.members:,} files or unpacks to more than "
            f"{limits.total_bytes / 2**20:,.0f} MiB with all archives in it: split it"
        )


def _insert(
    database: Database, session: Session, blobs: BlobStore, archive: File, staged: Sequence[tuple[str, StagedBlob]]
) -> list[str]:
    known = archives.known_members(session, archive.id, [path for path, _ in staged])
    ids = []
    # In the order of the hashes, which are locked one after the other: any other order could be a deadlock.
    for path, blob in sorted(staged, key=lambda one: one[1].sha256):
        file_id = known.get((path, blob.sha256))
        if file_id is None:
            new = NewFile(
                project_id=archive.project_id,
                filename=path.rpartition("/")[2],
                purpose=archive.purpose,
                expires_at=archive.expires_at,
                uploaded_by=archive.uploaded_by,
            )
            file_id = files.insert(database, session, blobs, blob, new).id
            session.add(ArchiveMember(file_id=file_id, archive_id=archive.id, path=path))
        ids.append(file_id)
    session.flush()
    return ids

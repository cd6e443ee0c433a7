"""Archives: which file was unpacked from which, and what that means when an archive comes, changes or goes.

A member is a file like any other, with an `ArchiveMember` row that names its archive; that may be a member itself.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import CTE, ColumnElement, delete, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from catalog import jobs
from catalog.database import portions
from catalog.jobs import Job
from catalog.models import ArchiveMember, File, FileBatchEntry, VectorStoreFile

# Between the `source` of an archive and a path in it, as in the URLs of Java archives.
MEMBER_SEPARATOR: Final = "!/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What an archive lies in."""

    # Archives around it: 0 for one that was uploaded.
    depth: int
    # Files unpacked from the outermost archive so far, and their bytes, what lies in this one not counted.
    members: int
    bytes: int


def surroundings(session: Session, file_id: str) -> Surroundings:
    chain = _ancestors(session, file_id)
    if len(chain) == 1:
        return Surroundings(depth=0, members=0, bytes=0)
    (all_members, all_bytes), (own_members, own_bytes) = (_content(session, one) for one in (chain[0], file_id))
    return Surroundings(depth=len(chain) - 1, members=all_members - own_members, bytes=all_bytes - own_bytes)


def _ancestors(session: Session, file_id: str) -> list[str]:
    """Return the archives around a file, the outermost first, and the file itself."""
    chain = [file_id]
    while outer := session.scalar(select(ArchiveMember.archive_id).where(ArchiveMember.file_id == chain[0])):
        chain.insert(0, outer)
    return chain


def _content(session: Session, file_id: str) -> tuple[int, int]:
    """Return how many files lie in an archive and the archives in it, and their bytes."""
    inside = _inside([file_id])
    counts = select(func.count(), func.coalesce(func.sum(File.bytes), 0)).join(inside, inside.c.file_id == File.id)
    members, size = session.execute(counts).one()
    return int(members), int(size)


def _inside(file_ids: Iterable[str]) -> CTE:
    """Files that were unpacked from these, and from those, with their depth below them.

    Without those of an older version of the archive, which wait there until the newer ones of their paths are ready.
    """
    first = select(ArchiveMember.file_id, literal(1).label("depth")).where(
        ArchiveMember.archive_id.in_(list(file_ids)), ~_is_outdated()
    )
    inside = first.cte("inside", recursive=True)
    below = (
        select(ArchiveMember.file_id, inside.c.depth + 1)
        .join(inside, ArchiveMember.archive_id == inside.c.file_id)
        .where(~_is_outdated())
    )
    return inside.union_all(below)


def _is_outdated() -> ColumnElement[bool]:
    """Whether a newer file of the same path was unpacked from the same archive."""
    newer, newer_file, own_file = aliased(ArchiveMember), aliased(File), aliased(File)
    return (
        select(newer.file_id)
        .join(newer_file, newer_file.id == newer.file_id)
        .join(own_file, own_file.id == ArchiveMember.file_id)
        .where(
            newer.archive_id == ArchiveMember.archive_id,
            newer.path == ArchiveMember.path,
            newer_file.created_at > own_file.created_at,
        )
        .correlate(ArchiveMember)
        .exists()
    )


def members_of(session: Session, file_ids: Iterable[str]) -> dict[str, ArchiveMember]:
    """Return, for those of the files that come from an archive, which one and where in it."""
    rows = session.scalars(select(ArchiveMember).where(ArchiveMember.file_id.in_(list(file_ids))))
    return {member.file_id: member for member in rows}


# Unpacking


def hold(session: Session, job: Job) -> None:
    """Until the transaction ends, keep every other one from unpacking or deleting the job's file or one around it.

    Raises LeaseLost when the claim ended or the file is gone.
    """
    for file_id in _ancestors(session, job.file_id):
        _lock(session, File.id, File.id == file_id)
    if not _lock(session, VectorStoreFile.id, *jobs.held([job])):
        raise jobs.lost(job)


def known_members(session: Session, archive_id: str, paths: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return the files that were unpacked from an archive before, by path and SHA-256."""
    rows = session.execute(
        select(ArchiveMember.path, File.sha256, File.id)
        .join(File, File.id == ArchiveMember.file_id)
        .where(ArchiveMember.archive_id == archive_id, ArchiveMember.path.in_(list(paths)))
    )
    return {(path, sha256): file_id for path, sha256, file_id in rows}


def queue(session: Session, job: Job, file_ids: Sequence[str]) -> None:
    """Put the files of an archive into its store, as part of its publication.

    They take over its attributes, chunking strategy and batches; their `source` continues its own.
    """
    if not file_ids:
        return
    archive = session.get_one(VectorStoreFile, job.id)
    members = [member for ids in portions(file_ids) for member in _absent(session, archive.vector_store_id, ids)]
    shared = {
        "vector_store_id": archive.vector_store_id,
        "created_at": time.time(),
        "attributes": archive.attributes,
        "chunking_strategy": archive.chunking_strategy,
    }
    rows = [
        shared | {"file_id": file_id, "bytes": size, "source": _source_of(archive, path)}
        # The last path first: lists show what came last first, and so are in the order of the paths.
        for path, file_id, size in sorted(members, reverse=True)
    ]
    if rows:
        session.execute(insert(VectorStoreFile), rows)
    for ids in portions(file_ids):
        _join_batches(session, archive, ids)
    jobs.announce(session)


def _absent(session: Session, store_id: str, file_ids: Sequence[str]) -> list[tuple[str, str, int]]:
    """Return path, id and bytes of those members that are not in the store."""
    there = exists().where(VectorStoreFile.vector_store_id == store_id, VectorStoreFile.file_id == File.id)
    members = session.execute(
        select(ArchiveMember.path, File.id, File.bytes)
        .join(File, File.id == ArchiveMember.file_id)
        .where(File.id.in_(file_ids), ~there)
    )
    return [(path, file_id, size) for path, file_id, size in members]


def _source_of(archive: VectorStoreFile, path: str) -> str | None:
    return None if archive.source is None else f"{archive.source}{MEMBER_SEPARATOR}{path}"


def _join_batches(session: Session, archive: VectorStoreFile, file_ids: Sequence[str]) -> None:
    """Count the members to the batches that the archive belongs to, so that those end with them and not before."""
    of_archive = select(FileBatchEntry.batch_id).where(FileBatchEntry.vector_store_file_id == archive.id)
    for batch_id in session.scalars(of_archive).all():
        counted = exists().where(
            FileBatchEntry.batch_id == batch_id, FileBatchEntry.vector_store_file_id == VectorStoreFile.id
        )
        entries = select(literal(batch_id), VectorStoreFile.id).where(
            VectorStoreFile.vector_store_id == archive.vector_store_id,
            VectorStoreFile.file_id.in_(file_ids),
            ~counted,
        )
        session.execute(insert(FileBatchEntry).from_select(["batch_id", "vector_store_file_id"], entries))


# Going


def entries_inside(session: Session, entry: VectorStoreFile) -> list[int]:
    """Return the entries of the same store for what was unpacked from an entry's file, all locked for a change.

    The entry itself is locked too, and each level before the next is read: of a publication at the same time either
    all is seen, or it fails.
    """
    _lock(session, VectorStoreFile.id, VectorStoreFile.id == entry.id)
    return _lock_below(session, entry.vector_store_id, _children(session, [entry.file_id]))


def _lock_below(session: Session, store_id: str, file_ids: Sequence[str]) -> list[int]:
    """Return the entries of a store for these files and for what was unpacked from them, locked with the files.

    In the order of `lock_levels`: files before their entries, and each level before the next.
    """
    entries: list[int] = []
    level = list(file_ids)
    while level:
        for ids in portions(level):
            _lock(session, File.id, File.id.in_(ids))
            of_store = VectorStoreFile.vector_store_id == store_id
            entries += _lock(session, VectorStoreFile.id, of_store, VectorStoreFile.file_id.in_(ids))
        level = _children(session, level)
    return entries


def lock_levels(session: Session, file_id: str) -> list[list[str]]:
    """Return a file, the files unpacked from it, those unpacked from these, and so on, all locked for deletion.

    Level by level, and each level locked before the next is read: an unpacking or a publication at the same time has
    ended by then, and what it added is seen, or it fails.
    """
    found = [[file_id]]
    while found[-1]:
        for ids in portions(found[-1]):
            _lock(session, File.id, File.id.in_(ids))
            _lock(session, VectorStoreFile.id, VectorStoreFile.file_id.in_(ids))
        found.append(_children(session, found[-1]))
    return found[:-1]


def delete_rows(session: Session, levels: Sequence[Sequence[str]]) -> set[str]:
    """Delete the rows of files, members before their archives; return the hashes whose blobs may now be unused.

    Their entries in stores go with them.
    """
    hashes: set[str] = set()
    for level in reversed(levels):
        for ids in portions(level):
            hashes.update(session.scalars(delete(File).where(File.id.in_(ids)).returning(File.sha256)))
    return hashes


def superseded(session: Session, job: Job, older: Sequence[str], newer: Sequence[str]) -> list[int]:
    """Return the entries of the job's store for members of the files `older` that the job's own archive lacks.

    `newer`: the files unpacked from that. A member that is in both is replaced when the new one is published. The
    entries are locked for deletion.
    """
    paths: set[str] = set()
    for ids in portions(newer):
        paths.update(session.scalars(select(ArchiveMember.path).where(ArchiveMember.file_id.in_(ids))))
    members = session.execute(
        select(ArchiveMember.file_id, ArchiveMember.path).where(ArchiveMember.archive_id.in_(older))
    )
    return _lock_below(session, job.vector_store_id, [file_id for file_id, path in members if path not in paths])


def delete_unused(session: Session, file_ids: Sequence[str], *, heir: str | None = None) -> set[str]:
    """Delete those of the files that no store holds, and with them their members that no store holds.

    Members that a store still holds pass to the archive `heir`; without one they are members no more. Return the
    hashes whose blobs may now be unused.
    """
    unused = [_unused(session, file_ids)]
    while unused[-1]:
        unused.append(_unused(session, _children(session, unused[-1])))
    hashes: set[str] = set()
    for level in reversed(unused):
        for ids in portions(level):
            # With the unused members gone, these are the others.
            held = ArchiveMember.archive_id.in_(ids)
            change = update(ArchiveMember).values(archive_id=heir) if heir else delete(ArchiveMember)
            session.execute(change.where(held))
        hashes |= delete_rows(session, [level])
    return hashes


def _unused(session: Session, file_ids: Sequence[str]) -> list[str]:
    held: set[str] = set()
    for ids in portions(file_ids):
        held.update(session.scalars(select(VectorStoreFile.file_id).where(VectorStoreFile.file_id.in_(ids))))
    return [file_id for file_id in file_ids if file_id not in held]


def _children(session: Session, file_ids: Sequence[str]) -> list[str]:
    children: list[str] = []
    for ids in portions(file_ids):
        children += session.scalars(select(ArchiveMember.file_id).where(ArchiveMember.archive_id.in_(ids)))
    return children


def _lock(session: Session, column: Any, *where: ColumnElement[bool]) -> list[Any]:
    """Lock rows for a change, in one order everywhere; SQLite's writer is alone and needs none."""
    return list(session.scalars(select(column).where(*where).order_by(column).with_for_update()))

"""Bringing a folder into a vector store, once or again and again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from catalog import files, stores
from catalog.blobs import BlobStore, StagedBlob
from catalog.database import Database
from catalog.errors import InvalidRequest
from catalog.files import NewFile
from catalog.models import JobStatus, VectorStore, VectorStoreFile
from catalog.stores import NewVectorStoreFile


class Intake(StrEnum):
    """What became of a file when its folder was read."""

    ADDED = "added"
    # The file has other bytes than last time; the old ones stay searchable until the new ones are ready.
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    # Same bytes as last time, which had failed: tried again.
    RETRIED = "retried"
    # Not taken in at all: empty, too large or unreadable.
    REFUSED = "refused"


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderEntry:
    """One file of the folder. `path` is relative to it, with forward slashes."""

    path: str
    intake: Intake
    file_id: str | None = None
    # Why it was refused.
    reason: str | None = None


def take_in(
    database: Database,
    blobs: BlobStore,
    store: VectorStore,
    folder: Path,
    *,
    max_bytes: int,
    on_file: Callable[[FolderEntry], None] = lambda _: None,
) -> list[FolderEntry]:
    """Queue every new or changed file below `folder`; return an entry for each file, in path order.

    Running it twice does nothing twice. Hidden files and folders are passed over. Raises InvalidRequest when `folder`
    is no folder.
    """
    if not folder.is_dir():
        raise InvalidRequest(f"{str(folder)!r} is not a folder.")
    entries = []
    for path in _walk(folder):
        entry = _take_in_file(database, blobs, store, path, path.relative_to(folder).as_posix(), max_bytes)
        on_file(entry)
        entries.append(entry)
    return entries


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _take_in_file(
    database: Database, blobs: BlobStore, store: VectorStore, path: Path, name: str, max_bytes: int
) -> FolderEntry:
    try:
        with path.open("rb") as stream:
            blob = blobs.stage(stream, max_bytes=max_bytes)
    except (InvalidRequest, OSError) as error:  # A full disk of our own is ServiceUnavailable and ends the run.
        return FolderEntry(path=name, intake=Intake.REFUSED, reason=str(error))
    try:
        return _queue(database, blobs, store, name, blob)
    finally:
        blobs.discard(blob)


def _queue(database: Database, blobs: BlobStore, store: VectorStore, name: str, blob: StagedBlob) -> FolderEntry:
    with database.read() as session:
        known = stores.sources(session, store).get(name)
    if known and known[1].sha256 == blob.sha256:
        return _seen_before(database, store, name, known[0])
    new = NewFile(project_id=store.project_id, filename=Path(name).name, purpose="assistants")
    # One transaction: a crash leaves both the file and its place in the store, or neither.
    with database.write() as session:
        file = files.insert(database, session, blobs, blob, new)
        current = stores.get(session, store.project_id, store.id)
        # What was said about the old version holds for the new one.
        kept = known[0] if known else NewVectorStoreFile(file_id=file.id)
        stores.attach(
            session,
            current,
            NewVectorStoreFile(
                file_id=file.id,
                source=name,
                attributes=kept.attributes,
                chunking_strategy=kept.chunking_strategy,
            ),
        )
    return FolderEntry(path=name, intake=Intake.REPLACED if known else Intake.ADDED, file_id=file.id)


def _seen_before(database: Database, store: VectorStore, name: str, known: VectorStoreFile) -> FolderEntry:
    if known.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
        return FolderEntry(path=name, intake=Intake.UNCHANGED, file_id=known.file_id)
    with database.write() as session:
        stores.attach(
            session,
            stores.get(session, store.project_id, store.id),
            NewVectorStoreFile(
                file_id=known.file_id,
                source=name,
                attributes=known.attributes,
                chunking_strategy=known.chunking_strategy,
            ),
        )
    return FolderEntry(path=name, intake=Intake.RETRIED, file_id=known.file_id)

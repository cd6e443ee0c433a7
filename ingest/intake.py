"""What a sync does to a vector store: one transaction for a group of documents, or the same without doing it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Protocol

from sqlalchemy.orm import Session

from catalog import files, sources, stores
from catalog.blobs import BlobStore, StagedBlob
from catalog.database import Database
from catalog.errors import Conflict
from catalog.files import NewFile
from catalog.models import JobStatus, VectorStore, VectorStoreFile
from catalog.sources import ENDED_BADLY, KnownDocument, Newest
from catalog.stores import NewVectorStoreFile

# Rows that one transaction changes: a long one would keep other writers waiting.
_BATCH: Final = 200


class Outcome(StrEnum):
    """What became of a document when its source was read."""

    ADDED = "added"
    # It has other bytes than last time; the old ones stay searchable until the new ones are ready.
    REPLACED = "replaced"
    # The same bytes lie at another path; `reason` says where they were.
    MOVED = "moved"
    UNCHANGED = "unchanged"
    # Same bytes as last time, which had failed: tried again.
    RETRIED = "retried"
    DELETED = "deleted"
    # It is there, but could not be taken: empty, too large, unreadable. What the store had of it stays.
    REFUSED = "refused"
    # Not a document of the source, and not meant to be one.
    SKIPPED = "skipped"
    # A part of the source that could not be listed.
    UNLISTED = "unlisted"


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncEntry:
    """One line of a sync's report."""

    path: str
    outcome: Outcome
    # The file that stands for the path now.
    file_id: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document of the source whose bytes are known."""

    path: str
    filename: str
    sha256: str
    bytes: int
    version: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A document that the store is to have."""

    document: Document
    # What the store had at its path when the sync began.
    known: KnownDocument | None = None
    # Its bytes; None when they are those of another document of the store.
    blob: StagedBlob | None = None


class Intake(Protocol):
    """Makes the store equal to what a sync found. Safe to repeat, and beside other syncs of the same store.

    Every method looks at the store again before it writes; `known` is what the sync saw there when it began.
    """

    def put(self, arrivals: Sequence[Arrival]) -> list[SyncEntry]:
        """Queue new or changed documents in one transaction."""
        ...

    def retry(self, known: KnownDocument) -> SyncEntry:
        """Queue a document again that has failed, and what has failed of an archive."""
        ...

    def move(self, document: Document, known: KnownDocument) -> SyncEntry:
        """Give the document that was at `known.path` its new path; it can be found all the time."""
        ...

    def remove(self, gone: Sequence[KnownDocument]) -> list[SyncEntry]:
        """Take documents out, with their files and bytes where nothing else needs them."""
        ...

    def note_versions(self, versions: Mapping[int, str]) -> None:
        """Note what the source calls the bytes of entries, by their id."""
        ...


class Rehearsal:
    """Changes nothing, and says what would be changed."""

    def put(self, arrivals: Sequence[Arrival]) -> list[SyncEntry]:
        return [
            SyncEntry(path=one.document.path, outcome=Outcome.REPLACED if one.known else Outcome.ADDED)
            for one in arrivals
        ]

    def retry(self, known: KnownDocument) -> SyncEntry:
        return SyncEntry(path=known.path, outcome=Outcome.RETRIED, file_id=known.file_id)

    def move(self, document: Document, known: KnownDocument) -> SyncEntry:
        return _moved(document, known, known.file_id)

    def remove(self, gone: Sequence[KnownDocument]) -> list[SyncEntry]:
        return [SyncEntry(path=known.path, outcome=Outcome.DELETED) for known in gone]

    def note_versions(self, versions: Mapping[int, str]) -> None:
        pass


class StoreIntake:
    """Changes a vector store and its queue."""

    def __init__(self, database: Database, blobs: BlobStore, store: VectorStore) -> None:
        self._database = database
        self._blobs = blobs
        self._project_id, self._store_id = store.project_id, store.id

    def put(self, arrivals: Sequence[Arrival]) -> list[SyncEntry]:
        entries: list[SyncEntry] = []
        with self._change() as (session, store):
            current = sources.newest_of(session, store.id, [one.document.path for one in arrivals])
            wanted: list[tuple[Arrival, Newest | None]] = []
            for one in arrivals:
                path = one.document.path
                now = current.get(path)
                if now and now.file.sha256 == one.document.sha256:  # Another sync was faster.
                    entries.append(SyncEntry(path=path, outcome=Outcome.UNCHANGED, file_id=now.file.id))
                elif (now and now.entry.id) != (one.known and one.known.entry_id):
                    entries.append(_overtaken(path))  # And its reading may be the newer one.
                else:
                    wanted.append((one, now))
            for (one, now), file_id in zip(wanted, self._publish_anew(session, store, wanted), strict=True):
                outcome = Outcome.REPLACED if now else Outcome.ADDED
                entries.append(SyncEntry(path=one.document.path, outcome=outcome, file_id=file_id))
        return entries

    def retry(self, known: KnownDocument) -> SyncEntry:
        with self._change() as (session, store):
            current = sources.newest(session, store.id, known.path)
            if current is None or current.entry.id != known.entry_id:
                return _overtaken(known.path)
            if current.entry.status in ENDED_BADLY:
                _queue_again(session, store, current.entry)
            for member in sources.failed_members(session, current.entry):
                _queue_again(session, store, member)
        return SyncEntry(path=known.path, outcome=Outcome.RETRIED, file_id=known.file_id)

    def move(self, document: Document, known: KnownDocument) -> SyncEntry:
        with self._change() as (session, store):
            taken = sources.newest(session, store.id, document.path)
            if taken and taken.file.sha256 == document.sha256:
                return SyncEntry(path=document.path, outcome=Outcome.UNCHANGED, file_id=taken.file.id)
            current = sources.newest(session, store.id, known.path)
            if taken or current is None or current.entry.id != known.entry_id:
                return _overtaken(document.path)
            sources.rename(session, store.id, known.path, document.path, version=document.version)
            file_id = self._settle(session, store, document, current)
        return _moved(document, known, file_id)

    def remove(self, gone: Sequence[KnownDocument]) -> list[SyncEntry]:
        removed = []
        for first in range(0, len(gone), _BATCH):
            removed += self._remove(gone[first : first + _BATCH])
        return [SyncEntry(path=path, outcome=Outcome.DELETED) for path in removed]

    def note_versions(self, versions: Mapping[int, str]) -> None:
        with self._database.write() as session:
            sources.note_versions(session, versions)

    @contextmanager
    def _change(self) -> Iterator[tuple[Session, VectorStore]]:
        """One transaction: a crash leaves both a file and its place in the store, or neither."""
        with self._database.write() as session:
            sources.lock(self._database, session, self._store_id)
            yield session, stores.get(session, self._project_id, self._store_id)

    def _publish_anew(
        self, session: Session, store: VectorStore, arrivals: Sequence[tuple[Arrival, Newest | None]]
    ) -> list[str]:
        """Queue documents as new files; return their ids. What was said about the version before holds for each too.

        Raises Conflict for bytes of another document that went with it.
        """
        new_files = [
            NewFile(project_id=self._project_id, filename=one.document.filename, purpose="assistants")
            for one, _ in arrivals
        ]
        contents = [one.document for one, _ in arrivals]
        rows = files.insert_rows(self._database, session, list(zip(contents, new_files, strict=True)))
        entries = []
        for (one, before), row in zip(arrivals, rows, strict=True):
            if one.blob is None and not self._blobs.exists(row.sha256):
                raise Conflict(f"The bytes with SHA-256 {row.sha256} are not stored any more.")
            new = NewVectorStoreFile(file_id=row.id, source=one.document.path, source_version=one.document.version)
            if before:
                kept = before.entry
                new = replace(new, attributes=kept.attributes, chunking_strategy=kept.chunking_strategy)
            entries.append(new)
        stores.attach_all(session, store, entries)
        # At last: what the database does not take has used up nothing.
        self._blobs.store(*(one.blob for one, _ in arrivals if one.blob))
        return [row.id for row in rows]

    def _settle(self, session: Session, store: VectorStore, document: Document, current: Newest) -> str:
        """Queue what a document that was moved still needs; return the file that stands for it.

        A document without a title has its file name embedded with it, so one that got another name is published anew;
        until then the old one is found, at its new path. A job that is under way knows the old path, and would leave
        older versions there: a new one takes its place.
        """
        entry = current.entry
        if current.file.filename == document.filename and entry.status != JobStatus.IN_PROGRESS:
            if entry.status in ENDED_BADLY:
                _queue_again(session, store, entry)
            return current.file.id
        (file_id,) = self._publish_anew(session, store, [(Arrival(document=document), current)])
        if entry.status == JobStatus.IN_PROGRESS:
            sources.withdraw(self._database, session, entry)
        return file_id

    def _remove(self, gone: Sequence[KnownDocument]) -> list[str]:
        with self._change() as (session, store):
            current = sources.newest_ids(session, store.id, [known.path for known in gone])
            # What another sync has put there since this one began stays.
            paths = [known.path for known in gone if current.get(known.path) == known.entry_id]
            unused = sources.remove(self._database, session, store.id, paths)
        files.delete_unused_blobs(self._database, self._blobs, unused)
        return paths


def _queue_again(session: Session, store: VectorStore, entry: VectorStoreFile) -> None:
    new = NewVectorStoreFile(
        file_id=entry.file_id,
        attributes=entry.attributes,
        chunking_strategy=entry.chunking_strategy,
        source=entry.source,
        source_version=entry.source_version,
    )
    stores.attach(session, store, new)


def _moved(document: Document, known: KnownDocument, file_id: str) -> SyncEntry:
    return SyncEntry(path=document.path, outcome=Outcome.MOVED, file_id=file_id, reason=f"from {known.path}")


def _overtaken(path: str) -> SyncEntry:
    return SyncEntry(
        path=path, outcome=Outcome.REFUSED, reason="Somebody else changed it in the store meanwhile; sync again."
    )

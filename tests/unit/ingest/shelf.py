"""A vector store and what follows it, for tests of syncing; and a source that lists what a test says."""

import io
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from catalog import fsck, publication, sources, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import Chunk, Document, File, VectorStore, VectorStoreFile
from ingest.intake import Outcome
from ingest.sources.base import Found, Memory, Reading, Source, SourceEntry, SourceUnreadable
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, SyncReport, sync
from tests.builders import a_claim, a_document_record, a_store

Outcomes = dict[str, Outcome]


class Shelf:
    """A folder and the store that follows it."""

    def __init__(self, database: Database, blobs: BlobStore, folder: Path) -> None:
        self.database, self.blobs, self.folder = database, blobs, folder
        self.staging = folder.parent / "home" / "staging"
        self.store: VectorStore = a_store(database)

    def put(self, name: str, content: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    def report(self, source: Source | None = None, **options: Any) -> SyncReport:
        given = SyncOptions(**{"max_bytes": 100} | options)
        return sync(self.database, self.blobs, self.store, source or LocalSource(self.folder), given)

    def sync(self, source: Source | None = None, **options: Any) -> Outcomes:
        return outcomes(self.report(source, **options))

    def publish_all(self) -> None:
        """Do the worker's part: one chunk for each document, with its path and its file."""
        with self.database.read() as session:
            waiting = stores.file_counts(session, [self.store.id])[self.store.id]["in_progress"]
        for _ in range(waiting):
            job = a_claim(self.database)
            publication.publish(self.database, job, a_document_record(f"{job.source} {job.file_id}"))

    def follow(self, source: Source | None = None, **options: Any) -> Outcomes:
        """Sync and publish."""
        found = self.sync(source, **options)
        self.publish_all()
        return found

    def paths(self) -> list[str]:
        """Return the paths whose documents can be found, duplicates included."""
        with self.database.read() as session:
            query = select(VectorStoreFile.source).join(Document, Document.vector_store_file_id == VectorStoreFile.id)
            return sorted(str(path) for path in session.scalars(query))

    def file_of(self, path: str) -> File:
        with self.database.read() as session:
            found = sources.newest(session, self.store.id, path)
            assert found is not None, path
            return found.file

    def entry_of(self, path: str) -> VectorStoreFile:
        with self.database.read() as session:
            found = sources.newest(session, self.store.id, path)
            assert found is not None, path
            return found.entry

    def count(self, table: type[File | VectorStoreFile | Chunk]) -> int:
        with self.database.read() as session:
            return session.scalar(select(func.count()).select_from(table)) or 0

    def problems(self) -> list[fsck.Problem]:
        return fsck.check(self.database, self.blobs)


def outcomes(report: SyncReport) -> Outcomes:
    return {entry.path: entry.outcome for entry in report.entries}


@dataclass
class ListedSource:
    """A source that lists what a test says, documents as a path with a version and content."""

    listing: Sequence[Found | tuple[str, str, bytes]]
    url: str = "test://listed"
    name: str = "listed"
    # Paths whose bytes were read.
    read: list[str] = field(default_factory=list)
    # Raised at the end of the listing.
    error: Exception | None = None

    def entries(self, memory: Memory) -> Generator[Found, None, None]:
        for found in self.listing:
            yield self._entry(*found) if isinstance(found, tuple) else found
        if self.error:
            raise self.error

    def watch(self, changed: threading.Event, stop: threading.Event) -> None:
        return

    def _entry(self, path: str, version: str, content: bytes) -> SourceEntry:
        @contextmanager
        def open_it() -> Iterator[Reading]:
            self.read.append(path)
            yield Reading(stream=io.BytesIO(content), version=version)

        return SourceEntry(path=path, filename=path.rsplit("/", 1)[-1], version=version, size=None, open=open_it)


def unreadable(path: str, reason: str = "It is locked.") -> SourceEntry:
    def refuse() -> Any:
        raise SourceUnreadable(reason)

    return SourceEntry(path=path, filename=path, version=None, size=None, open=refuse)

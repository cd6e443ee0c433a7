"""Making a vector store equal to a source, once or again and again."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import BinaryIO, Final

from catalog import filenames, sources, stores
from catalog.blobs import BlobStore, StagedBlob
from catalog.database import Database
from catalog.errors import Conflict, FootnoteError, InvalidRequest
from catalog.models import VectorStore
from catalog.sources import ENDED_BADLY, KnownDocument
from ingest.intake import Arrival, Document, Intake, Outcome, Rehearsal, StoreIntake, SyncEntry
from ingest.sources.base import Found, Gap, Skipped, Source, SourceEntry, SourceUnreadable

# New documents are queued together: at most so many, of so many bytes, and none waits for the next ones for longer.
# More in one transaction would keep other writers waiting.
_GROUP_FILES: Final = 32
_GROUP_BYTES: Final = 4 * 1024**2
_GROUP_S: Final = 0.5
# Versions that are noted in one transaction.
_NOTED_TOGETHER: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncOptions:
    # Larger documents are refused.
    max_bytes: int
    # Whether the store loses what the source has not; else documents are added and replaced alone.
    prune: bool = True
    # Whether it loses everything when the source lists nothing.
    allow_empty: bool = False
    # Whether this source takes over a store that has documents of another one.
    adopt: bool = False
    # Whether documents that failed are tried again although they have not changed.
    retry_failed: bool = True
    # Read and compare, but change nothing.
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class SyncReport:
    """What a sync found and did, in the order in which it was settled."""

    entries: list[SyncEntry]
    # Why documents that the source does not list were kept; None when there was no reason to keep any.
    withheld: str | None = None


def sync(
    database: Database,
    blobs: BlobStore,
    store: VectorStore | None,
    source: Source,
    options: SyncOptions,
    *,
    on_entry: Callable[[SyncEntry], None] = lambda _: None,
) -> SyncReport:
    """Make `store` equal to `source`: queue what is new or changed, move what was moved, delete what is gone.

    Doing it twice does nothing twice, and a crash leaves work that the next sync finishes. What lies at the source in
    a part that cannot be listed is not known, so then nothing is deleted or moved. Without `store` the store is one
    that does not exist yet, for a dry run. Raises what `source.entries` raises, Conflict for a store that follows
    another source, NotFound for one that is gone.
    """
    known = _begin(database, store, source, options)
    intake: Intake = Rehearsal() if options.dry_run or store is None else StoreIntake(database, blobs, store)
    return _Sync(blobs, intake, known, options, on_entry).run(source)


def _begin(
    database: Database, store: VectorStore | None, source: Source, options: SyncOptions
) -> dict[str, KnownDocument]:
    """Return what the store has, after making sure that this source may change it."""
    if store is None:
        return {}
    # In one transaction, for two sources may want a new store at once.
    with database.read() if options.dry_run else database.write() as session:
        if not options.dry_run:
            sources.lock(database, session, store.id)
        current = stores.get(session, store.project_id, store.id)
        known = sources.known(session, store.id)
        if options.prune and not options.adopt:
            sources.check_origin(current, source.url, has_documents=bool(known))
        if not options.dry_run:
            sources.note_origin(current, source.url, has_others=bool(known) and not options.prune)
    return known


class _Sync:
    """One run: the listing goes by, and what can only be said at its end is settled then."""

    def __init__(
        self,
        blobs: BlobStore,
        intake: Intake,
        known: Mapping[str, KnownDocument],
        options: SyncOptions,
        on_entry: Callable[[SyncEntry], None],
    ) -> None:
        self._blobs = blobs
        self._intake = intake
        self._known = known
        self._options = options
        self._on_entry = on_entry
        self._entries: list[SyncEntry] = []
        # What the source has not listed, so far.
        self._missing = dict(known)
        self._paths_by_hash: dict[str, list[str]] = {}
        for path, document in known.items():
            self._paths_by_hash.setdefault(document.sha256, []).append(path)
        # New documents with the bytes of one that has not been listed: it was moved, or is still to come.
        self._perhaps_moved: list[Document] = []
        self._waiting = _Waiting()
        self._versions: dict[int, str] = {}
        self._gaps = 0
        self._listed = 0

    def run(self, source: Source) -> SyncReport:
        try:
            with closing(source.entries(_Memory(self._blobs, self._known))) as listing:
                for found in listing:
                    self._meet(found)
                    if self._waiting.is_due():
                        self._put_waiting()
        finally:
            # However the listing ended: what was read need not be read again.
            self._put_waiting()
        self._note_versions()
        withheld = self._reason_to_keep()
        for document in self._perhaps_moved:
            self._note(self._settle(document, may_move=withheld is None))
        if self._options.prune and withheld is None:
            for entry in self._intake.remove(list(self._missing.values())):
                self._note(entry)
        return SyncReport(entries=self._entries, withheld=withheld)

    def _meet(self, found: Found) -> None:
        match found:
            case SourceEntry():
                self._listed += 1
                entry = self._take(found)
                if entry is not None:
                    self._note(entry)
            case Skipped():
                self._note(SyncEntry(path=found.path, outcome=Outcome.SKIPPED, reason=found.reason))
            case Gap():
                self._gaps += 1
                self._note(SyncEntry(path=found.path, outcome=Outcome.UNLISTED, reason=found.reason))

    def _note(self, entry: SyncEntry) -> None:
        self._entries.append(entry)
        self._on_entry(entry)

    def _take(self, found: SourceEntry) -> SyncEntry | None:
        """Return what became of a document; None when that is seen at the end of the listing."""
        self._missing.pop(found.path, None)
        known = self._known.get(found.path)
        if known and known.version is not None and known.version == found.version:
            return self._same(known)
        try:
            document, blob = self._stage(found)
        # A full disk of our own is another error, and ends the run.
        except (InvalidRequest, SourceUnreadable) as error:
            return _refused(found.path, error)
        if known and known.sha256 == document.sha256:
            self._blobs.discard(blob)
            self._remember(known, document.version)
            return self._same(known)
        if known is None and self._options.prune and self._old_path(document):
            self._blobs.discard(blob)
            self._perhaps_moved.append(document)
        else:
            self._waiting.add(Arrival(document=document, known=known, blob=blob))
        return None

    def _put_waiting(self) -> None:
        arrivals = self._waiting.take()
        try:
            for entry in self._put(arrivals):
                self._note(entry)
        finally:
            for one in arrivals:
                if one.blob:
                    self._blobs.discard(one.blob)

    def _put(self, arrivals: Sequence[Arrival]) -> list[SyncEntry]:
        """Queue documents; one that the database does not take keeps no other out."""
        if not arrivals:
            return []
        try:
            return self._intake.put(arrivals)
        except InvalidRequest as error:
            if len(arrivals) == 1:
                return [_refused(arrivals[0].document.path, error)]
        return [entry for one in arrivals for entry in self._put([one])]

    def _same(self, known: KnownDocument) -> SyncEntry:
        has_failed = known.status in ENDED_BADLY or known.has_failed_members
        if has_failed and self._options.retry_failed:
            return self._intake.retry(known)
        return SyncEntry(path=known.path, outcome=Outcome.UNCHANGED, file_id=known.file_id)

    def _stage(self, found: SourceEntry) -> tuple[Document, StagedBlob]:
        """Read a document. Raises InvalidRequest and SourceUnreadable, ServiceUnavailable when there is no room."""
        limit = self._options.max_bytes
        if found.size is not None and found.size > limit:
            raise SourceUnreadable(f"The file is larger than the {limit:,} bytes that are allowed.")
        blob = None
        try:
            with found.open() as reading:
                blob = self._blobs.stage(reading.stream, max_bytes=limit)
        except BaseException:
            if blob is not None:
                self._blobs.discard(blob)
            raise
        document = Document(
            path=found.path,
            filename=filenames.visible(found.filename)[-filenames.MAX_CHARS :] or "document",
            sha256=blob.sha256,
            bytes=blob.bytes,
            version=reading.version,
        )
        return document, blob

    def _old_path(self, document: Document) -> str | None:
        """Return where the same bytes were that are not listed now; rather under the same file name."""
        places = [path for path in self._paths_by_hash.get(document.sha256, ()) if path in self._missing]
        return min(places, key=lambda path: (self._known[path].filename != document.filename, path), default=None)

    def _settle(self, document: Document, *, may_move: bool) -> SyncEntry:
        old = self._old_path(document) if may_move else None
        try:
            if old is None:
                (entry,) = self._intake.put([Arrival(document=document)])
                return entry
            return self._intake.move(document, self._missing.pop(old))
        except Conflict as error:
            reason = f"{error.message} Somebody deleted them meanwhile; sync again."
            return SyncEntry(path=document.path, outcome=Outcome.REFUSED, reason=reason)

    def _remember(self, known: KnownDocument, version: str | None) -> None:
        """Note the new name of the same bytes: next time they need not be read."""
        if version is not None and version != known.version:
            self._versions[known.entry_id] = version
        if len(self._versions) >= _NOTED_TOGETHER:
            self._note_versions()

    def _note_versions(self) -> None:
        if self._versions:
            self._intake.note_versions(self._versions)
            self._versions = {}

    def _reason_to_keep(self) -> str | None:
        """Return why nothing may be deleted or moved away."""
        if not self._options.prune or not self._missing:
            return None
        kept = f"documents that it does not list are kept ({len(self._missing):,})"
        if self._gaps:
            return f"The source could not be listed whole: {kept}."
        if self._listed == 0 and not self._options.allow_empty:
            return f"The source lists nothing: {kept}. If it really is empty, --allow-empty deletes them."
        return None


class _Waiting:
    """Documents that have been read, and are put into the store together."""

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []
        self._bytes = 0
        self._since = 0.0

    def add(self, arrival: Arrival) -> None:
        if not self._arrivals:
            self._since = time.monotonic()
        self._arrivals.append(arrival)
        self._bytes += arrival.document.bytes

    def is_due(self) -> bool:
        is_large = len(self._arrivals) >= _GROUP_FILES or self._bytes >= _GROUP_BYTES
        return is_large or (bool(self._arrivals) and time.monotonic() - self._since >= _GROUP_S)

    def take(self) -> list[Arrival]:
        taken, self._arrivals, self._bytes = self._arrivals, [], 0
        return taken


def _refused(path: str, error: FootnoteError) -> SyncEntry:
    return SyncEntry(path=path, outcome=Outcome.REFUSED, reason=error.message)


class _Memory:
    """What the store had when the sync began."""

    def __init__(self, blobs: BlobStore, known: Mapping[str, KnownDocument]) -> None:
        self._blobs = blobs
        self._known = known

    def holds(self, path: str) -> bool:
        return path in self._known

    def version(self, path: str) -> str | None:
        known = self._known.get(path)
        return known.version if known else None

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        stream: AbstractContextManager[BinaryIO] = self._blobs.open(self._known[path].sha256)
        return stream

"""From a claimed job to a document that is ready to be published."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import archives, publication, stores
from catalog.blobs import BlobStore
from catalog.chunks import known_vectors
from catalog.database import Database
from catalog.errors import FootnoteError, InvalidFile, LeaseLost
from catalog.jobs import Job
from catalog.models import File
from catalog.publication import ChunkRecord, DocumentRecord
from ingest.archives import keep, limits_left
from ingest.chunking import ChunkSpan, chunk, context_of, parse_strategy
from ingest.documents import ParsedDocument
from ingest.sandbox import ParseCancelled, ParseLimits, Sandbox
from ingest.spool import ChunkSpool
from ingest.unpacking import ArchiveLimits, Unpacking
from retrieval.embedders.base import Embedder
from retrieval.windows import split_windows

# Raised when parsers or chunking give other results for the same file: older documents are not copied then.
PIPELINE_VERSION: Final = 2
# Chunks between two reports of progress.
_EMBED_CHUNKS: Final = 128
# Share of the work that is done when the text is parsed, for the progress bar.
_PARSED_SHARE: Final = 0.15
# Tokens that are embedded at once. Embedders were trained on texts of about this length, and a short window says more
# clearly what it is about than all that the model can read. Measured: docs/benchmarks.md.
WINDOW_TOKENS: Final = 128
# Title and headings in front of a chunk never take more than this share of a window.
_MAX_CONTEXT_SHARE: Final = 3

# Called with the share of the work that is done; raises LeaseLost when the work is wanted no more.
Progress = Callable[[float], None]


@dataclass(kw_only=True, eq=False)
class Draft:
    """A parsed document whose chunks are being embedded."""

    job: Job
    progress: Progress
    filename: str
    content_key: str
    # EmbeddingIdentity.key of the model that embeds it.
    embedding_identity: str
    parsed: ParsedDocument
    chunks: ChunkSpool
    # Of an archive: the files that were unpacked from it.
    members: Sequence[str] = ()
    # Whether it was unpacked from one.
    is_member: bool = False
    # Why it will not be finished.
    error: Exception | None = None

    @property
    def title(self) -> str:
        """What stands in front of every chunk when it is embedded."""
        return self.parsed.title or PurePath(self.filename).stem

    @property
    def is_ordinary(self) -> bool:
        """Whether it is finished, and neither an archive nor from one: such are published together."""
        return self.error is None and len(self.chunks) > 0 and not self.members and not self.is_member

    def record(self) -> DocumentRecord:
        """Return the finished document. Raises what kept it from being finished, and InvalidFile without a chunk."""
        if self.error is not None:
            raise self.error
        if not self.chunks:
            raise InvalidFile(f"{self.filename!r} holds no text that could be searched.")
        return DocumentRecord(
            title=self.parsed.title,
            media_type=self.parsed.media_type,
            text=self.parsed.text,
            pages=self.parsed.pages,
            pages_read=self.parsed.pages_read,
            page_spans=page_spans(self.parsed),
            warnings=self.parsed.warnings,
            content_key=self.content_key,
            embedding_identity=self.embedding_identity,
            chunk_count=len(self.chunks),
            chunks=self.chunks,
            members=self.members,
        )


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the catalog says about claimed jobs, read for all of them at once."""

    # By id; without those that were deleted.
    files: Mapping[str, File]
    # Ids of files that were unpacked from an archive.
    members: Collection[str]
    # Why nothing may be added to a store, by its id.
    refusals: Mapping[str, FootnoteError]
    # By job; without those of which `file` raises.
    content_keys: Mapping[int, str]
    # Content keys that some document may have.
    originals: Collection[str]

    def file(self, job: Job) -> File:
        """Raises LeaseLost for a file that was deleted, IndexIncompatible for a store of another model."""
        file = self.files.get(job.file_id)
        if file is None:
            raise LeaseLost(f"File {job.file_id!r} was deleted.")
        if refusal := self.refusals.get(job.vector_store_id):
            raise refusal
        return file

    def content_key(self, job: Job) -> str:
        """Return the digest of all that decides the chunks. Raises what `file` raises."""
        self.file(job)
        return self.content_keys[job.id]


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Parses, chunks and embeds. It writes nothing but the files of archives: publishing is the worker's."""

    database: Database
    blobs: BlobStore
    embedder: Embedder
    window_tokens: int = WINDOW_TOKENS
    limits: ParseLimits = field(default_factory=ParseLimits)
    archive_limits: ArchiveLimits = field(default_factory=ArchiveLimits)
    # Told, of the chunks of each batch, for how many the vectors were there and how many had to be embedded.
    observe: Callable[[int, int], None] | None = None

    def facts(self, jobs: Sequence[Job]) -> Facts:
        """Read what these jobs need to know."""
        file_ids = {job.file_id for job in jobs}
        with self.database.read() as session:
            files = {file.id: file for file in session.scalars(select(File).where(File.id.in_(file_ids)))}
            keys = {job.id: self._content_key(files[job.file_id], job) for job in jobs if job.file_id in files}
            return Facts(
                files=files,
                members=archives.members_of(session, file_ids).keys(),
                refusals=self._refusals(session, {job.vector_store_id for job in jobs}),
                content_keys=keys,
                originals=publication.originals(session, keys.values()),
            )

    def sandbox(self) -> Sandbox:
        """Return where files of one vector store are parsed, one after the other."""
        return Sandbox(self.limits)

    def parse(self, job: Job, facts: Facts, progress: Progress, sandbox: Sandbox) -> Draft:
        """Return the job's document without chunks. Raises DocumentRejected, and what `Facts.file` raises."""
        file, key = facts.file(job), facts.content_key(job)
        is_member = file.id in facts.members
        progress(0.0)
        with self.blobs.scratch() as folder:
            limits = limits_left(self.database, file.id, self.archive_limits) if is_member else self.archive_limits
            parsed = self._parse(file, Unpacking(folder=folder, limits=limits), progress, sandbox)
            members = keep(
                self.database,
                self.blobs,
                job,
                folder,
                parsed.members,
                limits=self.archive_limits,
                progress=progress,
            )
        progress(_PARSED_SHARE)
        return Draft(
            job=job,
            progress=progress,
            filename=file.filename,
            # Nobody copies an archive's document: the copy would be without the files.
            content_key=f"{key} of {file.id}" if members else key,
            embedding_identity=self.embedder.identity.key,
            parsed=parsed,
            chunks=ChunkSpool(self.blobs.staging),
            members=members,
            is_member=is_member,
        )

    def embed(self, drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
        """Cut and embed; yield the next drafts, in order, as soon as they are finished, or have failed.

        The embedder is fed from all of them together, so that many small files are as fast as one large.
        """
        steps = self._steps(drafts)
        while batch := list(islice(steps, _EMBED_CHUNKS)):
            self._embed_chunks([(draft, span) for draft, span in batch if span])
            for draft, end in {draft: span.end for draft, span in batch if span}.items():
                _report(draft, end / len(draft.parsed.text))
            if finished := [draft for draft, span in batch if span is None]:
                yield finished

    def build(self, job: Job, progress: Progress) -> DocumentRecord:
        """Return the document of one job, ready to be published. Raises what `parse` and `Draft.record` raise."""
        with self.sandbox() as sandbox:
            draft = self.parse(job, self.facts([job]), progress, sandbox)
        list(self.embed([draft]))
        return draft.record()

    def embed_texts(self, contexts: Sequence[str], texts: Sequence[str]) -> list[tuple[str, NDArray[np.float16]]]:
        """Return embedding key and vectors, float16, shape (windows, dimension), of chunks that are cut already.

        Perhaps for another model: of a context that takes more than its share of a window the end counts, as always.
        """
        contexts = [self._clipped(context) for context in contexts]
        vectors = self._vectors(contexts, texts)
        keys = [self._embedding_key(context, text) for context, text in zip(contexts, texts, strict=True)]
        return [(key, vectors[key]) for key in keys]

    def _clipped(self, context: str) -> str:
        spans, budget = self.embedder.token_spans(context), self._window // _MAX_CONTEXT_SHARE
        return context if len(spans) <= budget else context[spans[-budget][0] :]

    def _steps(self, drafts: Sequence[Draft]) -> Iterator[tuple[Draft, ChunkSpan | None]]:
        """Yield every chunk of every draft, and None at a draft's end."""
        for draft in drafts:
            try:
                strategy = parse_strategy(draft.job.chunking_strategy)
                for span in chunk(draft.parsed, strategy, self.embedder.token_spans):
                    if draft.error is not None:
                        break
                    yield draft, span
            except Exception as fault:  # noqa: BLE001 - It is this draft's; `record` raises it.
                draft.error = fault
            yield draft, None

    def _embed_chunks(self, chunks: Sequence[tuple[Draft, ChunkSpan]]) -> None:
        """Add a record for each chunk to its draft."""
        texts = [draft.parsed.text[span.start : span.end] for draft, span in chunks]
        budget = self._window // _MAX_CONTEXT_SHARE
        contexts = [
            context_of(draft.title, span, self.embedder.token_spans, max_tokens=budget) for draft, span in chunks
        ]
        vectors = self._vectors(contexts, texts)
        records: dict[Draft, list[ChunkRecord]] = {}
        for (draft, span), text, context in zip(chunks, texts, contexts, strict=True):
            key = self._embedding_key(context, text)
            record = ChunkRecord(
                start=span.start,
                end=span.end,
                text=text,
                context=context,
                page=span.page,
                box=span.box,
                tokens=span.tokens,
                vectors=vectors[key],
                embedding_key=key,
            )
            records.setdefault(draft, []).append(record)
        for draft, group in records.items():
            draft.chunks.extend(group)

    def _refusals(self, session: Session, store_ids: Iterable[str]) -> dict[str, FootnoteError]:
        refusals: dict[str, FootnoteError] = {}
        for store_id in store_ids:
            try:
                stores.check_usable(session, [store_id], self.embedder.identity.key)
            except FootnoteError as refusal:
                refusals[store_id] = refusal
        return refusals

    def _content_key(self, file: File, job: Job) -> str:
        parts = [
            PIPELINE_VERSION,
            file.sha256,
            file.filename,
            dict(job.chunking_strategy),
            self.embedder.identity.key,
            self._window,
            self.limits.max_text_chars,
            self.limits.ocr_languages,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _parse(self, file: File, unpacking: Unpacking, progress: Progress, sandbox: Sandbox) -> ParsedDocument:
        """Return the document; the files of an archive are then where `unpacking` says."""

        def is_cancelled() -> bool:
            try:
                progress(0.0)
            except LeaseLost:
                return True
            return False

        with self.blobs.local_copy(file.sha256) as path:
            try:
                return sandbox.parse(path, filename=file.filename, unpacking=unpacking, cancelled=is_cancelled)
            except ParseCancelled as cancelled:
                raise LeaseLost(f"Work on {file.id!r} is wanted no more.") from cancelled

    def _vectors(self, contexts: Sequence[str], texts: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """Return float16 vectors, shape (windows, dimension), by embedding key; texts embedded before are looked up."""
        pairs = {self._embedding_key(c, t): (c, t) for c, t in zip(contexts, texts, strict=True)}
        with self.database.read() as session:
            known = known_vectors(session, pairs)
        if self.observe:
            # A text that occurs twice in the batch is there the second time.
            missing = len(pairs.keys() - known.keys())
            self.observe(len(texts) - missing, missing)
        windows = {
            key: window_texts(self.embedder, context, text, window_tokens=self._window)
            for key, (context, text) in pairs.items()
            if key not in known
        }
        flat = self.embedder.embed_documents([text for group in windows.values() for text in group]).astype(np.float16)
        position = 0
        for key, group in windows.items():
            known[key] = flat[position : position + len(group)]
            position += len(group)
        return known

    def _embedding_key(self, context: str, text: str) -> str:
        return hashlib.sha256(f"{self.embedder.identity.key}\0{self._window}\0{context}\0{text}".encode()).hexdigest()

    @property
    def _window(self) -> int:
        return min(self.window_tokens, self.embedder.max_tokens)


def window_texts(embedder: Embedder, context: str, text: str, *, window_tokens: int = WINDOW_TOKENS) -> list[str]:
    """Return what is embedded for a chunk: each window of its text, with the context in front."""
    room = window_tokens - len(embedder.token_spans(context))
    ranges = split_windows(text, embedder.token_spans(text), max_tokens=room)
    return [f"{context}\n{text[start:end]}" for start, end in ranges]


def _report(draft: Draft, share: float) -> None:
    """Tell how much of a draft is embedded; a draft that is wanted no more ends here."""
    try:
        draft.progress(_PARSED_SHARE + (1 - _PARSED_SHARE) * share * 0.99)
    except LeaseLost as lost:
        draft.error = lost


def page_spans(parsed: ParsedDocument) -> list[tuple[int, int, int]]:
    """Return (page, start, end) for each page that has text, in reading order."""
    spans: list[tuple[int, int, int]] = []
    for element in parsed.elements:
        if element.page is None:
            continue
        if spans and spans[-1][0] == element.page:
            spans[-1] = (element.page, spans[-1][1], element.end)
        else:
            spans.append((element.page, element.start, element.end))
    return spans

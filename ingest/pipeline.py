"""From a claimed job to a document that is ready to be published."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catalog import documents, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.documents import ChunkRecord, DocumentRecord
from catalog.errors import InvalidFile, LeaseLost
from catalog.jobs import Job
from catalog.models import File
from ingest.chunking import ChunkSpan, chunk, parse_strategy
from ingest.documents import ParsedDocument
from ingest.sandbox import ParseCancelled, ParseLimits, parse_in_child
from retrieval.embedders.base import Embedder
from retrieval.windows import split_windows

# Raised when parsers or chunking give other results for the same file: older documents are not copied then.
PIPELINE_VERSION: Final = 1
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


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Parses, chunks and embeds. It reads the catalog and writes nothing: publishing is the worker's."""

    database: Database
    blobs: BlobStore
    embedder: Embedder
    window_tokens: int = WINDOW_TOKENS
    limits: ParseLimits = field(default_factory=ParseLimits)

    def build(self, job: Job, progress: Progress) -> DocumentRecord:
        """Return the document of a job. Raises DocumentRejected for a file that cannot become one, LeaseLost."""
        with self.database.read() as session:
            file = session.get(File, job.file_id)
            if file is None:
                raise LeaseLost(f"File {job.file_id!r} was deleted.")
            stores.check_usable(session, [job.vector_store_id], self.embedder.identity.key)
            key = self.content_key(file, job)
            if copy := documents.find_copy(session, key):
                return copy
        progress(0.0)
        parsed = self._parse(file, progress)
        progress(_PARSED_SHARE)
        spans = chunk(parsed, parse_strategy(job.chunking_strategy), self.embedder.token_spans)
        if not spans:
            raise InvalidFile(f"{file.filename!r} holds no text that could be searched.")
        return DocumentRecord(
            title=parsed.title,
            media_type=parsed.media_type,
            text=parsed.text,
            pages=parsed.pages,
            pages_read=parsed.pages_read,
            page_spans=page_spans(parsed),
            warnings=parsed.warnings,
            content_key=key,
            chunks=self._embed(parsed, spans, file.filename, progress),
        )

    def content_key(self, file: File, job: Job) -> str:
        """Return the digest of everything that decides the chunks: bytes, type hint, strategy, model, our version."""
        parts = [
            PIPELINE_VERSION,
            file.sha256,
            file.filename,
            dict(job.chunking_strategy),
            self.embedder.identity.key,
            self._window,
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _parse(self, file: File, progress: Progress) -> ParsedDocument:
        def is_cancelled() -> bool:
            try:
                progress(0.0)
            except LeaseLost:
                return True
            return False

        with self.blobs.local_copy(file.sha256) as path:
            try:
                return parse_in_child(path, filename=file.filename, limits=self.limits, cancelled=is_cancelled)
            except ParseCancelled as cancelled:
                raise LeaseLost(f"Work on {file.id!r} is wanted no more.") from cancelled

    def _embed(
        self, parsed: ParsedDocument, spans: Sequence[ChunkSpan], filename: str, progress: Progress
    ) -> list[ChunkRecord]:
        title = parsed.title or PurePath(filename).stem
        records: list[ChunkRecord] = []
        for first in range(0, len(spans), _EMBED_CHUNKS):
            batch = spans[first : first + _EMBED_CHUNKS]
            texts = [parsed.text[span.start : span.end] for span in batch]
            contexts = [self._context(title, span) for span in batch]
            vectors = self._vectors(contexts, texts)
            records += [
                ChunkRecord(
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
                for span, text, context in zip(batch, texts, contexts, strict=True)
                for key in [self._embedding_key(context, text)]
            ]
            progress(_PARSED_SHARE + (1 - _PARSED_SHARE) * len(records) / len(spans) * 0.99)
        return records

    def _context(self, title: str, span: ChunkSpan) -> str:
        """Return title › headings (and a table's header row), shortened from the left to its share of the embedder."""
        path = " › ".join(dict.fromkeys((title, *span.headings)))
        context = f"{path}\n{span.table_header}" if span.table_header else path
        tokens = self.embedder.token_spans(context)
        budget = self._window // _MAX_CONTEXT_SHARE
        return context[tokens[-budget][0] :] if len(tokens) > budget else context

    def _vectors(self, contexts: Sequence[str], texts: Sequence[str]) -> dict[str, NDArray[np.float16]]:
        """Return float16 vectors, shape (windows, dimension), by embedding key; texts embedded before are looked up."""
        pairs = {self._embedding_key(c, t): (c, t) for c, t in zip(contexts, texts, strict=True)}
        with self.database.read() as session:
            known = documents.known_vectors(session, pairs)
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

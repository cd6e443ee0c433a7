"""Builders: a valid object each, in which a test replaces what it is about."""

import io
import itertools
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tantivy
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from catalog import answers, batches, files, jobs, publication, stores
from catalog.blobs import BlobStore
from catalog.chunks import StoredChunk
from catalog.database import Database
from catalog.feed import DocumentChange, IndexedDocument
from catalog.files import NewFile
from catalog.jobs import Job
from catalog.models import DEFAULT_PROJECT, AnswerRecord, File, VectorStore, VectorStoreFile
from catalog.publication import ChunkRecord, DocumentRecord
from catalog.stores import NewVectorStore, NewVectorStoreFile
from evaluation.runs import Attempt, Item, Run, Task
from generation.backends.base import Source
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.indexes.base import Scope
from retrieval.passages import Passage

EMBEDDER = HashingEmbedder()
# Of the stores that `a_store` makes.
IDENTITY = EMBEDDER.identity.key
_numbers = itertools.count(1)


@cache
def _empty_catalog() -> bytes:
    with TemporaryDirectory(prefix="footnote-catalog-") as folder:
        path = Path(folder) / "catalog.sqlite"
        database = Database(f"sqlite:///{path}")
        database.migrate()
        database.close()
        return path.read_bytes()


def a_catalog(home: Path) -> Path:
    """Return the SQLite catalog of a state folder; write one with the newest schema where none is.

    That takes 3 ms, and to migrate one 50.
    """
    path = home / "catalog.sqlite"
    if not path.exists():
        path.write_bytes(_empty_catalog())
    return path


def vectors_for(*texts: str) -> NDArray[np.float16]:
    """Return what the catalog keeps for these windows: float16, shape (texts, dimension)."""
    return EMBEDDER.embed_documents(texts).astype(np.float16)


def a_file(database: Database, blobs: BlobStore, content: bytes = b"Some words.", **overrides: Any) -> File:
    new = NewFile(**{"project_id": DEFAULT_PROJECT, "filename": "a.txt", "purpose": "assistants"} | overrides)
    blob = blobs.stage(io.BytesIO(content), max_bytes=1 << 30)
    try:
        return files.add(database, blobs, blob, new)
    finally:
        blobs.discard(blob)


def a_store(database: Database, **overrides: Any) -> VectorStore:
    fields = {"project_id": DEFAULT_PROJECT, "name": "A store", "embedding_identity": IDENTITY}
    with database.write() as session:
        return stores.create(session, NewVectorStore(**fields | overrides))


def an_entry(database: Database, store: VectorStore, file: File, **overrides: Any) -> VectorStoreFile:
    """Attach `file` to `store`, which queues a job."""
    with database.write() as session:
        current = stores.get(session, store.project_id, store.id)
        return stores.attach(session, current, NewVectorStoreFile(**{"file_id": file.id} | overrides))


def a_claim(database: Database, owner: str = "a worker", **options: Any) -> Job:
    """Claim the next job, which there has to be."""
    with database.write() as session:
        claimed = jobs.claim(session, owner, **options)
    assert claimed, "nothing is queued"
    return claimed[0]


def a_chunk_record(text: str = "Some words.", **overrides: Any) -> ChunkRecord:
    fields: dict[str, Any] = {
        "start": 0,
        "end": len(text),
        "text": text,
        "context": "",
        "page": None,
        "box": None,
        "tokens": len(EMBEDDER.token_spans(text)),
        "vectors": vectors_for(text),
        "embedding_key": f"key of {text}",
    }
    return ChunkRecord(**fields | overrides)


def a_document_record(*texts: str, **overrides: Any) -> DocumentRecord:
    """Build a document with one chunk for each text; `Document.text` is the texts, joined by a line end."""
    texts = texts or ("Some words.",)
    chunks, position = [], 0
    for text in texts:
        chunks.append(a_chunk_record(text, start=position, end=position + len(text)))
        position += len(text) + 1
    fields: dict[str, Any] = {
        "title": None,
        "media_type": "text/plain",
        "text": "\n".join(texts),
        "pages": None,
        "pages_read": None,
        "page_spans": [],
        "warnings": [],
        "content_key": f"content {next(_numbers)}",
        "embedding_identity": IDENTITY,
        "chunk_count": len(chunks),
        "chunks": chunks,
    }
    return DocumentRecord(**fields | overrides)


def publish_text(
    database: Database,
    blobs: BlobStore,
    store: VectorStore,
    *texts: str,
    entry: Mapping[str, Any] | None = None,
    file: File | None = None,
    **overrides: Any,
) -> int:
    """Take a file through upload, job and publication; return the document's id. The queue has to be empty.

    `entry` are fields of NewVectorStoreFile, `overrides` those of DocumentRecord.
    """
    file = file or a_file(database, blobs, "\n".join(texts or ("Some words.",)).encode())
    queued = an_entry(database, store, file, **(entry or {}))
    job = a_claim(database)
    assert job.id == queued.id, "another job was waiting"
    fields = {"embedding_identity": store.embedding_identity} | overrides
    return publication.publish(database, job, a_document_record(*texts, **fields))


def cancel_entry(session: Session, entry_id: int) -> None:
    """Cancel the work on a file of a store, as clients do it: with a batch, which has this file alone."""
    entry = session.get_one(VectorStoreFile, entry_id)
    store = session.get_one(VectorStore, entry.vector_store_id)
    batches.cancel(session, batches.create(session, store, [NewVectorStoreFile(file_id=entry.file_id)]))


def a_record(*file_ids: str, **overrides: Any) -> AnswerRecord:
    """Build the record of an answer that found a passage in each of these files."""
    fields = {"id": "resp_1", "project_id": DEFAULT_PROJECT, "created_at": 1.0, "question": "Why?", "model": "footnote"}
    trace = {"candidates": [{"file_id": file_id, "chunk_id": 1} for file_id in file_ids]}
    fields |= {"outcome": "answered", "index_version": 1, "prompt": {}, "trace": trace, "response": {}}
    return AnswerRecord(**fields | overrides)


def saved(database: Database, *records: AnswerRecord) -> None:
    """Keep records, as far as their files are there."""
    with database.write() as session:
        for record in records:
            answers.save(session, record)


def an_indexed_document(document_id: int = 1, *texts: str, **overrides: Any) -> IndexedDocument:
    """Build a document for an index: chunk ids are 100 times the document's, counted from 0."""
    texts = texts or ("Some words.",)
    chunk_ids = np.arange(len(texts), dtype=np.int64) + 100 * document_id
    fields: dict[str, Any] = {
        "document_id": document_id,
        "vector_store_id": "vs_1",
        "attributes": {},
        "chunk_ids": chunk_ids,
        "texts": list(texts),
        "vectors": vectors_for(*texts),
        "window_chunk_ids": chunk_ids,
    }
    return IndexedDocument(**fields | overrides)


def a_publication(seq: int, document_id: int, *texts: str, **overrides: Any) -> DocumentChange:
    document = an_indexed_document(document_id, *texts, **overrides)
    return DocumentChange(seq=seq, document_id=document_id, document=document)


def a_removal(seq: int, document_id: int) -> DocumentChange:
    return DocumentChange(seq=seq, document_id=document_id, document=None)


def a_scope(*store_ids: str, **overrides: Any) -> Scope:
    return Scope(**{"vector_store_ids": frozenset(store_ids or ("vs_1",))} | overrides)


def a_stored_chunk(text: str = "Some words.", **overrides: Any) -> StoredChunk:
    fields: dict[str, Any] = {
        "chunk_id": next(_numbers),
        "document_id": 1,
        "vector_store_id": "vs_1",
        "file_id": "file-1",
        "filename": "a.txt",
        "title": None,
        "attributes": {},
        "created_at": 1_700_000_000.0,
        "ordinal": 0,
        "start": 0,
        "text": text,
        "context": "",
        "page": None,
        "box": None,
        "page_spans": [],
    } | overrides
    return StoredChunk(**{"end": fields["start"] + len(text)} | fields)


def a_passage(text: str = "Some words.", *, score: float = 1.0, **overrides: Any) -> Passage:
    """Build a passage; `overrides` are fields of its chunk."""
    return Passage(chunk=a_stored_chunk(text, **overrides), score=score, dense=score, lexical=None)


def sources_of(passages: Sequence[Passage]) -> list[Source]:
    return [Source(number=number, passage=passage) for number, passage in enumerate(passages, start=1)]


def an_item(number: int = 1, **overrides: Any) -> Item:
    """Build question `number` of a run; a keyword `measures` gives its values."""
    fields: dict[str, Any] = {
        "id": f"q{number}",
        "text": f"Question {number}?",
        "part": "fact",
        "measures": {"answer accuracy": 1.0},
    }
    return Item(**fields | overrides)


def an_attempt(confidence: float, *, is_right: bool, is_answerable: bool = True) -> Attempt:
    return Attempt(confidence=confidence, is_right=is_right, is_answerable=is_answerable)


def a_run(*items: Item, **overrides: Any) -> Run:
    fields: dict[str, Any] = {
        "name": "a run",
        "task": Task.ANSWERS,
        "created_at": "2026-01-02T03:04:05+00:00",
        "setup": {"data": "0123"},
        "items": list(items) or [an_item()],
    }
    return Run(**fields | overrides)


def a_run_of(values: Sequence[float], name: str = "answer accuracy", **overrides: Any) -> Run:
    """Build a run whose questions have these values of one measure."""
    return a_run(*(an_item(n, measures={name: value}) for n, value in enumerate(values)), **overrides)


def lexical_traces(path: Path, word: str) -> set[str]:
    """Return `{"lexical"}` when `word` is in a dictionary of a lexical index, if only for removed passages.

    tantivy compresses its dictionaries, so a search for bytes would not find it. Files of no segment are named too:
    nobody can say what is in them.
    """
    found = {"lexical"} if word in lexical_terms(path) else set()
    return found | ({file.stem for file in path.glob("*.term")} - _segments(path))


def lexical_terms(path: Path) -> set[str]:
    """Return every term in the dictionaries of a lexical index, those of removed passages too."""
    if not (path / "meta.json").exists():
        return set()
    return {term for term, _ in tantivy.Index.open(str(path)).searcher().terms_with_prefix("terms", "")}


def _segments(path: Path) -> set[str]:
    if not (path / "meta.json").exists():
        return set()
    segments = json.loads((path / "meta.json").read_bytes())["segments"]
    return {each["segment_id"].replace("-", "") for each in segments}

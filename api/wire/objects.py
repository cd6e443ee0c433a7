"""Rows as OpenAI's objects. Keys beyond OpenAI's are Footnote's extra fields."""

import time
from typing import Any

from catalog import batches
from catalog.chunks import StoredChunk
from catalog.estimates import Wait
from catalog.ids import chunk_id
from catalog.models import (
    ArchiveMember,
    Document,
    File,
    FileBatch,
    JobStatus,
    Upload,
    UploadPart,
    VectorStore,
    VectorStoreFile,
)
from ingest.chunking import AUTO_MAX_TOKENS
from retrieval.passages import Passage
from retrieval.searcher import SearchResult


def file_object(file: File) -> dict[str, Any]:
    """OpenAI describes `expires_at` as a number: a file that stays has none."""
    expiry = {"expires_at": int(file.expires_at)} if file.expires_at else {}
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created_at),
        **expiry,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def upload_object(upload: Upload, file: File | None) -> dict[str, Any]:
    """`file` is there when the upload is complete."""
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": int(upload.created_at),
        "expires_at": int(upload.expires_at),
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.status,
        "file": file_object(file) if file else None,
    }


def upload_part_object(part: UploadPart) -> dict[str, Any]:
    return {
        "id": part.id,
        "object": "upload.part",
        "created_at": int(part.created_at),
        "upload_id": part.upload_id,
    }


def vector_store_object(
    store: VectorStore, counts: dict[str, int], usage_bytes: int, left_s: float | None = None
) -> dict[str, Any]:
    """OpenAI describes `expires_after` as an object: a store that stays has none."""
    days = store.expires_after_days
    expiry = {"expires_after": {"anchor": "last_active_at", "days": days}} if days else {}
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": int(store.created_at),
        "name": store.name,
        "description": store.description,
        "usage_bytes": usage_bytes,
        "file_counts": counts,
        "status": _store_status(store, counts),
        **expiry,
        "expires_at": int(store.expires_at) if store.expires_at else None,
        "last_active_at": int(store.last_active_at),
        "metadata": store.metadata_,
        "embedding_model": store.embedding_identity,
        "seconds_left": _rounded(left_s),
    }


def file_batch_object(batch: FileBatch, counts: dict[str, int], left_s: float | None) -> dict[str, Any]:
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": int(batch.created_at),
        "vector_store_id": batch.vector_store_id,
        "status": batches.status_of(batch, counts),
        "file_counts": counts,
        "seconds_left": _rounded(left_s),
    }


def _rounded(seconds: float | None) -> float | None:
    """An estimate promises no more than tenths."""
    return None if seconds is None else round(seconds, 1)


def _store_status(store: VectorStore, counts: dict[str, int]) -> str:
    if store.is_expired(time.time()):
        return "expired"
    return "in_progress" if counts["in_progress"] else "completed"


def vector_store_file_object(
    entry: VectorStoreFile,
    filename: str,
    document: Document | None,
    wait: Wait = Wait(),
    member: ArchiveMember | None = None,
) -> dict[str, Any]:
    failed = entry.status == JobStatus.FAILED
    return {
        "id": entry.file_id,
        "object": "vector_store.file",
        "created_at": int(entry.created_at),
        "usage_bytes": entry.bytes if document else 0,
        "vector_store_id": entry.vector_store_id,
        "status": entry.status,
        "last_error": {"code": entry.error_code, "message": entry.error_message} if failed else None,
        "attributes": entry.attributes,
        "chunking_strategy": _chunking_strategy(entry.chunking_strategy),
        "filename": filename,
        "source": entry.source,
        "archive": {"file_id": member.archive_id, "path": member.path} if member else None,
        "title": document.title if document else None,
        "progress": entry.progress,
        "seconds_left": _rounded(wait.seconds_left),
        "status_note": wait.note,
        "coverage": _coverage(document) if document else None,
        "warnings": document.warnings if document else [],
    }


def _chunking_strategy(asked: dict[str, Any]) -> dict[str, Any]:
    if asked["type"] == "static":
        return asked
    return {"type": "other", "max_chunk_size_tokens": AUTO_MAX_TOKENS}


def _coverage(document: Document) -> dict[str, Any]:
    return {
        "pages": document.pages,
        "pages_read": document.pages_read,
        "characters": document.characters,
        "chunks": document.chunk_count,
    }


def search_result_object(passage: Passage) -> dict[str, Any]:
    """An item of a search page, and of `file_search_call.results`."""
    return {
        **_found(passage),
        "content": [{"type": "text", "text": passage.chunk.text}],
    }


def explanation_object(found: SearchResult) -> dict[str, Any]:
    """What every stage of a search left, best first, and how long the parts took."""
    return {
        "index_version": found.index_version,
        "seconds": dict(found.seconds),
        "stages": [
            {
                "name": stage.name,
                "candidates": [
                    {"rank": rank, "chunk_id": chunk_id(hit.chunk_id), "score": hit.score}
                    for rank, hit in enumerate(stage.hits, start=1)
                ],
            }
            for stage in found.stages
        ],
    }


def file_search_result_object(passage: Passage) -> dict[str, Any]:
    return {**_found(passage), "text": passage.chunk.text}


def _found(passage: Passage) -> dict[str, Any]:
    chunk = passage.chunk
    return {
        "file_id": chunk.file_id,
        "filename": chunk.filename,
        "score": passage.score,
        "attributes": chunk.attributes,
        **chunk_fields(chunk),
        "scores": {"dense": passage.dense, "lexical": passage.lexical, "rerank": passage.rerank},
    }


def chunk_fields(chunk: StoredChunk) -> dict[str, Any]:
    """Where a chunk stands: characters of the stored text, page and box."""
    return {
        "vector_store_id": chunk.vector_store_id,
        "chunk_id": chunk_id(chunk.chunk_id),
        "start": chunk.start,
        "end": chunk.end,
        "page": chunk.page,
        "box": chunk.box,
        "title": chunk.title,
    }

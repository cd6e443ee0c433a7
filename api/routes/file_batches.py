"""/v1/vector_stores/{vector_store_id}/file_batches"""

from typing import Any

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from api.auth import CallerOf, ServicesOf
from api.routes.vector_store_files import POLL_AFTER_MS, list_entries
from api.visibility import check_files
from api.wire.common import PageOf
from api.wire.objects import file_batch_object
from api.wire.stores import CreateFileBatch
from catalog import batches, estimates, jobs, stores
from catalog.models import FileBatch, JobStatus
from catalog.stores import NewVectorStoreFile
from ingest.chunking import parse_strategy

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/file_batches", tags=["File batches"])


@router.post("")
def create_file_batch(
    services: ServicesOf, caller: CallerOf, vector_store_id: str, body: CreateFileBatch
) -> dict[str, Any]:
    """Queue many files for a store in one request; `files` gives each its own attributes and chunking strategy."""
    new_files = [
        NewVectorStoreFile(
            file_id=one.file_id,
            attributes=one.attributes or {},
            chunking_strategy=one.chunking_strategy or {"type": "auto"},
        )
        for one in body.each()
    ]
    for new in new_files:
        parse_strategy(new.chunking_strategy)
    with services.catalog.database.write() as session:
        store = stores.get(session, caller.project_id, vector_store_id)
        check_files(session, caller, [new.file_id for new in new_files])
        jobs.check_room(session, services.settings.max_queued_files)
        return _render(session, batches.create(session, store, new_files))


@router.get("/{batch_id}")
def retrieve_file_batch(
    services: ServicesOf, caller: CallerOf, vector_store_id: str, batch_id: str, response: Response
) -> dict[str, Any]:
    """State, counts, and the estimated time left."""
    response.headers["openai-poll-after-ms"] = POLL_AFTER_MS
    with services.catalog.database.read() as session:
        store = stores.get(session, caller.project_id, vector_store_id)
        return _render(session, batches.get(session, store, batch_id))


@router.post("/{batch_id}/cancel")
def cancel_file_batch(services: ServicesOf, caller: CallerOf, vector_store_id: str, batch_id: str) -> dict[str, Any]:
    """Stop work on the files of a batch that have not ended; the others stay as they are."""
    with services.catalog.database.write() as session:
        batch = batches.get(session, stores.get(session, caller.project_id, vector_store_id), batch_id)
        batches.cancel(session, batch)
        return _render(session, batch)


@router.get("/{batch_id}/files")
def list_file_batch(
    services: ServicesOf,
    caller: CallerOf,
    vector_store_id: str,
    batch_id: str,
    request: PageOf,
    status: JobStatus | None = Query(None, alias="filter"),
) -> dict[str, Any]:
    """List the files of a batch, newest first."""
    with services.catalog.database.read() as session:
        store = stores.get(session, caller.project_id, vector_store_id)
        batch = batches.get(session, store, batch_id)
        return list_entries(
            session, caller, stores.list_files(session, store, request, status=status, batch_id=batch.id)
        )


def _render(session: Session, batch: FileBatch) -> dict[str, Any]:
    counts = batches.file_counts(session, batch)
    left_s = estimates.seconds_left_of_batch(session, batch.id) if counts["in_progress"] else None
    return file_batch_object(batch, counts, left_s)

"""/v1/vector_stores/{vector_store_id}/files"""

from typing import Any

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from api.auth import Caller, CallerOf, ServicesOf
from api.visibility import check_files, seen_members
from api.wire.common import PageOf, list_object, plain_page
from api.wire.objects import vector_store_file_object
from api.wire.stores import AttachFile, UpdateAttachedFile
from catalog import documents, estimates, files, jobs, stores
from catalog.chunks import chunks_of
from catalog.errors import NotFound
from catalog.ids import chunk_id
from catalog.models import Document, JobStatus, VectorStoreFile
from catalog.paging import Page
from catalog.stores import NewVectorStoreFile
from ingest.chunking import parse_strategy

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/files", tags=["Vector store files"])

# What the SDKs' polling helpers wait between two looks: a small document is ready in half a second.
POLL_AFTER_MS = "500"


@router.post("")
def attach_file(services: ServicesOf, caller: CallerOf, vector_store_id: str, body: AttachFile) -> dict[str, Any]:
    """Queue a file for a store. Attaching one that is there already answers with its state."""
    strategy = body.chunking_strategy or {"type": "auto"}
    parse_strategy(strategy)
    new = NewVectorStoreFile(file_id=body.file_id, attributes=body.attributes or {}, chunking_strategy=strategy)
    with services.catalog.database.write() as session:
        store = stores.get(session, caller.project_id, vector_store_id)
        check_files(session, caller, [body.file_id])
        jobs.check_room(session, services.settings.max_queued_files)
        return _render(session, caller, stores.attach(session, store, new))


@router.get("")
def list_attached_files(
    services: ServicesOf,
    caller: CallerOf,
    vector_store_id: str,
    request: PageOf,
    status: JobStatus | None = Query(None, alias="filter"),
) -> dict[str, Any]:
    """List the files of a store, newest first."""
    with services.catalog.database.read() as session:
        store = stores.get(session, caller.project_id, vector_store_id)
        return list_entries(session, caller, stores.list_files(session, store, request, status=status))


def list_entries(session: Session, caller: Caller, page: Page[VectorStoreFile]) -> dict[str, Any]:
    """Return OpenAI's list of vector-store files."""
    found = documents.of_entries(session, [entry.id for entry in page.items])
    file_ids = [entry.file_id for entry in page.items]
    names, members = files.names(session, file_ids), seen_members(session, caller, file_ids)
    return list_object(
        page,
        lambda entry: vector_store_file_object(
            entry,
            names[entry.file_id],
            found.get(entry.id),
            estimates.wait_for(session, entry),
            members.get(entry.file_id),
        ),
    )


@router.get("/{file_id}")
def retrieve_attached_file(
    services: ServicesOf, caller: CallerOf, vector_store_id: str, file_id: str, response: Response
) -> dict[str, Any]:
    with services.catalog.database.read() as session:
        entry = _entry(session, caller.project_id, vector_store_id, file_id)
        response.headers["openai-poll-after-ms"] = POLL_AFTER_MS
        return _render(session, caller, entry)


@router.post("/{file_id}")
def update_attached_file(
    services: ServicesOf, caller: CallerOf, vector_store_id: str, file_id: str, body: UpdateAttachedFile
) -> dict[str, Any]:
    """Replace the attributes; the next search filters by the new ones."""
    database = services.catalog.database
    with database.write() as session:
        entry = _entry(session, caller.project_id, vector_store_id, file_id)
        stores.set_attributes(database, session, entry, body.attributes or {})
        return _render(session, caller, entry)


@router.delete("/{file_id}")
def detach_file(services: ServicesOf, caller: CallerOf, vector_store_id: str, file_id: str) -> dict[str, Any]:
    """Take a file out of a store; the file itself stays."""
    database = services.catalog.database
    with database.write() as session:
        stores.detach(database, session, _entry(session, caller.project_id, vector_store_id, file_id))
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.get("/{file_id}/content")
def retrieve_attached_content(
    services: ServicesOf, caller: CallerOf, vector_store_id: str, file_id: str
) -> dict[str, Any]:
    """The parsed text by chunk, each with its place in the stored text."""
    with services.catalog.database.read() as session:
        document = _document(session, _entry(session, caller.project_id, vector_store_id, file_id))
        chunks = chunks_of(session, document.id)
    data = [
        {
            "type": "text",
            "text": chunk.text,
            "chunk_id": chunk_id(chunk.id),
            "start": chunk.start,
            "end": chunk.end,
            "page": chunk.page,
        }
        for chunk in chunks
    ]
    return plain_page("vector_store.file_content.page", data, file_id=file_id)


@router.get("/{file_id}/text")
def retrieve_stored_text(services: ServicesOf, caller: CallerOf, vector_store_id: str, file_id: str) -> dict[str, Any]:
    """The stored text, whole: what `start` and `end` of every citation and chunk refer to (Footnote's extension)."""
    with services.catalog.database.read() as session:
        entry = _entry(session, caller.project_id, vector_store_id, file_id)
        document = _document(session, entry)
        return {
            "object": "vector_store.file_text",
            "file_id": file_id,
            "vector_store_id": vector_store_id,
            "filename": files.names(session, [file_id])[file_id],
            "title": document.title,
            "text": document.text,
            "pages": [{"page": page, "start": start, "end": end} for page, start, end in document.page_spans],
        }


def _entry(session: Session, project_id: str, vector_store_id: str, file_id: str) -> VectorStoreFile:
    return stores.get_file(session, stores.get(session, project_id, vector_store_id), file_id)


def _document(session: Session, entry: VectorStoreFile) -> Document:
    document = documents.of_entries(session, [entry.id]).get(entry.id)
    if document is None:
        raise NotFound(f"File {entry.file_id!r} has no text yet: it is {entry.status}.", param="file_id")
    return document


def _render(session: Session, caller: Caller, entry: VectorStoreFile) -> dict[str, Any]:
    document = documents.of_entries(session, [entry.id]).get(entry.id)
    name = files.names(session, [entry.file_id])[entry.file_id]
    member = seen_members(session, caller, [entry.file_id]).get(entry.file_id)
    return vector_store_file_object(entry, name, document, estimates.wait_for(session, entry), member)

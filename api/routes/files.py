"""/v1/files"""

import time
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import StreamingResponse

from api.auth import CallerOf, ServicesOf
from api.wire.common import list_object
from api.wire.objects import file_object
from catalog import filenames, files
from catalog.errors import InvalidRequest
from catalog.files import NewFile
from catalog.paging import PageRequest

router = APIRouter(prefix="/v1/files", tags=["Files"])

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
_READ_BYTES = 1 << 20


@router.post("")
def create_file(
    services: ServicesOf,
    caller: CallerOf,
    file: Annotated[UploadFile, File(description="The file, at most `max_file_bytes` of the settings.")],
    purpose: Annotated[Purpose, Form()],
    expires_anchor: Annotated[Literal["created_at"] | None, Form(alias="expires_after[anchor]")] = None,
    expires_seconds: Annotated[int | None, Form(alias="expires_after[seconds]", ge=3600, le=2_592_000)] = None,
) -> dict[str, Any]:
    """Store a file. When this answers, the file survives a crash of any process."""
    if (expires_anchor is None) != (expires_seconds is None):
        raise InvalidRequest("expires_after needs both `anchor` and `seconds`.", param="expires_after")
    new = NewFile(
        project_id=caller.project_id,
        filename=clean_filename(file.filename or ""),
        purpose=purpose,
        expires_at=time.time() + expires_seconds if expires_seconds else None,
    )
    catalog = services.catalog
    blob = catalog.blobs.stage(file.file, max_bytes=services.settings.max_file_bytes)
    try:
        return file_object(files.add(catalog.database, catalog.blobs, blob, new))
    finally:
        catalog.blobs.discard(blob)


@router.get("")
def list_files(
    services: ServicesOf,
    caller: CallerOf,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
    purpose: str | None = None,
) -> dict[str, Any]:
    """List the files, newest first."""
    request = PageRequest(limit=limit, order=order, after=after)
    with services.catalog.database.read() as session:
        return list_object(files.list_page(session, caller.project_id, request, purpose=purpose), file_object)


@router.get("/{file_id}")
def retrieve_file(services: ServicesOf, caller: CallerOf, file_id: str) -> dict[str, Any]:
    with services.catalog.database.read() as session:
        return file_object(files.get(session, caller.project_id, file_id))


@router.get("/{file_id}/content", response_class=StreamingResponse)
def retrieve_file_content(services: ServicesOf, caller: CallerOf, file_id: str) -> StreamingResponse:
    """The bytes, as they were uploaded. Always offered for download, never shown: a file may hold a script."""
    with services.catalog.database.read() as session:
        file = files.get(session, caller.project_id, file_id)
    stream = services.catalog.blobs.open(file.sha256)
    headers = {
        "content-length": str(file.bytes),
        "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
        "x-content-type-options": "nosniff",
    }
    return StreamingResponse(
        iter(lambda: stream.read(_READ_BYTES), b""), media_type="application/octet-stream", headers=headers
    )


@router.delete("/{file_id}")
def delete_file(services: ServicesOf, caller: CallerOf, file_id: str) -> dict[str, Any]:
    """Delete a file; the next search in any store does not see it."""
    files.delete(services.catalog.database, services.catalog.blobs, caller.project_id, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


def clean_filename(name: str) -> str:
    """Return the name without control characters and overrides of the reading direction.

    It is shown to people and never used as a path.
    Raises InvalidRequest when nothing is left, or too much.
    """
    # In a multipart header browsers escape these three characters and no others (WHATWG HTML, "multipart/form-data").
    name = filenames.visible(name.replace("%22", '"').replace("%0D", "").replace("%0A", ""))
    if not name or len(name) > filenames.MAX_CHARS:
        raise InvalidRequest(
            f"The file name has {len(name)} characters; it needs 1 to {filenames.MAX_CHARS}.", param="file"
        )
    return name

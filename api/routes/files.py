"""/v1/files"""

from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import StreamingResponse

from api.auth import CallerOf, ServicesOf
from api.visibility import check_deletable, seen_files
from api.wire.common import list_object
from api.wire.files import LifetimeSeconds, Purpose, clean_filename
from api.wire.objects import file_object
from catalog import files
from catalog.errors import InvalidRequest
from catalog.files import NewFile
from catalog.paging import PageRequest

router = APIRouter(prefix="/v1/files", tags=["Files"])

_READ_BYTES = 1 << 20


@router.post("")
def create_file(
    services: ServicesOf,
    caller: CallerOf,
    file: Annotated[UploadFile, File(description="The file, at most `max_file_bytes` of the settings.")],
    purpose: Annotated[Purpose, Form()],
    expires_anchor: Annotated[Literal["created_at"] | None, Form(alias="expires_after[anchor]")] = None,
    expires_seconds: Annotated[LifetimeSeconds | None, Form(alias="expires_after[seconds]")] = None,
) -> dict[str, Any]:
    """Store a file. When this answers, the file survives a crash of any process."""
    if (expires_anchor is None) != (expires_seconds is None):
        raise InvalidRequest("expires_after needs both `anchor` and `seconds`.", param="expires_after")
    new = NewFile(
        project_id=caller.project_id,
        filename=filename_of(file.filename or ""),
        purpose=purpose,
        lifetime_s=expires_seconds,
        uploaded_by=caller.key_id,
    )
    catalog = services.catalog
    blob = catalog.blobs.stage(file.file, max_bytes=caller.file_limit(services.settings.max_file_bytes))
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
        page = files.list_page(session, caller.project_id, request, purpose=purpose, where=seen_files(caller))
        return list_object(page, file_object)


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
    with services.catalog.database.read() as session:
        check_deletable(session, caller, file_id)
    files.delete(services.catalog.database, services.catalog.blobs, caller.project_id, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


def filename_of(header: str) -> str:
    """Return the file name that a multipart header holds. Raises InvalidRequest."""
    # In it browsers escape these three characters and no others (WHATWG HTML, "multipart/form-data").
    return clean_filename(header.replace("%22", '"').replace("%0D", "").replace("%0A", ""), param="file")

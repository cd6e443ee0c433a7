"""/v1/uploads"""

from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile

from api.auth import CallerOf, ServicesOf
from api.wire.files import CompleteUpload, CreateUpload, clean_filename
from api.wire.objects import upload_object, upload_part_object
from catalog import uploads
from catalog.errors import RequestTooLarge
from catalog.uploads import NewUpload

router = APIRouter(prefix="/v1/uploads", tags=["Uploads"])


@router.post("")
def create_upload(services: ServicesOf, caller: CallerOf, body: CreateUpload) -> dict[str, Any]:
    """Begin a file that comes in parts, within an hour."""
    limit = caller.file_limit(services.settings.max_file_bytes)
    if body.bytes > limit:
        raise RequestTooLarge(
            f"The file of {body.bytes:,} bytes is larger than the {limit:,} bytes that are allowed.", param="bytes"
        )
    new = NewUpload(
        project_id=caller.project_id,
        filename=clean_filename(body.filename, param="filename"),
        purpose=body.purpose,
        bytes=body.bytes,
        file_lifetime_s=body.expires_after.seconds if body.expires_after else None,
    )
    with services.catalog.database.write() as session:
        return upload_object(uploads.create(session, new), None)


@router.post("/{upload_id}/parts")
def add_upload_part(
    services: ServicesOf,
    caller: CallerOf,
    upload_id: str,
    data: Annotated[UploadFile, File(description="The bytes, 64 MB at most.")],
) -> dict[str, Any]:
    """Add a part; the order is told when the upload is completed, so that parts can come at once."""
    catalog = services.catalog
    with catalog.database.read() as session:
        uploads.get(session, caller.project_id, upload_id)
    limit = min(uploads.MAX_PART_BYTES, caller.file_limit(services.settings.max_file_bytes))
    blob = catalog.blobs.stage(data.file, max_bytes=limit)
    try:
        return upload_part_object(uploads.add_part(catalog.database, catalog.blobs, caller.project_id, upload_id, blob))
    finally:
        catalog.blobs.discard(blob)


@router.post("/{upload_id}/complete")
def complete_upload(services: ServicesOf, caller: CallerOf, upload_id: str, body: CompleteUpload) -> dict[str, Any]:
    """Make a file of the parts in the given order. A second time it answers with the same file."""
    upload, file = uploads.complete(
        services.catalog.database,
        services.catalog.blobs,
        caller.project_id,
        upload_id,
        part_ids=body.part_ids,
        md5=body.md5,
    )
    return upload_object(upload, file)


@router.post("/{upload_id}/cancel")
def cancel_upload(services: ServicesOf, caller: CallerOf, upload_id: str) -> dict[str, Any]:
    upload = uploads.cancel(services.catalog.database, services.catalog.blobs, caller.project_id, upload_id)
    return upload_object(upload, None)

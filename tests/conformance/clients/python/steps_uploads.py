"""Uploads in parts."""

import hashlib
import tempfile
from pathlib import Path

import openai
from kit import Kit, done, opened, raises, step

TEXT = b"A part of a large file. " * 200


@step
async def parts_are_put_together_in_the_order_that_is_named(kit: Kit) -> None:
    """The file of a completed upload holds the parts as `part_ids` lists them, checked by `md5`."""
    upload = await kit.call(
        "uploads.create",
        bytes=len(TEXT),
        filename="large.txt",
        mime_type="text/plain",
        purpose="assistants",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (upload.status, upload.bytes, upload.filename) == ("pending", len(TEXT), "large.txt")
    second = await kit.call("uploads.parts.create", upload.id, data=TEXT[1000:])
    first = await kit.call("uploads.parts.create", upload.id, data=TEXT[:1000])
    assert first.upload_id == upload.id
    whole = await kit.call(
        "uploads.complete", upload.id, part_ids=[first.id, second.id], md5=hashlib.md5(TEXT).hexdigest()
    )
    assert (whole.status, whole.file.filename, whole.file.bytes) == ("completed", "large.txt", len(TEXT))
    assert whole.file.expires_at
    assert (await kit.call("files.content", whole.file.id)).read() == TEXT
    await kit.call("files.delete", whole.file.id)


@step
async def the_helper_uploads_from_disk_and_memory(kit: Kit) -> None:
    """upload_file_chunked cuts the file into parts by itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.txt"
        path.write_bytes(TEXT)
        upload = await kit.call(
            "uploads.upload_file_chunked", file=path, mime_type="text/plain", purpose="assistants", part_size=2000
        )
    again = await kit.call(
        "uploads.upload_file_chunked",
        file=TEXT,
        filename="again.txt",
        bytes=len(TEXT),
        mime_type="text/plain",
        purpose="assistants",
        part_size=1500,
    )
    for one in (upload, again):
        assert one.status == "completed"
        assert (await kit.call("files.content", one.file.id)).read() == TEXT
        await kit.call("files.delete", one.file.id)


@step
async def a_cancelled_upload_takes_no_more(kit: Kit) -> None:
    """cancel ends it; neither parts nor completion follow."""
    upload = await kit.call("uploads.create", bytes=4, filename="a.txt", mime_type="text/plain", purpose="assistants")
    assert (await kit.call("uploads.cancel", upload.id)).status == "cancelled"
    async with raises(openai.APIStatusError) as caught:
        await kit.call("uploads.parts.create", upload.id, data=b"text")
    assert caught[0].status_code in (400, 409)


@step
async def a_wrong_checksum_makes_no_file(kit: Kit) -> None:
    """complete refuses it with 400."""
    upload = await kit.call("uploads.create", bytes=4, filename="a.txt", mime_type="text/plain", purpose="assistants")
    part = await kit.call("uploads.parts.create", upload.id, data=b"text")
    async with raises(openai.BadRequestError):
        await kit.call("uploads.complete", upload.id, part_ids=[part.id], md5="0" * 32)


@step
async def uploads_show_their_raw_replies(kit: Kit) -> None:
    """Both wrappers work for uploads and for their parts."""
    asked = {"bytes": 4, "filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}
    raw = await kit.call("uploads.with_raw_response.create", **asked)
    upload_id = raw.parse().id
    part = await kit.call("uploads.parts.with_raw_response.create", upload_id, data=b"te")
    assert part.parse().upload_id == upload_id
    async with opened(await kit.call("uploads.parts.with_streaming_response.create", upload_id, data=b"xt")) as reply:
        assert (await done(reply.parse())).object == "upload.part"
    async with opened(await kit.call("uploads.with_streaming_response.cancel", upload_id)) as reply:
        assert (await done(reply.parse())).status == "cancelled"

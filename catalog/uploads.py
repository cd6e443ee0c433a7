"""Uploads in parts: a large file that comes piece by piece, and is a file once it is whole."""

import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from catalog import files
from catalog.blobs import BlobStore, StagedBlob
from catalog.database import Database
from catalog.errors import FootnoteError, InvalidRequest, NotFound
from catalog.files import NewFile
from catalog.ids import UPLOAD, UPLOAD_PART, new_id
from catalog.models import SECONDS_PER_DAY, File, Upload, UploadPart, UploadStatus

log = logging.getLogger(__name__)

# OpenAI's numbers: an upload lasts an hour, a part has at most 64 MB.
LIFETIME_S: Final = 3600.0
MAX_PART_BYTES: Final = 64 * 1024**2
# The row of an upload stays for so long after its time, so that a client that comes late is told what became of it.
_KEPT_S: Final = float(SECONDS_PER_DAY)
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class NewUpload:
    project_id: str
    filename: str
    purpose: str
    # What the parts must have together.
    bytes: int
    # Lifetime of the file, from its creation.
    file_lifetime_s: float | None = None


def create(session: Session, new: NewUpload) -> Upload:
    now = time.time()
    upload = Upload(
        id=new_id(UPLOAD),
        project_id=new.project_id,
        filename=new.filename,
        purpose=new.purpose,
        bytes=new.bytes,
        file_lifetime_s=new.file_lifetime_s,
        created_at=now,
        expires_at=now + LIFETIME_S,
        status=UploadStatus.PENDING,
    )
    session.add(upload)
    session.flush()
    return upload


def add_part(database: Database, blobs: BlobStore, project_id: str, upload_id: str, blob: StagedBlob) -> UploadPart:
    """Store a staged part; when this returns, a crash does not lose it.

    Parts may come in any order and at once; the same bytes again are another part. Raises NotFound, InvalidRequest
    when the upload has ended, or holds twice the bytes that were announced.
    """
    with database.write() as session:
        # Other parts may come meanwhile; its end waits.
        upload = get(session, project_id, upload_id, lock="shared")
        _check_pending(upload)
        _check_room(session, upload, blob)
        database.lock(session, blob.sha256)
        blobs.store(blob)
        part = UploadPart(
            id=new_id(UPLOAD_PART),
            upload_id=upload.id,
            sha256=blob.sha256,
            bytes=blob.bytes,
            created_at=time.time(),
        )
        session.add(part)
        session.flush()
        return part


def complete(
    database: Database,
    blobs: BlobStore,
    project_id: str,
    upload_id: str,
    *,
    part_ids: Sequence[str],
    md5: str | None = None,
) -> tuple[Upload, File | None]:
    """Make a file of the parts, in the given order; when this returns, a crash does not lose it.

    One that is complete already is answered with its file (None: deleted since), so that a repeated request makes no
    second one. Raises NotFound, InvalidRequest when the upload has ended, when a part is not its own, and when length
    or `md5` (hexadecimal) are not those of the parts.
    """
    with database.read() as session:
        upload = get(session, project_id, upload_id)
        if upload.status == UploadStatus.COMPLETED:
            return upload, _file_of(session, upload)
        _check_pending(upload)
        hashes = _hashes(session, upload, part_ids)
    digest = hashlib.md5(usedforsecurity=False)
    blob = blobs.stage_pieces(_joined(blobs, hashes, digest), max_bytes=upload.bytes)
    try:
        if md5 is not None and md5.lower() != digest.hexdigest():
            raise InvalidRequest(f"The MD5 of the parts is {digest.hexdigest()}, not {md5!r}.", param="md5")
        with database.write() as session:
            upload = get(session, project_id, upload_id, lock="exclusive")
            if upload.status == UploadStatus.COMPLETED:  # By the same request, sent again while this one ran.
                return upload, _file_of(session, upload)
            _check_pending(upload)
            file = files.insert(database, session, blobs, blob, _new_file(upload))
            upload.status, upload.file_id = UploadStatus.COMPLETED, file.id
            unused = _remove_parts(session, upload)
    finally:
        blobs.discard(blob)
    _clear(database, blobs, unused)
    return upload, file


def cancel(database: Database, blobs: BlobStore, project_id: str, upload_id: str) -> Upload:
    """End an upload and drop its parts; a second time is no error.

    Raises NotFound, InvalidRequest when it is complete or has expired.
    """
    with database.write() as session:
        upload = get(session, project_id, upload_id, lock="exclusive")
        if upload.status == UploadStatus.CANCELLED:
            return upload
        _check_pending(upload)
        upload.status = UploadStatus.CANCELLED
        unused = _remove_parts(session, upload)
    _clear(database, blobs, unused)
    return upload


def remove_expired(database: Database) -> tuple[int, set[str]]:
    """Drop the parts of uploads whose time is over, and the rows of those that ended long ago.

    Return how many end, and the hashes whose blobs may now be unused.
    """
    now = time.time()
    with database.read() as session:
        late = select(Upload.id).where(Upload.expires_at <= now, Upload.status == UploadStatus.PENDING)
        ended = list(session.scalars(late))
    unused: set[str] = set()
    for upload_id in ended:
        with database.write() as session:
            upload = session.get(Upload, upload_id, with_for_update=True)
            if upload is not None and upload.status == UploadStatus.PENDING:
                upload.status = UploadStatus.EXPIRED
                unused |= _remove_parts(session, upload)
    with database.write() as session:
        session.execute(delete(Upload).where(Upload.expires_at <= now - _KEPT_S, Upload.status != UploadStatus.PENDING))
    return len(ended), unused


def remove_fileless(database: Database) -> None:
    """Forget the uploads whose file was deleted: their rows hold its name."""
    with database.write() as session:
        session.execute(delete(Upload).where(Upload.status == UploadStatus.COMPLETED, Upload.file_id.is_(None)))


def get(
    session: Session, project_id: str, upload_id: str, *, lock: Literal["shared", "exclusive"] | None = None
) -> Upload:
    """Return an upload; with `lock` it does not end until the transaction does, and `exclusive` is held by one alone.

    Raises NotFound, also for another project's.
    """
    upload = session.get(Upload, upload_id, with_for_update={"read": lock == "shared"} if lock else None)
    if upload is None or upload.project_id != project_id:
        raise NotFound(f"No such Upload object: {upload_id!r}.", param="upload_id")
    return upload


def _check_pending(upload: Upload) -> None:
    status = UploadStatus.EXPIRED if upload.is_late(time.time()) else upload.status
    if status != UploadStatus.PENDING:
        raise InvalidRequest(f"Upload {upload.id!r} is {status}; begin a new one.", param="upload_id")


def _check_room(session: Session, upload: Upload, blob: StagedBlob) -> None:
    """A part may come twice, when the reply to the first was lost; more than that is not what was announced."""
    had = session.scalar(select(func.sum(UploadPart.bytes)).where(UploadPart.upload_id == upload.id)) or 0
    if had + blob.bytes > 2 * upload.bytes:
        raise InvalidRequest(
            f"Upload {upload.id!r} was announced with {upload.bytes:,} bytes and holds {had:,}; a part of "
            f"{blob.bytes:,} is too much. Begin an upload of the right size.",
            param="data",
        )


def _hashes(session: Session, upload: Upload, part_ids: Sequence[str]) -> list[str]:
    """Return the hashes of the parts in order. Raises InvalidRequest unless they are this upload's and long enough."""
    parts = {part.id: part for part in session.scalars(select(UploadPart).where(UploadPart.upload_id == upload.id))}
    if foreign := [part_id for part_id in part_ids if part_id not in parts]:
        raise InvalidRequest(f"Upload {upload.id!r} has no part {foreign[0]!r}.", param="part_ids")
    total = sum(parts[part_id].bytes for part_id in part_ids)
    if total != upload.bytes:
        raise InvalidRequest(
            f"The parts have {total:,} bytes together; the upload was announced with {upload.bytes:,}.",
            param="part_ids",
        )
    return [parts[part_id].sha256 for part_id in part_ids]


def _clear(database: Database, blobs: BlobStore, unused: set[str]) -> None:
    """Delete the bytes of parts; what cannot be deleted now is found by the sweep, and the upload has ended anyway."""
    try:
        files.delete_unused_blobs(database, blobs, unused)
    except FootnoteError as error:
        log.warning("Parts of an upload are left to the next sweep: %s", error.message)


def _new_file(upload: Upload) -> NewFile:
    return NewFile(
        project_id=upload.project_id,
        filename=upload.filename,
        purpose=upload.purpose,
        lifetime_s=upload.file_lifetime_s,
    )


def _file_of(session: Session, upload: Upload) -> File | None:
    return session.get(File, upload.file_id) if upload.file_id else None


def _remove_parts(session: Session, upload: Upload) -> set[str]:
    """Return the hashes whose blobs may now be unused."""
    removed = delete(UploadPart).where(UploadPart.upload_id == upload.id).returning(UploadPart.sha256)
    return set(session.scalars(removed))


def _joined(blobs: BlobStore, hashes: Sequence[str], digest: Any) -> Iterator[bytes]:
    """Yield the bytes of several blobs, one after the other, and feed them to `digest`."""
    for sha256 in hashes:
        with blobs.open(sha256) as stream:
            while data := stream.read(_READ_BYTES):
                digest.update(data)
                yield data

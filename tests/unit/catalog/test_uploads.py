"""A file that comes in parts. Runs on every database."""

import hashlib
import io
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from catalog import compaction, expiry, files, fsck, uploads
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidRequest, NotFound, ServiceUnavailable
from catalog.models import DEFAULT_PROJECT, File, Upload, UploadPart, UploadStatus
from catalog.uploads import NewUpload
from tests.builders import a_file


def an_upload(database: Database, size: int, **overrides: Any) -> str:
    fields = {"project_id": DEFAULT_PROJECT, "filename": "big.pdf", "purpose": "assistants", "bytes": size}
    with database.write() as session:
        return uploads.create(session, NewUpload(**fields | overrides)).id


def a_part(database: Database, blobs: BlobStore, upload: str, content: bytes, project: str = DEFAULT_PROJECT) -> str:
    blob = blobs.stage(io.BytesIO(content), max_bytes=1 << 20)
    try:
        return uploads.add_part(database, blobs, project, upload, blob).id
    finally:
        blobs.discard(blob)


def complete(database: Database, blobs: BlobStore, upload: str, parts: Sequence[str], **options: Any) -> File:
    _, file = uploads.complete(database, blobs, DEFAULT_PROJECT, upload, part_ids=parts, **options)
    assert file is not None
    return file


def content_of(blobs: BlobStore, file: File) -> bytes:
    with blobs.open(file.sha256) as stream:
        return bytes(stream.read())


def stored(blobs: BlobStore) -> set[str]:
    return {name for name, _ in blobs.names()}


def let_time_pass(database: Database, upload: str, seconds: float) -> None:
    with database.write() as session:
        session.execute(update(Upload).where(Upload.id == upload).values(expires_at=time.time() - seconds))


def test_the_parts_become_a_file_in_the_order_of_the_list(database: Database, blobs: BlobStore) -> None:
    """Not in the order in which they came; name, purpose and lifetime are the announced ones."""
    upload = an_upload(database, 6, file_lifetime_s=3600.0)
    second, first = a_part(database, blobs, upload, b"def"), a_part(database, blobs, upload, b"abc")
    file = complete(database, blobs, upload, [first, second], md5=hashlib.md5(b"abcdef").hexdigest().upper())
    assert content_of(blobs, file) == b"abcdef"
    assert (file.filename, file.purpose, file.bytes) == ("big.pdf", "assistants", 6)
    assert file.expires_at == pytest.approx(file.created_at + 3600, abs=5)


def test_the_parts_go_when_the_file_is_there(database: Database, blobs: BlobStore) -> None:
    """Their rows and their bytes; a catalog check finds nothing wrong before or after."""
    upload = an_upload(database, 6)
    parts = [a_part(database, blobs, upload, data) for data in (b"abc", b"def")]
    assert fsck.check(database, blobs, orphan_age_s=0) == []
    file = complete(database, blobs, upload, parts)
    assert stored(blobs) == {file.sha256}
    assert fsck.check(database, blobs, orphan_age_s=0) == []
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(UploadPart)) == 0


def test_a_part_that_is_a_whole_file_elsewhere_is_shared_and_stays(database: Database, blobs: BlobStore) -> None:
    """The bytes of a file are not taken away with a part that has the same; nor those of a part with a file."""
    file, upload = a_file(database, blobs, b"abc"), an_upload(database, 3)
    a_part(database, blobs, upload, b"abc")
    uploads.cancel(database, blobs, DEFAULT_PROJECT, upload)
    assert content_of(blobs, file) == b"abc"
    upload = an_upload(database, 3)
    part = a_part(database, blobs, upload, b"abc")
    files.delete(database, blobs, DEFAULT_PROJECT, file.id)
    assert files.sweep(database, blobs, min_age_s=0) == 0
    assert content_of(blobs, complete(database, blobs, upload, [part])) == b"abc"


def test_completing_twice_makes_one_file(database: Database, blobs: BlobStore) -> None:
    """A client whose reply was lost asks again and gets the same file; one that was deleted since is not made anew."""
    upload = an_upload(database, 3)
    parts = [a_part(database, blobs, upload, b"abc")]
    first, second = (complete(database, blobs, upload, parts) for _ in range(2))
    assert first.id == second.id
    files.delete(database, blobs, DEFAULT_PROJECT, first.id)
    ended, file = uploads.complete(database, blobs, DEFAULT_PROJECT, upload, part_ids=parts)
    assert (ended.status, file) == (UploadStatus.COMPLETED, None)


def test_completing_at_once_makes_one_file(database: Database, blobs: BlobStore) -> None:
    """Whoever comes second is answered with the file of the first."""
    upload = an_upload(database, 3)
    parts = [a_part(database, blobs, upload, b"abc")]
    barrier = threading.Barrier(4)

    def race(_: int) -> str:
        barrier.wait()
        return complete(database, blobs, upload, parts).id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(race, range(4)))) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(File)) == 1
    assert fsck.check(database, blobs, orphan_age_s=0) == []


def test_what_does_not_add_up_is_refused_and_the_upload_goes_on(database: Database, blobs: BlobStore) -> None:
    """A wrong length, a wrong MD5, a part of another upload; then the right ones make the file."""
    upload, other = an_upload(database, 3), an_upload(database, 3)
    part, foreign = a_part(database, blobs, upload, b"abc"), a_part(database, blobs, other, b"abc")
    for parts, options, message in [
        ([part, part], {}, "6 bytes together; the upload was announced with 3"),
        ([foreign], {}, f"no part '{foreign}'"),
        (["part_none"], {}, "no part 'part_none'"),
        ([part], {"md5": "0" * 32}, "MD5 of the parts is 900150983cd24fb0d6963f7d28e17f72"),
    ]:
        with pytest.raises(InvalidRequest, match=message):
            complete(database, blobs, upload, parts, **options)
    assert content_of(blobs, complete(database, blobs, upload, [part])) == b"abc"
    assert list(blobs.staging.iterdir()) == []


@pytest.mark.parametrize("end", ["completed", "cancelled", "expired"])
def test_an_ended_upload_takes_no_part_and_says_how_it_ended(database: Database, blobs: BlobStore, end: str) -> None:
    """Neither does it become a file (again) nor another state."""
    upload = an_upload(database, 3)
    part = a_part(database, blobs, upload, b"abc")
    match end:
        case "completed":
            complete(database, blobs, upload, [part])
        case "cancelled":
            assert uploads.cancel(database, blobs, DEFAULT_PROJECT, upload).status == "cancelled"
            assert uploads.cancel(database, blobs, DEFAULT_PROJECT, upload).status == "cancelled"
        case "expired":
            let_time_pass(database, upload, 1)
    with pytest.raises(InvalidRequest, match=f"is {end}"):
        a_part(database, blobs, upload, b"more")
    if end != "completed":
        with pytest.raises(InvalidRequest, match=f"is {end}"):
            complete(database, blobs, upload, [part])
    if end != "cancelled":
        with pytest.raises(InvalidRequest, match=f"is {end}"):
            uploads.cancel(database, blobs, DEFAULT_PROJECT, upload)


def test_the_parts_of_an_expired_upload_go_and_its_row_goes_later(database: Database, blobs: BlobStore) -> None:
    """Another upload, whose time is not over, stays as it is."""
    late, young = an_upload(database, 3), an_upload(database, 3)
    a_part(database, blobs, late, b"abc")
    part = a_part(database, blobs, young, b"xyz")
    let_time_pass(database, late, 1)
    assert expiry.remove_expired(database, blobs) == 1
    assert expiry.remove_expired(database, blobs) == 0
    assert len(stored(blobs)) == 1
    with database.read() as session:
        assert uploads.get(session, DEFAULT_PROJECT, late).status == UploadStatus.EXPIRED
    let_time_pass(database, late, 100_000)
    expiry.remove_expired(database, blobs)
    with database.read() as session, pytest.raises(NotFound, match=late):
        uploads.get(session, DEFAULT_PROJECT, late)
    assert content_of(blobs, complete(database, blobs, young, [part])) == b"xyz"


def test_an_upload_takes_no_more_than_its_parts_twice(database: Database, blobs: BlobStore) -> None:
    """A part may be sent again; an upload of three bytes is no way to fill the disk."""
    upload = an_upload(database, 3)
    for _ in range(2):
        a_part(database, blobs, upload, b"abc")
    with pytest.raises(InvalidRequest, match="announced with 3 bytes and holds 6"):
        a_part(database, blobs, upload, b"d")


def test_parts_that_cannot_be_cleared_away_do_not_undo_the_file(
    database: Database, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there, and the sweep finds what is left."""

    def away(_sha256: str) -> None:
        raise ServiceUnavailable("The blob store does not answer.")

    upload = an_upload(database, 6)
    parts = [a_part(database, blobs, upload, data) for data in (b"abc", b"def")]
    with monkeypatch.context() as patch:
        patch.setattr(blobs, "delete", away)
        file = complete(database, blobs, upload, parts)
    assert len(stored(blobs)) == 3
    files.sweep(database, blobs, min_age_s=0)
    assert stored(blobs) == {file.sha256}


def test_compaction_forgets_the_name_of_a_deleted_file(database: Database, blobs: BlobStore) -> None:
    """The row of its upload goes; that of a file which is still there stays."""
    uploaded = []
    for _ in range(2):
        upload = an_upload(database, 3)
        uploaded.append((upload, complete(database, blobs, upload, [a_part(database, blobs, upload, b"abc")])))
    files.delete(database, blobs, DEFAULT_PROJECT, uploaded[0][1].id)
    compaction.remove_leftovers(database, blobs)
    with database.read() as session:
        assert list(session.scalars(select(Upload.id))) == [uploaded[1][0]]


def test_another_projects_upload_does_not_exist(database: Database, blobs: BlobStore) -> None:
    """Adding, completing and cancelling fail like for an id that was never given out."""
    upload = an_upload(database, 3, project_id="proj_other")
    part = a_part(database, blobs, upload, b"abc", project="proj_other")
    with pytest.raises(NotFound):
        a_part(database, blobs, upload, b"abc")
    with pytest.raises(NotFound):
        complete(database, blobs, upload, [part])
    with pytest.raises(NotFound):
        uploads.cancel(database, blobs, DEFAULT_PROJECT, upload)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(min_size=1, max_size=200), cuts=st.lists(st.integers(0, 200), max_size=6), seed=st.randoms())
def test_any_cut_in_any_order_gives_the_same_bytes(
    database: Database, blobs: BlobStore, content: bytes, cuts: list[int], seed: Any
) -> None:
    """Parts are cut anywhere and come in any order."""
    bounds = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    pieces = [content[start:end] for start, end in pairwise(bounds)]
    upload = an_upload(database, len(content))
    order = list(range(len(pieces)))
    seed.shuffle(order)
    ids = {number: a_part(database, blobs, upload, pieces[number]) for number in order}
    file = complete(database, blobs, upload, [ids[number] for number in sorted(ids)])
    assert content_of(blobs, file) == content

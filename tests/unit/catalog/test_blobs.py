"""Blobs are stored whole or not at all, once for equal bytes, on any file system."""

import hashlib
import io
import os
import secrets
import shutil
import time
from pathlib import Path

import pytest

from catalog.blobs import STALE_STAGING_S, BlobStore, StagedBlob
from catalog.errors import InvalidFile, InvalidRequest, RequestTooLarge, ServiceUnavailable


@pytest.fixture(params=["file", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    """Return a store in a folder, and one on a file system that is not local."""
    url = f"file://{tmp_path / 'blobs'}" if request.param == "file" else f"memory://{secrets.token_hex(4)}"
    return BlobStore(url, staging=tmp_path / "staging")


def stage(blobs: BlobStore, content: bytes, *, max_bytes: int = 1 << 30) -> StagedBlob:
    return blobs.stage(io.BytesIO(content), max_bytes=max_bytes)


def put(blobs: BlobStore, content: bytes) -> str:
    blob = stage(blobs, content)
    blobs.store(blob)
    return blob.sha256


def staged_files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "staging").iterdir())


@pytest.mark.parametrize("size", [1, (1 << 20) - 1, 1 << 20, (2 << 20) + 1])
def test_a_stored_blob_has_its_bytes_and_its_hash(blobs: BlobStore, tmp_path: Path, size: int) -> None:
    """Bytes of any length come back as they were, and nothing is left in the staging folder."""
    content = secrets.token_bytes(size)
    sha256 = put(blobs, content)
    assert hashlib.sha256(content).hexdigest() == sha256
    assert blobs.exists(sha256)
    with blobs.open(sha256) as stream:
        assert content == stream.read()
    assert staged_files(tmp_path) == []


def test_a_staged_blob_is_not_visible(blobs: BlobStore) -> None:
    """Only storing gives it its name; discarding forgets it."""
    blob = stage(blobs, b"content")
    assert (blob.bytes, blobs.exists(blob.sha256), list(blobs.names())) == (7, False, [])
    blobs.discard(blob)
    blobs.discard(blob)
    assert not blob.path.exists()


def test_a_scratch_folder_goes_with_all_that_is_in_it(blobs: BlobStore, tmp_path: Path) -> None:
    """But for a file that was adopted and stored: that is a blob like any other."""
    with blobs.scratch() as folder:
        folder.mkdir()
        (folder / "left").write_bytes(b"left")
        (folder / "kept").write_bytes(b"content")
        blob = blobs.adopt(folder / "kept")
        assert (blob.sha256, blob.bytes) == (hashlib.sha256(b"content").hexdigest(), 7)
        blobs.store(blob)
    assert staged_files(tmp_path) == []
    with blobs.open(blob.sha256) as stream:
        assert stream.read() == b"content"


def test_a_scratch_folder_of_a_killed_process_is_cleared_when_it_is_old(blobs: BlobStore, tmp_path: Path) -> None:
    """A young one may be in use."""
    left = tmp_path / "staging" / "left"
    left.mkdir()
    (left / "0").write_bytes(b"content")
    assert (blobs.clear_stale_staging(), left.exists()) == (0, True)
    old = time.time() - STALE_STAGING_S - 10
    os.utime(left, (old, old))
    assert (blobs.clear_stale_staging(), left.exists()) == (1, False)


def test_equal_bytes_are_stored_once(blobs: BlobStore) -> None:
    """Storing twice equals storing once."""
    assert put(blobs, b"same") == put(blobs, b"same")
    assert len(list(blobs.names())) == 1


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [(b"123456", RequestTooLarge, "5 bytes"), (b"", InvalidRequest, "empty")],
)
def test_a_file_of_the_wrong_size_is_refused(
    blobs: BlobStore, tmp_path: Path, content: bytes, error: type[Exception], words: str
) -> None:
    """Too large and empty files leave nothing behind; exactly the limit is allowed."""
    with pytest.raises(error, match=words):
        stage(blobs, content, max_bytes=5)
    assert staged_files(tmp_path) == []
    assert stage(blobs, b"12345", max_bytes=5).bytes == 5


def test_an_upload_that_breaks_off_leaves_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    """A stream that cannot be read is its sender's fault; the part that came is removed."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise ConnectionResetError
            return super().read(3)

    with pytest.raises(InvalidRequest, match="cannot be read"):
        blobs.stage(Broken(b"content"), max_bytes=100)
    assert staged_files(tmp_path) == []


def test_a_full_disk_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """The upload can be sent again later."""
    blobs = BlobStore(f"file://{tmp_path / 'blobs'}", staging=tmp_path / "staging")
    shutil.rmtree(tmp_path / "staging")
    with pytest.raises(ServiceUnavailable):
        blobs.stage(io.BytesIO(b"content"), max_bytes=100)


def test_a_local_copy_has_the_bytes_at_a_path(blobs: BlobStore, tmp_path: Path) -> None:
    """Parsers get a path, wherever the blob lies, and afterwards no copy is left."""
    sha256 = put(blobs, b"content")
    with blobs.local_copy(sha256) as path:
        assert path.read_bytes() == b"content"
    assert staged_files(tmp_path) == []
    assert blobs.exists(sha256)


def test_a_deleted_blob_is_gone_and_may_be_deleted_again(blobs: BlobStore) -> None:
    """Deleting what is not there is no error."""
    sha256 = put(blobs, b"content")
    for _ in range(2):
        blobs.delete(sha256)
        assert not blobs.exists(sha256)
    assert list(blobs.names()) == []


def test_what_goes_while_the_staging_folder_is_cleared_is_no_error(blobs: BlobStore, tmp_path: Path) -> None:
    """Uploads and parsers remove their files at any moment; a link to nowhere looks the same."""
    (blobs.staging / "gone").symlink_to(tmp_path / "nowhere")
    assert blobs.clear_stale_staging() == 0


def test_only_a_regular_file_is_adopted(blobs: BlobStore) -> None:
    """A parser that was taken over could put a pipe into its folder, on which the worker would wait for ever."""
    with blobs.scratch() as folder:
        folder.mkdir()
        os.mkfifo(folder / "0")
        with pytest.raises(InvalidFile, match="no file"):
            blobs.adopt(folder / "0")


def test_a_missing_blob_is_an_outage_of_the_store(blobs: BlobStore) -> None:
    """The catalog says that it must be there: the worker tries again later."""
    with pytest.raises(ServiceUnavailable, match="blob store"):
        blobs.open("0" * 64)


def test_names_come_with_their_age(blobs: BlobStore) -> None:
    """A new blob is about zero seconds old."""
    sha256 = put(blobs, b"content")
    ((name, age_s),) = blobs.names()
    assert sha256 == name
    assert -5 < age_s < 60


def test_leftovers_of_killed_processes_are_cleared_when_they_are_old(tmp_path: Path) -> None:
    """A young staged file may be an upload that is under way."""
    blobs = BlobStore(f"file://{tmp_path / 'blobs'}", staging=tmp_path / "staging")
    old, young = stage(blobs, b"old"), stage(blobs, b"young")
    past = time.time() - STALE_STAGING_S - 10
    os.utime(old.path, (past, past))
    assert blobs.clear_stale_staging() == 1
    assert [young.path] == staged_files(tmp_path)


def test_a_folder_that_cannot_be_written_is_an_outage(tmp_path: Path) -> None:
    """The operating system's error becomes a retryable one of ours."""
    blobs = BlobStore(f"file://{tmp_path / 'blobs'}", staging=tmp_path / "staging")
    blob = stage(blobs, b"content")
    (tmp_path / "blobs" / blob.sha256[:2]).write_text("a file where a folder has to be")
    with pytest.raises(ServiceUnavailable) as caught:
        blobs.store(blob)
    assert caught.value.retryable

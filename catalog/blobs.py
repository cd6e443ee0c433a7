"""Content-addressed storage for the bytes of uploaded files, on any fsspec file system."""

import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import fsspec

from catalog.errors import FootnoteError, InvalidFile, InvalidRequest, RequestTooLarge, ServiceUnavailable

_READ_BYTES: Final = 1 << 20
# Staged uploads older than this were left behind by a process that died.
STALE_STAGING_S: Final = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedBlob:
    """Bytes that are safe on this machine's disk but not stored under their name yet."""

    path: Path
    sha256: str
    bytes: int


class BlobStore:
    """Blobs named by the SHA-256 of their bytes, below one URL (`file:///…`, `s3://bucket/prefix`, `memory://`).

    A blob becomes visible whole or not at all. Storing it twice equals storing it once.
    """

    def __init__(self, url: str, *, staging: Path) -> None:
        """`staging`: a local folder; on the same disk as a local store, so that storing is a rename."""
        # Local folder for what is on its way in; on the same disk as a local store.
        self.staging = staging
        staging.mkdir(parents=True, exist_ok=True)
        with _translated():
            # Other processes add and delete blobs: a remembered listing would be wrong.
            self._fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        self._root = str(root).rstrip("/")
        self._is_local = "file" in _protocols(self._fs)
        if self._is_local:
            Path(self._root).mkdir(parents=True, exist_ok=True)

    def stage(self, stream: BinaryIO, *, max_bytes: int) -> StagedBlob:
        """Copy `stream` to the staging folder and fsync it.

        Raises RequestTooLarge, InvalidRequest for a stream that is empty or cannot be read, ServiceUnavailable when
        there is no room for it.
        """
        return self.stage_pieces(_pieces(stream), max_bytes=max_bytes)

    def stage_pieces(self, pieces: Iterable[bytes], *, max_bytes: int) -> StagedBlob:
        """Like `stage`, for bytes that come piece by piece."""
        digest, size = hashlib.sha256(), 0
        path = self.staging / secrets.token_hex(16)
        try:
            with _translated(), path.open("wb") as target:
                for data in pieces:
                    size += len(data)
                    if size > max_bytes:
                        raise RequestTooLarge(f"The file is larger than the {max_bytes:,} bytes that are allowed.")
                    digest.update(data)
                    target.write(data)
                target.flush()
                os.fsync(target.fileno())
            if size == 0:
                raise InvalidRequest("The file is empty (0 bytes).", param="file")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return StagedBlob(path=path, sha256=digest.hexdigest(), bytes=size)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a place for a folder beside the staged blobs; what was made there goes at the end of the block."""
        folder = self.staging / secrets.token_hex(16)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def adopt(self, path: Path) -> StagedBlob:
        """Make a file of a scratch folder a staged blob, with its bytes safe on the disk.

        Raises InvalidFile for what is no regular file: a parser that was taken over may have put a pipe there.
        """
        with _translated():
            number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with _translated(), os.fdopen(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise InvalidFile(f"The parser unpacked something that is no file ({path.name!r}).")
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
            return StagedBlob(path=path, sha256=digest, bytes=file.tell())

    def store(self, *blobs: StagedBlob) -> None:
        """Make staged blobs visible under their names; the staged copies are used up."""
        with _translated():
            if not self._is_local:
                for blob in blobs:
                    self._fs.put_file(str(blob.path), self._path(blob.sha256))
                    blob.path.unlink()
                return
            targets = [Path(self._path(blob.sha256)) for blob in blobs]
            for blob, target in zip(blobs, targets, strict=True):
                target.parent.mkdir(exist_ok=True)
                blob.path.replace(target)
            for folder in {target.parent for target in targets}:
                _fsync_folder(folder)

    def discard(self, blob: StagedBlob) -> None:
        """Forget a staged blob that is not wanted after all."""
        blob.path.unlink(missing_ok=True)

    def exists(self, sha256: str) -> bool:
        with _translated():
            return bool(self._fs.exists(self._path(sha256)))

    def open(self, sha256: str) -> Any:
        """Return a readable binary stream. Raises ServiceUnavailable when the blob cannot be read."""
        with _translated():
            return self._fs.open(self._path(sha256), "rb")

    @contextmanager
    def local_copy(self, sha256: str) -> Iterator[Path]:
        """Yield a local path with the blob's bytes; for a local store it is the blob itself: do not write."""
        if self._is_local:
            yield Path(self._path(sha256))
            return
        with tempfile.NamedTemporaryFile(dir=self.staging) as copy:
            with self.open(sha256) as source:
                shutil.copyfileobj(source, copy, _READ_BYTES)
            copy.flush()
            yield Path(copy.name)

    def delete(self, sha256: str) -> None:
        """Remove the blob; one that is not there is no error."""
        with _translated():
            if self._fs.exists(self._path(sha256)):
                self._fs.rm_file(self._path(sha256))

    def names(self) -> Iterator[tuple[str, float]]:
        """Yield the SHA-256 of every blob and its age in seconds."""
        now = time.time()
        with _translated():
            found = self._fs.find(self._root, detail=True)
        for path, info in found.items():
            modified = info.get("mtime") or info.get("LastModified") or info.get("created") or now
            yield path.rsplit("/", 1)[-1], now - (modified if isinstance(modified, float) else modified.timestamp())

    def clear_stale_staging(self) -> int:
        """Remove what killed processes left in the staging folder; return how many files and folders."""
        stale = [path for path in self.staging.iterdir() if _age_s(path) > STALE_STAGING_S]
        for path in stale:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(stale)

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}"


def _age_s(path: Path) -> float:
    """Return how long ago a file or folder was changed; one that has just gone is new."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    """Yield what `stream` holds. Raises InvalidRequest when it cannot be read: that is its fault, not the store's."""
    try:
        while data := stream.read(_READ_BYTES):
            yield data
    except OSError as error:
        raise InvalidRequest(f"The file cannot be read: {error}", param="file") from error


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FootnoteError:
        raise
    except ImportError as error:
        raise ServiceUnavailable(f"The blob store needs a package: {error}. pip install 'footnote[cluster]'") from error
    except OSError as error:
        raise ServiceUnavailable(f"The blob store does not answer: {error}") from error

"""A prefix of an S3 bucket as a source. Endpoint and credentials come from s3fs' usual places."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import fsspec
from botocore.exceptions import BotoCoreError

from catalog.errors import InvalidRequest, ServiceUnavailable
from ingest.sources.base import Found, Gap, Memory, Reading, SourceEntry, SourceUnreadable
from ingest.sources.patterns import Patterns


class S3Source:
    """Every object below `s3://BUCKET/PREFIX`, in the order of keys. The version of an object is its ETag.

    Keys with a part that begins with a dot are passed over, like hidden files, and so are the empty objects that
    stand for folders.
    """

    def __init__(self, url: str, *, patterns: Patterns | None = None) -> None:
        """Raises InvalidRequest for a URL without a bucket."""
        bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not bucket:
            raise InvalidRequest(f"{url!r} names no bucket; write s3://BUCKET/PREFIX.")
        self._bucket = bucket
        # With a slash at the end: `reports` is not to find `reports-old/…`.
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self._patterns = patterns or Patterns()
        # Others write to the bucket: a remembered listing would be wrong.
        self._fs: Any = fsspec.filesystem("s3", use_listings_cache=False)

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    @property
    def name(self) -> str:
        return (self._prefix.rstrip("/") or self._bucket).rsplit("/", 1)[-1]

    def entries(self, memory: Memory) -> Generator[Found, None, None]:
        more: dict[str, str] = {}
        while True:
            try:
                page = self._fs.call_s3("list_objects_v2", Bucket=self._bucket, Prefix=self._prefix, **more)
            except (OSError, BotoCoreError) as error:
                if not more:
                    raise self._translated(error) from error
                yield Gap(path=".", reason=f"The listing broke off: {error}")
                return
            yield from map(self._entry, filter(self._is_wanted, page.get("Contents", [])))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def watch(self, changed: threading.Event, stop: threading.Event) -> None:
        return

    def _is_wanted(self, found: dict[str, Any]) -> bool:
        path = self._path(found)
        is_hidden = any(part.startswith(".") for part in path.split("/"))
        return not path.endswith("/") and path != "" and not is_hidden and self._patterns.wants(path)

    def _entry(self, found: dict[str, Any]) -> SourceEntry:
        path = self._path(found)
        return SourceEntry(
            path=path,
            filename=path.rsplit("/", 1)[-1],
            version=found["ETag"],
            size=found["Size"],
            open=partial(self._open, found["Key"]),
        )

    def _path(self, found: dict[str, Any]) -> str:
        return str(found["Key"]).removeprefix(self._prefix)

    @contextmanager
    def _open(self, key: str) -> Iterator[Reading]:
        try:
            # s3fs asks for this ETag with each part that it reads: an object that is replaced meanwhile is an error.
            with self._fs.open(f"{self._bucket}/{key}", "rb", cache_type="readahead", fill_cache=False) as stream:
                yield Reading(stream=stream, version=stream.details["ETag"])
        except (OSError, BotoCoreError) as error:
            raise SourceUnreadable(f"The object cannot be read: {error}") from error

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, FileNotFoundError | PermissionError):
            return InvalidRequest(f"{self.url!r} cannot be listed: {error}")
        return ServiceUnavailable(f"{self.url!r} does not answer: {error}")

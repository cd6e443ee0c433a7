"""A bucket keeps the contract of sources, on a real S3 server."""

import secrets
from collections.abc import Iterator

import pytest

from ingest.sources.base import Source
from ingest.sources.patterns import Patterns
from ingest.sources.s3 import S3Source
from tests.contract.source import Place, SourceContract
from tests.s3 import BUCKET, Bucket, serving_bucket


class Prefix(Place):
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._prefix = secrets.token_hex(4)

    def put(self, path: str, content: bytes) -> None:
        self._bucket.put(f"{self._prefix}/{path}", content)

    def delete(self, path: str) -> None:
        self._bucket.delete(f"{self._prefix}/{path}")

    def source(self, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Source:
        return S3Source(f"s3://{BUCKET}/{self._prefix}", patterns=Patterns(include=include, exclude=exclude))


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, serving_bucket(patch) as bucket:
        yield bucket


class TestS3Source(SourceContract):
    @pytest.fixture
    def place(self, bucket: Bucket) -> Place:
        return Prefix(bucket)

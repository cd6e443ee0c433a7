"""A bucket as a source, on a real S3 server."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidRequest, ServiceUnavailable
from ingest.intake import Outcome
from ingest.sources.patterns import Patterns
from ingest.sources.s3 import S3Source
from tests.s3 import BUCKET, PAGE_KEYS, Bucket, serving_bucket
from tests.unit.ingest.shelf import Shelf, outcomes


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, serving_bucket(patch) as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    """Yield the bucket in working order."""
    yield server
    server.fault = lambda path: None
    server.take_requests()


@pytest.fixture
def shelf(database: Database, blobs: BlobStore, tmp_path: Path) -> Shelf:
    return Shelf(database, blobs, tmp_path)


def follow(shelf: Shelf, prefix: str, **options: object) -> dict[str, Outcome]:
    return shelf.follow(S3Source(f"s3://{BUCKET}/{prefix}"), **options)


def test_a_prefix_is_followed(bucket: Bucket, shelf: Shelf) -> None:
    """Objects are added, replaced, moved and deleted; what has not changed is listed and not read."""
    for name in ("a.txt", "b.txt", "old/c.txt", "d.txt", "e.txt"):
        bucket.put(f"all/{name}", f"text of {name}".encode())
    assert set(follow(shelf, "all").values()) == {Outcome.ADDED}
    bucket.take_requests()
    assert set(follow(shelf, "all/").values()) == {Outcome.UNCHANGED}
    asked = bucket.take_requests()
    assert len(asked) == 2  # Five keys in pages of three.
    assert all("list-type=2" in path for path in asked)
    bucket.put("all/b.txt", b"other words")
    bucket.put("all/new/c.txt", b"text of old/c.txt")
    bucket.delete("all/old/c.txt")
    bucket.delete("all/d.txt")
    bucket.take_requests()
    assert follow(shelf, "all") == {
        "a.txt": Outcome.UNCHANGED,
        "b.txt": Outcome.REPLACED,
        "e.txt": Outcome.UNCHANGED,
        "new/c.txt": Outcome.MOVED,
        "d.txt": Outcome.DELETED,
    }
    read = {path.partition("?")[0] for path in bucket.take_requests() if "list-type" not in path}
    assert read == {f"/{BUCKET}/all/b.txt", f"/{BUCKET}/all/new/c.txt"}
    assert shelf.paths() == ["a.txt", "b.txt", "e.txt", "new/c.txt"]
    assert shelf.problems() == []


def test_keys_are_paths(bucket: Bucket, shelf: Shelf) -> None:
    """In any script; hidden ones, markers of folders and neighbours of the prefix are passed over."""
    names = ["caf\u00e9/😀 a+b.txt", "x//y.txt", "100%.txt"]
    for name in [*names, "folder/", ".hidden", "a/.git/config"]:
        bucket.put(f"keys/{name}", f"text of {name}".encode())
    bucket.put("keys-old/z.txt", b"neighbour")
    assert sorted(follow(shelf, "keys")) == sorted(names)
    assert shelf.file_of("caf\u00e9/😀 a+b.txt").filename == "😀 a+b.txt"
    with shelf.blobs.open(shelf.file_of("100%.txt").sha256) as stream:
        assert stream.read() == b"text of 100%.txt"


def test_patterns_choose_objects(bucket: Bucket, shelf: Shelf) -> None:
    """The others are not read."""
    for name in ("a.md", "b.txt", "drafts/c.md"):
        bucket.put(f"patterns/{name}", name.encode())
    source = S3Source(f"s3://{BUCKET}/patterns", patterns=Patterns(include=["*.md"], exclude=["drafts/"]))
    assert list(shelf.sync(source)) == ["a.md"]


@pytest.mark.parametrize("code", ["AccessDenied", "InternalError"])
def test_a_listing_that_fails_on_its_second_page_deletes_nothing(bucket: Bucket, shelf: Shelf, code: str) -> None:
    """The first page's documents are replaced and added; the rest is kept, and the report says why."""
    prefix = f"second-{code}"
    for i in range(PAGE_KEYS + 2):
        bucket.put(f"{prefix}/{i}.txt", f"text {i}".encode())
    follow(shelf, prefix)
    bucket.put(f"{prefix}/0.txt", b"other words")
    bucket.delete(f"{prefix}/4.txt")
    bucket.fault = lambda path: code if "continuation-token" in path else None
    report = shelf.report(S3Source(f"s3://{BUCKET}/{prefix}"))
    assert outcomes(report) == {
        "0.txt": Outcome.REPLACED,
        "1.txt": Outcome.UNCHANGED,
        "2.txt": Outcome.UNCHANGED,
        ".": Outcome.UNLISTED,
    }
    assert report.withheld is not None
    shelf.publish_all()
    assert len(shelf.paths()) == PAGE_KEYS + 2


@pytest.mark.parametrize(("code", "error"), [("AccessDenied", InvalidRequest), ("InternalError", ServiceUnavailable)])
def test_a_listing_that_fails_at_once_is_an_error(
    bucket: Bucket, shelf: Shelf, code: str, error: type[Exception]
) -> None:
    """It names the place, and nothing is changed."""
    bucket.put(f"first-{code}/a.txt", b"one")
    follow(shelf, f"first-{code}")
    bucket.fault = lambda path: code
    with pytest.raises(error, match=rf"s3://{BUCKET}/first-{code}/"):
        follow(shelf, f"first-{code}")
    assert shelf.paths() == ["a.txt"]


def test_an_object_that_cannot_be_read_is_refused(bucket: Bucket, shelf: Shelf) -> None:
    """The others are taken, and its old version stays."""
    for name in ("a.txt", "b.txt"):
        bucket.put(f"unreadable/{name}", b"one")
    follow(shelf, "unreadable")
    for name in ("a.txt", "b.txt"):
        bucket.put(f"unreadable/{name}", b"two")
    bucket.fault = lambda path: "AccessDenied" if unquote(path).partition("?")[0].endswith("a.txt") else None
    assert follow(shelf, "unreadable") == {"a.txt": Outcome.REFUSED, "b.txt": Outcome.REPLACED}
    assert shelf.paths() == ["a.txt", "b.txt"]


def test_an_object_that_vanishes_is_refused(bucket: Bucket, shelf: Shelf) -> None:
    """It was listed, so nobody may take it for deleted in this run."""
    bucket.put("vanishing/a.txt", b"one")
    source = S3Source(f"s3://{BUCKET}/vanishing")

    class Late(S3Source):
        def entries(self, memory):  # type: ignore[no-untyped-def]
            for found in source.entries(memory):
                bucket.delete("vanishing/a.txt")
                yield found

    assert shelf.sync(Late(source.url)) == {"a.txt": Outcome.REFUSED}


def test_an_object_that_is_replaced_while_it_is_read_is_refused(bucket: Bucket, shelf: Shelf) -> None:
    """What was read may be part of the one version and part of the other."""
    bucket.put("replaced/a.txt", b"one")
    asked = 0

    def replace(path: str) -> None:
        nonlocal asked
        asked += path.endswith("/replaced/a.txt")
        if asked == 2:  # The first one was for its version, this one is for its bytes.
            bucket.fault = lambda path: None
            bucket.put("replaced/a.txt", b"two")

    bucket.fault = replace
    assert follow(shelf, "replaced") == {"a.txt": Outcome.REFUSED}
    assert follow(shelf, "replaced") == {"a.txt": Outcome.ADDED}


def test_an_object_that_is_larger_than_allowed_is_not_read(bucket: Bucket, shelf: Shelf) -> None:
    """The listing says how large it is."""
    bucket.put("large/a.bin", bytes(101))
    bucket.take_requests()
    assert follow(shelf, "large", max_bytes=100) == {"a.bin": Outcome.REFUSED}
    assert all("list-type" in path for path in bucket.take_requests())


def test_an_empty_prefix_deletes_nothing_unless_told(bucket: Bucket, shelf: Shelf) -> None:
    """A misspelt prefix looks like this."""
    bucket.put("emptied/a.txt", b"one")
    follow(shelf, "emptied")
    bucket.delete("emptied/a.txt")
    assert shelf.report(S3Source(f"s3://{BUCKET}/emptied")).withheld is not None
    assert shelf.paths() == ["a.txt"]
    assert follow(shelf, "emptied", allow_empty=True) == {"a.txt": Outcome.DELETED}


def test_a_bucket_that_is_not_there_is_an_error(bucket: Bucket, shelf: Shelf) -> None:
    """The message names it."""
    with pytest.raises(InvalidRequest, match="s3://no-such-bucket/"):
        shelf.sync(S3Source("s3://no-such-bucket"))

"""What an operator writes says which kind of source it is."""

import sys
from pathlib import Path

import pytest

from catalog.errors import ConfigurationError, InvalidRequest
from ingest.sources.base import Source
from ingest.sources.http import CrawlLimits, HttpSource
from ingest.sources.local import LocalSource
from ingest.sources.opener import open_source
from ingest.sources.patterns import Patterns


def opened(location: str, tmp_path: Path) -> Source:
    return open_source(
        location,
        patterns=Patterns(),
        state=tmp_path / "state",
        allowed_hosts=["docs.example"],
        limits=CrawlLimits(max_bytes=1),
    )


def test_a_path_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also below one's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for location in (str(tmp_path), "~"):
        source = opened(location, tmp_path)
        assert isinstance(source, LocalSource)
        assert source.url == str(tmp_path)


@pytest.mark.parametrize("location", ["https://docs.example/a", "http://docs.example/a", "HTTPS://docs.example/a"])
def test_a_url_is_a_place_of_the_web(location: str, tmp_path: Path) -> None:
    """With or without TLS."""
    source = opened(location, tmp_path)
    assert isinstance(source, HttpSource)
    assert source.url == f"{location[: location.index(':')].lower()}://docs.example/a"


@pytest.mark.parametrize(
    ("location", "url", "name"),
    [
        ("s3://bucket/some/prefix", "s3://bucket/some/prefix/", "prefix"),
        ("s3://bucket/some/prefix/", "s3://bucket/some/prefix/", "prefix"),
        ("s3://bucket", "s3://bucket/", "bucket"),
        ("s3://bucket/", "s3://bucket/", "bucket"),
    ],
)
def test_s3_is_a_bucket_and_a_prefix(location: str, url: str, name: str, tmp_path: Path) -> None:
    """A prefix is a folder: it ends with a slash."""
    pytest.importorskip("s3fs", reason="s3:// needs the extra `cluster`")
    source = opened(location, tmp_path)
    assert (source.url, source.name) == (url, name)


@pytest.mark.parametrize("location", ["ftp://h/a", "none"])
def test_anything_else_is_refused_by_name(location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another scheme, no such folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidRequest) as caught:
        opened(location, tmp_path)
    assert repr(location) in caught.value.message


def test_s3_without_a_bucket_is_refused_by_name(tmp_path: Path) -> None:
    """A prefix alone is no source."""
    pytest.importorskip("s3fs", reason="s3:// needs the extra `cluster`")
    with pytest.raises(InvalidRequest, match=r"'s3:///prefix'"):
        opened("s3:///prefix", tmp_path)


def test_s3_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's packages are optional."""
    monkeypatch.delitem(sys.modules, "ingest.sources.s3", raising=False)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"footnote\[cluster\]"):
        opened("s3://bucket/a", tmp_path)

"""A folder keeps the contract of sources."""

from pathlib import Path

import pytest

from ingest.sources.base import Source
from ingest.sources.local import LocalSource
from ingest.sources.patterns import Patterns
from tests.contract.source import Place, SourceContract


class Folder(Place):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, path: str, content: bytes) -> None:
        place = self._folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def delete(self, path: str) -> None:
        (self._folder / path).unlink()

    def source(self, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Source:
        # Files of a moment ago are relied on: these tests change none within one tick of the clock and of one size.
        return LocalSource(self._folder, patterns=Patterns(include=include, exclude=exclude), settled_s=0.0)


class TestLocalSource(SourceContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Folder(tmp_path)

"""What a store holds of a source, for tests without a store."""

import io
from contextlib import AbstractContextManager
from typing import BinaryIO


class FakeMemory:
    """Holds a version and bytes by path."""

    def __init__(self, **documents: tuple[str | None, bytes]) -> None:
        self.documents = documents

    def holds(self, path: str) -> bool:
        return path in self.documents

    def version(self, path: str) -> str | None:
        return self.documents.get(path, (None, b""))[0]

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        return io.BytesIO(self.documents[path][1])

"""The seam between a sync and the place that documents come from."""

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from catalog.errors import FootnoteError


class SourceUnreadable(FootnoteError):
    """A document of the source cannot be read now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The bytes of one version of a document."""

    stream: BinaryIO
    # What the source calls exactly these bytes; None when it has no name for them that can be relied on.
    version: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceEntry:
    """A document that the source has."""

    # Below the source's root, with forward slashes: what the document is known by.
    path: str
    # Shown to people, and a hint for the parser.
    filename: str
    # As listed. Equal to that of an earlier reading: the bytes are the same.
    version: str | None
    # Bytes, where the listing tells.
    size: int | None
    # Usable until the next entry is asked for. Raises SourceUnreadable at the beginning, or at the end when the
    # document changed while it was read.
    open: Callable[[], AbstractContextManager[Reading]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """Something at the source that is no document of it."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A part of the source that could not be listed: nobody knows what is there now."""

    path: str
    reason: str


Found = SourceEntry | Skipped | Gap


class Memory(Protocol):
    """What the store holds of this source, for sources that can ask "has it changed since?"."""

    def version(self, path: str) -> str | None:
        """Return the version of the last reading; None for an unknown document, or when it had none."""
        ...

    def holds(self, path: str) -> bool: ...

    def open(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Open the bytes of the last reading. Raises KeyError for an unknown document."""
        ...


class Source(Protocol):
    """Documents that somebody keeps in some place, and that a vector store follows."""

    @property
    def url(self) -> str:
        """Names the place; the same in every run."""
        ...

    @property
    def name(self) -> str:
        """A short name for people: that of the vector store when no other is given."""
        ...

    def entries(self, memory: Memory) -> Generator[Found, None, None]:
        """Yield what is there now, one at a time; no path of a document twice.

        A part that fails is a Gap, and the rest goes on. Raises InvalidRequest when there is no such place or it may
        not be read, ServiceUnavailable when it does not answer at all.
        """
        ...

    def watch(self, changed: threading.Event, stop: threading.Event) -> None:
        """Set `changed` whenever the source may have changed, until `stop`; return at once where it cannot tell."""
        ...

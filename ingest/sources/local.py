"""A folder of this machine as a source."""

import logging
import os
import stat
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from watchfiles import Change, watch

from catalog.errors import InvalidRequest
from ingest.sources.base import Found, Gap, Memory, Reading, Skipped, SourceEntry, SourceUnreadable
from ingest.sources.patterns import Patterns

log = logging.getLogger(__name__)

# A file that changed this shortly before it was read may change again without another time of change: FAT counts in
# steps of two seconds, and no file system in coarser ones.
SETTLED_S: Final = 2.0


class _Folder(NamedTuple):
    """A folder that is still to be read."""

    place: str
    # Below the root, with a slash at its end; "" for the root.
    path: str


class LocalSource:
    """Every file below a folder, in path order. Hidden files and folders are passed over.

    A symbolic link to a file inside the folder counts as a file of its own; links to folders, and links that lead
    out of the folder, are not followed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        patterns: Patterns | None = None,
        state: Path | None = None,
        settled_s: float = SETTLED_S,
    ) -> None:
        """`state`: a folder that is passed over wherever it lies, Footnote's own. Raises InvalidRequest.

        `settled_s`: seconds after a change from which on its time names what was read.
        """
        if not folder.is_dir():
            raise InvalidRequest(f"{str(folder)!r} is not a folder.")
        self._root = folder.resolve()
        self._patterns = patterns or Patterns()
        self._state = str(state.resolve()) if state else None
        self._settled_ns = settled_s * 1e9

    @property
    def url(self) -> str:
        return str(self._root)

    @property
    def name(self) -> str:
        return self._root.name

    def entries(self, memory: Memory) -> Generator[Found, None, None]:
        if not self._root.is_dir():
            raise InvalidRequest(f"{str(self._root)!r} is not a folder any more.")
        # A stack of folders and not recursion: Python's ends at a thousand levels, Linux's folders do not.
        stack = [self._children(_Folder(str(self._root), ""))]
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
            elif isinstance(child, _Folder):
                stack.append(self._children(child))
            else:
                yield child

    def watch(self, changed: threading.Event, stop: threading.Event) -> None:
        def is_of_interest(_: Change, path: str) -> bool:
            hidden = any(part.startswith(".") for part in Path(path).relative_to(self._root).parts)
            return not hidden and not (self._state and Path(path).is_relative_to(self._state))

        notices = watch(
            self._root, watch_filter=is_of_interest, stop_event=stop, raise_interrupt=False,
            ignore_permission_denied=True,
        )  # fmt: skip
        try:
            for _ in notices:
                changed.set()
        except (OSError, RuntimeError) as error:
            log.warning("Changes in %s are not noticed at once (%s): it is read at intervals.", self._root, error)

    def _children(self, folder: _Folder) -> Iterator[Found | _Folder]:
        """Yield what lies in a folder, in order of names."""
        try:
            with os.scandir(folder.place) as found:
                children = sorted(found, key=lambda child: child.name)
        except OSError as error:
            yield Gap(path=_shown(folder.path) or ".", reason=f"The folder cannot be listed: {error.strerror}.")
            return
        for child in children:
            if child.name.startswith("."):
                continue
            path = folder.path + child.name
            try:
                kind = self._classify(child, path)
            except OSError as error:
                kind = _unknown(child, path, f"It cannot be looked at: {error.strerror}.")
            if kind is not None:
                yield kind

    def _classify(self, child: os.DirEntry[str], path: str) -> Found | _Folder | None:
        """Return None for what is not wanted. Raises OSError."""
        status = child.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return self._folder(child.path, f"{path}/")
        if not self._patterns.wants(_shown(path)):
            return None
        if not _is_text(path):
            return _unreadable(path, "Its name is not UTF-8: rename it.")
        if stat.S_ISLNK(status.st_mode):
            return self._link(child.path, path)
        if not stat.S_ISREG(status.st_mode):
            return Skipped(path=path, reason="no regular file, but a pipe, socket or device")
        return self._entry(child.path, path, status)

    def _folder(self, place: str, path: str) -> Found | _Folder | None:
        if self._patterns.excludes(_shown(path)):
            return None
        if place == self._state:
            return Skipped(path=_shown(path), reason="Footnote's own state")
        if not _is_text(path):
            return Gap(path=_shown(path), reason="The folder's name is not UTF-8: rename or exclude it.")
        return _Folder(place, path)

    def _link(self, place: str, path: str) -> Found:
        """Raises OSError."""
        try:
            target = Path(os.path.realpath(place, strict=True))
        except OSError as error:
            return _unreadable(path, f"The link leads nowhere: {error.strerror}.")
        if not target.is_relative_to(self._root):
            return Skipped(path=path, reason="a link that leads out of the folder")
        status = target.stat()
        if not stat.S_ISREG(status.st_mode):
            return Skipped(path=path, reason="a link to a folder, pipe, socket or device")
        return self._entry(str(target), path, status)

    def _entry(self, place: str, path: str, status: os.stat_result) -> SourceEntry:
        return SourceEntry(
            path=path,
            filename=path.rsplit("/", 1)[-1],
            version=_version(status),
            size=status.st_size,
            open=partial(self._open, place),
        )

    @contextmanager
    def _open(self, place: str) -> Iterator[Reading]:
        try:
            # Without blocking, and no link: whoever may write to the folder may have put something else here meanwhile.
            number = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise SourceUnreadable(f"The file cannot be read: {error.strerror}.") from error
        before = os.fstat(number)
        if not stat.S_ISREG(before.st_mode):
            os.close(number)
            raise SourceUnreadable("It is no regular file any more.")
        with os.fdopen(number, "rb", buffering=0) as stream:
            yield Reading(stream=stream, version=_version(before) if self._is_settled(before) else None)
            if _version(os.fstat(number)) != _version(before):
                raise SourceUnreadable("It changed while it was being read; the next sync takes it.")

    def _is_settled(self, status: os.stat_result) -> bool:
        now = time.time_ns()
        return all(abs(now - changed) >= self._settled_ns for changed in (status.st_mtime_ns, status.st_ctime_ns))


def _unknown(child: os.DirEntry[str], path: str, reason: str) -> Found:
    """Something that has a name and nothing else; if it is a folder, nobody knows what lies in it."""
    try:
        is_folder = child.is_dir(follow_symlinks=False)
    except OSError:
        is_folder = True
    return Gap(path=_shown(f"{path}/"), reason=reason) if is_folder else _unreadable(path, reason)


def _unreadable(path: str, reason: str) -> SourceEntry:
    """A file that is there but cannot be had; said when somebody wants to read it, like every other such reason."""

    def refuse() -> AbstractContextManager[Reading]:
        raise SourceUnreadable(reason)

    shown = _shown(path)
    return SourceEntry(path=shown, filename=shown.rsplit("/", 1)[-1], version=None, size=None, open=refuse)


def _version(status: os.stat_result) -> str:
    """Return the size and both times of change.

    The time of the content alone is not enough: programs set it back, and a file that is renamed to the name of
    another may have its size and its date.
    """
    return f"{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_size}"


def _is_text(path: str) -> bool:
    """Python keeps the bytes of a name that is not UTF-8 as lone surrogates, which nothing else can store."""
    return path.isascii() or not any("\udc80" <= character <= "\udcff" for character in path)


def _shown(path: str) -> str:
    """Return the path as people can read it."""
    return path if _is_text(path) else os.fsencode(path).decode("utf-8", "backslashreplace")

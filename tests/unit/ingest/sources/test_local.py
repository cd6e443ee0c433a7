"""A folder as a source: every file of it has a stated outcome, and no file can stop the listing."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from catalog.errors import InvalidRequest
from ingest.sources.base import Found, Gap, Skipped, SourceEntry, SourceUnreadable
from ingest.sources.local import LocalSource
from ingest.sources.patterns import Patterns
from tests.unit.ingest.sources.memory import FakeMemory

WATCH_TIMEOUT_S = 20.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    return folder


def put(folder: Path, name: str, content: str = "words") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def listing(folder: Path, **options: object) -> dict[str, Found]:
    found = LocalSource(folder, **options).entries(FakeMemory())  # type: ignore[arg-type]
    return {item.path: item for item in found}


def entry(folder: Path, name: str, **options: object) -> SourceEntry:
    found = listing(folder, **options)[name]
    assert isinstance(found, SourceEntry), found
    return found


def content(found: SourceEntry) -> bytes:
    with found.open() as reading:
        return reading.stream.read()


def reason(found: Found) -> str:
    """Return why a file is not taken: said when it is listed, or when it is read."""
    if isinstance(found, Skipped | Gap):
        return found.reason
    with pytest.raises(SourceUnreadable) as caught, found.open():
        pass
    return caught.value.message


def test_files_of_all_levels_are_listed_in_order(folder: Path) -> None:
    """Folders stand among the files by their names; hidden files and folders are passed over."""
    for name in ("b.txt", "a/z.txt", "a/b/c.txt", "c/1.txt", ".hidden", "a/.git/config"):
        put(folder, name)
    assert list(listing(folder)) == ["a/b/c.txt", "a/z.txt", "b.txt", "c/1.txt"]


def test_an_entry_says_what_a_file_is(folder: Path) -> None:
    """Path, name, size, and a version that changes with the file and only with it."""
    put(folder, "a/b.txt", "words")
    first = entry(folder, "a/b.txt")
    assert (first.filename, first.size, content(first)) == ("b.txt", 5, b"words")
    assert entry(folder, "a/b.txt").version == first.version
    put(folder, "a/b.txt", "other words")
    assert entry(folder, "a/b.txt").version != first.version


def test_a_file_that_takes_anothers_name_has_another_version(folder: Path) -> None:
    """Also when both have the same size and the same date."""
    for name, text in (("a.txt", "one"), ("b.txt", "two")):
        os.utime(put(folder, name, text), (1000, 1000))
    before = entry(folder, "b.txt").version
    time.sleep(0.05)  # Times of change are counted in ticks of some milliseconds.
    (folder / "a.txt").rename(folder / "b.txt")
    assert entry(folder, "b.txt").version != before


def test_a_version_is_relied_on_when_the_file_has_settled(folder: Path) -> None:
    """A file that was changed just now may change once more within the same tick of the clock."""
    put(folder, "a.txt")
    fresh, settled = entry(folder, "a.txt", settled_s=3600.0), entry(folder, "a.txt", settled_s=0.0)
    with fresh.open() as reading:
        assert reading.version is None
    with settled.open() as reading:
        assert reading.version == settled.version


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path) -> None:
    """What was read may be half of the one version and half of the other."""
    path = put(folder, "a.txt")
    found = entry(folder, "a.txt")
    with pytest.raises(SourceUnreadable, match="changed while it was being read"), found.open() as reading:
        reading.stream.read()
        path.write_text("more words")


def test_a_file_that_vanishes_is_refused(folder: Path) -> None:
    """It was listed, so nobody may take it for deleted in this run."""
    path = put(folder, "a.txt")
    found = entry(folder, "a.txt")
    path.unlink()
    assert "No such file" in reason(found)


@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_what_takes_a_files_place_is_not_read(folder: Path, kind: str) -> None:
    """Between listing and reading somebody put something else there; a pipe does not make the sync wait."""
    path = put(folder, "a.txt")
    secret = put(folder.parent, "secret.txt")
    found = entry(folder, "a.txt")
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(secret)
    assert any(words in reason(found) for words in ("no regular file any more", "Too many levels"))


@pytest.fixture
def odd(folder: Path) -> Iterator[Path]:
    """Yield a folder with everything that is no plain file."""
    put(folder, "plain.txt")
    put(folder.parent, "outside.txt")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "inside").symlink_to("plain.txt")
    (folder / "outside").symlink_to("../outside.txt")
    (folder / "up").symlink_to("..")
    (folder / "sub" / "circle").symlink_to("..")
    (folder / "self").symlink_to("self")
    (folder / "broken").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.path.relpath(folder / "socket"))  # Socket paths are short.
        yield folder


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("pipe", Skipped, "pipe, socket or device"),
        ("socket", Skipped, "pipe, socket or device"),
        ("outside", Skipped, "leads out of the folder"),
        ("up", Skipped, "leads out of the folder"),
        ("sub/circle", Skipped, "a link to a folder"),
        ("self", SourceEntry, "leads nowhere"),
        ("broken", SourceEntry, "leads nowhere"),
    ],
)
def test_what_is_no_plain_file_has_a_stated_reason(odd: Path, path: str, kind: type, words: str) -> None:
    """Links that lead out, in circles or nowhere, pipes and sockets end neither the listing nor the program."""
    found = listing(odd)[path]
    assert isinstance(found, kind)
    assert words in reason(found)


def test_a_link_to_a_file_inside_is_a_file_of_its_own(odd: Path) -> None:
    """It has the bytes of the other one, and its own path."""
    found = entry(odd, "inside")
    assert (found.path, found.filename, content(found)) == ("inside", "inside", b"words")


def test_a_link_to_a_hidden_file_inside_is_read(folder: Path) -> None:
    """Kubernetes mounts volumes so."""
    put(folder, "..2026/a.txt")
    (folder / "..data").symlink_to("..2026")
    (folder / "a.txt").symlink_to("..data/a.txt")
    assert list(listing(folder)) == ["a.txt"]
    assert content(entry(folder, "a.txt")) == b"words"


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    """The bytes of the name are shown; a folder of such a name cannot be listed."""
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("words")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff")).mkdir()
    found = listing(folder)
    assert list(found) == ["caf\\xe9.txt", "\\xff/"]
    assert "not UTF-8" in reason(found["caf\\xe9.txt"])
    assert isinstance(found["\\xff/"], Gap)
    assert listing(folder, patterns=Patterns(exclude=["caf*", "*/"])) == {}


def test_names_in_every_script_are_paths(folder: Path) -> None:
    """Emoji, scripts from right to left, both forms of an accent, brackets and line breaks."""
    names = sorted(["😀.txt", "שלום.txt", "caf\u00e9.txt", "cafe\u0301.txt", "[a].txt", "a\nb.txt", "A.txt", "a.txt"])
    for name in names:
        put(folder, name)
    assert list(listing(folder)) == names


@contextmanager
def nested(folder: Path, name: str, levels: int) -> Iterator[Path]:
    """Yield the lowest of folders in folders, which may lie too deep for a path; all go again, the lowest first."""
    opened = [os.open(folder, os.O_RDONLY)]
    try:
        for _ in range(levels):
            os.mkdir(name, dir_fd=opened[-1])
            opened.append(os.open(name, os.O_RDONLY, dir_fd=opened[-1]))
        yield folder.joinpath(*[name] * levels)
    finally:
        while opened:
            os.close(opened.pop())
            if opened:
                os.rmdir(name, dir_fd=opened[-1])


def test_a_folder_that_cannot_be_listed_is_a_gap(folder: Path) -> None:
    """The others are listed; this one is too deep for the system to open by its name."""
    put(folder, "z.txt")
    with nested(folder, "n" * 200, 25):
        found = list(listing(folder).values())
    assert [type(item) for item in found] == [Gap, SourceEntry]
    assert "File name too long" in reason(found[0])


def test_a_folder_that_vanishes_while_the_others_are_listed_is_a_gap(folder: Path) -> None:
    """Nobody knows where its files went."""
    put(folder, "a.txt")
    put(folder, "b/c.txt")
    found = LocalSource(folder).entries(FakeMemory())
    assert next(found).path == "a.txt"
    (folder / "b").rename(folder.parent / "elsewhere")
    (gap,) = found
    assert isinstance(gap, Gap)
    assert gap.path == "b/"


def test_a_file_below_a_thousand_folders_is_reached(folder: Path) -> None:
    """The depth of a tree is not that of Python's stack."""
    with nested(folder, "d", 1100) as lowest:
        file = os.path.join(lowest, "a.txt")  # noqa: PTH118 (pathlib's own depth is Python's)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT))
        found = list(listing(folder))
        os.unlink(file)  # noqa: PTH108
    assert found == ["d/" * 1100 + "a.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file and folder")
def test_without_permission_a_file_is_refused_and_a_folder_a_gap(folder: Path) -> None:
    """The operating system's words are the reason."""
    put(folder, "a.txt").chmod(0)
    put(folder, "b/c.txt").parent.chmod(0)
    found = listing(folder)
    assert "Permission denied" in reason(found["a.txt"])
    assert isinstance(found["b/"], Gap)
    assert "Permission denied" in reason(found["b/"])
    (folder / "b").chmod(0o700)


def test_footnotes_own_state_is_passed_over(folder: Path) -> None:
    """Wherever it lies in the folder: else each sync would take in what the one before stored."""
    put(folder, "a.txt")
    put(folder, "state/blobs/x")
    found = listing(folder, state=folder / "state")
    assert list(found) == ["a.txt", "state/"]
    assert isinstance(found["state/"], Skipped)


def test_patterns_choose_files_and_close_folders(folder: Path) -> None:
    """An excluded folder is not even opened."""
    for name in ("a.md", "a.txt", "drafts/b.md", "sub/c.md"):
        put(folder, name)
    patterns = Patterns(include=["*.md"], exclude=["drafts/"])
    assert list(listing(folder, patterns=patterns)) == ["a.md", "sub/c.md"]


def test_what_is_no_folder_is_refused(folder: Path) -> None:
    """A file, nothing at all, and a folder that has gone since."""
    for path in (put(folder, "a.txt"), folder / "none"):
        with pytest.raises(InvalidRequest, match="is not a folder"):
            LocalSource(path)
    source = LocalSource(folder)
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(InvalidRequest, match="not a folder any more"):
        list(source.entries(FakeMemory()))


def test_the_folder_names_source_and_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is written."""
    monkeypatch.chdir(folder)
    source = LocalSource(Path())
    assert (source.url, source.name) == (str(folder.resolve()), "documents")


def test_a_change_is_noticed(folder: Path) -> None:
    """The watcher ends when it is told to."""
    changed, stop = threading.Event(), threading.Event()
    watcher = threading.Thread(target=LocalSource(folder, state=folder / "state").watch, args=(changed, stop))
    watcher.start()
    try:
        deadline = time.monotonic() + WATCH_TIMEOUT_S
        while not changed.wait(0.2) and time.monotonic() < deadline:  # It may not have begun to watch yet.
            put(folder, "a.txt", str(time.monotonic()))
        assert changed.is_set()
    finally:
        stop.set()
        watcher.join(WATCH_TIMEOUT_S)
    assert not watcher.is_alive()

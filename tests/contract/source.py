"""What every source promises. A back end inherits the class and says where its documents are put."""

from abc import abstractmethod

import pytest

from ingest.sources.base import Source, SourceEntry
from tests.unit.ingest.sources.memory import FakeMemory


class Place:
    """A place that a source reads from, which a test changes."""

    @abstractmethod
    def put(self, path: str, content: bytes) -> None: ...

    @abstractmethod
    def delete(self, path: str) -> None: ...

    @abstractmethod
    def source(self, *, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> Source: ...


def listing(source: Source) -> list[tuple[SourceEntry, bytes, str | None]]:
    """Return every document with its bytes and the version of the reading, each opened while the listing is at it."""
    found = []
    for entry in source.entries(FakeMemory()):
        assert isinstance(entry, SourceEntry), entry
        with entry.open() as reading:
            found.append((entry, reading.stream.read(), reading.version))
    return found


class SourceContract:
    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    def test_every_document_is_listed_once_with_its_bytes(self, place: Place) -> None:
        """Paths are relative, with forward slashes; the file name is the last part."""
        contents = {"a.txt": b"one", "sub/b.txt": b"two", "sub/deep/c.txt": bytes(300_000)}
        for path, content in contents.items():
            place.put(path, content)
        found = listing(place.source())
        assert {entry.path: content for entry, content, _ in found} == contents
        assert len(found) == 3
        assert {entry.path: entry.filename for entry, *_ in found} == {
            "a.txt": "a.txt",
            "sub/b.txt": "b.txt",
            "sub/deep/c.txt": "c.txt",
        }

    def test_a_version_stays_while_the_document_does(self, place: Place) -> None:
        """The listing's equals that of the reading before; other bytes have another one."""
        place.put("a.txt", b"one")
        place.put("b.txt", b"two")
        (_, _, first), (_, _, other) = listing(place.source())
        assert first is not None
        again = {entry.path: entry.version for entry, *_ in listing(place.source())}
        assert again == {"a.txt": first, "b.txt": other}
        place.put("a.txt", b"other words")
        changed = {entry.path: entry.version for entry, *_ in listing(place.source())}
        assert changed["a.txt"] != first
        assert changed["b.txt"] == other

    def test_what_is_gone_is_not_listed(self, place: Place) -> None:
        """The next listing is without it."""
        place.put("a.txt", b"one")
        place.put("b.txt", b"two")
        place.delete("a.txt")
        assert [entry.path for entry, *_ in listing(place.source())] == ["b.txt"]

    def test_patterns_choose_documents(self, place: Place) -> None:
        """An include pattern or none has to match, and no exclude pattern."""
        for path in ("a.txt", "b.md", "drafts/c.txt"):
            place.put(path, path.encode())
        chosen = listing(place.source(include=("*.txt",), exclude=("drafts/",)))
        assert [entry.path for entry, *_ in chosen] == ["a.txt"]

    def test_a_size_that_is_listed_is_that_of_the_bytes(self, place: Place) -> None:
        """Where the listing tells it."""
        place.put("a.txt", b"seven b")
        ((entry, content, _),) = listing(place.source())
        assert entry.size in {None, len(content)}

    def test_a_source_has_the_same_name_in_every_run(self, place: Place) -> None:
        """The store knows by its URL that it is the same place."""
        place.put("a.txt", b"one")
        one, two = place.source(), place.source()
        assert (one.url, one.name) == (two.url, two.name)
        assert one.url
        assert one.name

    def test_a_listing_can_be_left_half_way(self, place: Place) -> None:
        """What it held open is closed, and the next one begins anew."""
        for path in ("a.txt", "b.txt"):
            place.put(path, path.encode())
        half = place.source().entries(FakeMemory())
        next(half)
        half.close()
        assert len(listing(place.source())) == 2

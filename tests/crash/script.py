"""The seeded script of a round: what a client does, step by step. Pure: the same seed gives the same steps."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.crash.documents import ARCHIVE_SUFFIX, Document, generation, random_document

_STEPS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A file as it is put into a store. `file` is its name, which no other file of the round has."""

    file: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Any] = field(default_factory=lambda: {"type": "auto"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    file: str
    content: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class CreateStore:
    store: str
    files: Sequence[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attach:
    store: str
    member: Member


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachBatch:
    """A batch; one that is cancelled at once is followed by attaching each of its files again."""

    store: str
    members: Sequence[Member]
    is_cancelled: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAttributes:
    store: str
    file: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Detach:
    store: str
    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteFile:
    file: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteStore:
    store: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Follow:
    """Make a store equal to a folder with these contents, by file name: add, replace, move, remove."""

    store: str
    contents: Mapping[str, bytes]
    # With `footnote sync`, which works on the queue itself; else only queued.
    by_command: bool


Step = Upload | CreateStore | Attach | AttachBatch | SetAttributes | Detach | DeleteFile | DeleteStore | Follow


def make_script(seed: int) -> list[Step]:
    """Return the steps of round `seed`. Every object is named after the round."""
    return _Writer(seed).write()


def is_followed(file: str) -> bool:
    """Tell whether a file lies in a folder that is followed, or in an archive there; no other file has such a name."""
    return "-source" in file


def _is_archive(file: str) -> bool:
    """In some steps the fate of its members depends, as it has to, on whether it was unpacked by then: not in these."""
    return file.endswith(ARCHIVE_SUFFIX)


class _Writer:
    """Writes steps that are possible: it follows what is there after each."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._tag = f"r{seed}"
        self._steps: list[Step] = []
        # By file name.
        self._documents: dict[str, Document] = {}
        # By store name: the files in it.
        self._stores: dict[str, set[str]] = {}
        self._numbers = 0

    def write(self) -> list[Step]:
        for _ in range(3):
            self._upload()
        self._create_store()
        actions = {
            self._upload: 20,
            self._upload_and_attach: 35,
            self._attach: 15,
            self._attach_batch: 12,
            self._create_store: 5,
            self._set_attributes: 6,
            self._detach: 5,
            self._delete_file: 5,
            self._delete_store: 2,
        }
        for action in self._dice.choices(list(actions), list(actions.values()), k=_STEPS):
            action()
        self._follow_folder()
        return self._steps

    def _upload(self) -> str:
        if self._documents and self._dice.random() < 0.1:
            document = self._documents[self._dice.choice(list(self._documents))]  # The same bytes again.
        else:
            document = random_document(self._dice, self._next_number())
        name = f"{self._tag}-{self._next_number():02}-{document.name}"
        self._documents[name] = document
        self._steps.append(Upload(file=name, content=document.content))
        return name

    def _create_store(self) -> None:
        name = f"{self._tag}-store-{self._next_number()}"
        files = self._some_files(self._dice.randint(0, 3))
        self._stores[name] = set(files)
        self._steps.append(CreateStore(store=name, files=files))

    def _upload_and_attach(self) -> None:
        self._attach_to(self._any_store(), self._upload())

    def _attach(self) -> None:
        store = self._any_store()
        for file in self._some_files(1, without=self._stores[store]):
            self._attach_to(store, file)

    def _attach_to(self, store: str, file: str) -> None:
        self._stores[store].add(file)
        self._steps.append(Attach(store=store, member=self._member(file)))

    def _attach_batch(self) -> None:
        store = self._any_store()
        for _ in range(self._dice.randint(1, 3)):
            self._upload()
        files = self._some_files(self._dice.randint(2, 6), without=self._stores[store])
        if files:
            members = [self._member(file) for file in files]
            is_cancelled = self._dice.random() < 0.35 and not any(map(_is_archive, files))
            self._steps.append(AttachBatch(store=store, members=members, is_cancelled=is_cancelled))
            self._stores[store].update(files)

    def _set_attributes(self) -> None:
        if pair := self._any_attached():
            attributes = self._attributes()
            self._steps.append(SetAttributes(store=pair[0], file=pair[1], attributes=attributes))

    def _detach(self) -> None:
        if pair := self._any_attached():
            self._stores[pair[0]].remove(pair[1])
            self._steps.append(Detach(store=pair[0], file=pair[1]))

    def _delete_file(self) -> None:
        for file in self._some_files(1):
            del self._documents[file]
            for files in self._stores.values():
                files.discard(file)
            self._steps.append(DeleteFile(file=file))

    def _delete_store(self) -> None:
        store = self._any_store()
        if len(self._stores) > 1 and not any(map(_is_archive, self._stores[store])):
            del self._stores[store]
            self._steps.append(DeleteStore(store=store))

    def _follow_folder(self) -> None:
        """Follow a folder early, and again after it was changed, with some of the other steps between or none."""
        store, by_command = f"{self._tag}-folder", self._dice.random() < 0.25
        names = [f"{self._tag}-source-{n}.txt" for n in range(self._dice.randint(2, 4))]
        if self._dice.random() < 0.3:
            names.append(f"{self._tag}-sources{ARCHIVE_SUFFIX}")
        contents = {name: generation(self._dice, name, 1) for name in names}
        place = self._dice.randint(2, len(self._steps) // 2)
        self._steps.insert(place, Follow(store=store, contents=dict(contents), by_command=by_command))
        for number in range(2, self._dice.randint(3, 4)):
            self._change(contents, number)
            place = self._dice.randint(place + 1, len(self._steps))
            self._steps.insert(place, Follow(store=store, contents=dict(contents), by_command=by_command))

    def _change(self, contents: dict[str, bytes], number: int) -> None:
        """Replace some files of a folder; perhaps move one, remove one, and add one."""
        for name in self._dice.sample(sorted(contents), self._dice.randint(1, len(contents))):
            contents[name] = generation(self._dice, name, number)
        if self._dice.random() < 0.4:
            old = self._dice.choice(sorted(contents))
            contents[f"{self._tag}-moved-{self._next_number()}-{old}"] = contents.pop(old)
        if self._dice.random() < 0.3 and len(contents) > 1:
            del contents[self._dice.choice(sorted(contents))]
        if self._dice.random() < 0.3:
            new = f"{self._tag}-source-{self._next_number()}.txt"
            contents[new] = generation(self._dice, new, number)

    def _member(self, file: str) -> Member:
        return Member(file=file, attributes=self._attributes(), strategy=self._strategy())

    def _attributes(self) -> dict[str, Any]:
        keys = self._dice.sample(("year", "team", "is_final"), self._dice.randint(0, 3))
        return {key: self._dice.choice((2024.0, 2025.0, "north", "south", True, False)) for key in keys}

    def _strategy(self) -> dict[str, Any]:
        if self._dice.random() < 0.5:
            return {"type": "auto"}
        size = self._dice.choice((100, 200, 400))
        limits = {"max_chunk_size_tokens": size, "chunk_overlap_tokens": self._dice.choice((0, size // 4, size // 2))}
        return {"type": "static", "static": limits}

    def _any_store(self) -> str:
        return self._dice.choice(list(self._stores))

    def _any_attached(self) -> tuple[str, str] | None:
        pairs = [
            (store, file) for store, files in self._stores.items() for file in sorted(files) if not _is_archive(file)
        ]
        return self._dice.choice(pairs) if pairs else None

    def _some_files(self, count: int, *, without: Collection[str] = ()) -> list[str]:
        free = [file for file in self._documents if file not in without]
        return self._dice.sample(free, min(count, len(free)))

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

"""Reading a generator's text as it streams: markers and dangerous marks are cut out, links are set apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from generation.links import BOUNDARY, MAX_RUN, RUN, Link, split_run
from generation.markers import CLOSING, MARKER, MAX_MARKER, OPENING, ending_marker, source_numbers

# Characters of a mark such as `<img src="…">`; a longer one is text.
_MAX_TAG: Final = 300
# Marks that load, run, hide or send something, whatever their attributes; and ours around sources.
_ACTIVE: Final = (
    "a|audio|base|body|button|embed|form|frame|frameset|iframe|img|image|input|link|math|meta|object|picture|script|"
    r"source|source-[0-9a-f]+|style|svg|template|textarea|video"
)
# With an attribute every mark can: `<b onclick="…">`.
_TAG: Final = re.compile(
    rf"<(?:!--[^<>]*|/?(?:{_ACTIVE})(?:[\s/][^<>]*)?|/?[a-z][\w-]*[\s/][^<>]*=[^<>]*)>\Z", re.IGNORECASE
)
_TAG_BEGINNING: Final = re.compile(r"<[A-Za-z/!]")
# Letters and digits decide nothing by themselves; every other character may.
_STEP: Final = re.compile(r"[A-Za-z0-9]+|.", re.DOTALL)
# Left of an index in code: `values[0]`, `rows()[1]`, `table[2][0]`.
_INDEXED: Final = re.compile(r"""[\w.()\]"']*[A-Za-z_)\]"']\Z""")
# What stays of an index that stands in no source.
_NO_INDEX: Final = "[…]"
# Code between so many backticks or more may have several lines.
_FENCE: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """A marker's form that is an index in code: `[0]` of `values[0]`."""

    text: str
    # With what stands left of it; it leaves only where a source holds these words.
    words: str
    instead: str = _NO_INDEX


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbers:
    """The source numbers of a marker, at its place in the text."""

    numbers: tuple[int, ...]


# In the order of the text.
Part = str | Link | Index | Numbers


class Scanner:
    """Takes the pieces of a generator's text and gives back its parts, as early as it safely can.

    What it gives back depends on the text alone, not on how it is cut into pieces: it looks at one character after
    the other, and whatever may still become a marker, a mark or a link waits until that is decided. The text that is
    given back holds no marker, with or without its links.
    """

    def __init__(self) -> None:
        self._buffer = ""
        # Where the last run of characters without a boundary begins.
        self._run = 0
        # Markers that were cut out, by their place in the buffer.
        self._marks: list[tuple[int, tuple[int, ...]]] = []
        # End of what was given back.
        self._sent = ""
        # Closing brackets that belong to the last marker: the second one of `[[1]]`.
        self._owed = 0
        self._last_cut = -1
        self._code = _Code()

    def feed(self, piece: str) -> Iterator[Part]:
        """Yield the parts that are decided."""
        for step in _STEP.findall(piece):
            self._append(step)
            yield from self._release(self._undecided())

    def finish(self) -> Iterator[Part]:
        """Yield the rest."""
        yield from self._release(len(self._buffer))

    def _append(self, step: str) -> None:
        if self._owed and step in CLOSING:
            self._owed -= 1
            return
        self._owed = 0
        self._code.read(step)
        self._buffer += step
        length = len(self._buffer)
        if step in CLOSING:
            self._cut_marker()
        elif step == ")":
            self._cut_target()
        elif step == ">" and (tag := _TAG.search(self._buffer, max(0, length - _MAX_TAG))):
            self._cut(tag.start())
        if length == len(self._buffer) and BOUNDARY.match(step):
            self._run = length
        self._run += (len(self._buffer) - self._run) // MAX_RUN * MAX_RUN

    def _cut_marker(self) -> None:
        marker = ending_marker(self._sent + self._buffer)
        if marker is None or self._is_index(marker):
            return
        # Of a marker that began longer ago than one can wait for, what is still here is cut out.
        start = max(0, marker.start() - len(self._sent))
        while start and self._buffer[start - 1] in " \t":
            start -= 1
        self._cut(start)
        self._last_cut = start
        self._owed = sum(character in OPENING for character in marker["opened"]) - 1
        self._marks.append((start, source_numbers(marker)))

    def _cut_target(self) -> None:
        """Cut what a marker as a link led to: of `[1](#one)` the target."""
        if self._last_cut >= 0 and re.fullmatch(r"\([^()\s]*\)", self._buffer[self._last_cut :]):
            self._cut(self._last_cut)

    def _cut(self, start: int) -> None:
        """Cut out the end of the buffer. What comes next may go on with the run in front of it."""
        self._buffer = self._buffer[:start]
        self._marks = [(min(place, start), numbers) for place, numbers in self._marks]
        self._run = self._run_beginning(start)

    def _is_index(self, marker: re.Match[str]) -> bool:
        start = marker.start() - len(self._sent)
        is_within_run = self._run < start and len(self._buffer) - self._run < MAX_RUN and RUN.fullmatch(marker.group())
        return self._code.is_open and bool(is_within_run and _INDEXED.search(self._buffer[self._run : start]))

    def _undecided(self) -> int:
        """Return where that part of the buffer begins which may still become something else."""
        buffer = self._buffer
        end = min(self._run, self._tag_beginning())
        window = max(0, len(buffer) - MAX_MARKER)
        window = max([window, *(buffer.rfind(sign) + 1 for sign in f"{CLOSING}\n")])
        openings = [place for sign in OPENING if (place := buffer.find(sign, window)) >= 0]
        end = min([end, *openings])
        end = self._run_beginning(end) if end < self._run else end
        while end and buffer[end - 1] in " \t":
            end -= 1
        return end

    def _tag_beginning(self) -> int:
        start = self._buffer.rfind("<", max(0, len(self._buffer) - _MAX_TAG))
        is_tag = start >= 0 and ">" not in self._buffer[start:]
        is_beginning = start == len(self._buffer) - 1 or _TAG_BEGINNING.match(self._buffer, start)
        return start if is_tag and is_beginning else len(self._buffer)

    def _run_beginning(self, place: int) -> int:
        while place and not BOUNDARY.match(self._buffer, place - 1):
            place -= 1
        return place

    def _release(self, end: int) -> Iterator[Part]:
        text = self._buffer[:end]
        if not self._sent and text and not text.strip():
            # Blanks in front of everything else; an answer of blanks alone is none.
            end, text = 0, ""
        ready = [mark for mark in self._marks if mark[0] <= end]
        self._marks = [(place - end, numbers) for place, numbers in self._marks if place > end]
        self._buffer = self._buffer[end:]
        self._run = max(0, self._run - end)
        self._last_cut -= end
        if text:
            self._sent = (self._sent + text)[-MAX_MARKER:]
        yield from _parts(text, ready)


class _Code:
    """Whether the text is within backticks. Between one or two it ends with its line, closed or not."""

    def __init__(self) -> None:
        self._ticks = 0
        self._opened = 0

    @property
    def is_open(self) -> bool:
        return self._opened > 0

    def read(self, step: str) -> None:
        if step == "`":
            self._ticks += 1
            return
        if self._ticks:
            self._opened = 0 if self._opened == self._ticks else self._opened or self._ticks
            self._ticks = 0
        if step == "\n" and self._opened < _FENCE:
            self._opened = 0


def _parts(text: str, marks: list[tuple[int, tuple[int, ...]]]) -> Iterator[Part]:
    """Yield a text's parts with the markers at their places; one within a link comes behind it."""
    position = 0
    waiting = [(place, numbers) for place, numbers in marks if numbers]
    for part in _runs_and_blanks(text):
        end = position + len(part if isinstance(part, str) else part.text)
        if isinstance(part, str):
            while waiting and waiting[0][0] < end:
                place, numbers = waiting.pop(0)
                if place > position:
                    yield text[position:place]
                    position = place
                yield Numbers(numbers=numbers)
            yield text[position:end]
        else:
            yield part
        position = end
    for _, numbers in waiting:
        yield Numbers(numbers=numbers)


def _runs_and_blanks(text: str) -> Iterator[str | Link | Index]:
    position = 0
    for run in RUN.finditer(text):
        if run.start() > position:
            yield text[position : run.start()]
        for part in split_run(run.group()):
            if isinstance(part, Link):
                yield part
            else:
                yield from _indexes(part)
        position = run.end()
    if position < len(text):
        yield text[position:]


def _indexes(text: str) -> Iterator[str | Index]:
    """Yield a text's parts; the only markers that are left in it are indexes in code."""
    position = 0
    for marker in MARKER.finditer(text):
        indexed = _INDEXED.search(text[: marker.start()])
        yield text[position : marker.start()]
        yield Index(text=marker.group(), words=(indexed.group() if indexed else "") + marker.group())
        position = marker.end()
    if position < len(text):
        yield text[position:]

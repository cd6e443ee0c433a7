"""JSON and JSON Lines as readable lines: `path.to.key: value` for every value."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from catalog.errors import InvalidFile, ParseLimitExceeded
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers import media_types
from ingest.parsers.decoding import read_lines, read_text, unreadable
from ingest.parsers.text import add_paragraphs

# An object is the tuple of its (key, value) pairs, so that repeated keys stay; numbers are strings as written.
Value = str | bool | None | list["Value"] | tuple[tuple[str, "Value"], ...]

# Keys whose value names a record, the best first.
_TITLE_KEYS = ("title", "name", "id")
_MAX_TITLE_CHARS = 200
# People's data nests to about 20; Python's own limit is 1000 and would cost a path of that length per value.
_MAX_DEPTH = 100
# Every line repeats the path to its value. Coordinates, the worst of real data, grow tenfold.
_MAX_GROWTH = 40
_GROWTH_COUNTS_FROM_CHARS = 1 << 20


class JsonParser:
    """One element per record of a list or a line, and per member of an object; records are headed by their names."""

    def __init__(self, max_chars: int) -> None:
        self._max_chars = max_chars

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        has_lines = media_type == media_types.JSON_LINES
        text, cuts = read_lines(path, self._max_chars) if has_lines else (read_text(path), [])
        builder = DocumentBuilder(media_type)
        try:
            title, warnings = _add_document(builder, text, media_type)
            # Without a title, the name of the first record would be taken for that of all.
            title = title or filename
        except RecursionError as exc:
            raise InvalidFile(f"{filename!r} is nested more than {_MAX_DEPTH} levels deep; flatten it") from exc
        except _GrownTooLarge as exc:
            raise ParseLimitExceeded(
                f"{filename!r} grows more than {_MAX_GROWTH} times when each value gets its path; "
                "shorten its keys or split it"
            ) from exc
        except json.JSONDecodeError as exc:
            title, warnings = None, [f"this is not valid JSON ({exc}) and was read as plain text"]
            builder = DocumentBuilder(media_type)
            add_paragraphs(builder, text)
        return builder.build(title=title, warnings=[*cuts, *warnings, *unreadable(text)])


class _GrownTooLarge(Exception):
    """The lines of a file are far longer than the file."""


def load_json(text: str) -> Value:
    """Return the one JSON value in `text`; numbers of any size are kept as they are written.

    Raises json.JSONDecodeError, and RecursionError where it is nested too deeply.
    """
    value: Value = json.loads(text, object_pairs_hook=tuple, parse_int=str, parse_float=str, parse_constant=str)
    return value


def media_type_of_json(text: str) -> str | None:
    """Return which kind of JSON `text` is, or None; a lone number or word does not count."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        load_json(text)
    except RecursionError:
        return media_types.JSON
    except json.JSONDecodeError as exc:
        # A second value after the first one, on a line of its own.
        is_next = exc.msg == "Extra data" and text[exc.pos] in "{[" and text[: exc.pos].rstrip(" \t").endswith("\n")
        return media_types.JSON_LINES if is_next else None
    return media_types.JSON


def _add_document(builder: DocumentBuilder, text: str, media_type: str) -> tuple[str | None, list[str]]:
    """Add what `text` holds; return its title and warnings. Raises JSONDecodeError where it is not JSON at all."""
    lines = _Lines(limit=_MAX_GROWTH * max(len(text), _GROWTH_COUNTS_FROM_CHARS))
    warnings: list[str] = []
    try:
        value = load_json(text) if media_type == media_types.JSON else None
    except json.JSONDecodeError:
        if media_type_of_json(text) != media_types.JSON_LINES:
            raise
        media_type = media_types.JSON_LINES
    if media_type == media_types.JSON_LINES:
        value, warnings = _read_records(text)
    if isinstance(value, tuple):
        _add_object(builder, value, lines)
    else:
        _add_records(builder, value if isinstance(value, list) else [value], lines)
    return _title(value), warnings


def _read_records(text: str) -> tuple[list[Value], list[str]]:
    """Return the value of each line; a line that is none stays text and is counted in a warning."""
    records: list[Value] = []
    broken: list[int] = []
    first_error: json.JSONDecodeError | None = None
    # Not splitlines: U+2028 and its like are legal within a JSON string.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(load_json(line))
        except json.JSONDecodeError as exc:
            first_error = first_error or exc
            broken.append(number)
            records.append(line.strip())
    if first_error and len(broken) == len(records):
        raise first_error
    if not broken:
        return records, []
    count = f"{len(broken)} of {len(records)} lines"
    return records, [f"{count} are not JSON and were kept as text; the first is line {broken[0]}"]


def _add_records(builder: DocumentBuilder, records: Iterable[Value], lines: "_Lines", level: int = 1) -> None:
    """Add one element per record, headed by its name; a list of plain values is one element."""
    records = list(records)
    if not any(isinstance(record, list | tuple) for record in records):
        builder.add("\n".join(_scalar(record) for record in records))
        return
    has_titles = any(_title(record) for record in records)
    for position, record in enumerate(records):
        if has_titles:
            # Without a heading of its own, a record would seem to belong to the one before.
            builder.add(_title(record) or f"[{position}]", category=Category.HEADING, level=level)
        builder.add("\n".join(lines.of(record, "")))


def _add_object(builder: DocumentBuilder, members: tuple[tuple[str, Value], ...], lines: "_Lines") -> None:
    """Add an object: its own values as one element, then a section for each list or object in it."""
    title = _title(members)
    builder.add(title, category=Category.HEADING)
    own = [f"{key}: {_scalar(value)}" for key, value in members if not isinstance(value, list | tuple)]
    builder.add("\n".join(own))
    level = 2 if title else 1
    for key, value in members:
        if not isinstance(value, list | tuple):
            continue
        builder.add(key, category=Category.HEADING, level=level)
        if isinstance(value, list) and any(isinstance(item, tuple) for item in value):
            _add_records(builder, value, lines, level + 1)
        else:
            builder.add("\n".join(lines.of(value, key)))


def _title(value: Value) -> str:
    """Return what names `value`, where that is an object with a short name; else an empty string."""
    if not isinstance(value, tuple):
        return ""
    found = {key.lower(): text for key, text in value if isinstance(text, str)}
    title = next((found[key] for key in _TITLE_KEYS if found.get(key, "").strip()), "")
    return title if len(title) <= _MAX_TITLE_CHARS else ""


class _Lines:
    """Writes values as lines, up to a number of characters over all."""

    def __init__(self, *, limit: int) -> None:
        self._left = limit

    def of(self, value: Value, path: str, depth: int = 0) -> Iterator[str]:
        """Yield `path: value` for each value in `value`. Raises RecursionError and _GrownTooLarge."""
        if depth > _MAX_DEPTH:
            raise RecursionError
        if isinstance(value, tuple) and value:
            for key, member in value:
                yield from self.of(member, f"{path}.{key}" if path else key, depth + 1)
        elif isinstance(value, list) and value:
            for position, member in enumerate(value):
                yield from self.of(member, f"{path}[{position}]", depth + 1)
        else:
            line = f"{path}: {_scalar(value)}" if path else _scalar(value)
            self._left -= len(line)
            if self._left < 0:
                raise _GrownTooLarge
            yield line


def _scalar(value: Value) -> str:
    if isinstance(value, str):
        return value
    return {True: "true", False: "false", None: "null"}[value] if isinstance(value, bool | None) else ""

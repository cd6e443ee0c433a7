"""A run: what was asked of which setup, and how each question came out. Everything else is derived from it."""

import json
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from catalog.errors import InvalidRequest

# Of the file; a run that was stored with another one is not read.
SCHEMA: Final = 1
_DISTRIBUTIONS: Final = ("footnote", "faiss-cpu", "ir-measures", "numpy", "openvino")
_NAME: Final = re.compile(r"[^/\\\0]{1,100}")


class Task(StrEnum):
    # Questions are answered from documents.
    ANSWERS = "answers"
    # Passages are ranked for queries.
    RANKING = "ranking"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """What the system would have answered had it refused nothing."""

    # Higher is surer.
    confidence: float
    # An answer to a question that cannot be answered is wrong, whatever it says.
    is_right: bool
    is_answerable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One question of a run."""

    id: str
    text: str
    # What is reported together: a kind of question, a collection, a language.
    part: str
    # Values from 0 to 1 by name, see `evaluation.measures`; what does not apply to the question is missing.
    measures: Mapping[str, float]
    # None where the system cannot tell how sure it is, and for rankings.
    attempt: Attempt | None = None
    # What went wrong, as a sentence; None where nothing did.
    problem: str | None = None
    # JSON values for the report: what was expected, answered, cited, found.
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    name: str
    task: Task
    # ISO 8601, UTC.
    created_at: str
    # JSON values: versions, models, settings; `data` is the digest of what was asked and of the documents.
    setup: Mapping[str, Any]
    items: Sequence[Item]

    @property
    def parts(self) -> dict[str, list[Item]]:
        """The items of each part, in the order in which the parts first occur."""
        parts: dict[str, list[Item]] = {}
        for item in self.items:
            parts.setdefault(item.part, []).append(item)
        return parts


def run_name(task: Task, name: str | None) -> str:
    """Return the name of a new run, without one task and time. Raises InvalidRequest when it cannot be a file's."""
    name = f"{task.value}-{datetime.now(UTC):%Y%m%d-%H%M%S}" if name is None else name
    if not _NAME.fullmatch(name) or name.endswith(".json"):
        raise InvalidRequest(f"{name!r} is no name for a run: 1 to 100 characters, no slashes, no .json at the end.")
    return name


def new_run(name: str, task: Task, items: Sequence[Item], *, setup: Mapping[str, Any]) -> Run:
    """Return a run that ended now. Raises InvalidRequest without an item."""
    if not items:
        raise InvalidRequest("Nothing was asked, so there is nothing to report.")
    created_at = datetime.now(UTC).isoformat(timespec="seconds")
    return Run(name=name, task=task, created_at=created_at, setup=setup, items=items)


def save_run(run: Run, path: Path) -> None:
    """Write a run as JSON, all at once. A run that is there already is replaced."""
    write_json(path, {"schema": SCHEMA, **asdict(run)})


def load_run(path: Path) -> Run:
    """Read a run. Raises InvalidRequest that says why it cannot be."""
    fields = read_json(path, "run")
    try:
        items = [
            Item(**item | {"attempt": Attempt(**item["attempt"]) if item["attempt"] else None})
            for item in fields.pop("items")
        ]
        return Run(**fields | {"task": Task(fields["task"]), "items": items})
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{str(path)!r} does not hold a run of `footnote eval`: {error}") from error


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON for people and machines, as `write_whole` does."""
    write_whole(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file; a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Return the fields of a file that `write_json` wrote, without its schema. Raises InvalidRequest."""
    if not path.is_file():
        raise InvalidRequest(f"There is no {what} at {str(path)!r}.")
    try:
        fields: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRequest(f"{str(path)!r} is not valid JSON: {error}") from error
    schema = fields.pop("schema", None) if isinstance(fields, dict) else None
    if schema != SCHEMA:
        raise InvalidRequest(f"{str(path)!r} has schema {schema!r}, this version reads {SCHEMA}: make it anew.")
    return dict(fields)


def data_digest(paths: Iterable[Path], *options: object) -> str:
    """Return 16 hexadecimal digits that change with a byte or the name of a file, in these or below these folders.

    `options`: what else decides which questions are asked, such as the size of a sample.
    """
    total = sha256(repr(options).encode())
    for path in paths:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            total.update(repr((file.relative_to(path.parent).as_posix(), file.stat().st_size)).encode())
            total.update(file.read_bytes())
    return total.hexdigest()[:16]


def versions() -> dict[str, str]:
    """Return the versions that figures depend on, by distribution."""
    return {name: version(name) for name in _DISTRIBUTIONS} | {"python": platform.python_version()}

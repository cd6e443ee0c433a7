"""What counts: areas of the API, and out_of_scope.toml."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

OUT_OF_SCOPE: Final = Path(__file__).parent / "out_of_scope.toml"

# Areas in the order of the report, with what the paths of their operations begin with; the first that fits counts.
AREAS: Final[Mapping[str, tuple[str, ...]]] = {
    "Files": ("/files",),
    "Uploads": ("/uploads",),
    "Vector stores": ("/vector_stores",),
    "Embeddings": ("/embeddings",),
    "Models": ("/models",),
    "Responses": ("/responses",),
    "Conversations": ("/conversations",),
    "Chat completions": ("/chat/completions",),
}


def area_of(path: str) -> str | None:
    """Return the area of a path without `/v1`; none is outside of them all."""
    for area, prefixes in AREAS.items():
        if any(path == prefix or path.startswith(prefix + "/") for prefix in prefixes):
            return area
    return None


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """One thing that does not count."""

    kind: str
    # What is left out: the name of a schema, an operation or a method, or "OPERATION DIRECTION PATH" of properties.
    what: str
    reason: str


class Scope:
    """The exclusions; remembers which of them left anything out."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.exclusions = tuple(_exclusions(raw))
        self._by_kind = {
            kind: [one for one in self.exclusions if one.kind == kind]
            for kind in ("schema", "operation", "property", "method", "leniency")
        }
        self._used: set[Exclusion] = set()
        self._known: dict[tuple[str, str], bool] = {}

    @classmethod
    def load(cls, path: Path = OUT_OF_SCOPE) -> "Scope":
        return cls(tomllib.loads(path.read_text()))

    def leaves_out_schema(self, name: str) -> bool:
        return self._is_named("schema", name)

    def leaves_out_operation(self, name: str) -> bool:
        return self._is_named("operation", name)

    def leaves_out_method(self, name: str) -> bool:
        return self._is_named("method", name)

    def leaves_out_property(self, operation: str, direction: str, path: str) -> bool:
        return self._is_named("property", f"{operation} {direction} {path}")

    def is_lenient(self, operation: str, path: str, message: str) -> bool:
        return self._is_named("leniency", f"{operation} {path}: {message}")

    @property
    def unused(self) -> list[Exclusion]:
        return [one for one in self.exclusions if one not in self._used]

    def _is_named(self, kind: str, name: str) -> bool:
        if (kind, name) not in self._known:
            fits = [one for one in self._by_kind[kind] if _pattern(one.what).fullmatch(name)]
            self._used.update(fits)
            self._known[kind, name] = bool(fits)
        return self._known[kind, name]


def _exclusions(raw: Mapping[str, Any]) -> Iterable[Exclusion]:
    for section, kind in (("schemas", "schema"), ("operations", "operation"), ("methods", "method")):
        for entry in raw.get(section, []):
            yield from (Exclusion(kind=kind, what=name, reason=entry["reason"]) for name in entry["names"])
    for entry in raw.get("properties", []):
        for path in entry["paths"]:
            what = f"{entry['operation']} {entry['direction']} {path}"
            yield Exclusion(kind="property", what=what, reason=entry["reason"])
    for entry in raw.get("leniencies", []):
        for path in entry["paths"]:
            what = f"{entry['operation']} {path}: {entry['message']}"
            yield Exclusion(kind="leniency", what=what, reason=entry["reason"])


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """`*` stands for any text; everything else for itself."""
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)

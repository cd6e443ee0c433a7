"""The properties that a schema names, as paths, and those of them that a value has.

A path is `data[].content[]:text.text`: a name behind a dot goes into an object, `[]` into an array, and `:name` into
the branch of a union whose `type` is that name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.conformance.contract import Contract, Schema

# In place of a value: everything that the schema allows.
EVERYTHING: Final = object()


@dataclass(kw_only=True)
class _Shape:
    """A schema with its references followed and its combinations merged."""

    properties: dict[str, list["_Part"]] = field(default_factory=dict)
    items: list["_Part"] = field(default_factory=list)
    # Branches by their `type`, where there are several.
    labelled: dict[str, list["_Part"]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Part:
    schema: Schema
    # Names of the schemas on the way here: one that contains itself is not followed twice.
    inside: frozenset[str]


class Properties:
    """Enumerates properties; a named schema for which `is_excluded` holds is not entered."""

    def __init__(self, contract: Contract, is_excluded: Callable[[str], bool]) -> None:
        self._contract = contract
        self._is_excluded = is_excluded

    def of(self, schema: Schema, value: Any = EVERYTHING) -> Iterator[str]:
        """Yield the path of every property of `schema`, or of those alone that `value` has."""
        yield from self._walk([_Part(schema=schema, inside=frozenset())], "", value)

    def path(self, schema: Schema, value: Any, at: tuple[str | int, ...]) -> str:
        """Return the path of a place in `value`; a required property that is not there ends at its object."""
        parts, path = [_Part(schema=schema, inside=frozenset())], ""
        for step in at:
            shape = self._shape(parts)
            label = _label(value, shape)
            parts, path = (shape.labelled[label], f"{path}:{label}") if label else (parts, path)
            shape = self._shape(parts)
            parts = shape.items if isinstance(step, int) else shape.properties.get(step, [])
            path += "[]" if isinstance(step, int) else f".{step}"
            value = value[step]
        return path.removeprefix(".")

    def _walk(self, parts: list[_Part], path: str, value: Any) -> Iterator[str]:
        shape = self._shape(parts)
        for name, inner in shape.properties.items():
            if value is EVERYTHING or (isinstance(value, Mapping) and name in value):
                inner_path = f"{path}.{name}".removeprefix(".")
                yield inner_path
                yield from self._walk(inner, inner_path, value if value is EVERYTHING else value[name])
        if shape.items and (value is EVERYTHING or isinstance(value, list)):
            for one in [EVERYTHING] if value is EVERYTHING else value:
                yield from self._walk(shape.items, f"{path}[]", one)
        if value is EVERYTHING:
            for label, inner in shape.labelled.items():
                yield from self._walk(inner, f"{path}:{label}", EVERYTHING)
        elif label := _label(value, shape):
            yield from self._walk(shape.labelled[label], f"{path}:{label}", value)

    def _shape(self, parts: list[_Part]) -> _Shape:
        shape = _Shape()
        for part in parts:
            self._add(part, shape)
        return shape

    def _add(self, part: _Part, shape: _Shape) -> None:
        name, schema = self._contract.resolve(part.schema)
        if name and (name in part.inside or self._is_excluded(name)):
            return
        inside = part.inside | {name} if name else part.inside
        for key, inner in schema.get("properties", {}).items():
            shape.properties.setdefault(key, []).append(_Part(schema=inner, inside=inside))
        if isinstance(schema.get("items"), Mapping):
            shape.items.append(_Part(schema=schema["items"], inside=inside))
        for one in schema.get("allOf", []):
            self._add(_Part(schema=one, inside=inside), shape)
        self._add_union([*schema.get("anyOf", []), *schema.get("oneOf", [])], inside, shape)

    def _add_union(self, branches: list[Schema], inside: frozenset[str], shape: _Shape) -> None:
        for branch in branches:
            name, schema = self._contract.resolve(branch)
            if name and (name in inside or self._is_excluded(name)):
                continue
            within = inside | {name} if name else inside
            nested = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
            if nested:
                self._add_union(nested, within, shape)
            elif label := self._contract.label(branch):
                shape.labelled.setdefault(label, []).append(_Part(schema=branch, inside=inside))
            else:
                self._add(_Part(schema=branch, inside=inside), shape)


def _label(value: Any, shape: _Shape) -> str | None:
    """Return the branch that `value` is of; a message says so by its `role` alone, which OpenAI allows."""
    if not shape.labelled or not isinstance(value, Mapping):
        return None
    kind = value.get("type", "message" if "role" in value else None)
    return kind if kind in shape.labelled else None

"""OpenAI's attribute filters: parsing and deciding them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from catalog.errors import InvalidRequest

Value = str | int | float | bool

# Nested deeper than this is refused: a filter comes from a request and is walked recursively.
_MAX_DEPTH: Final = 16


def _same_type(left: Value, right: Value) -> bool:
    """A boolean is no number here, although Python says so."""
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool)
    return isinstance(left, str) == isinstance(right, str)


def _equal(left: Value, right: Value) -> bool:
    return _same_type(left, right) and left == right


_ORDERED: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}
_COMPARISONS: Final = ("eq", "ne", *_ORDERED, "in", "nin")
_COMPOUNDS: Final = ("and", "or")


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """`attributes[key] <operator> value`. A missing key satisfies `ne` and `nin` alone; unlike types never compare."""

    operator: str
    key: str
    value: Value | tuple[Value, ...]

    def matches(self, attributes: Mapping[str, Any]) -> bool:
        present = attributes.get(self.key)
        if isinstance(self.value, tuple):
            found = present is not None and any(_equal(present, value) for value in self.value)
            return found == (self.operator == "in")
        if self.operator in ("eq", "ne"):
            return (present is not None and _equal(present, self.value)) == (self.operator == "eq")
        comparable = present is not None and not isinstance(present, bool) and _same_type(present, self.value)
        return comparable and _ORDERED[self.operator](present, self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compound:
    """All (`and`) or any (`or`) of the parts."""

    operator: str
    parts: tuple["Filter", ...]

    def matches(self, attributes: Mapping[str, Any]) -> bool:
        decide = all if self.operator == "and" else any
        return decide(part.matches(attributes) for part in self.parts)


Filter = Comparison | Compound


def parse_filter(raw: Any, *, depth: int = 0) -> Filter:
    """Read a filter in OpenAI's JSON form. Raises InvalidRequest that names the part that is wrong."""
    if depth > _MAX_DEPTH:
        raise InvalidRequest(f"filters are nested deeper than {_MAX_DEPTH} levels.", param="filters")
    operator = raw.get("type") if isinstance(raw, Mapping) else None
    if operator in _COMPOUNDS:
        parts = raw.get("filters")
        if not isinstance(parts, Sequence) or isinstance(parts, str) or not parts:
            raise InvalidRequest(f"A filter of type {operator!r} needs a non-empty list `filters`.", param="filters")
        return Compound(operator=operator, parts=tuple(parse_filter(part, depth=depth + 1) for part in parts))
    if operator in _COMPARISONS:
        return _parse_comparison(operator, raw)
    known = ", ".join((*_COMPARISONS, *_COMPOUNDS))
    raise InvalidRequest(f"A filter needs a `type` out of {known}; got {operator!r}.", param="filters")


def _parse_comparison(operator: str, raw: Mapping[str, Any]) -> Comparison:
    key, value = raw.get("key"), raw.get("value")
    if not isinstance(key, str) or not key:
        raise InvalidRequest(f"A filter of type {operator!r} needs a `key`; got {key!r}.", param="filters")
    if operator in ("in", "nin"):
        if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
            raise InvalidRequest(f"{key!r}: {operator!r} needs a list of strings or numbers.", param="filters")
        return Comparison(operator=operator, key=key, value=tuple(value))
    if not isinstance(value, str | int | float):
        raise InvalidRequest(f"{key!r}: {operator!r} needs a string, number or boolean.", param="filters")
    if operator in _ORDERED and isinstance(value, bool):
        raise InvalidRequest(f"{key!r}: booleans have no order; use eq or ne.", param="filters")
    return Comparison(operator=operator, key=key, value=value)

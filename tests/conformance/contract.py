"""OpenAI's OpenAPI document: which operation a request is, and whether a reply is what the document promises."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

DOCUMENT: Final = Path(__file__).parents[3] / "shared" / "openai-openapi.json.gz"
Schema = Mapping[str, Any]

_METHODS: Final = ("get", "post", "put", "patch", "delete")
_SCHEMAS: Final = "#/components/schemas/"
_SHOWN_CHARS: Final = 150
# What a stream of `POST /responses` sends, a stored response that is streamed again sends too; the document forgets it.
_EVENTS_OF_RESPONSES: Final = "ResponseStreamEvent"


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method on one path."""

    method: str
    # With its parameters in braces.
    path: str
    # JSON or multipart body; none takes no body.
    body: Schema | None
    query: Mapping[str, Schema]
    # Of status 200; none has no JSON.
    reply: Schema | None
    # Each event of a stream; none does not stream.
    event: Schema | None

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """Where a value breaks the document, and how."""

    # Property names and positions from the root of the value.
    at: tuple[str | int, ...]
    message: str


class Contract:
    """The document, with its unions made strict: an object is held to the one branch that its `type` names."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, Draft202012Validator] = {}
        self._strict: dict[str, Any] = {
            "$id": "urn:openai",
            "components": {"schemas": {name: self._tighten(schema) for name, schema in self.schemas.items()}},
        }

    @classmethod
    def load(cls, path: Path = DOCUMENT) -> "Contract":
        with gzip.open(path) as file:
            return cls(json.load(file))

    @property
    def schemas(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._document["components"]["schemas"]
        return found

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Every operation, in the document's order; those of beta headers are the same paths again and left out."""
        return tuple(
            self._operation(method, path, item[method])
            for path, item in self._document["paths"].items()
            if "?" not in path
            for method in _METHODS
            if method in item
        )

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation of a request, path without `/v1`; a path without parameters wins over one with."""
        fits = [one for one in self.operations if one.method == method and _pattern(one.path).fullmatch(path)]
        return min(fits, key=lambda one: one.path.count("{"), default=None)

    def resolve(self, schema: Schema) -> tuple[str | None, Schema]:
        """Return the name of what `schema` refers to, if it refers, and the schema itself."""
        ref = schema.get("$ref", "")
        if not ref.startswith(_SCHEMAS):
            return None, schema
        name = ref.removeprefix(_SCHEMAS)
        return name, self.schemas[name]

    def labels(self, schema: Schema) -> tuple[str, ...]:
        """Return the values that `type` can have in the objects of this schema, which tell them apart in a union."""
        _, found = self.resolve(schema)
        _, kind = self.resolve(found.get("properties", {}).get("type", {}))
        values = (kind["const"],) if "const" in kind else tuple(kind.get("enum", ()))
        return values or next((inner for part in found.get("allOf", []) if (inner := self.labels(part))), ())

    def label(self, schema: Schema) -> str | None:
        """Return the value of `type` if it can have but one."""
        labels = self.labels(schema)
        return labels[0] if len(labels) == 1 else None

    def branches(self, schema: Schema) -> Iterator[Schema]:
        """Yield the alternatives of a union, those of unions in it too; a schema that is no union is its only one."""
        _, found = self.resolve(schema)
        parts = [*found.get("anyOf", []), *found.get("oneOf", [])]
        if not parts:
            yield schema
        for part in parts:
            yield from self.branches(part)

    def violations(self, schema: Schema, value: Any) -> list[Violation]:
        """Return what is wrong with `value`, each fault once and at the deepest place that is to blame."""
        return list(dict.fromkeys(_violation(error) for error in self._validator(schema).iter_errors(value)))

    def _validator(self, schema: Schema) -> Draft202012Validator:
        """Made once for each schema: it takes longer than a validation."""
        key = json.dumps(schema)
        if key not in self._validators:
            self._validators[key] = Draft202012Validator({**self._strict, **self._tighten(schema)})
        return self._validators[key]

    def _operation(self, method: str, path: str, raw: Mapping[str, Any]) -> Operation:
        bodies = raw.get("requestBody", {}).get("content", {})
        replies = raw["responses"].get("200", {}).get("content", {})
        body = next((bodies[kind] for kind in ("application/json", "multipart/form-data") if kind in bodies), {})
        event = replies.get("text/event-stream", {}).get("schema")
        if path == "/responses/{response_id}" and method == "get":
            event = {"$ref": _SCHEMAS + _EVENTS_OF_RESPONSES}
        return Operation(
            method=method.upper(),
            path=path,
            body=body.get("schema"),
            query={
                one["name"].removesuffix("[]"): one.get("schema", {})
                for one in raw.get("parameters", [])
                if one.get("in") == "query"
            },
            reply=replies.get("application/json", {}).get("schema"),
            event=event,
        )

    def _tighten(self, schema: Any) -> Any:
        """Return the schema as JSON Schema 2020-12, its unions decided by `type`."""
        if isinstance(schema, list):
            return [self._tighten(part) for part in schema]
        if not isinstance(schema, Mapping):
            return schema
        labelled = self._labelled(schema)
        if labelled:
            return self._decided(schema, labelled)
        tight = {key: self._tighten(value) for key, value in schema.items() if key not in {"discriminator", "nullable"}}
        # OpenAPI 3.0's word, which this document of 3.1 still has in places.
        return {"anyOf": [tight, {"type": "null"}]} if schema.get("nullable") is True else tight

    def _labelled(self, schema: Schema) -> dict[str, list[Schema]]:
        """Return the branches of a union by their `type`; nothing when `type` does not tell them apart."""
        if not any(key in schema and isinstance(schema[key], list) for key in ("anyOf", "oneOf")):
            return {}
        found: dict[str, list[Schema]] = {}
        for branch in self.branches({key: schema[key] for key in ("anyOf", "oneOf") if key in schema}):
            for label in self.labels(branch):
                found.setdefault(label, []).append(branch)
        return found if len(found) > 1 else {}

    def _decided(self, schema: Schema, labelled: Mapping[str, list[Schema]]) -> dict[str, Any]:
        others = [self._tighten(part) for part in self.branches(schema) if not self.labels(part)]
        choices = [
            {
                "if": {"properties": {"type": {"const": label}}, "required": ["type"]},
                "then": self._tighten(parts[0]) if len(parts) == 1 else {"anyOf": self._tighten(parts)},
            }
            for label, parts in labelled.items()
        ]
        chosen = {"properties": {"type": {"enum": list(labelled)}}, "required": ["type"], "allOf": choices}
        return {"anyOf": [*others, {"type": "object", **chosen}]} if others else {"type": "object", **chosen}


def _violation(error: ValidationError) -> Violation:
    """Of a union's failed branches the one that got deepest is what the value was meant to be."""
    while error.context:
        error = max(error.context, key=lambda one: (len(one.absolute_path), one.validator != "type"))
    return Violation(at=tuple(error.absolute_path), message=_shortened(error.message))


def _shortened(message: str) -> str:
    """The value comes first and may be long; what is wrong with it comes last."""
    return message if len(message) <= 2 * _SHOWN_CHARS else f"{message[:_SHOWN_CHARS]} … {message[-_SHOWN_CHARS:]}"


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path)))

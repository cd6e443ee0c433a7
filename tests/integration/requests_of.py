"""Random requests for every endpoint of an OpenAPI document, with ids of known objects wherever an id may stand."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Parts of a path that are no object of a project.
NO_OBJECTS: Final = {"model"}
# What the ids in a path are of.
PATH_KINDS: Final = {
    "vector_store_id": "store",
    "file_id": "file",
    "batch_id": "batch",
    "response_id": "response",
    "conversation_id": "conversation",
    "item_id": "item",
    "upload_id": "upload",
}
# What a field of a body names; None: anything.
BODY_KINDS: Final = {
    "file_id": "file",
    "file_ids": "file",
    "vector_store_ids": "store",
    "previous_response_id": "response",
    "conversation": "conversation",
    "part_ids": "part",
    "id": None,
    "after": None,
    "before": None,
}
_MAX_DEPTH: Final = 7
# Of the optional fields of a body.
_SHARE: Final = 0.15


class UnknownKind(AssertionError):
    """An id of an object that the test does not know: say in PATH_KINDS or BODY_KINDS what it is."""


@dataclass(frozen=True, kw_only=True)
class Call:
    method: str
    # As in the document.
    template: str
    path: str
    query: dict[str, Any] = field(default_factory=dict)
    json: Any = None
    form: bool = False


# Returns an id of a kind, or of any kind.
Pick = Callable[[str | None], str]


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method, path and operation of every endpoint. Raises UnknownKind for an id in a path or body."""
    for path, methods in document["paths"].items():
        for name in re.findall(r"\{(\w+)\}", path):
            if name not in PATH_KINDS and name not in NO_OBJECTS:
                raise UnknownKind(f"{name!r} in {path}")
        for method, operation in methods.items():
            yield method.upper(), path, operation
    for schema, body in document["components"]["schemas"].items():
        for name in body.get("properties", {}):
            if re.search(r"_ids?$", name) and name not in BODY_KINDS:
                raise UnknownKind(f"{name!r} in {schema}")


class Requests:
    """Draws requests; the same seed draws the same ones."""

    def __init__(self, document: Mapping[str, Any], seed: int) -> None:
        self._schemas = document["components"]["schemas"]
        self._operations = list(operations(document))
        self.random = random.Random(seed)

    @property
    def endpoints(self) -> set[tuple[str, str]]:
        return {(method, path) for method, path, _ in self._operations}

    def __len__(self) -> int:
        return len(self._operations)

    def places(self, number: int) -> int:
        """Return how many ids a request to the endpoint with this number takes at least, the body counted as one."""
        _, template, operation = self._operations[number % len(self)]
        return template.count("{") + ("requestBody" in operation)

    def draw(self, number: int, pick: Pick) -> Call:
        """Return a request to the endpoint with this number, counted round and round."""
        method, template, operation = self._operations[number % len(self)]

        def fill(match: re.Match[str]) -> str:
            return "footnote" if match[1] in NO_OBJECTS else pick(PATH_KINDS[match[1]])

        query = {}
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query" and self.random.random() < _SHARE:
                value = self._value(parameter["schema"], parameter["name"], pick, 0)
                query |= {} if value is None else {parameter["name"]: value}
        content = operation.get("requestBody", {}).get("content", {})
        body = content.get("application/json")
        return Call(
            method=method,
            template=template,
            path=re.sub(r"\{(\w+)\}", fill, template),
            query=query,
            json=self._value(body["schema"], "", pick, 0) if body else None,
            form="multipart/form-data" in content,
        )

    def _value(self, schema: Mapping[str, Any], name: str, pick: Pick, depth: int) -> Any:
        chosen = self._chosen(schema)
        if "const" in chosen:
            return chosen["const"]
        if "enum" in chosen:
            return self.random.choice(chosen["enum"])
        drawn: dict[str, Callable[[], Any]] = {
            "object": lambda: self._object(chosen, name, pick, depth),
            "array": lambda: self._array(chosen, name, pick, depth),
            "string": lambda: self._text(name, pick),
            "integer": lambda: self.random.randint(*_range(chosen)),
            "number": lambda: self.random.randint(*_range(chosen)),
            "boolean": lambda: self.random.random() < 0.2,
        }
        kind = chosen.get("type")
        return drawn[kind]() if kind in drawn else None

    def _chosen(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow references and choices to a schema that says what the value is."""
        if "$ref" in schema:
            return self._chosen(self._schemas[schema["$ref"].rsplit("/", 1)[1]])
        choices = schema.get("anyOf") or schema.get("oneOf")
        return self._chosen(self.random.choice(choices)) if choices else schema

    def _array(self, schema: Mapping[str, Any], name: str, pick: Pick, depth: int) -> list[Any]:
        least, most = schema.get("minItems", 0), 3 if depth < _MAX_DEPTH else 0
        length = self.random.randint(least, max(least, most))
        return [self._value(schema.get("items", {}), name, pick, depth + 1) for _ in range(length)]

    def _object(self, schema: Mapping[str, Any], name: str, pick: Pick, depth: int) -> dict[str, Any]:
        if "properties" not in schema:
            return self._free_object(name, pick)
        required = schema.get("required", ())
        share = _SHARE if depth < _MAX_DEPTH else 0.0
        return {
            key: self._value(inner, key, pick, depth + 1)
            for key, inner in schema["properties"].items()
            # Fields that name objects are what this is about.
            if key in required or self.random.random() < (0.7 if key in BODY_KINDS else share)
        }

    def _free_object(self, name: str, pick: Pick) -> dict[str, Any]:
        if name in BODY_KINDS:
            return {"id": pick(BODY_KINDS[name])}
        if name == "filters":
            return {"type": "eq", "key": "department", "value": self.random.choice(["sales", "legal"])}
        return self.random.choice([{}, {"type": "auto"}, {"department": "sales"}, {"k": "v"}])

    def _text(self, name: str, pick: Pick) -> str:
        if name in BODY_KINDS:
            return pick(BODY_KINDS[name])
        if name == "model":
            return self.random.choice(["footnote", "footnote", "footnote", "hashing"])
        return self.random.choice(["Where is the boiler?", "sales", "auto", "file_search_call.results", "message"])


def _range(schema: Mapping[str, Any]) -> tuple[int, int]:
    low = int(schema.get("minimum", schema.get("exclusiveMinimum", 0)))
    return low, max(low, min(int(schema.get("maximum", low + 20)), low + 20))

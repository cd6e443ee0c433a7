"""A small description of an API, for the tests of the instrument."""

from typing import Any

from tests.conformance.contract import Contract

_DOG = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "enum": ["dog"]},
        "name": {"type": "string"},
        "pups": {"type": "array", "items": {"$ref": "#/components/schemas/Dog"}},
    },
    "required": ["type", "name"],
}
_CAT = {
    "allOf": [
        {"type": "object", "properties": {"type": {"type": "string", "enum": ["cat"]}}, "required": ["type"]},
        {"type": "object", "properties": {"lives": {"type": "integer"}, "owner": {"type": "string", "nullable": True}}},
    ]
}
_PET = {"oneOf": [{"$ref": "#/components/schemas/Dog"}, {"$ref": "#/components/schemas/Cat"}]}
_LIST = {
    "type": "object",
    "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}},
    "required": ["data"],
}
_ERROR = {"type": "object", "properties": {"error": {"type": "object"}}, "required": ["error"]}
_STARTED = {"type": "object", "properties": {"type": {"type": "string", "enum": ["file.started"]}}}
_ENDED = {
    "type": "object",
    "properties": {"type": {"type": "string", "enum": ["file.ended"]}, "n": {"type": "integer"}},
}
_EVENT = {"anyOf": [{"$ref": "#/components/schemas/Started"}, {"$ref": "#/components/schemas/Ended"}]}
SCHEMAS = {
    "Dog": _DOG,
    "Cat": _CAT,
    "Pet": _PET,
    "PetList": _LIST,
    "ErrorResponse": _ERROR,
    "Started": _STARTED,
    "Ended": _ENDED,
    "Event": _EVENT,
}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def contract() -> Contract:
    """Return a description with files that are pets."""
    replies = {"200": {"content": {"application/json": {"schema": ref("PetList")}}}}
    streamed = {
        "200": {
            "content": {
                "application/json": {"schema": ref("Pet")},
                "text/event-stream": {"schema": ref("Event")},
            }
        }
    }
    body = {"content": {"application/json": {"schema": ref("Dog")}}}
    limit: dict[str, Any] = {"name": "limit", "in": "query", "schema": {"type": "integer"}}
    paths = {
        "/files": {
            "get": {"responses": replies, "parameters": [limit]},
            "post": {"responses": streamed, "requestBody": body},
        },
        "/files/{file_id}": {"get": {"responses": streamed}},
        "/files/search": {"get": {"responses": replies}},
        "/files?beta=true": {"get": {"responses": replies}},
    }
    return Contract({"paths": paths, "components": {"schemas": SCHEMAS}})

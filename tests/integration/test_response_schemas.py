"""What the Responses and Conversations APIs answer fits OpenAI's own description of it, where that is at hand."""

import gzip
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.wire.chat import CreateChatCompletion
from api.wire.conversations import CreateConversation
from api.wire.responses import CountTokens, CreateResponse
from tests.integration.conftest import HOUSE, ROOT, Footnote

DOCUMENT = ROOT.parent / "shared" / "openai-openapi.json.gz"
QUESTION = "Who installed the boiler in the cellar?"

pytestmark = pytest.mark.skipif(not Path(DOCUMENT).exists(), reason="OpenAI's description is not at hand")


@cache
def registry() -> Registry[Any]:
    with gzip.open(DOCUMENT) as stream:
        document = json.load(stream)
    return Registry().with_resource("urn:openai", Resource(contents=document, specification=DRAFT202012))


@cache
def event_schemas() -> dict[str, str]:
    """Return the name of the schema of each event, by its type."""
    schemas = registry().contents("urn:openai")["components"]["schemas"]
    names = [one["$ref"].rsplit("/", 1)[1] for one in schemas["ResponseStreamEvent"]["anyOf"]]
    return {schemas[name]["properties"]["type"]["enum"][0]: name for name in names}


def check(name: str, value: Any) -> None:
    schema = {"$ref": f"urn:openai#/components/schemas/{name}"}
    validator = jsonschema.Draft202012Validator(schema, registry=registry())
    errors = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
    assert errors == [], name


@pytest.fixture(scope="module")
def house(footnote: Footnote) -> str:
    store = footnote.store(name="house of schemas")
    footnote.add(store, HOUSE, attributes={"kind": "notes", "year": 2011, "old": True})
    return store


def bodies() -> Iterator[dict[str, Any]]:
    yield {}
    yield {"include": ["file_search_call.results"], "metadata": {"k": "v"}, "user": "u", "reasoning": {"effort": "low"}}
    yield {"tool_choice": "none", "max_output_tokens": 16}
    yield {"instructions": "Be brief.", "service_tier": "auto", "prompt_cache_options": {"ttl": "30m"}}
    yield {"background": True}


@pytest.mark.parametrize("body", list(bodies()))
def test_every_event_and_response_fits(footnote: Footnote, house: str, body: dict[str, Any]) -> None:
    """Each event by the schema of its type, and the response that is answered and retrieved."""
    tools = [{"type": "file_search", "vector_store_ids": [house], "filters": {"type": "gt", "key": "year", "value": 1}}]
    reply = footnote.client.post("/v1/responses", json={"input": QUESTION, "tools": tools, "stream": True, **body})
    events = [json.loads(block.split("data: ", 1)[1]) for block in reply.text.strip().split("\n\n")]
    for event in events:
        check(event_schemas()[event["type"]], event)
    path = f"/v1/responses/{events[-1]['response']['id']}"
    check("Response", footnote.get(path))
    check("ResponseItemList", footnote.get(f"{path}/input_items"))


def test_conversations_fit(footnote: Footnote, house: str) -> None:
    """The object, its items and its deletion."""
    made = footnote.client.post("/v1/conversations", json={"items": [{"role": "user", "content": "Hello."}]}).json()
    response = footnote.respond(QUESTION, house, conversation=made["id"], include=["file_search_call.results"])
    path = f"/v1/conversations/{made['id']}"
    check("Response", response)
    check("ConversationResource", made)
    items = footnote.get(f"{path}/items", include="file_search_call.results")
    check("ConversationItemList", items)
    for item in items["data"]:
        check("ConversationItem", footnote.get(f"{path}/items/{item['id']}"))
    check("DeletedConversationResource", footnote.client.delete(path).json())


def test_counts_fit(footnote: Footnote) -> None:
    """The count of input tokens."""
    check("TokenCountsResource", footnote.client.post("/v1/responses/input_tokens", json={"input": QUESTION}).json())


def properties_of(name: str) -> set[str]:
    """Return the properties of a schema, those that it takes over from others included."""
    schemas = registry().contents("urn:openai")["components"]["schemas"]
    parts = schemas[name].get("allOf", [schemas[name]])
    return {
        found
        for part in parts
        for found in (properties_of(part["$ref"].rsplit("/", 1)[1]) if "$ref" in part else part.get("properties", {}))
    }


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("CreateResponse", CreateResponse),
        ("TokenCountsBody", CountTokens),
        ("CreateConversationBody", CreateConversation),
        ("CreateChatCompletionRequest", CreateChatCompletion),
    ],
)
def test_no_parameter_of_openai_is_unknown(name: str, model: type[BaseModel]) -> None:
    """Each is honoured, accepted or refused by name."""
    assert properties_of(name) - set(model.model_fields) == set()

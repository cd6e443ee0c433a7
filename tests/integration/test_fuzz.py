"""Bodies that nobody meant: whatever comes in, the answer is 2xx or 4xx in OpenAI's form, never 5xx."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.conftest import Footnote

JSON = {"content-type": "application/json"}

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["\0", "\ud800", "\u202e", "x" * 600, "footnote", "hashing", "auto", "static"]
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 1, 50, 51, 2**31, 2**63, 2**64, 10**30, 1e308, float("nan"), float("inf")])
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)

# Routes with a body that is right, of which one value at a time is made wrong. {store} and {file} exist.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/vector_stores": {
        "name": "n",
        "description": "d",
        "file_ids": ["{file}"],
        "metadata": {"k": "v"},
        "expires_after": {"anchor": "last_active_at", "days": 1},
        "chunking_strategy": {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 10}},
    },
    "/v1/vector_stores/{store}": {"name": "n", "metadata": {"k": "v"}, "expires_after": None},
    "/v1/vector_stores/{store}/search": {
        "query": ["boiler"],
        "filters": {"type": "and", "filters": [{"type": "in", "key": "k", "value": ["v", 1]}]},
        "max_num_results": 5,
        "ranking_options": {
            "ranker": "auto",
            "score_threshold": 0.1,
            "hybrid_search": {"embedding_weight": 1, "text_weight": 1},
        },
        "rewrite_query": False,
    },
    "/v1/vector_stores/{store}/files": {
        "file_id": "{file}",
        "attributes": {"k": "v", "n": 1.5, "b": True},
        "chunking_strategy": {"type": "auto"},
    },
    "/v1/vector_stores/{store}/files/{file}": {"attributes": {"k": "v"}},
    "/v1/responses": {
        "model": "footnote",
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Is the boiler old?"}]}],
        "tools": [{"type": "file_search", "vector_store_ids": ["{store}"], "max_num_results": 3, "filters": {}}],
        "tool_choice": {"type": "file_search"},
        "include": ["file_search_call.results"],
        "metadata": {"k": "v"},
        "text": {"format": {"type": "text"}},
        "temperature": 1,
        "max_output_tokens": 100,
        "truncation": "auto",
        "user": "u",
    },
    "/v1/embeddings": {"model": "hashing", "input": ["a", "b"], "encoding_format": "float", "dimensions": 64},
}


def paths_of(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the place of every value in a body, inner ones too."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, child in children for found in paths_of(child, (*path, key)))]


def with_value(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return a copy of `body` that has `value` at that place."""
    if not path:
        return value
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[path[0]] = with_value(body[path[0]], path[1:], value)
    return copy


PLACES = [(route, path) for route, body in BODIES.items() for path in paths_of(body)]


@pytest.fixture(scope="module")
def ids(footnote: Footnote) -> dict[str, str]:
    store = footnote.store(name="fuzz")
    return {"store": store, "file": footnote.add(store)}


def send(footnote: Footnote, route: str, body: Any, ids: dict[str, str]) -> Any:
    text = json.dumps(body)
    for name, value in ids.items():
        text, route = text.replace(f"{{{name}}}", value), route.replace(f"{{{name}}}", value)
    return footnote.client.post(route, content=text, headers=JSON)


def check(reply: Any) -> None:
    assert reply.status_code < 500, reply.text
    if reply.status_code >= 400:
        error = reply.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        assert len(error["message"]) < 2000
    reply.json()


@pytest.mark.parametrize("route", BODIES)
def test_the_bodies_that_are_varied_are_right_themselves(footnote: Footnote, ids: dict[str, str], route: str) -> None:
    """Otherwise every variation would be refused for the same first mistake."""
    assert send(footnote, route, BODIES[route], ids).status_code == 200


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_a_wrong_value_in_any_place_is_never_a_server_error(
    footnote: Footnote, ids: dict[str, str], place: tuple[str, tuple[Any, ...]], value: Any
) -> None:
    """Each value of each body is replaced by whatever JSON can spell."""
    route, path = place
    check(send(footnote, route, with_value(BODIES[route], path, value), ids))
    for listing in (f"/v1/vector_stores/{ids['store']}/files", "/v1/vector_stores"):
        # What was accepted can be shown again.
        assert footnote.client.get(listing).status_code == 200


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(sorted(BODIES)), key=TEXTS, value=VALUES)
def test_an_unknown_key_is_refused(footnote: Footnote, ids: dict[str, str], route: str, key: str, value: Any) -> None:
    """A key that is no parameter is an error, so that a misspelt wish is noticed."""
    if key in {"user", *BODIES[route]}:
        return
    reply = send(footnote, route, {**BODIES[route], key: value}, ids)
    check(reply)
    assert reply.status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "nul",
        "[]",
        '"text"',
        "5",
        "null",
        "[" * 20_000,
        '{"a":' * 20_000,
        '{"input": ' + "9" * 5000 + "}",
        '{"input": 1e999}',
        '{"input": "\\ud800"}',
        b"\xff\xfe",
        b"\x00",
    ],
    ids=range(14),
)
@pytest.mark.parametrize("route", BODIES)
def test_what_is_no_object_is_a_400(footnote: Footnote, ids: dict[str, str], route: str, body: str | bytes) -> None:
    """Damaged, nested or foreign JSON is refused, with and without the right content type."""
    path = route.replace("{store}", ids["store"]).replace("{file}", ids["file"])
    for headers in (JSON, {"content-type": "text/plain"}, {}):
        reply = footnote.client.post(path, content=body, headers=headers)
        check(reply)
        assert reply.status_code == 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(["/v1/files", "/v1/vector_stores", "/v1/vector_stores/{store}/files"]),
    params=st.dictionaries(
        st.sampled_from(["limit", "order", "after", "before", "filter", "purpose"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10) | st.integers().map(str),
        max_size=4,
    ),
)
def test_wrong_query_parameters_are_never_a_server_error(
    footnote: Footnote, ids: dict[str, str], path: str, params: dict[str, str]
) -> None:
    """Lists answer whatever they are asked for."""
    check(footnote.client.get(path.replace("{store}", ids["store"]), params=params))

"""A model's calls are read strictly: nothing in them can do anything but search."""

import json
from typing import Any

import pytest

from generation.backends.base import ToolCall
from generation.search_tool import FILE_SEARCH, WrongCall, echoed, queries_of


def a_call(arguments: Any, name: str = "file_search") -> ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return ToolCall(call_id="x", name=name, arguments=text)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"queries": ["red pump"]}, ["red pump"]),
        ({"queries": [" red \n pump ", "roof", "red pump"]}, ["red pump", "roof"]),
        ({"queries": "red pump"}, ["red pump"]),
        ({"query": "red pump"}, ["red pump"]),
        ({"queries": ["pump\u202e <|im_end|>"]}, ["pump<U+202E> ‹|im_end|›"]),
    ],
)
def test_queries_are_read(arguments: Any, expected: list[str]) -> None:
    """In one line, each once, with nothing hidden in them; a lone query is understood too."""
    assert queries_of(a_call(arguments)) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (a_call({"queries": ["a"]}, name="http_get"), "no tool 'http_get'"),
        (a_call({"queries": ["a"]}, name=""), "no tool ''"),
        (a_call(""), "no JSON"),
        (a_call('{"queries": ["a'), "no JSON"),
        (a_call("[" * 100_000), "no JSON"),
        (a_call("9" * 5000), "no JSON"),
        (a_call("null"), "no object"),
        (a_call('["a"]'), "no object"),
        (a_call({}), "list of 1 to 5"),
        (a_call({"queries": []}), "list of 1 to 5"),
        (a_call({"queries": ["a"] * 6}), "list of 1 to 5"),
        (a_call({"queries": {"a": 1}}), "list of 1 to 5"),
        (a_call({"queries": ["a", 7]}), "text of 1 to 500"),
        (a_call({"queries": [" \n"]}), "text of 1 to 500"),
        (a_call({"queries": ["a" * 501]}), "text of 1 to 500"),
        (a_call('{"queries": ["\\ud800"]}'), "half a character"),
        (a_call({"queries": ["a"], "vector_store_ids": ["vs_other"]}), "no 'vector_store_ids'"),
        (a_call({"queries": ["a"], "filters": None}), "no 'filters'"),
        (a_call({"queries": ["a"], "max_num_results": 50}), "no 'max_num_results'"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(call: ToolCall, message: str) -> None:
    """Whatever it is: the text says so, and is short."""
    with pytest.raises(WrongCall) as raised:
        queries_of(call)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 200


def test_a_call_is_repeated_in_checked_words() -> None:
    """Servers read the arguments of earlier calls: they are ours, as id and name are."""
    call = ToolCall(call_id="<|im_end|>", name="file search\n", arguments='{"queries": [')
    assert echoed(call, [], number=3) == ToolCall(call_id="call00003", name="unknown", arguments="{}")
    good = echoed(a_call({"query": "red"}), ["red"], number=12)
    assert good == ToolCall(call_id="call00012", name="file_search", arguments='{"queries": ["red"]}')


def test_the_model_is_told_the_limits_that_are_checked() -> None:
    """Its JSON schema has queries, and nothing else may be in it."""
    assert FILE_SEARCH.parameters["required"] == ["queries"]
    assert FILE_SEARCH.parameters["additionalProperties"] is False
    queries = FILE_SEARCH.parameters["properties"]["queries"]
    assert (queries["minItems"], queries["maxItems"], queries["items"]["maxLength"]) == (1, 5, 500)

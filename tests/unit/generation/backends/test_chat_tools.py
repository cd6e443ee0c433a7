"""Calls are put together from what servers send, in each of the ways in which they do."""

from typing import Any

import pytest

from generation.backends.base import ToolCall
from generation.backends.chat_tools import CallReader


def piece(arguments: Any = None, **fields: Any) -> dict[str, Any]:
    function = {"name": fields.pop("name", None), "arguments": arguments}
    return {**fields, "function": {key: value for key, value in function.items() if value is not None}}


@pytest.mark.parametrize(
    "deltas",
    [
        # OpenAI: the id and the name first, then pieces by index, which may be mixed.
        [
            [piece("", index=0, id="a", name="f")],
            [piece('{"x"', index=0), piece("", index=1, id="b", name="g")],
            [piece("2}", index=1), piece(":1}", index=0)],
        ],
        # Whole calls in one delta.
        [[piece('{"x":1}', index=0, id="a", name="f"), piece("2}", index=1, id="b", name="g")]],
        # No index at all: pieces follow on the last call.
        [[piece('{"x"', id="a", name="f")], [piece(":1}")], [piece("2}", id="b", name="g")]],
        # One index for all: a new id is a new call.
        [[piece('{"x":1}', index=0, id="a", name="f")], [piece("2}", index=0, id="b", name="g")]],
        # The id and the name with every piece.
        [
            [piece('{"x"', index=0, id="a", name="f")],
            [piece(":1}", index=0, id="a", name="f")],
            [piece("2}", index=1, id="b", name="g")],
        ],
    ],
)
def test_pieces_become_calls(deltas: list[list[dict[str, Any]]]) -> None:
    """The same two, however they come."""
    reader = CallReader()
    for delta in deltas:
        reader.feed(delta)
    assert reader.calls == [
        ToolCall(call_id="a", name="f", arguments='{"x":1}'),
        ToolCall(call_id="b", name="g", arguments="2}"),
    ]


def test_arguments_may_be_an_object() -> None:
    """Some servers have parsed them already."""
    reader = CallReader()
    assert reader.feed([piece({"queries": ["ä"]}, name="f")]) == 'f{"queries": ["ä"]}'
    assert [call.arguments for call in reader.calls] == ['{"queries": ["ä"]}']


@pytest.mark.parametrize("wrong", ["f", {"index": 0}, [None], [{}], [piece(7)], [piece("", id=["a"])], [piece(["a"])]])
def test_what_is_no_call_is_an_error(wrong: Any) -> None:
    """Nothing of it is guessed."""
    with pytest.raises(ValueError, match="tool"):
        CallReader().feed(wrong)

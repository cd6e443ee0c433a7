"""Tools are offered as OpenAI has them, and calls are put together; what cannot be read is asked for again."""

import json
from dataclasses import replace
from typing import Any

import pytest

from catalog.errors import ConfigurationError, ServiceUnavailable
from generation.backends.base import (
    Finished,
    FinishReason,
    Message,
    Prompt,
    Sampling,
    TextDelta,
    ToolCall,
    Usage,
)
from generation.backends.openai import OpenAIGenerator
from generation.search_tool import FILE_SEARCH
from tests.contract.conftest import Opener, event
from tests.contract.generator import a_prompt, never
from tests.model_server import (
    ANSWER,
    Exchange,
    ModelServer,
    calls,
    fails,
    says,
    sends,
)


def a_prompt_with_a_tool(*, may_call: bool = True) -> Prompt:
    """Build a prompt behind one call."""
    call = ToolCall(call_id="call00001", name="file_search", arguments='{"queries": ["pump"]}')
    messages = [
        *a_prompt().messages,
        Message(role="assistant", content="", calls=[call]),
        Message(role="tool", content="Nothing was found.", call_id="call00001"),
    ]
    return replace(a_prompt(), messages=messages, tools=[FILE_SEARCH], may_call=may_call)


def end_of(generator: OpenAIGenerator, prompt: Prompt) -> tuple[str, Finished]:
    *pieces, last = generator.generate(prompt, sampling=Sampling(max_tokens=200), cancelled=never)
    assert isinstance(last, Finished)
    return "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)), last


@pytest.mark.parametrize(("may_call", "choice"), [(True, "auto"), (False, "none")])
def test_tools_are_offered_as_openai_has_them(
    server: ModelServer, opened_on: Opener, may_call: bool, choice: str
) -> None:
    """Functions with a JSON schema, earlier calls and what they were answered; without tools no word of them."""
    generator = opened_on()
    end_of(generator, a_prompt_with_a_tool(may_call=may_call))
    (body,) = server.bodies
    assert body["tool_choice"] == choice
    (tool,) = body["tools"]
    assert (tool["type"], tool["function"]["name"]) == ("function", "file_search")
    assert tool["function"]["parameters"]["required"] == ["queries"]
    function = {"name": "file_search", "arguments": '{"queries": ["pump"]}'}
    assert body["messages"][-2:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call00001", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call00001", "content": "Nothing was found."},
    ]
    end_of(generator, a_prompt())
    assert {"tools", "tool_choice"} & server.bodies[1].keys() == set()


def test_calls_are_put_together(server: ModelServer, opened_on: Opener) -> None:
    """From their pieces, with the text in front of them and the usage that the server told."""
    server.deeds = [calls({"queries": ["red pump"]}, {"queries": ["roof"]}, text="I search.")]
    text, last = end_of(opened_on(), a_prompt_with_a_tool())
    assert (text, last.reason) == ("I search.", FinishReason.STOP)
    assert [(call.call_id, json.loads(call.arguments)) for call in last.calls] == [
        ("call_0x", {"queries": ["red pump"]}),
        ("call_1x", {"queries": ["roof"]}),
    ]
    assert last.usage == Usage(input_tokens=100, output_tokens=20)


def test_calls_that_nobody_offered_are_no_answer(server: ModelServer, opened_on: Opener) -> None:
    """They are a fault of the server where there are no tools, and the model's own where it has to write."""
    generator = opened_on(retries=0)
    server.deeds = [calls({"queries": ["pump"]})] * 2
    with pytest.raises(ServiceUnavailable, match="finish_reason 'tool_calls'"):
        end_of(generator, a_prompt())
    text, last = end_of(generator, a_prompt_with_a_tool(may_call=False))
    assert (text, len(last.calls)) == ("", 1)


def test_calls_that_break_off_are_asked_for_again(server: ModelServer, opened_on: Opener) -> None:
    """Nothing of them was given out."""

    def breaks_off(exchange: Exchange) -> None:
        exchange.head()
        exchange.delta(
            "", tool_calls=[{"index": 0, "id": "a", "function": {"name": "file_search", "arguments": '{"q'}}]
        )
        exchange.drop()

    server.deeds = [breaks_off, calls({"queries": ["pump"]})]
    _, last = end_of(opened_on(), a_prompt_with_a_tool())
    assert [call.arguments for call in last.calls] == ['{"queries": ["pump"]}']


def test_a_flood_of_calls_is_cut(server: ModelServer, opened_on: Opener) -> None:
    """At the limit of tokens; what was called until then is told."""

    def floods_calls(exchange: Exchange) -> None:
        exchange.head()
        number = 0
        while True:
            number += 1
            call = {"index": number, "id": f"c{number}", "function": {"name": "file_search", "arguments": "{}"}}
            exchange.delta("", tool_calls=[call])

    server.deeds = [floods_calls]
    _, last = end_of(opened_on(), a_prompt_with_a_tool())
    assert last.reason is FinishReason.LENGTH
    assert 10 < len(last.calls) <= 201


@pytest.mark.parametrize("wrong", ["search", [7], [{"index": 0}], [{"function": "f"}], [{"function": {"name": 7}}]])
def test_calls_that_cannot_be_read_are_a_fault(server: ModelServer, opened_on: Opener, wrong: Any) -> None:
    """Another attempt is made, and then the answer fails with a reason."""
    event_of = event({"choices": [{"delta": {"tool_calls": wrong}, "finish_reason": None}]})
    server.deeds = [sends(event_of), sends(event_of)]
    with pytest.raises(ServiceUnavailable, match="tool call that cannot be read"):
        end_of(opened_on(retries=1), a_prompt_with_a_tool())
    assert len(server.bodies) == 2


def test_a_server_without_tools_is_told_apart(server: ModelServer, opened_on: Opener) -> None:
    """The message says what the server says, and which setting asks for tools."""
    server.deeds = [fails(400, '"auto" tool choice requires --enable-auto-tool-choice')]
    with pytest.raises(ConfigurationError, match=r"requires --enable-auto-tool-choice.*search_by=.model. needs them"):
        end_of(opened_on(), a_prompt_with_a_tool())


def test_tools_count_as_part_of_the_prompt(server: ModelServer, opened_on: Opener) -> None:
    """Without the server's count, calls and tools are counted here too."""
    server.usual = says(ANSWER, usage={"prompt_tokens": 0})
    generator = opened_on()
    with_tools = end_of(generator, a_prompt_with_a_tool())[1].usage.input_tokens
    assert with_tools > end_of(generator, a_prompt())[1].usage.input_tokens + 100

"""Chat completions."""

import openai
from kit import HANDBOOK, QUESTION, Kit, done, each, opened, raises, step

HARMLESS = {
    "frequency_penalty": 0.1,
    "max_completion_tokens": 1000,
    "metadata": {"ticket": "4711"},
    "modalities": ["text"],
    "n": 1,
    "parallel_tool_calls": True,
    "presence_penalty": 0.1,
    "prompt_cache_key": "key",
    "reasoning_effort": "low",
    "response_format": {"type": "text"},
    "safety_identifier": "someone",
    "seed": 7,
    "service_tier": "default",
    "store": False,
    "temperature": 0.5,
    "top_p": 0.9,
    "user": "someone",
    "verbosity": "low",
}


async def _question(kit: Kit, **options: object) -> dict:
    return {
        "model": "footnote",
        "messages": [{"role": "user", "content": QUESTION}],
        "extra_body": {"file_search": {"vector_store_ids": [await kit.store()]}},
        **options,
    }


@step
async def a_chat_is_answered_with_citations(kit: Kit) -> None:
    """They survive in the SDK's extra fields."""
    whole = await kit.call("chat.completions.create", **await _question(kit))
    assert "140 euros" in whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    (note, *_) = whole.model_extra["citations"]
    assert note["quote"] in HANDBOOK
    assert {"page", "box", "start", "end", "chunk_id", "score"} <= set(note)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


@step
async def harmless_parameters_of_a_chat_are_accepted(kit: Kit) -> None:
    """Roles and names too, in messages of text and of parts."""
    function = {"name": "look", "arguments": "{}"}
    messages = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}], "name": "operator"},
        {"role": "user", "content": "Hello.", "name": "someone"},
        {"role": "assistant", "content": "Good day.", "refusal": None},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Nothing."},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    asked = await _question(kit, messages=messages, tool_choice="auto", **HARMLESS)
    whole = await kit.call("chat.completions.create", **asked)
    assert "140 euros" in whole.choices[0].message.content


@step
async def hints_for_a_cache_change_no_chat(kit: Kit) -> None:
    """Nor does a refusal in an earlier message."""
    cached = {"type": "text", "text": QUESTION, "prompt_cache_breakpoint": {"mode": "explicit"}}
    messages = [
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": [cached]},
    ]
    options = {"prompt_cache_retention": "24h", "prompt_cache_options": {"mode": "implicit", "ttl": "30m"}}
    whole = await kit.call("chat.completions.create", **await _question(kit, messages=messages, **options))
    assert "140 euros" in whole.choices[0].message.content


@step
async def a_chat_streams_with_its_usage(kit: Kit) -> None:
    """The deltas join to the text; the last chunk has no choice and the usage."""
    options = {"include_usage": True, "include_obfuscation": False}
    asked = await _question(kit, stream=True, stream_options=options, max_tokens=1000)
    chunks = [chunk async for chunk in each(await kit.call("chat.completions.create", **asked))]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "140 euros" in text
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].model_extra["citations"]


@step
async def the_helpers_of_chats_work(kit: Kit) -> None:
    """stream() accumulates what create() answers; parse() without a format is create()."""
    asked = await _question(kit)
    whole = await kit.call("chat.completions.create", **asked)
    manager = await kit.call("chat.completions.stream", **asked, stream_options={"include_usage": True})
    async with opened(manager) as stream:
        kinds = {event.type async for event in each(stream)}
        final = await done(stream.get_final_completion())
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.usage.total_tokens == whole.usage.total_tokens
    parsed = await kit.call("chat.completions.parse", **asked)
    assert parsed.choices[0].message.content == whole.choices[0].message.content


@step
async def a_chat_that_is_cut_says_so(kit: Kit) -> None:
    """`finish_reason` is `length`."""
    messages = [{"role": "user", "content": "When is the gate of the depot open on working days?"}]
    whole = await kit.call("chat.completions.create", **await _question(kit, messages=messages, max_tokens=5))
    assert whole.choices[0].finish_reason == "length"


@step
async def chats_show_their_raw_replies(kit: Kit) -> None:
    """Both wrappers."""
    asked = await _question(kit)
    raw = await kit.call("chat.completions.with_raw_response.create", **asked)
    assert raw.parse().object == "chat.completion"
    manager = await kit.call("chat.completions.with_streaming_response.create", **asked)
    async with opened(manager) as reply:
        assert (await done(reply.parse())).object == "chat.completion"


@step
async def mistakes_of_chats_have_their_exceptions(kit: Kit) -> None:
    """An unknown model is a 404; a chat without a question, or with tools, a 400."""
    async with raises(openai.NotFoundError):
        await kit.call("chat.completions.create", **await _question(kit, model="gpt-none"))
    async with raises(openai.BadRequestError):
        await kit.call("chat.completions.create", **await _question(kit, messages=[{"role": "system", "content": "x"}]))
    function = {"type": "function", "function": {"name": "f", "parameters": {}}}
    async with raises(openai.BadRequestError) as caught:
        await kit.call("chat.completions.create", **await _question(kit, tools=[function]))
    assert caught[0].param == "tools"

"""Responses that are kept: followed up, in the background, cancelled, streamed again, counted."""

import openai
from kit import QUESTION, Kit, done, each, listed, opened, raises, step
from steps_responses import ALLOWED, CACHED, HARMLESS, NESTED, RANKING, REASONING, SINGLE, check

FOLLOW_UP = "And what about breakfast?"


@step
async def the_input_items_of_an_answer_are_listed(kit: Kit) -> None:
    """In both orders and page by page, with ids."""
    messages = [{"role": "user", "content": f"Remark {i}."} for i in range(3)] + [{"role": "user", "content": QUESTION}]
    response = await kit.call("responses.create", model="footnote", input=messages, tools=await kit.file_search())
    up = await listed(await kit.call("responses.input_items.list", response.id, order="asc", limit=2))
    assert [one.content[0].text for one in up] == [one["content"] for one in messages]
    assert len({one.id for one in up}) == 4
    down = await listed(await kit.call("responses.input_items.list", response.id, order="desc"))
    assert [one.id for one in down] == [one.id for one in up][::-1]
    rest = await listed(
        await kit.call(
            "responses.input_items.list", response.id, order="asc", after=up[2].id, include=["file_search_call.results"]
        )
    )
    assert [one.id for one in rest] == [up[3].id]
    async with raises(openai.NotFoundError):
        await kit.call("responses.input_items.list", "resp_none")


@step
async def earlier_answers_are_among_the_input_items(kit: Kit) -> None:
    """An answer that is sent back, its search and its citations included, is listed as it came."""
    first = await kit.ask(include=["file_search_call.results"])
    history = [
        {"role": "user", "content": QUESTION},
        *(item.model_dump(exclude_unset=True) for item in first.output),
        {"role": "user", "content": QUESTION},
    ]
    second = await kit.call("responses.create", model="footnote", input=history, tools=await kit.file_search())
    found = await listed(
        await kit.call("responses.input_items.list", second.id, order="asc", include=["file_search_call.results"])
    )
    assert [one.type for one in found] == ["message", "file_search_call", "message", "message"]
    assert found[2].content[0].annotations[0].filename == "handbook.md"


@step
async def input_items_show_their_raw_replies(kit: Kit) -> None:
    """Both wrappers of the lists and of the counts."""
    response = await kit.ask()
    raw = await kit.call("responses.input_items.with_raw_response.list", response.id)
    (item,) = raw.parse().data
    async with opened(await kit.call("responses.input_items.with_streaming_response.list", response.id)) as reply:
        assert (await done(reply.parse())).data == [item]
    raw = await kit.call("responses.input_tokens.with_raw_response.count", input=QUESTION)
    counted = raw.parse().input_tokens
    manager = await kit.call("responses.input_tokens.with_streaming_response.count", input=QUESTION)
    async with opened(manager) as reply:
        assert (await done(reply.parse())).input_tokens == counted


@step
async def tokens_are_counted_without_an_answer(kit: Kit) -> None:
    """More words are more tokens; every parameter of a question may come along."""
    short = await kit.call("responses.input_tokens.count", model="footnote", input="Hotel?")
    long = await kit.call("responses.input_tokens.count", model="footnote", input=QUESTION * 3)
    assert 0 < short.input_tokens < long.input_tokens
    everything = await kit.call(
        "responses.input_tokens.count",
        model="footnote",
        input=[{"role": "user", "content": [CACHED]}],
        instructions="Be brief.",
        parallel_tool_calls=True,
        personality="friendly",
        reasoning=REASONING,
        text={"format": {"type": "text"}, "verbosity": "low"},
        tool_choice="auto",
        tools=await kit.file_search(max_num_results=3, filters=NESTED, ranking_options=RANKING),
        truncation="disabled",
    )
    assert everything.input_tokens > 0
    first = await kit.ask(include=["file_search_call.results"])
    chained = await kit.call(
        "responses.input_tokens.count",
        model="footnote",
        input=QUESTION,
        previous_response_id=first.id,
        tool_choice=ALLOWED,
        tools=await kit.file_search(filters=SINGLE),
    )
    assert chained.input_tokens > short.input_tokens
    history = [
        {"type": "message", "role": "user", "content": QUESTION, "status": "completed"},
        *(item.model_dump(exclude_unset=True) for item in first.output),
        {"role": "user", "content": FOLLOW_UP},
    ]
    history[2]["phase"] = "final_answer"
    conversation = await kit.call("conversations.create")
    for given in (conversation.id, {"id": conversation.id}):
        counted = await kit.call(
            "responses.input_tokens.count", input=history, conversation=given, tool_choice={"type": "file_search"}
        )
        assert counted.input_tokens > short.input_tokens
    await kit.call("conversations.delete", conversation.id)


@step
async def an_answer_carries_on_from_the_previous_one(kit: Kit) -> None:
    """`previous_response_id` is echoed; one that is not there, or was not kept, is refused."""
    first = await kit.ask()
    second = await kit.ask(FOLLOW_UP, previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert await kit.call("responses.retrieve", second.id) == second
    passing = await kit.ask(store=False)
    for missing in ("resp_none", passing.id):
        async with raises(openai.APIStatusError) as caught:
            await kit.ask(FOLLOW_UP, previous_response_id=missing)
        assert (caught[0].status_code, caught[0].code) in (
            (400, "previous_response_not_found"),
            (404, "previous_response_not_found"),
        )


@step
async def results_are_kept_and_shown_on_request(kit: Kit) -> None:
    """`include` at retrieval brings the results of a search that was asked for without them."""
    response = await kit.ask()
    assert response.output[0].results is None
    plain = await kit.call("responses.retrieve", response.id)
    assert plain.output[0].results is None
    full = await kit.call("responses.retrieve", response.id, include=["file_search_call.results"])
    assert any("140 euros" in one.text for one in full.output[0].results)
    async with raises(openai.BadRequestError):
        await kit.call("responses.retrieve", response.id, include=["nothing.known"])


@step
async def every_value_of_include_is_accepted(kit: Kit) -> None:
    """Those that can hold nothing here give nothing."""
    response = await kit.ask(
        include=[
            "file_search_call.results",
            "web_search_call.results",
            "web_search_call.action.sources",
            "message.input_image.image_url",
            "computer_call_output.output.image_url",
            "code_interpreter_call.outputs",
            "reasoning.encrypted_content",
            "message.output_text.logprobs",
        ]
    )
    assert response.output[0].results


@step
async def an_answer_in_the_background_is_polled(kit: Kit) -> None:
    """It is `queued` at once and `completed` in the end, with all parameters; cancelling it then changes nothing."""
    begun = await kit.ask(background=True, **HARMLESS)
    assert begun.status in ("queued", "in_progress")
    assert begun.background is True
    ended = await kit.until(
        lambda: kit.call("responses.retrieve", begun.id), lambda one: one.status not in ("queued", "in_progress")
    )
    assert (ended.status, ended.id) == ("completed", begun.id)
    assert await check(kit, ended)
    assert await kit.call("responses.cancel", begun.id) == ended
    async with raises(openai.BadRequestError):
        await kit.ask(background=True, store=False)


@step
async def an_answer_in_the_background_can_be_cancelled(kit: Kit) -> None:
    """Twice is as good as once; what was not in the background cannot be cancelled."""
    conversation = await kit.call("conversations.create")
    for filters, choice in ((NESTED, {"type": "file_search"}), (SINGLE, ALLOWED)):
        tools = await kit.file_search(max_num_results=3, filters=filters, ranking_options=RANKING)
        asked = HARMLESS | {"tool_choice": choice, "conversation": conversation.id, "tools": tools}
        begun = await kit.ask(background=True, include=["file_search_call.results"], **asked)
        ended = await kit.call("responses.cancel", begun.id)
        assert ended.status in ("cancelled", "completed")
        assert (await kit.call("responses.cancel", begun.id)).status == ended.status
    await kit.call("conversations.delete", conversation.id)
    foreground = await kit.ask()
    async with raises(openai.BadRequestError):
        await kit.call("responses.cancel", foreground.id)
    async with raises(openai.NotFoundError):
        await kit.call("responses.cancel", "resp_none")


@step
async def a_stream_in_the_background_is_taken_up_again(kit: Kit) -> None:
    """What a client has seen is not sent again: `starting_after` is the last event that arrived."""
    stream = await kit.ask(background=True, stream=True)
    events = [event async for event in each(stream)]
    kinds = [event.type for event in events]
    assert kinds[0] == "response.created"
    assert "response.queued" in kinds
    assert kinds[-1] == "response.completed"
    response_id = events[-1].response.id
    again = await kit.call("responses.retrieve", response_id, stream=True, starting_after=3, include_obfuscation=False)
    numbers = [event.sequence_number async for event in each(again)]
    assert numbers == [event.sequence_number for event in events if event.sequence_number > 3]


@step
async def the_helper_takes_a_stream_up_again(kit: Kit) -> None:
    """responses.stream(response_id=…) follows a background answer to its end, from the start or from an event on."""
    begun = await kit.ask(background=True, stream=True)
    first = None
    async for event in each(begun):
        first = first or event.response
    async with opened(await kit.call("responses.stream", response_id=first.id)) as stream:
        final = await done(stream.get_final_response())
    assert "140 euros" in final.output_text
    async with opened(await kit.call("responses.stream", response_id=first.id, starting_after=2)) as stream:
        seen = [event async for event in each(stream)]
    assert seen[0].sequence_number == 3
    assert seen[-1].type == "response.completed"

"""Responses: one question, one answer."""

import openai
from kit import QUESTION, Kit, done, each, opened, raises, step

FOREIGN = "Who painted the ceiling of the Sistine Chapel?"
REASONING = {
    "effort": "low",
    "summary": "auto",
    "generate_summary": "auto",
    "mode": "standard",
    "context": "auto",
}
RANKING = {
    "ranker": "auto",
    "score_threshold": 0.0,
    "hybrid_search": {"embedding_weight": 0.3, "text_weight": 0.7},
}
NESTED = {
    "type": "and",
    "filters": [{"type": "eq", "key": "valid", "value": True}, {"type": "in", "key": "year", "value": [2025]}],
}
SINGLE = {"type": "eq", "key": "valid", "value": True}
# A part of a message that says where a cache may cut.
CACHED = {"type": "input_text", "text": QUESTION, "prompt_cache_breakpoint": {"mode": "explicit"}}
ALLOWED = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]}
# What a question may bring along that changes nothing in a quoted answer.
HARMLESS = {
    "max_tool_calls": 4,
    "metadata": {"ticket": "4711"},
    "parallel_tool_calls": True,
    "prompt_cache_key": "key",
    "prompt_cache_options": {"mode": "implicit", "ttl": "30m"},
    "prompt_cache_retention": "24h",
    "reasoning": REASONING,
    "safety_identifier": "someone",
    "service_tier": "default",
    "temperature": 0.5,
    "text": {"format": {"type": "text"}, "verbosity": "low"},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 0.9,
    "truncation": "disabled",
    "user": "someone",
}


def citations(response: object) -> list:
    """Return the annotations of the message, which is the last item."""
    message = response.output[-1]
    assert (message.type, message.status) == ("message", "completed")
    assert message.content[0].text == response.output_text
    return message.content[0].annotations


async def check(kit: Kit, response: object) -> list:
    """Read every citation again from the stored text, the way any client can; return them."""
    notes = citations(response)
    for note in notes:
        extra = note.model_extra
        path = f"/vector_stores/{extra['vector_store_id']}/files/{note.file_id}/text"
        stored = await done(kit.client.get(path, cast_to=object))
        assert stored["text"][extra["start"] : extra["end"]] == extra["quote"]
        assert extra["chunk_id"]
        assert 0 <= extra["score"] <= 1
        assert 0 < note.index <= len(response.output_text)
    return notes


@step
async def an_answer_carries_citations_that_are_true(kit: Kit) -> None:
    """Every extra field survives in `model_extra`; results come when they are included."""
    response = await kit.ask(include=["file_search_call.results"])
    assert (response.status, response.error, response.incomplete_details) == ("completed", None, None)
    assert "140 euros" in response.output_text
    (note, *_) = await check(kit, response)
    assert (note.type, note.filename) == ("file_citation", "handbook.md")
    assert {"page", "box", "title", "number"} <= set(note.model_extra)
    search = response.output[0]
    assert (search.type, search.status) == ("file_search_call", "completed")
    assert search.queries
    assert any("140 euros" in one.text for one in search.results)
    assert search.results[0].attributes == {"year": 2025, "valid": True, "team": "people"}
    assert response.model_extra["outcome"] == "answered"
    assert response.model_extra["seconds"]
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    without = await kit.ask()
    assert without.output[0].results is None


@step
async def a_pdf_is_cited_by_page_and_box(kit: Kit) -> None:
    """They survive in the SDK's types."""
    store = await kit.call("vector_stores.create", name=f"cited {kit.run}")
    with kit.manual.open("rb") as file:
        entry = await kit.call("vector_stores.files.upload_and_poll", vector_store_id=store.id, file=file)
    tools = [{"type": "file_search", "vector_store_ids": [store.id]}]
    response = await kit.ask("Which serial numbers of units does the manual cover?", tools=tools)
    (note, *_) = await check(kit, response)
    assert note.model_extra["page"] >= 1
    assert len(note.model_extra["box"]) == 4
    await kit.call("files.delete", entry.id)
    await kit.call("vector_stores.delete", store.id)


@step
async def harmless_parameters_are_echoed(kit: Kit) -> None:
    """Parameters of a language model change nothing and come back."""
    response = await kit.ask(**HARMLESS, instructions="Be brief.", max_output_tokens=1000)
    assert (response.temperature, response.top_p) == (0.5, 0.9)
    assert (response.instructions, response.max_output_tokens, response.max_tool_calls) == ("Be brief.", 1000, 4)
    assert (response.metadata, response.user) == ({"ticket": "4711"}, "someone")
    assert (response.text.format.type, response.truncation, response.parallel_tool_calls) == ("text", "disabled", True)
    assert response.reasoning.effort == "low"
    again = await kit.call("responses.retrieve", response.id)
    assert again == response


@step
async def the_search_of_an_answer_can_be_steered(kit: Kit) -> None:
    """max_num_results, filters, ranking and weights of the tool are honoured, and echoed."""
    for filters, choice in ((NESTED, {"type": "file_search"}), (SINGLE, ALLOWED)):
        tools = await kit.file_search(max_num_results=3, filters=filters, ranking_options=RANKING)
        response = await kit.ask(tools=tools, tool_choice=choice, include=["file_search_call.results"])
        assert "140 euros" in response.output_text
        assert len(response.output[0].results) <= 3
        assert (response.tools[0].max_num_results, response.tool_choice.type) == (3, choice["type"])
        again = await kit.call("responses.retrieve", response.id, include=["file_search_call.results"])
        assert again == response
    other = await kit.file_search(filters={"type": "eq", "key": "team", "value": "nobody"})
    assert (await kit.ask(tools=other, tool_choice="required")).model_extra["outcome"] == "not_in_documents"


@step
async def messages_are_a_question_too(kit: Kit) -> None:
    """A list of messages, earlier answers with their citations and searches among them."""
    first = await kit.ask(include=["file_search_call.results"])
    history = [
        {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": QUESTION}],
            "status": "completed",
        },
        *(item.model_dump(exclude_unset=True) for item in first.output),
        {"role": "user", "content": "How many days of paid leave does every employee have?"},
    ]
    history[2]["phase"] = "final_answer"
    second = await kit.call("responses.create", model="footnote", input=history, tools=await kit.file_search())
    assert "thirty days" in second.output_text


@step
async def hints_for_a_cache_are_passed_over(kit: Kit) -> None:
    """They are OpenAI's; an answer is the same with them."""
    assert "140 euros" in (await kit.ask([{"role": "user", "content": [CACHED]}])).output_text


@step
async def what_the_documents_do_not_hold_is_not_answered(kit: Kit) -> None:
    """The answer says so, without a citation."""
    response = await kit.ask(FOREIGN)
    assert response.model_extra["outcome"] == "not_in_documents"
    assert citations(response) == []


@step
async def a_stream_yields_the_same_answer(kit: Kit) -> None:
    """Sequence numbers rise from 0 without a gap, the deltas join to the text, the last event holds it whole."""
    options = {"include_obfuscation": False}
    stream = await kit.ask(stream=True, stream_options=options, include=["file_search_call.results"])
    events = [event async for event in each(stream)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    final = events[-1].response
    assert deltas == final.output_text
    added = [event.annotation for event in events if event.type == "response.output_text.annotation.added"]
    assert len(added) == len(citations(final)) > 0
    assert (await kit.call("responses.retrieve", final.id)).output_text == final.output_text


@step
async def the_strict_accumulator_is_content(kit: Kit) -> None:
    """responses.stream() puts the events together to what is stored."""
    manager = await kit.call("responses.stream", model="footnote", input=QUESTION, tools=await kit.file_search())
    async with opened(manager) as stream:
        kinds = [event.type async for event in each(stream)]
        final = await done(stream.get_final_response())
    assert "response.file_search_call.searching" in kinds
    assert "140 euros" in final.output_text
    assert await check(kit, final)
    assert (await kit.call("responses.retrieve", final.id)).output_text == final.output_text


@step
async def parse_gives_the_text_of_an_answer(kit: Kit) -> None:
    """Without a format of its own, parse() is create()."""
    response = await kit.call("responses.parse", model="footnote", input=QUESTION, tools=await kit.file_search())
    assert "140 euros" in response.output_text
    assert response.output_parsed is None


@step
async def an_answer_that_is_cut_says_so(kit: Kit) -> None:
    """`max_output_tokens` ends it as `incomplete`, with the reason; streamed, by its own event."""
    question = "When is the gate of the depot open on working days?"
    response = await kit.ask(question, max_output_tokens=16)
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (await kit.call("responses.retrieve", response.id)).incomplete_details.reason == "max_output_tokens"
    kinds = [event.type async for event in each(await kit.ask(question, max_output_tokens=16, stream=True))]
    assert kinds[-1] == "response.incomplete"


@step
async def a_response_that_is_not_kept_is_not_found(kit: Kit) -> None:
    """`store: false`, and after delete()."""
    passing = await kit.ask(store=False)
    async with raises(openai.NotFoundError):
        await kit.call("responses.retrieve", passing.id)
    kept = await kit.ask()
    assert await kit.call("responses.delete", kept.id) is None
    async with raises(openai.NotFoundError):
        await kit.call("responses.retrieve", kept.id)


@step
async def mistakes_have_their_exceptions(kit: Kit) -> None:
    """Unknown models and stores are 404, what is not done here is refused by name."""
    async with raises(openai.NotFoundError) as caught:
        await kit.call("responses.create", model="gpt-none", input=QUESTION)
    assert caught[0].param == "model"
    async with raises(openai.NotFoundError):
        await kit.ask(tools=[{"type": "file_search", "vector_store_ids": ["vs_none"]}])
    async with raises(openai.BadRequestError):
        await kit.ask(tools=[{"type": "web_search"}])
    async with raises(openai.BadRequestError):
        await kit.ask("x" * 100_000)
    async with raises(openai.BadRequestError) as unknown:
        await kit.ask(extra_body={"colour": "red"})
    assert unknown[0].param == "colour"


@step
async def responses_show_their_raw_replies(kit: Kit) -> None:
    """Both wrappers; the streaming one reads the events of a stream line by line."""
    tools = await kit.file_search()
    raw = await kit.call("responses.with_raw_response.create", model="footnote", input=QUESTION, tools=tools)
    assert "140 euros" in raw.parse().output_text
    manager = await kit.call(
        "responses.with_streaming_response.create", model="footnote", input=QUESTION, tools=tools, stream=True
    )
    async with opened(manager) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line async for line in each(reply.iter_lines())]
    assert "event: response.created" in lines

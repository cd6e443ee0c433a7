"""Conversations and their items."""

import openai
from kit import QUESTION, Kit, done, listed, opened, raises, step
from steps_responses import CACHED


@step
async def a_conversation_is_made_changed_and_deleted(kit: Kit) -> None:
    """create, retrieve, update and delete agree."""
    made = await kit.call(
        "conversations.create", metadata={"topic": "hotels"}, items=[{"role": "user", "content": "Hello."}]
    )
    assert (made.object, made.metadata) == ("conversation", {"topic": "hotels"})
    changed = await kit.call("conversations.update", made.id, metadata={"topic": "leave"})
    assert changed.metadata == {"topic": "leave"}
    assert await kit.call("conversations.retrieve", made.id) == changed
    assert (await kit.call("conversations.delete", made.id)).deleted
    async with raises(openai.NotFoundError):
        await kit.call("conversations.retrieve", made.id)


@step
async def items_are_added_listed_and_deleted(kit: Kit) -> None:
    """Each keeps its place and gets an id of its own."""
    conversation = await kit.call("conversations.create")
    messages = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One."}], "status": "completed"},
        {"role": "user", "content": "Two."},
        {"role": "developer", "content": "Three."},
    ]
    added = await kit.call(
        "conversations.items.create", conversation.id, items=messages, include=["file_search_call.results"]
    )
    assert [one.content[0].text for one in added.data] == ["One.", "Two.", "Three."]
    up = await listed(await kit.call("conversations.items.list", conversation.id, order="asc", limit=2))
    assert [one.id for one in up] == [one.id for one in added.data]
    down = await listed(await kit.call("conversations.items.list", conversation.id, order="desc", limit=2))
    assert [one.id for one in down] == [one.id for one in up][::-1]
    rest = await listed(await kit.call("conversations.items.list", conversation.id, order="asc", after=up[1].id))
    assert [one.id for one in rest] == [up[2].id]
    found = await kit.call("conversations.items.retrieve", up[0].id, conversation_id=conversation.id)
    assert found == up[0]
    left = await kit.call("conversations.items.delete", up[0].id, conversation_id=conversation.id)
    assert left.id == conversation.id
    async with raises(openai.NotFoundError):
        await kit.call("conversations.items.retrieve", up[0].id, conversation_id=conversation.id)
    async with raises(openai.BadRequestError):
        await kit.call("conversations.items.create", conversation.id, items=messages * 7)
    await kit.call("conversations.delete", conversation.id)


@step
async def questions_and_answers_become_items(kit: Kit) -> None:
    """Both ways of naming the conversation; searches show their results where they are included."""
    conversation = await kit.call("conversations.create")
    first = await kit.ask(conversation=conversation.id)
    assert first.conversation.id == conversation.id
    await kit.ask("And breakfast?", conversation={"id": conversation.id})
    included = ["file_search_call.results"]
    items = await listed(await kit.call("conversations.items.list", conversation.id, order="asc", include=included))
    assert [one.type for one in items] == ["message", "file_search_call", "message"] * 2
    assert items[0].content[0].text == QUESTION
    assert any("140 euros" in one.text for one in items[1].results)
    assert items[2].content[0].annotations[0].filename == "handbook.md"
    for item in items[:3]:
        one = await kit.call("conversations.items.retrieve", item.id, conversation_id=conversation.id, include=included)
        assert one == item
    with_it = await kit.call("responses.retrieve", first.id)
    assert with_it.conversation.id == conversation.id
    async with raises(openai.BadRequestError):
        await kit.ask(conversation=conversation.id, previous_response_id=first.id)
    await kit.call("conversations.delete", conversation.id)


@step
async def answers_from_elsewhere_can_be_put_in(kit: Kit) -> None:
    """An answer with its search and its citations, at the creation and later."""
    answer = await kit.ask(include=["file_search_call.results"])
    output = [item.model_dump(exclude_unset=True) for item in answer.output]
    output[1]["phase"] = "final_answer"
    question = {
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": QUESTION}],
        "status": "completed",
    }
    conversation = await kit.call("conversations.create", items=[question, *output])
    added = await kit.call(
        "conversations.items.create",
        conversation.id,
        items=[question, *output],
        include=["file_search_call.results"],
    )
    assert [one.type for one in added.data] == ["message", "file_search_call", "message"]
    assert added.data[2].content[0].annotations[0].filename == "handbook.md"
    assert len(await listed(await kit.call("conversations.items.list", conversation.id))) == 6
    await kit.call("conversations.delete", conversation.id)


@step
async def hints_for_a_cache_are_kept_with_an_item(kit: Kit) -> None:
    """An item comes back as it was put in, at the creation and later."""
    item = {"role": "user", "content": [CACHED]}
    conversation = await kit.call("conversations.create", items=[item])
    added = await kit.call("conversations.items.create", conversation.id, items=[item])
    up = await listed(await kit.call("conversations.items.list", conversation.id, order="asc"))
    assert [one.content[0].text for one in up] == [QUESTION, QUESTION]
    found = await kit.call("conversations.items.retrieve", added.data[0].id, conversation_id=conversation.id)
    assert found == added.data[0]
    await kit.call("conversations.delete", conversation.id)


@step
async def conversations_show_their_raw_replies(kit: Kit) -> None:
    """Both wrappers of conversations and items."""
    raw = await kit.call("conversations.with_raw_response.create", metadata={"a": "b"})
    conversation = raw.parse()
    async with opened(await kit.call("conversations.with_streaming_response.retrieve", conversation.id)) as reply:
        assert (await done(reply.parse())).id == conversation.id
    raw = await kit.call(
        "conversations.items.with_raw_response.create",
        conversation.id,
        items=[{"role": "user", "content": "Hello."}],
    )
    (item,) = raw.parse().data
    async with opened(await kit.call("conversations.items.with_streaming_response.list", conversation.id)) as reply:
        assert (await done(reply.parse())).data == [item]
    await kit.call("conversations.delete", conversation.id)

"""Vector stores, their files, batches and search."""

import openai
from kit import HANDBOOK, QUESTION, Kit, done, listed, named, opened, raises, step

STATIC = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}}


@step
async def a_store_is_made_changed_and_deleted(kit: Kit) -> None:
    """Every field that is sent comes back, and `file_counts` follows the files."""
    file_id = await kit.upload("short.txt", "The lighthouse on Skerry Rock was lit in 1844.")
    store = await kit.call(
        "vector_stores.create",
        name=f"made {kit.run}",
        description="What is kept about lighthouses",
        file_ids=[file_id],
        chunking_strategy=STATIC,
        expires_after={"anchor": "last_active_at", "days": 3},
        metadata={"owner": "depot"},
    )
    assert store.file_counts.total == 1
    assert (store.expires_after.days, store.metadata) == (3, {"owner": "depot"})
    assert store.expires_at - store.last_active_at == 3 * 86_400
    ready = await kit.until(lambda: kit.call("vector_stores.retrieve", store.id), lambda one: one.status == "completed")
    assert (ready.file_counts.completed, ready.file_counts.in_progress) == (1, 0)
    assert ready.usage_bytes > 0
    changed = await kit.call(
        "vector_stores.update",
        store.id,
        name="Renamed",
        metadata={"owner": "harbour"},
        expires_after={"anchor": "last_active_at", "days": 5},
    )
    assert (changed.name, changed.metadata, changed.expires_after.days) == ("Renamed", {"owner": "harbour"}, 5)
    stays = await kit.call("vector_stores.update", store.id, expires_after=None)
    assert (stays.expires_after, stays.expires_at, stays.name) == (None, None, "Renamed")
    assert (await kit.call("vector_stores.delete", store.id)).deleted
    async with raises(openai.NotFoundError):
        await kit.call("vector_stores.retrieve", store.id)
    await kit.call("files.delete", file_id)


@step
async def a_store_may_be_made_with_the_automatic_strategy(kit: Kit) -> None:
    """`auto` is what `other` stands for in the entry."""
    file_id = await kit.upload("auto.txt", "The mill stands by the river.")
    store = await kit.call("vector_stores.create", file_ids=[file_id], chunking_strategy={"type": "auto"})
    (entry,) = await listed(await kit.call("vector_stores.files.list", store.id))
    assert entry.chunking_strategy.type in ("other", "static")
    await kit.call("vector_stores.delete", store.id)
    await kit.call("files.delete", file_id)


@step
async def iterating_over_stores_fetches_every_page(kit: Kit) -> None:
    """Each store once, in both orders, after and before a cursor."""
    made = [
        (
            await kit.call(
                "vector_stores.create",
                name=f"page {kit.run} {i}",
                expires_after={"anchor": "last_active_at", "days": 1},
            )
        ).id
        for i in range(5)
    ]
    down = [one.id for one in await listed(await kit.call("vector_stores.list", limit=2, order="desc"))]
    assert len(down) == len(set(down))
    assert [one for one in down if one in made] == made[::-1]
    up = [one.id for one in await listed(await kit.call("vector_stores.list", limit=2, order="asc", after=made[2]))]
    assert up[:2] == made[3:]
    page = await kit.call("vector_stores.list", limit=2, before=made[2], order="desc")
    assert [one.id for one in page.data] == [made[4], made[3]]
    for one in made:
        await kit.call("vector_stores.delete", one)


@step
async def stores_show_their_raw_replies(kit: Kit) -> None:
    """Both wrappers, for stores, their files and batches."""
    store, file_id = await kit.store(), await kit.handbook()
    raw = await kit.call("vector_stores.with_raw_response.retrieve", store)
    assert raw.parse().id == store
    async with opened(await kit.call("vector_stores.with_streaming_response.list", limit=1)) as reply:
        assert (await done(reply.parse())).data
    raw = await kit.call("vector_stores.files.with_raw_response.retrieve", file_id, vector_store_id=store)
    assert raw.headers["openai-poll-after-ms"].isdigit()
    assert raw.parse().id == file_id
    async with opened(await kit.call("vector_stores.files.with_streaming_response.list", store)) as reply:
        assert (await done(reply.parse())).data[0].id == file_id
    raw = await kit.call("vector_stores.file_batches.with_raw_response.create", store, file_ids=[file_id])
    batch = raw.parse()
    assert batch.object == "vector_store.files_batch"
    manager = await kit.call(
        "vector_stores.file_batches.with_streaming_response.retrieve", batch.id, vector_store_id=store
    )
    async with opened(manager) as reply:
        assert (await done(reply.parse())).id == batch.id


@step
async def a_file_is_attached_watched_changed_and_taken_out(kit: Kit) -> None:
    """create, retrieve, poll, update, list, content and delete; the file itself stays."""
    store = await kit.call("vector_stores.create", name=f"entries {kit.run}")
    file_id = await kit.upload("inn.txt", "The inn stands by the river. " * 40)
    made = await kit.call(
        "vector_stores.files.create",
        vector_store_id=store.id,
        file_id=file_id,
        attributes={"year": 2025, "valid": True, "team": "inns"},
        chunking_strategy=STATIC,
    )
    assert (made.id, made.vector_store_id, made.status) == (file_id, store.id, "in_progress")
    entry = await kit.call("vector_stores.files.poll", file_id, vector_store_id=store.id)
    assert (entry.status, entry.last_error) == ("completed", None)
    assert entry.attributes == {"year": 2025.0, "valid": True, "team": "inns"}
    assert entry.attributes["valid"] is True
    assert entry.chunking_strategy.static.max_chunk_size_tokens == 100
    assert entry.model_extra["coverage"]["chunks"] > 1
    assert (entry.model_extra["warnings"], entry.model_extra["progress"]) == ([], 1.0)
    assert entry.model_extra["seconds_left"] is None
    changed = await kit.call("vector_stores.files.update", file_id, vector_store_id=store.id, attributes={"year": 2026})
    assert changed.attributes == {"year": 2026.0}
    found = await _search(kit, store.id, "inn", filters={"type": "eq", "key": "year", "value": 2026})
    assert found[0].attributes == {"year": 2026.0}
    assert await kit.call("vector_stores.files.retrieve", file_id, vector_store_id=store.id) == changed
    parts = await listed(await kit.call("vector_stores.files.content", file_id, vector_store_id=store.id))
    assert all("inn" in part.text for part in parts)
    assert (await kit.call("vector_stores.files.delete", file_id, vector_store_id=store.id)).deleted
    assert await _search(kit, store.id, "inn") == []
    assert (await kit.call("files.retrieve", file_id)).id == file_id
    await kit.call("vector_stores.delete", store.id)
    await kit.call("files.delete", file_id)


@step
async def the_helpers_upload_attach_and_wait(kit: Kit) -> None:
    """upload, upload_and_poll and create_and_poll end in a searchable file; deleting the file takes it out."""
    store = await kit.call("vector_stores.create", name=f"helpers {kit.run}")
    begun = await kit.call(
        "vector_stores.files.upload", vector_store_id=store.id, file=named("The barn is red.", "barn.txt")
    )
    assert begun.vector_store_id == store.id
    entry = await kit.call(
        "vector_stores.files.upload_and_poll",
        vector_store_id=store.id,
        file=named("The mill is white.", "mill.txt"),
        attributes={"kind": "mill"},
        chunking_strategy={"type": "auto"},
        poll_interval_ms=100,
    )
    assert (entry.status, entry.attributes, entry.model_extra["filename"]) == (
        "completed",
        {"kind": "mill"},
        "mill.txt",
    )
    polled = await kit.call("vector_stores.files.poll", begun.id, vector_store_id=store.id)
    assert polled.status == "completed", polled
    again = await kit.call("vector_stores.files.create_and_poll", entry.id, vector_store_id=store.id)
    assert again.id == entry.id
    counts = (await kit.call("vector_stores.retrieve", store.id)).file_counts
    assert (counts.completed, counts.total) == (2, 2)
    assert "white" in (await _search(kit, store.id, "Which colour does the mill have?"))[0].content[0].text
    for file_id in (begun.id, entry.id):
        await kit.call("files.delete", file_id)
    assert await _search(kit, store.id, "mill") == []
    await kit.call("vector_stores.delete", store.id)


@step
async def entries_are_listed_by_state_and_page(kit: Kit) -> None:
    """`filter`, both orders, after and before; a file that cannot be read has its reason."""
    store = await kit.call("vector_stores.create", name=f"listed {kit.run}")
    good = [await kit.upload(f"{i}.txt", f"Depot {i} opens at {i + 5} o'clock.") for i in range(3)]
    bad = (await kit.call("files.create", file=("bad.pdf", b"\x89PNG\r\n\x1a\n" + bytes(64)), purpose="assistants")).id
    for one in (*good, bad):
        await kit.call(
            "vector_stores.files.create_and_poll",
            one,
            vector_store_id=store.id,
            chunking_strategy=STATIC if one == bad else {"type": "auto"},
            attributes={"n": 1},
        )
    failed = await kit.call("vector_stores.files.retrieve", bad, vector_store_id=store.id)
    assert (failed.status, failed.last_error.code) == ("failed", "invalid_file")
    assert "bad.pdf" in failed.last_error.message
    for one in (bad, good[0]):
        await kit.call("vector_stores.files.update", one, vector_store_id=store.id, attributes={"n": 2})
    assert await listed(await kit.call("vector_stores.files.list", store.id, filter="cancelled")) == []
    done_ones = await listed(
        await kit.call("vector_stores.files.list", store.id, filter="completed", limit=2, order="asc")
    )
    assert [one.id for one in done_ones] == good
    bad_ones = await listed(await kit.call("vector_stores.files.list", store.id, filter="failed"))
    assert [one.id for one in bad_ones] == [bad]
    after = await listed(await kit.call("vector_stores.files.list", store.id, after=good[1], order="asc"))
    assert [one.id for one in after] == [good[2], bad]
    before = await kit.call("vector_stores.files.list", store.id, before=good[1], order="desc")
    assert [one.id for one in before.data] == [bad, good[2]]
    counts = (await kit.call("vector_stores.retrieve", store.id)).file_counts
    assert (counts.completed, counts.failed, counts.total) == (3, 1, 4)
    for one in (*good, bad):
        await kit.call("files.delete", one)
    await kit.call("vector_stores.delete", store.id)


@step
async def a_pdf_brings_pages_and_boxes(kit: Kit) -> None:
    """The extra fields of a found passage survive in `model_extra`."""
    store = await kit.call("vector_stores.create", name=f"manual {kit.run}")
    with kit.manual.open("rb") as file:
        entry = await kit.call("vector_stores.files.upload_and_poll", vector_store_id=store.id, file=file)
    assert entry.status == "completed", entry
    assert entry.model_extra["coverage"]["pages"] == entry.model_extra["coverage"]["pages_read"] > 1
    (found, *_) = await _search(kit, store.id, "fault code", max_num_results=1)
    extra = found.model_extra
    assert extra["page"] >= 1
    assert len(extra["box"]) == 4
    assert 0 <= extra["start"] < extra["end"]
    assert extra["chunk_id"]
    await kit.call("files.delete", entry.id)
    await kit.call("vector_stores.delete", store.id)


@step
async def batches_are_made_polled_and_listed(kit: Kit) -> None:
    """With `file_ids` that share attributes, with `files` that bring their own, and with files from memory."""
    store = await kit.call("vector_stores.create", name=f"batches {kit.run}")
    ids = [await kit.upload(f"{name}.txt", f"The {name} stands by the river.") for name in ("mill", "inn", "barn")]
    shared = await kit.call(
        "vector_stores.file_batches.create_and_poll",
        store.id,
        file_ids=ids[:2],
        attributes={"kind": "shared"},
        chunking_strategy=STATIC,
        poll_interval_ms=100,
    )
    assert (shared.status, shared.file_counts.completed, shared.model_extra["seconds_left"]) == ("completed", 2, None)
    own = await kit.call(
        "vector_stores.file_batches.create",
        store.id,
        files=[{"file_id": ids[2], "attributes": {"kind": "own"}, "chunking_strategy": STATIC}],
    )
    assert (await kit.call("vector_stores.file_batches.poll", own.id, vector_store_id=store.id)).status == "completed"
    assert (await kit.call("vector_stores.file_batches.retrieve", own.id, vector_store_id=store.id)).id == own.id
    auto = await kit.call(
        "vector_stores.file_batches.create",
        store.id,
        files=[{"file_id": ids[2], "chunking_strategy": {"type": "auto"}}],
    )
    await kit.call("vector_stores.file_batches.poll", auto.id, vector_store_id=store.id)
    sent = await kit.call(
        "vector_stores.file_batches.upload_and_poll",
        store.id,
        files=[named("The forge is cold.", "forge.txt"), named("The quay is long.", "quay.txt")],
        file_ids=ids[:1],
        max_concurrency=2,
        chunking_strategy={"type": "auto"},
    )
    assert (sent.file_counts.total, sent.file_counts.in_progress) == (3, 0)
    names = [
        one.model_extra["filename"]
        for one in await listed(
            await kit.call("vector_stores.file_batches.list_files", sent.id, vector_store_id=store.id, limit=1)
        )
    ]
    assert sorted(names) == ["forge.txt", "mill.txt", "quay.txt"]
    await _list_batch(kit, store.id, shared.id, ids)
    for one in await listed(await kit.call("vector_stores.files.list", store.id)):
        await kit.call("files.delete", one.id)
    await kit.call("vector_stores.delete", store.id)


async def _list_batch(kit: Kit, store_id: str, batch_id: str, ids: list[str]) -> None:
    name = "vector_stores.file_batches.list_files"
    up = await listed(await kit.call(name, batch_id, vector_store_id=store_id, order="asc", filter="completed"))
    assert [one.attributes for one in up] == [{"kind": "shared"}] * 2
    assert sorted(one.id for one in up) == sorted(ids[:2])
    rest = await listed(await kit.call(name, batch_id, vector_store_id=store_id, order="asc", after=up[0].id))
    assert [one.id for one in rest] == [up[1].id]
    page = await kit.call(name, batch_id, vector_store_id=store_id, order="asc", before=up[1].id)
    assert [one.id for one in page.data] == [up[0].id]


@step
async def a_batch_with_a_broken_file_ends(kit: Kit) -> None:
    """Its counts say how many failed, and the list why; cancelling what has ended changes nothing."""
    store = await kit.call("vector_stores.create", name=f"broken {kit.run}")
    bad = (await kit.call("files.create", file=("bad.pdf", b"\x89PNG\r\n\x1a\n" + bytes(64)), purpose="assistants")).id
    batch = await kit.call("vector_stores.file_batches.create_and_poll", store.id, file_ids=[bad])
    assert (batch.file_counts.failed, batch.file_counts.total) == (1, 1)
    (entry,) = await listed(
        await kit.call("vector_stores.file_batches.list_files", batch.id, vector_store_id=store.id, filter="failed")
    )
    assert entry.last_error.code == "invalid_file"
    cancelled = await kit.call("vector_stores.file_batches.cancel", batch.id, vector_store_id=store.id)
    assert cancelled.file_counts.failed == 1
    again = await kit.call("vector_stores.files.create", file_id=bad, vector_store_id=store.id)
    assert again.id == bad
    await kit.call("vector_stores.files.poll", bad, vector_store_id=store.id)
    await kit.call("files.delete", bad)
    await kit.call("vector_stores.delete", store.id)


@step
async def a_search_takes_every_option(kit: Kit) -> None:
    """A string or a list, filters of every kind, thresholds, rankers and weights."""
    store = await kit.store()
    both = {
        "type": "and",
        "filters": [{"type": "eq", "key": "valid", "value": True}, {"type": "gte", "key": "year", "value": 2025}],
    }
    for query in (QUESTION, [QUESTION, "breakfast"]):
        page = await kit.call(
            "vector_stores.search",
            store,
            query=query,
            filters=both,
            max_num_results=2,
            ranking_options={"ranker": "auto", "score_threshold": 0.0},
            rewrite_query=True,
        )
        found = await listed(page)
        assert any("140 euros" in one.content[0].text for one in found)
        assert all(0 <= one.score <= 1 for one in found)
        assert found[0].attributes["team"] == "people"
        assert found[0].model_extra["start"] < found[0].model_extra["end"]
    for kind, value, is_found in (
        ("eq", 2025, True),
        ("ne", 2025, False),
        ("gt", 2024, True),
        ("gte", 2026, False),
        ("lt", 2026, True),
        ("lte", 2024, False),
        ("in", [2024, 2025], True),
        ("nin", [2025], False),
    ):
        found = await _search(kit, store, "hotel", filters={"type": kind, "key": "year", "value": value})
        assert bool(found) is is_found, (kind, value)
    nested = {"type": "or", "filters": [both, {"type": "eq", "key": "team", "value": "nobody"}]}
    assert await _search(kit, store, "hotel", filters=nested)
    hybrid = {"ranker": "default-2024-11-15", "hybrid_search": {"embedding_weight": 0.2, "text_weight": 0.8}}
    assert await _search(kit, store, "hotel", ranking_options=hybrid)
    assert await _search(kit, store, "hotel", ranking_options={"ranker": "none"})


@step
async def wrong_searches_are_refused(kit: Kit) -> None:
    """With the parameter that is wrong; a store that is not there is a 404."""
    store = await kit.store()
    async with raises(openai.BadRequestError) as caught:
        await _search(kit, store, "hotel", max_num_results=1000)
    assert caught[0].param == "max_num_results"
    async with raises(openai.BadRequestError):
        await _search(kit, store, "hotel", filters={"type": "like", "key": "year", "value": 1})
    async with raises(openai.NotFoundError):
        await _search(kit, "vs_none", "hotel")
    async with raises(openai.BadRequestError):
        await kit.call("vector_stores.create", name="x", metadata={"k": "v" * 600})


@step
async def the_stored_text_holds_every_chunk(kit: Kit) -> None:
    """`start` and `end` of a chunk are characters of the text, by the client's own `get` too."""
    store, file_id = await kit.store(), await kit.handbook()
    text = await done(kit.client.get(f"/vector_stores/{store}/files/{file_id}/text", cast_to=object))
    for part in await listed(await kit.call("vector_stores.files.content", file_id, vector_store_id=store)):
        assert text["text"][part.model_extra["start"] : part.model_extra["end"]] == part.text
    assert "140 euros" in text["text"]
    assert "140 euros" in HANDBOOK


async def _search(kit: Kit, store: str, query: str, **options: object) -> list:
    return await listed(await kit.call("vector_stores.search", store, query=query, **options))

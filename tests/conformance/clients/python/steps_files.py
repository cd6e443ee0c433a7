"""Files."""

import json

import openai
from kit import Kit, each, listed, opened, raises, step


@step
async def a_file_is_uploaded_read_and_deleted(kit: Kit) -> None:
    """create, retrieve, content and delete agree, with quotes and beyond ASCII in the name."""
    file = await kit.call(
        "files.create",
        file=('the "plan" 🚀.txt', b"Some words."),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert (file.filename, file.purpose, file.bytes) == ('the "plan" 🚀.txt', "user_data", 11)
    assert file.expires_at - file.created_at == 3600
    assert await kit.call("files.retrieve", file.id) == file
    assert (await kit.call("files.content", file.id)).read() == b"Some words."
    deprecated = await kit.call("files.retrieve_content", file.id)
    assert deprecated in ("Some words.", b"Some words."), deprecated
    assert (await kit.call("files.delete", file.id)).deleted
    async with raises(openai.NotFoundError) as caught:
        await kit.call("files.retrieve", file.id)
    assert caught[0].request_id.startswith("req_")


@step
async def waiting_for_a_file_ends(kit: Kit) -> None:
    """wait_for_processing ends with `processed`, for a path on the disk too."""
    file = await kit.call("files.create", file=kit.manual, purpose="assistants")
    assert (await kit.call("files.wait_for_processing", file.id, poll_interval=0.1)).status == "processed"
    assert (await kit.call("files.delete", file.id)).id == file.id


@step
async def iterating_over_files_fetches_every_page(kit: Kit) -> None:
    """Each file once, in both orders, with a purpose, and from a cursor on."""
    expiry = {"anchor": "created_at", "seconds": 3600}
    made = [
        (await kit.call("files.create", file=(f"{i}.txt", b"x"), purpose="vision", expires_after=expiry)).id
        for i in range(5)
    ]
    up = [one.id for one in await listed(await kit.call("files.list", limit=2, order="asc", purpose="vision"))]
    assert [one for one in up if one in made] == made
    assert len(up) == len(set(up))
    down = [one.id for one in await listed(await kit.call("files.list", limit=2, order="desc", purpose="vision"))]
    assert down == up[::-1]
    rest = await listed(await kit.call("files.list", after=made[3], order="asc", purpose="vision"))
    assert next(iter(rest)).id == made[4]
    page = await kit.call("files.list", limit=2, purpose="vision")
    assert page.has_next_page()
    assert [one.id async for one in each(page)] == down
    for one in made:
        await kit.call("files.delete", one)


@step
async def wrong_requests_raise_the_sdks_exceptions(kit: Kit) -> None:
    """With the parameter that is wrong, and the id of the request."""
    async with raises(openai.BadRequestError) as caught:
        await kit.call("files.create", file=("a.txt", b"x"), purpose="nothing")
    assert caught[0].param == "purpose"
    async with raises(openai.NotFoundError) as missing:
        await kit.call("files.delete", "file-none")
    assert missing[0].request_id


@step
async def raw_and_streaming_replies_show_headers_and_bytes(kit: Kit) -> None:
    """with_raw_response parses on demand; with_streaming_response reads piece by piece."""
    file_id = await kit.upload("raw.txt", "Some words.\n" * 1000)
    raw = await kit.call("files.with_raw_response.retrieve", file_id)
    assert raw.headers["x-request-id"].startswith("req_")
    assert int(raw.headers["openai-processing-ms"]) >= 0
    assert raw.parse().id == file_id
    assert json.loads(raw.text)["id"] == file_id
    manager = await kit.call("files.with_streaming_response.content", file_id)
    async with opened(manager) as reply:
        pieces = [piece async for piece in each(reply.iter_bytes(1000))]
    assert b"".join(pieces) == b"Some words.\n" * 1000
    assert len(pieces) == 12
    await kit.call("files.delete", file_id)

"""Models and embeddings."""

import math

import openai
from kit import Kit, done, listed, opened, raises, step


@step
async def models_are_listed_and_found(kit: Kit) -> None:
    """One answers, the other embeds; a name that is none of them is a 404."""
    names = [model.id for model in await listed(await kit.call("models.list"))]
    assert "footnote" in names
    for name in names:
        assert (await kit.call("models.retrieve", name)).id == name
    async with raises(openai.NotFoundError):
        await kit.call("models.retrieve", "gpt-none")
    raw = await kit.call("models.with_raw_response.list")
    assert {model.id for model in raw.parse().data} == set(names)
    async with opened(await kit.call("models.with_streaming_response.retrieve", "footnote")) as reply:
        assert (await done(reply.parse())).id == "footnote"


@step
async def embeddings_agree_in_base64_and_as_numbers(kit: Kit) -> None:
    """The SDK's default, base64, decodes to the vector that `float` spells out, of length 1."""
    model = await _embedding_model(kit)
    texts = ["The pump is noisy.", "Die Pumpe ist laut."]
    packed = await kit.call("embeddings.create", model=model, input=texts)
    size = len(packed.data[0].embedding)
    spelled = await kit.call(
        "embeddings.create", model=model, input=texts, encoding_format="float", dimensions=size, user="someone"
    )
    for one, other in zip(packed.data, spelled.data, strict=True):
        assert one.index == other.index
        assert max(abs(a - b) for a, b in zip(one.embedding, other.embedding, strict=True)) < 1e-6
        assert abs(math.hypot(*one.embedding) - 1) < 1e-3
    assert packed.usage.total_tokens == packed.usage.prompt_tokens > 0


@step
async def embeddings_show_their_raw_replies(kit: Kit) -> None:
    """Both wrappers; a single text comes back as one vector."""
    model = await _embedding_model(kit)
    raw = await kit.call("embeddings.with_raw_response.create", model=model, input="pump", encoding_format="float")
    (first,) = raw.parse().data
    manager = await kit.call(
        "embeddings.with_streaming_response.create", model=model, input="pump", encoding_format="float"
    )
    async with opened(manager) as reply:
        assert (await done(reply.parse())).data[0].embedding == first.embedding


@step
async def wrong_embedding_requests_are_refused(kit: Kit) -> None:
    """An unknown model is a 404; no input, or a size that the model does not have, a 400."""
    model = await _embedding_model(kit)
    async with raises(openai.NotFoundError):
        await kit.call("embeddings.create", model="text-embedding-none", input="pump")
    async with raises(openai.BadRequestError):
        await kit.call("embeddings.create", model=model, input=[])
    async with raises(openai.BadRequestError) as caught:
        await kit.call("embeddings.create", model=model, input="pump", dimensions=7)
    assert caught[0].param == "dimensions"


async def _embedding_model(kit: Kit) -> str:
    names = [model.id for model in await listed(await kit.call("models.list"))]
    return next(name for name in names if name != "footnote")

"""What happens between client and server: retries, timeouts, keys of idempotency, headers."""

import uuid

import openai
from kit import QUESTION, Kit, done, each, raises, step


@step
async def a_failed_request_is_sent_again(kit: Kit) -> None:
    """After a 500, a 429 that says how long to wait, and a connection that was dropped; each is one success."""
    store = await kit.store()
    patient = _patient(kit)
    for kind in ("500", "429", "drop"):
        found = await done(patient.vector_stores.retrieve(store, extra_headers=kit.fault(kind, 2)))
        assert found.id == store
        raw = await done(patient.files.with_raw_response.list(limit=1, extra_headers=kit.fault(kind)))
        assert raw.retries_taken == 1, kind


@step
async def a_request_that_keeps_failing_raises(kit: Kit) -> None:
    """The exception is the one of the last failure."""
    patient = _patient(kit)
    for kind, error in (
        ("500", openai.InternalServerError),
        ("429", openai.RateLimitError),
        ("drop", openai.APIConnectionError),
    ):
        async with raises(error):
            await done(patient.models.list(extra_headers=kit.fault(kind, 9)))


@step
async def a_request_that_stalls_times_out(kit: Kit) -> None:
    """Without retries the timeout is an exception; with one the second try succeeds."""
    async with raises(openai.APITimeoutError):
        await kit.call("models.list", timeout=0.3, extra_headers=kit.fault("stall"))
    patient = kit.client.with_options(max_retries=2, timeout=3)
    assert (await done(patient.models.list(extra_headers=kit.fault("stall")))).data


@step
async def a_dropped_answer_is_asked_for_again(kit: Kit) -> None:
    """Streams and uploads retry too."""
    patient, tools = _patient(kit), await kit.file_search()
    stream = await done(
        patient.responses.create(
            model="footnote", input=QUESTION, tools=tools, stream=True, extra_headers=kit.fault("drop")
        )
    )
    kinds = [event.type async for event in each(stream)]
    assert kinds[-1] == "response.completed"
    file = await done(
        patient.files.create(file=("again.txt", b"text"), purpose="assistants", extra_headers=kit.fault("500"))
    )
    await kit.call("files.delete", file.id)


@step
async def an_idempotency_key_makes_one_store_of_two_requests(kit: Kit) -> None:
    """The second request with the same key and body is answered with the first reply."""
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = await kit.call("vector_stores.create", name=f"once {kit.run}", extra_headers=headers)
    second = await kit.call("vector_stores.create", name=f"once {kit.run}", extra_headers=headers)
    assert first == second
    async with raises(openai.APIStatusError) as caught:
        await kit.call("vector_stores.create", name="another body", extra_headers=headers)
    assert caught[0].status_code in (409, 422)
    await kit.call("vector_stores.delete", first.id)


@step
async def every_reply_has_an_id_and_a_time(kit: Kit) -> None:
    """Also the one to an error."""
    raw = await kit.call("models.with_raw_response.list")
    assert raw.headers["x-request-id"].startswith("req_")
    assert raw.headers["openai-processing-ms"].isdigit()
    async with raises(openai.NotFoundError) as caught:
        await kit.call("models.retrieve", "none")
    assert caught[0].response.headers["x-request-id"] == caught[0].request_id
    assert set(caught[0].body) == {"message", "type", "param", "code"}


def _patient(kit: Kit) -> openai.OpenAI:
    return kit.client.with_options(max_retries=2)

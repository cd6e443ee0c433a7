"""The official `openai` package against a running Footnote with the real model, unchanged but for its base_url.

tests/conformance calls every method of the SDKs; here is what depends on the model.
"""

import asyncio
import io
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.conftest import Server

openai = pytest.importorskip("openai", reason="the official client: pip install openai")

HANDBOOK = (
    "# Handbook\n\n## Leave\n\nEvery employee has thirty days of paid leave in a year. "
    "Leave that was not taken expires on 31 March of the next year.\n\n"
    "## Travel\n\nA hotel may cost at most 140 euros a night, breakfast included. "
    "Taxis are paid for when no train runs after ten in the evening.\n"
)


@pytest.fixture(scope="module")
def client(live_server: Server) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{live_server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def store(client: Any) -> str:
    """Return the id of a store that holds the handbook."""
    store = client.vector_stores.create(name="handbook", metadata={"kind": "test"})
    file = client.files.create(file=("handbook.md", HANDBOOK.encode()), purpose="assistants")
    entry = client.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, attributes={"year": 2025, "valid": True, "team": "people"}
    )
    assert entry.status == "completed", entry
    assert entry.attributes == {"year": 2025.0, "valid": True, "team": "people"}
    assert entry.attributes["valid"] is True
    return str(store.id)


def tool(store: str, **options: Any) -> list[dict[str, Any]]:
    return [{"type": "file_search", "vector_store_ids": [store], **options}]


def check_citations(client: Any, response: Any) -> list[Any]:
    """Re-read every citation from the stored text, the way any client can; return them."""
    message = next(item for item in response.output if item.type == "message")
    part = message.content[0]
    assert part.text == response.output_text
    for note in part.annotations:
        stored = client.get(f"/vector_stores/{note.vector_store_id}/files/{note.file_id}/text", cast_to=dict[str, Any])
        assert stored["text"][note.start : note.end] == note.quote
        assert 0 < note.index <= len(part.text)
    return list(part.annotations)


def test_a_search_returns_the_passage_with_its_attributes(client: Any, store: str) -> None:
    """vector_stores.search takes a string or a list, filters, and returns scores between 0 and 1."""
    filters = {
        "type": "and",
        "filters": [{"type": "eq", "key": "valid", "value": True}, {"type": "gte", "key": "year", "value": 2025}],
    }
    for query in ("What may a hotel cost?", ["What may a hotel cost?", "night"]):
        page = client.vector_stores.search(store, query=query, filters=filters, max_num_results=2)
        assert "140 euros" in page.data[0].content[0].text
        assert 0 <= page.data[0].score <= 1
        assert page.data[0].attributes["team"] == "people"
    nothing = {"type": "ne", "key": "valid", "value": True}
    assert client.vector_stores.search(store, query="hotel", filters=nothing).data == []


def test_upload_and_poll_makes_a_file_searchable_and_delete_takes_it_out(client: Any) -> None:
    """What the helper returns is final, the counts agree, and a detached file is gone from the next search."""
    store = client.vector_stores.create(name="short")
    text = io.BytesIO(b"The lighthouse on Skerry Rock was lit in 1844.")
    text.name = "lighthouse.txt"
    entry = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=text)
    assert entry.status == "completed"
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 1
    content = client.vector_stores.files.content(entry.id, vector_store_id=store.id)
    assert "".join(part.text for part in content) == text.getvalue().decode()
    assert client.vector_stores.search(store.id, query="lighthouse").data
    client.vector_stores.files.delete(entry.id, vector_store_id=store.id)
    assert client.vector_stores.search(store.id, query="lighthouse").data == []


def test_a_response_carries_citations_that_are_true(client: Any, store: str) -> None:
    """Every footnote is the stored text at its offsets, and the answer can be retrieved and deleted."""
    response = client.responses.create(
        model="footnote",
        input="How many days of paid leave does every employee have?",
        tools=tool(store),
        include=["file_search_call.results"],
    )
    assert "thirty days" in response.output_text
    notes = check_citations(client, response)
    assert notes[0].filename == "handbook.md"
    call = response.output[0]
    assert (call.type, call.status) == ("file_search_call", "completed")
    assert "thirty days" in call.results[0].text
    assert client.responses.retrieve(response.id).output_text == response.output_text
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_streamed_response_satisfies_the_strict_accumulator(client: Any, store: str) -> None:
    """responses.stream() accumulates every event, and the final response equals what is stored."""
    with client.responses.stream(model="footnote", input="What may a hotel cost a night?", tools=tool(store)) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert "response.output_text.annotation.added" in kinds
    assert "140 euros" in final.output_text
    assert check_citations(client, final)
    assert client.responses.retrieve(final.id).output_text == final.output_text


def test_what_the_documents_do_not_hold_is_not_answered(client: Any, store: str) -> None:
    """The answer says so, without a citation, with Footnote's own field `outcome`."""
    response = client.responses.create(
        model="footnote", input="Who painted the ceiling of the Sistine Chapel?", tools=tool(store)
    )
    assert response.outcome == "not_in_documents"
    assert check_citations(client, response) == []


def test_errors_arrive_as_the_sdks_own_exceptions(client: Any, store: str) -> None:
    """Each kind of mistake has its exception class, with the parameter that is wrong."""
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve("vs_none")
    with pytest.raises(openai.NotFoundError) as model:
        client.responses.create(model="gpt-none", input="Anything?", tools=tool(store))
    assert model.value.param == "model"
    with pytest.raises(openai.BadRequestError) as bad:
        client.vector_stores.search(store, query="hotel", max_num_results=1000)
    assert bad.value.param == "max_num_results"
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="footnote", input="x" * 100_000, tools=tool(store))


def test_embeddings_agree_in_base64_and_as_numbers(client: Any) -> None:
    """The SDK's default, base64, decodes to the vector that `float` spells out, of length 1."""
    names = [model.id for model in client.models.list()]
    assert "footnote" in names
    model = next(name for name in names if name != "footnote")
    assert client.models.retrieve(model).id == model
    texts = ["The pump is noisy.", "Die Pumpe ist laut."]
    packed = client.embeddings.create(model=model, input=texts)
    spelled = client.embeddings.create(model=model, input=texts, encoding_format="float")
    for one, other in zip(packed.data, spelled.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-3)
    assert packed.usage.total_tokens > 0


def test_the_asynchronous_client_does_the_same(live_server: Server) -> None:
    """Upload, poll, search, answer and stream work through AsyncOpenAI, several at once."""

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=f"{live_server.url}/v1", api_key="none", max_retries=0) as client:
            store = await client.vector_stores.create(name="async")
            entries = await asyncio.gather(
                *(
                    client.vector_stores.files.upload_and_poll(
                        vector_store_id=store.id, file=(f"{i}.txt", f"Depot {i} opens at {i + 5} o'clock.".encode())
                    )
                    for i in range(4)
                )
            )
            assert [entry.status for entry in entries] == ["completed"] * 4
            found = await client.vector_stores.search(store.id, query="When does depot 2 open?")
            assert len(found.data) == 4
            async with client.responses.stream(
                model="footnote", input="When does depot 2 open?", tools=tool(store.id)
            ) as stream:
                final = await stream.get_final_response()
            assert "7 o'clock" in final.output_text
            assert [item.id async for item in client.vector_stores.files.list(store.id)]

    run(work())


def run(coroutine: Any) -> None:
    """Run in a thread of its own: a browser that a test drives from this one may keep a loop running here."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, coroutine).result()

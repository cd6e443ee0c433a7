"""/v1/vector_stores/{id}/files: attaching, reading, failing, detaching."""

import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.conftest import HOUSE, Footnote, StartFootnote
from tests.integration.test_files import walk


def test_an_attached_file_goes_from_in_progress_to_completed(footnote: Footnote) -> None:
    """Attaching answers at once; after the worker the object tells what was read."""
    store, file = footnote.store(), footnote.upload()
    path = f"/v1/vector_stores/{store}/files"
    queued = footnote.client.post(path, json={"file_id": file}).json()
    assert (queued["object"], queued["id"], queued["vector_store_id"]) == ("vector_store.file", file, store)
    assert (queued["status"], queued["last_error"], queued["usage_bytes"]) == ("in_progress", None, 0)
    footnote.work()
    reply = footnote.client.get(f"{path}/{file}")
    assert int(reply.headers["openai-poll-after-ms"]) <= 1000
    done = reply.json()
    assert (done["status"], done["last_error"], done["usage_bytes"]) == ("completed", None, len(HOUSE))
    assert done["coverage"]["characters"] == len(HOUSE.strip())
    assert (done["filename"], done["progress"]) == ("house.txt", 1.0)


def test_attaching_twice_is_attaching_once(footnote: Footnote) -> None:
    """The second request answers with the state of the first, and nothing is read or found twice."""
    store = footnote.store()
    file = footnote.add(store)
    again = footnote.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file}).json()
    assert again["status"] == "completed"
    assert footnote.get(f"/v1/vector_stores/{store}")["file_counts"]["total"] == 1
    found = [hit["chunk_id"] for hit in footnote.search(store, "boiler")]
    assert (
        len(found) == len(set(found)) == footnote.get(f"/v1/vector_stores/{store}/files/{file}")["coverage"]["chunks"]
    )


def test_attributes_keep_their_types(footnote: Footnote) -> None:
    """A boolean stays a boolean, a number a number, a string a string, in the object and in search results."""
    attributes = {"valid": True, "draft": False, "year": 2025, "ratio": 0.5, "code": "1", "name": "Zürich 😀"}
    store = footnote.store()
    file = footnote.add(store, attributes=attributes)
    for shown in (
        footnote.get(f"/v1/vector_stores/{store}/files/{file}")["attributes"],
        footnote.search(store, "boiler")[0]["attributes"],
    ):
        assert shown == attributes
        assert [shown["valid"], shown["draft"]] == [True, False]
        assert {type(shown["valid"]), type(shown["draft"])} == {bool}
        assert {type(shown["year"]), type(shown["ratio"])} <= {int, float}
        assert shown["code"] == "1"


def test_new_attributes_decide_the_next_search(footnote: Footnote) -> None:
    """An update replaces all attributes, and filters see it at once, without another run of the worker."""
    store = footnote.store()
    file = footnote.add(store, attributes={"state": "draft", "old": True})
    final = {"type": "eq", "key": "state", "value": "final"}
    assert footnote.search(store, "boiler", filters=final) == []
    path = f"/v1/vector_stores/{store}/files/{file}"
    assert footnote.client.post(path, json={"attributes": {"state": "final"}}).json()["attributes"] == {
        "state": "final"
    }
    assert footnote.search(store, "boiler", filters=final)
    assert footnote.search(store, "boiler", filters={"type": "eq", "key": "old", "value": True}) == []
    assert footnote.client.post(path, json={"attributes": None}).json()["attributes"] == {}


@pytest.mark.parametrize(
    "attributes",
    [
        {"k": [1]},
        {"k": None},
        {"k": {"a": 1}},
        {"k": "v" * 513},
        {"k" * 65: 1},
        {str(i): i for i in range(17)},
        "k",
    ],
)
def test_wrong_attributes_are_refused(footnote: Footnote, attributes: Any) -> None:
    """Types and sizes beyond OpenAI's are a 400 that names the attributes."""
    store, file = footnote.store(), footnote.upload()
    reply = footnote.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file, "attributes": attributes})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("attributes")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_json_cannot_hold_is_refused(footnote: Footnote, number: str) -> None:
    """It could be stored and never be sent back."""
    store, file = footnote.store(), footnote.upload()
    body = f'{{"file_id": "{file}", "attributes": {{"k": {number}}}}}'
    reply = footnote.client.post(
        f"/v1/vector_stores/{store}/files", content=body, headers={"content-type": "application/json"}
    )
    assert reply.status_code == 400


def test_static_chunking_cuts_windows_of_the_asked_size_and_overlap(footnote: Footnote) -> None:
    """Chunks have at most the asked tokens, neighbours share the overlap, and together they hold every word."""
    words = [f"word{i}" for i in range(450)]
    strategy = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 20}}
    store = footnote.store()
    file = footnote.add(store, " ".join(words), chunking_strategy=strategy)
    path = f"/v1/vector_stores/{store}/files/{file}"
    assert footnote.get(path)["chunking_strategy"] == strategy
    chunks = [part["text"].split() for part in footnote.get(f"{path}/content")["data"]]
    assert max(map(len, chunks)) == 100
    for one, following in pairwise(chunks):
        assert one[-20:] == following[:20]
    assert chunks[0] + [word for chunk in chunks[1:] for word in chunk[20:]] == words


@pytest.mark.parametrize(
    "strategy",
    [
        {},
        {"type": "semantic"},
        {"type": "static"},
        {"type": "static", "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}},
        {"type": "static", "static": {"max_chunk_size_tokens": 4097, "chunk_overlap_tokens": 0}},
        {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 51}},
        {"type": "static", "static": {"max_chunk_size_tokens": "100", "chunk_overlap_tokens": 0}},
        {"type": "static", "static": {"max_chunk_size_tokens": True, "chunk_overlap_tokens": 0}},
        {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0, "more": 1}},
        {"type": "auto", "static": {}},
    ],
)
def test_a_wrong_chunking_strategy_is_refused(footnote: Footnote, strategy: dict[str, Any]) -> None:
    """Sizes outside OpenAI's limits and unknown kinds and keys are a 400."""
    store, file = footnote.store(), footnote.upload()
    if strategy:
        reply = footnote.client.post(
            f"/v1/vector_stores/{store}/files", json={"file_id": file, "chunking_strategy": strategy}
        )
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "chunking_strategy")
    reply = footnote.client.post("/v1/vector_stores", json={"file_ids": [file], "chunking_strategy": strategy or []})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "chunking_strategy")


def test_content_and_text_agree_on_every_offset(footnote: Footnote) -> None:
    """Each chunk of /content is the stored text of /text at its offsets, emoji and all."""
    text = "😀 Überschrift\n\n" + "\n\n".join(
        f"Absatz {i}: 𝔘nicode zählt 👩🏽‍🚀 Zeichen, nicht Bytes. " * 20 for i in range(5)
    )
    store = footnote.store()
    file = footnote.add(store, text, "unicode.txt")
    path = f"/v1/vector_stores/{store}/files/{file}"
    stored = footnote.get(f"{path}/text")
    content = footnote.get(f"{path}/content")
    assert content["object"] == "vector_store.file_content.page"
    assert (content["has_more"], content["next_page"]) == (False, None)
    assert len(content["data"]) > 1
    for part in content["data"]:
        assert part["type"] == "text"
        assert stored["text"][part["start"] : part["end"]] == part["text"]
    assert stored["filename"] == "unicode.txt"


def test_a_file_that_is_not_ready_has_no_text(footnote: Footnote) -> None:
    """Content and text of a queued file are a 404 that tells its state."""
    store, file = footnote.store(), footnote.upload()
    path = f"/v1/vector_stores/{store}/files"
    footnote.client.post(path, json={"file_id": file})
    for kind in ("content", "text"):
        reply = footnote.client.get(f"{path}/{file}/{kind}")
        assert reply.status_code == 404
        assert "in_progress" in reply.json()["error"]["message"]
    footnote.work()


def test_a_detached_file_is_gone_from_the_next_search_and_stays_a_file(footnote: Footnote) -> None:
    """Detaching takes the text out at once; the file can be attached anew."""
    store = footnote.store()
    file = footnote.add(store)
    path = f"/v1/vector_stores/{store}/files/{file}"
    reply = footnote.client.delete(path)
    assert reply.json() == {"id": file, "object": "vector_store.file.deleted", "deleted": True}
    assert footnote.search(store, "boiler") == []
    assert footnote.client.get(path).status_code == 404
    assert footnote.client.delete(path).status_code == 404
    assert footnote.client.get(f"/v1/files/{file}").status_code == 200
    assert footnote.attach(store, file)["status"] == "completed"
    assert footnote.search(store, "boiler")


@pytest.mark.parametrize(
    "path", ["/v1/vector_stores/{store}/files/{file}", "/v1/vector_stores/{store}", "/v1/files/{file}"]
)
def test_what_is_deleted_leaves_the_index_and_not_only_the_results(fresh: Footnote, path: str) -> None:
    """Detached file, deleted store or deleted file: the index holds as many passages as before."""
    before = fresh.get("/readyz")["chunks"]
    store = fresh.store()
    file = fresh.add(store)
    assert fresh.get("/readyz")["chunks"] > before
    assert fresh.client.delete(path.format(store=store, file=file)).status_code == 200
    assert fresh.get("/readyz")["chunks"] == before


def test_a_file_in_one_store_is_not_in_another(footnote: Footnote) -> None:
    """A file that exists but was not attached here is a 404 of this store."""
    here, there = footnote.store(), footnote.store()
    file = footnote.add(here)
    assert footnote.client.get(f"/v1/vector_stores/{there}/files/{file}").status_code == 404
    assert footnote.search(there, "boiler") == []


def test_files_of_a_store_are_listed_in_pages_and_by_state(footnote: Footnote) -> None:
    """Pages join without gap; `filter` shows one state alone; an unknown state is refused."""
    store = footnote.store()
    good = [footnote.add(store, f"Plan number {i}.", f"{i}.txt") for i in range(5)]
    bad = footnote.upload(b"\x89PNG\r\n\x1a\n" + bytes(32), "a.png")
    footnote.attach(store, bad)
    path = f"/v1/vector_stores/{store}/files"
    assert walk(footnote.get, path, limit=2) == [bad, *good[::-1]]
    assert walk(footnote.get, path, limit=2, order="asc") == [*good, bad]
    assert walk(footnote.get, path, filter="failed") == [bad]
    assert walk(footnote.get, path, filter="completed", limit=3) == good[::-1]
    assert footnote.client.get(path, params={"filter": "lost"}).status_code == 400


# --- files that cannot become documents -------------------------------------------------------------------------------


def encrypted_pdf() -> bytes:
    from reportlab.lib.pdfencrypt import StandardEncryption
    from reportlab.pdfgen.canvas import Canvas

    target = io.BytesIO()
    canvas = Canvas(target, encrypt=StandardEncryption("secret", "owner"))
    canvas.drawString(72, 720, "Nobody reads this.")
    canvas.save()
    return target.getvalue()


def truncated_docx() -> bytes:
    from docx import Document

    target = io.BytesIO()
    document = Document()
    document.add_paragraph("Half of this is missing. " * 50)
    document.save(target)
    return target.getvalue()[: len(target.getvalue()) // 2]


@pytest.mark.parametrize(
    ("name", "make", "code", "words"),
    [
        ("locked.pdf", encrypted_pdf, "invalid_file", "encrypted"),
        ("half.docx", truncated_docx, "invalid_file", "damaged"),
        ("broken.pdf", lambda: b"%PDF-1.7\n" + bytes(100), "invalid_file", "damaged"),
        ("picture.png", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "invalid_file", "damaged"),
        ("picture.pdf", lambda: b"\xff\xd8\xff" + bytes(100), "invalid_file", "damaged"),
        ("archive.docx", lambda: b"PK\x05\x06" + bytes(18), "invalid_file", "without files"),
        ("blank.txt", lambda: b" \n\t\n ", "invalid_file", "text"),
        ("noise.bin", lambda: bytes(range(256)) * 50, "unsupported_file", "octet-stream"),
    ],
)
def test_a_file_that_cannot_be_read_fails_with_a_reason(
    footnote: Footnote, name: str, make: Callable[[], bytes], code: str, words: str
) -> None:
    """It ends as `failed` with one of OpenAI's codes and words that name the file and the cause."""
    entry = footnote.attach(footnote.store(), footnote.upload(make(), name))
    assert (entry["status"], entry["last_error"]["code"]) == ("failed", code)
    assert name in entry["last_error"]["message"]
    assert words in entry["last_error"]["message"]


def test_a_text_with_the_name_of_another_format_is_read_as_what_it_is(footnote: Footnote) -> None:
    """The content decides: a PDF called .txt and a text called .pdf are both read."""
    from reportlab.pdfgen.canvas import Canvas

    target = io.BytesIO()
    canvas = Canvas(target)
    canvas.drawString(72, 720, "The turbine was replaced in 1998.")
    canvas.save()
    store = footnote.store()
    footnote.add(store, target.getvalue(), "turbine.txt")
    footnote.add(store, "The reservoir was drained in 2003.", "reservoir.pdf")
    assert {hit["filename"] for hit in footnote.search(store, "turbine reservoir")} == {"turbine.txt", "reservoir.pdf"}


def test_a_parser_that_takes_too_long_costs_one_file(start: StartFootnote) -> None:
    """The file fails with the limit named, and the next one is read."""
    with start(parse_timeout_s=0.001) as footnote:
        entry = footnote.attach(footnote.store(), footnote.upload())
        assert entry["status"] == "failed"
        assert "0.001 s" in entry["last_error"]["message"]
    with start() as footnote:
        footnote.add(footnote.store())


def test_a_failed_file_can_be_tried_again_by_attaching_it(start: StartFootnote) -> None:
    """Attaching a failed file queues it anew; with the cause gone it completes and carries no error."""
    with start(parse_timeout_s=0.001) as footnote:
        store, file = footnote.store(), footnote.upload()
        assert footnote.attach(store, file)["status"] == "failed"
    with start() as footnote:
        entry = footnote.attach(store, file)
        assert (entry["status"], entry["last_error"]) == ("completed", None)


def test_an_unknown_file_cannot_be_attached(footnote: Footnote) -> None:
    """The error names the file, not the store."""
    reply = footnote.client.post(f"/v1/vector_stores/{footnote.store()}/files", json={"file_id": "file-none"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (404, "file_id")

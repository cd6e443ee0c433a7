"""`Idempotency-Key`: sent twice, carried out once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import api.idempotency
from catalog import idempotency
from catalog.blobs import BlobStore
from catalog.idempotency import Claim
from catalog.models import DEFAULT_PROJECT, IdempotentRequest
from tests.integration.callers import make_key, mint
from tests.integration.conftest import Footnote, StartFootnote

REPLAYED = "idempotent-replayed"


def post(footnote: Footnote, path: str, key: str = "k", **body: Any) -> Any:
    return footnote.client.post(path, headers={"idempotency-key": key} | body.pop("headers", {}), **body)


def upload(footnote: Footnote, content: bytes = b"The boiler.", name: str = "a.txt", key: str = "k") -> Any:
    """Upload with a boundary that is drawn anew, as the SDKs do when they send a request again."""
    return post(footnote, "/v1/files", key, files={"file": (name, content)}, data={"purpose": "assistants"})


def files_of(footnote: Footnote) -> list[str]:
    return [one["id"] for one in footnote.get("/v1/files")["data"]]


def test_an_upload_that_is_sent_again_is_the_same_file(fresh: Footnote) -> None:
    """Status and body are those of the first reply, a header tells of it, and there is one file."""
    first, second = upload(fresh), upload(fresh)
    assert (first.status_code, REPLAYED in first.headers) == (200, False)
    assert (second.status_code, second.content, second.headers[REPLAYED]) == (200, first.content, "true")
    assert files_of(fresh) == [first.json()["id"]]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_without_the_header_nothing_changes(fresh: Footnote) -> None:
    """Two uploads of the same bytes are two files."""
    assert fresh.upload("The boiler.") != fresh.upload("The boiler.")


@pytest.mark.parametrize("change", [{"content": b"The attic."}, {"name": "b.txt"}])
def test_another_upload_under_the_same_key_is_a_conflict(fresh: Footnote, change: dict[str, Any]) -> None:
    """Other bytes or another name; the SDKs do not send it again, and nothing was stored."""
    first = upload(fresh)
    reply = upload(fresh, **change)
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert reply.headers["x-should-retry"] == "false"
    assert files_of(fresh) == [first.json()["id"]]


def test_a_broken_form_under_a_used_key_is_a_conflict(fresh: Footnote) -> None:
    """It is another request than the first; without the key it is a 400."""
    upload(fresh)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    assert fresh.client.post("/v1/files", headers=headers, content=b"no form").status_code == 400
    assert post(fresh, "/v1/files", headers=headers, content=b"no form").status_code == 409


def test_stores_entries_and_batches_are_made_once(fresh: Footnote) -> None:
    """So are conversations, items of them, uploads in parts, and responses."""
    store, file = fresh.store(), fresh.upload()
    part = {"bytes": 3, "filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}
    conversation = fresh.client.post("/v1/conversations", json={}).json()["id"]
    item = {"type": "message", "role": "user", "content": "Where is the boiler?"}
    for number, (path, body) in enumerate(
        (
            ("/v1/vector_stores", {"name": "n"}),
            (f"/v1/vector_stores/{store}/files", {"file_id": file}),
            (f"/v1/vector_stores/{store}/file_batches", {"file_ids": [file]}),
            ("/v1/responses", {"input": "Where is the boiler?"}),
            ("/v1/conversations", {"metadata": {"a": "b"}}),
            (f"/v1/conversations/{conversation}/items", {"items": [item]}),
            ("/v1/uploads", part),
        )
    ):
        first, second = (post(fresh, path, f"key {number}", json=body) for _ in range(2))
        assert first.status_code == 200, first.text
        assert (second.content, second.headers.get(REPLAYED)) == (first.content, "true"), path
    assert len(fresh.get("/v1/vector_stores")["data"]) == 2
    assert len(fresh.get(f"/v1/conversations/{conversation}/items")["data"]) == 1


def test_the_same_key_on_another_path_is_a_conflict(fresh: Footnote) -> None:
    """A key names one request."""
    store = post(fresh, "/v1/vector_stores", json={"name": "n"}).json()["id"]
    assert post(fresh, f"/v1/vector_stores/{store}", json={"name": "n"}).status_code == 409


def test_a_request_that_failed_can_be_sent_again(fresh: Footnote) -> None:
    """An error leaves the key free, for another body too."""
    assert post(fresh, "/v1/vector_stores", json={"nmae": "n"}).status_code == 400
    assert post(fresh, "/v1/vector_stores", json={"file_ids": ["file-none"]}).status_code == 404
    assert post(fresh, "/v1/vector_stores", json={"name": "n"}).status_code == 200


def test_what_creates_nothing_is_carried_out_again(fresh: Footnote) -> None:
    """A search sees what was added since; a response that is not stored is made anew."""
    store = fresh.store()
    path = f"/v1/vector_stores/{store}/search"
    assert post(fresh, path, json={"query": "boiler"}).json()["data"] == []
    fresh.add(store)
    assert post(fresh, path, json={"query": "boiler"}).json()["data"] != []
    body = {"input": "Where is the boiler?", "store": False}
    first, second = (post(fresh, "/v1/responses", "other", json=body) for _ in range(2))
    assert first.json()["id"] != second.json()["id"]


def test_a_stream_is_not_replayed(fresh: Footnote) -> None:
    """One that was stored is a conflict when it is sent again: the stored answer can be retrieved."""
    body = {"input": "Where is the boiler?", "stream": True}
    first = post(fresh, "/v1/responses", json=body)
    assert "response.completed" in first.text
    second = post(fresh, "/v1/responses", json=body)
    assert (second.status_code, second.headers["x-should-retry"]) == (409, "false")
    assert "stream" in second.json()["error"]["message"]


def test_a_kept_reply_goes_with_what_it_speaks_of(fresh: Footnote) -> None:
    """An answer is not given again after it, or a file that it quotes, was deleted; and it is not stored any more."""
    store = fresh.store()
    file = fresh.add(store)
    body = {"input": "Who installed the boiler?", "tools": [{"type": "file_search", "vector_store_ids": [store]}]}
    first, second = (post(fresh, "/v1/responses", key, json=body).json() for key in ("a", "b"))
    assert "Brandt" in str(first)
    assert fresh.client.delete(f"/v1/responses/{first['id']}").status_code == 200
    assert post(fresh, "/v1/responses", "a", json=body).status_code == 409
    assert post(fresh, "/v1/responses", "b", json=body).json() == second
    assert fresh.client.delete(f"/v1/files/{file}").status_code == 200
    assert post(fresh, "/v1/responses", "b", json=body).status_code == 409
    idempotency.remove_stale(fresh.services.catalog.database)
    with fresh.services.catalog.database.read() as session:
        rows = [session.get_one(IdempotentRequest, (DEFAULT_PROJECT, key)) for key in ("a", "b")]
    assert [row.body for row in rows] == [None, None]


def test_feedback_is_not_replayed_once_its_answer_is_gone(fresh: Footnote) -> None:
    """What somebody said of an answer is deleted with it, in a kept reply too."""
    made = fresh.respond("Who installed the boiler?")["id"]
    path, body = f"/v1/responses/{made}/feedback", {"rating": "down", "text": "xylophone"}
    first, second = (post(fresh, path, json=body) for _ in range(2))
    assert (second.content, second.headers[REPLAYED]) == (first.content, "true")
    fresh.client.delete(f"/v1/responses/{made}")
    reply = post(fresh, path, json=body)
    assert (reply.status_code, "xylophone" in reply.text) == (409, False)
    idempotency.remove_stale(fresh.services.catalog.database)
    with fresh.services.catalog.database.read() as session:
        assert all(row.body is None for row in session.query(IdempotentRequest))


def test_keys_belong_to_their_project_and_visitor(fresh: Footnote) -> None:
    """The same key of another project, of a key for one store, and of a visitor is another key."""
    _, owner = make_key(fresh)
    store = post(fresh, "/v1/vector_stores", headers=owner, json={}).json()["id"]
    body = {"input": "Where is the boiler?"}
    callers = [
        owner,
        make_key(fresh, "proj_b")[1],
        make_key(fresh, store_ids=[store])[1],
        mint(fresh, owner),
        mint(fresh, owner),
    ]
    made = [post(fresh, "/v1/responses", "r", headers=header, json=body) for header in callers]
    assert [REPLAYED in reply.headers for reply in made] == [False] * len(callers)
    assert len({reply.json()["id"] for reply in made}) == len(callers)
    again = post(fresh, "/v1/responses", "r", headers=make_key(fresh)[1], json=body)
    assert again.json()["id"] == made[0].json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_has_a_length(fresh: Footnote, key: str) -> None:
    """1 to 255 characters."""
    reply = post(fresh, "/v1/vector_stores", key, json={})
    assert (reply.status_code, "Idempotency-Key" in reply.text) == (400, True)
    assert post(fresh, "/v1/vector_stores", "x" * 255, json={}).status_code == 200


def test_many_at_once_make_one(fresh: Footnote) -> None:
    """All get the same reply: one carries the request out, the others wait for it."""
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: upload(fresh), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    assert sum(REPLAYED not in reply.headers for reply in replies) == 1
    assert len(files_of(fresh)) == 1


def test_while_the_first_runs_the_second_is_told_to_come_again(
    fresh: Footnote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while: with a 409 that the SDKs send again; when the first has ended, the second is carried out."""
    monkeypatch.setattr(api.idempotency, "_WAIT_S", 0.0)
    database = fresh.services.catalog.database
    claim = idempotency.begin(database, DEFAULT_PROJECT, "k", lease_s=60.0)
    assert isinstance(claim, Claim)
    reply = upload(fresh)
    assert (reply.status_code, reply.headers["x-should-retry"]) == (409, "true")
    assert reply.json()["error"]["code"] == "request_in_progress"
    idempotency.release(database, claim)
    assert upload(fresh).status_code == 200


def test_the_second_waits_for_the_first(fresh: Footnote) -> None:
    """It is answered as soon as the first has ended."""
    database = fresh.services.catalog.database
    claim = idempotency.begin(database, DEFAULT_PROJECT, "k", lease_s=60.0)
    assert isinstance(claim, Claim)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(upload, fresh)
        assert not threading.Event().wait(0.3)
        assert not waiting.done()
        idempotency.release(database, claim)
        assert waiting.result().status_code == 200


@pytest.mark.parametrize("stored", ["file", "store"])
def test_a_request_that_was_overtaken_leaves_nothing_behind(
    fresh: Footnote, monkeypatch: pytest.MonkeyPatch, stored: str
) -> None:
    """A claim whose lease ended is taken over while its request still runs: that request writes nothing at all."""
    database = fresh.services.catalog.database
    begin = idempotency.begin

    def begin_and_be_overtaken(*args: Any, lease_s: float) -> Any:
        first, second = (begin(*args, lease_s=lease_s - 31.0) for _ in range(2))
        assert isinstance(second, Claim)
        return first

    monkeypatch.setattr(idempotency, "begin", begin_and_be_overtaken)
    reply = upload(fresh) if stored == "file" else post(fresh, "/v1/vector_stores", json={})
    assert (reply.status_code, reply.headers["x-should-retry"]) == (409, "true")
    assert fresh.get("/v1/files")["data"] == fresh.get("/v1/vector_stores")["data"] == []
    assert not any(BlobStore.names(fresh.services.catalog.blobs)) or stored == "file"
    with database.read() as session:
        assert session.get_one(IdempotentRequest, (DEFAULT_PROJECT, "k")).has_effect is False


def test_after_a_crash_between_effect_and_reply_nothing_is_done_twice(
    start: StartFootnote, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is there, its reply is lost: the repetition is told so, also by another process."""

    def crash(*_: Any) -> None:
        raise ConnectionAbortedError("the process was killed here")

    with start() as footnote:
        with monkeypatch.context() as patch:
            patch.setattr(idempotency, "keep", crash)
            assert upload(footnote).status_code == 500
        made = files_of(footnote)
        assert len(made) == 1
    monkeypatch.setattr(api.idempotency, "_WAIT_S", 0.0)
    with start() as footnote:
        early = upload(footnote)
        assert (early.status_code, early.headers["x-should-retry"]) == (409, "true")
        with footnote.services.catalog.database.write() as session:
            session.get_one(IdempotentRequest, (DEFAULT_PROJECT, "k")).lease_until = 0.0
        late = upload(footnote)
        assert (late.status_code, late.headers["x-should-retry"]) == (409, "false")
        assert files_of(footnote) == made


def test_a_reply_that_is_too_long_is_not_kept(fresh: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent as ever; a repetition is a conflict, and not done again."""
    monkeypatch.setattr(api.idempotency, "MAX_REPLY_BYTES", 10)
    assert post(fresh, "/v1/vector_stores", json={}).json()["object"] == "vector_store"
    assert post(fresh, "/v1/vector_stores", json={}).status_code == 409
    assert len(fresh.get("/v1/vector_stores")["data"]) == 1

"""/v1/vector_stores/{id}/file_batches: many files attached, watched and cancelled together."""

from typing import Any

import pytest
from sqlalchemy import update

from catalog.models import VectorStoreFile
from tests.integration.conftest import HOUSE, Footnote, StartFootnote


def create(footnote: Footnote, store: str, **body: Any) -> dict[str, Any]:
    reply = footnote.client.post(f"/v1/vector_stores/{store}/file_batches", json=body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def look(footnote: Footnote, store: str, batch: str) -> dict[str, Any]:
    return footnote.get(f"/v1/vector_stores/{store}/file_batches/{batch}")


def counts(**overrides: int) -> dict[str, int]:
    return {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0} | overrides


def test_a_batch_is_in_progress_until_all_its_files_have_ended(fresh: Footnote) -> None:
    """The counts are right at every look, and files outside the batch are not among them."""
    store = fresh.store()
    fresh.add(store, "Another file.")
    files = [fresh.upload(HOUSE, "a.txt"), fresh.upload("A mill.", "b.txt"), fresh.upload(b"  \n", "blank.txt")]
    batch = create(fresh, store, file_ids=files)
    assert (batch["object"], batch["vector_store_id"], batch["status"]) == (
        "vector_store.files_batch",
        store,
        "in_progress",
    )
    assert batch["file_counts"] == counts(in_progress=3, total=3)
    fresh.work()
    done = look(fresh, store, batch["id"])
    assert (done["status"], done["file_counts"]) == ("completed", counts(completed=2, failed=1, total=3))
    assert done["seconds_left"] is None


def test_attributes_and_strategy_hold_for_all_files_or_for_each(fresh: Footnote) -> None:
    """With `file_ids` they are shared; with `files` each file brings its own."""
    store, first, second = fresh.store(), fresh.upload(name="a.txt"), fresh.upload("A mill.", "b.txt")
    create(fresh, store, file_ids=[first], attributes={"kind": "shared"})
    static = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
    own = {"file_id": second, "attributes": {"kind": "own"}, "chunking_strategy": static}
    create(fresh, store, files=[own], attributes={"kind": "ignored"})
    shown = {file: fresh.get(f"/v1/vector_stores/{store}/files/{file}") for file in (first, second)}
    assert (shown[first]["attributes"], shown[second]["attributes"]) == ({"kind": "shared"}, {"kind": "own"})
    assert (shown[first]["chunking_strategy"]["type"], shown[second]["chunking_strategy"]) == ("other", static)


def test_a_batch_whose_files_all_failed_has_failed(fresh: Footnote) -> None:
    """One file that was read makes it completed."""
    store = fresh.store()
    batch = create(fresh, store, file_ids=[fresh.upload(b" ", "blank.txt")])
    fresh.work()
    assert look(fresh, store, batch["id"])["status"] == "failed"


def test_cancelling_stops_what_has_not_ended(fresh: Footnote) -> None:
    """Completed files stay; cancelling a second time, or after the end, changes nothing."""
    store, done = fresh.store(), fresh.upload(name="a.txt")
    fresh.attach(store, done)
    batch = create(fresh, store, file_ids=[done, fresh.upload("A mill.", "b.txt")])
    for _ in range(2):
        reply = fresh.client.post(f"/v1/vector_stores/{store}/file_batches/{batch['id']}/cancel")
        assert reply.json()["status"] == "cancelled"
        assert reply.json()["file_counts"] == counts(completed=1, cancelled=1, total=2)
    fresh.work()
    assert fresh.search(store, "mill") == [] or all("mill" not in str(hit) for hit in fresh.search(store, "mill"))
    ended = create(fresh, store, file_ids=[done])
    reply = fresh.client.post(f"/v1/vector_stores/{store}/file_batches/{ended['id']}/cancel")
    assert reply.json()["status"] == "completed"


def test_the_files_of_a_batch_are_listed_by_page_and_state(fresh: Footnote) -> None:
    """The list is that of the store, narrowed to the batch."""
    store = fresh.store()
    fresh.add(store, "Another file.")
    files = [fresh.upload(f"Mill number {i}.", f"{i}.txt") for i in range(3)]
    batch = create(fresh, store, file_ids=[*files, files[0]])
    path = f"/v1/vector_stores/{store}/file_batches/{batch['id']}/files"
    first = fresh.get(path, limit=2, order="asc")
    rest = fresh.get(path, limit=2, order="asc", after=first["last_id"])
    assert [one["id"] for one in first["data"] + rest["data"]] == files
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert fresh.get(path, filter="completed")["data"] == []


def test_a_detached_file_leaves_its_batch(fresh: Footnote) -> None:
    """The counts speak of files that are in the store."""
    store, file = fresh.store(), fresh.upload()
    batch = create(fresh, store, file_ids=[file, fresh.upload("A mill.", "b.txt")])
    assert fresh.client.delete(f"/v1/vector_stores/{store}/files/{file}").status_code == 200
    assert look(fresh, store, batch["id"])["file_counts"]["total"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"file_ids": []},
        {"file_ids": ["file-a"], "files": [{"file_id": "file-a"}]},
        {"file_ids": ["file-a"] * 2001},
        {"file_ids": ["file-a"], "chunking_strategy": {"type": "magic"}},
        {"files": [{"file_id": "file-a", "chunking_strategy": {"type": "magic"}}]},
    ],
)
def test_wrong_batches_are_refused(footnote: Footnote, body: dict[str, Any]) -> None:
    """Neither list, both, too many, or a strategy that there is not: 400, and nothing is queued."""
    store = footnote.store()
    reply = footnote.client.post(f"/v1/vector_stores/{store}/file_batches", json=body)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert footnote.get(f"/v1/vector_stores/{store}")["file_counts"]["total"] == 0


def test_a_batch_with_an_unknown_file_queues_nothing(footnote: Footnote) -> None:
    """All or nothing: the good files of the request are not queued either."""
    store = footnote.store()
    reply = footnote.client.post(
        f"/v1/vector_stores/{store}/file_batches", json={"file_ids": [footnote.upload(), "file-none"]}
    )
    assert (reply.status_code, "file-none" in reply.json()["error"]["message"]) == (404, True)
    assert footnote.get(f"/v1/vector_stores/{store}")["file_counts"]["total"] == 0


def test_a_batch_is_not_found_in_another_store(footnote: Footnote) -> None:
    """The path names both, and both must fit."""
    batch = create(footnote, footnote.store(), file_ids=[footnote.upload()])
    other = footnote.store()
    for method, tail in (("GET", ""), ("GET", "/files"), ("POST", "/cancel")):
        path = f"/v1/vector_stores/{other}/file_batches/{batch['id']}{tail}"
        assert footnote.client.request(method, path).status_code == 404


def test_a_full_queue_refuses_more_files_until_there_is_room(start: StartFootnote) -> None:
    """429 with the time to wait; what was queued before goes on."""
    with start(max_queued_files=2) as footnote:
        store = footnote.store()
        files = [footnote.upload(f"Mill number {i}.", f"{i}.txt") for i in range(3)]
        create(footnote, store, file_ids=files[:2])
        for path, body in (
            (f"/v1/vector_stores/{store}/files", {"file_id": files[2]}),
            (f"/v1/vector_stores/{store}/file_batches", {"file_ids": [files[2]]}),
            ("/v1/vector_stores", {"file_ids": [files[2]]}),
        ):
            reply = footnote.client.post(path, json=body)
            assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
            assert int(reply.headers["retry-after"]) > 0
            assert reply.headers["x-should-retry"] == "true"
        footnote.work()
        assert footnote.attach(store, files[2])["status"] == "completed"


def test_the_time_left_is_estimated_from_the_measured_rate(fresh: Footnote) -> None:
    """A hundred bytes took two seconds: four hundred more, all that is queued, will take eight."""
    store = fresh.store()
    done = fresh.add(store, "x" * 99 + ".", "done.txt")
    with fresh.services.catalog.database.write() as session:
        session.execute(update(VectorStoreFile).values(started_at=1000.0, ended_at=1002.0))
    queued = [fresh.upload("y" * size + ".", f"{size}.txt") for size in (99, 299)]
    batch = create(fresh, store, file_ids=queued)
    assert fresh.get(f"/v1/vector_stores/{store}/files/{done}")["seconds_left"] is None
    assert [fresh.get(f"/v1/vector_stores/{store}/files/{file}")["seconds_left"] for file in queued] == [2.0, 8.0]
    assert (batch["seconds_left"], fresh.get(f"/v1/vector_stores/{store}")["seconds_left"]) == (8.0, 8.0)

"""/v1/vector_stores"""

import time
from typing import Any

import pytest

from tests.integration.conftest import Footnote
from tests.integration.test_files import walk


def create(footnote: Footnote, **body: Any) -> Any:
    return footnote.client.post("/v1/vector_stores", json=body)


def test_a_new_store_is_described_as_openai_does(footnote: Footnote) -> None:
    """Every field that the SDK's type requires is there, and an empty store is completed."""
    body = create(footnote, name="Plans", description="All of them", metadata={"team": "ops"}).json()
    assert body["object"] == "vector_store"
    assert (body["name"], body["description"], body["metadata"]) == ("Plans", "All of them", {"team": "ops"})
    assert (body["status"], body["usage_bytes"]) == ("completed", 0)
    assert body["file_counts"] == {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0, "total": 0}
    assert abs(body["created_at"] - time.time()) < 60
    assert body == footnote.get(f"/v1/vector_stores/{body['id']}")


def test_file_ids_are_queued_with_the_store_each_once(footnote: Footnote) -> None:
    """Counts and bytes follow the files from queued to completed; a repeated id counts once."""
    first, second = footnote.upload("One plan."), footnote.upload("Two plans.")
    body = create(footnote, file_ids=[first, second, first]).json()
    assert body["status"] == "in_progress"
    assert (body["file_counts"]["in_progress"], body["file_counts"]["total"]) == (2, 2)
    footnote.work()
    after = footnote.get(f"/v1/vector_stores/{body['id']}")
    assert (after["status"], after["file_counts"]["completed"]) == ("completed", 2)
    assert after["usage_bytes"] == len("One plan.Two plans.")


def test_a_failed_file_counts_as_failed_and_does_not_hold_the_store_up(footnote: Footnote) -> None:
    """A store whose files have all ended is completed, whatever their end."""
    store = footnote.store()
    good, bad = footnote.upload("A good plan."), footnote.upload(b"\x89PNG\r\n\x1a\n" + bytes(32), "a.png")
    footnote.attach(store, good)
    footnote.attach(store, bad)
    body = footnote.get(f"/v1/vector_stores/{store}")
    expected = {"in_progress": 0, "completed": 1, "failed": 1, "cancelled": 0, "total": 2}
    assert (body["status"], body["file_counts"]) == ("completed", expected)


def test_a_store_with_an_unknown_file_is_not_made(fresh: Footnote) -> None:
    """One wrong id in file_ids refuses the whole request."""
    file = fresh.upload()
    assert create(fresh, file_ids=[file, "file-none"]).status_code == 404
    assert fresh.get("/v1/vector_stores")["data"] == []


def test_an_update_changes_what_it_names_and_nothing_else(footnote: Footnote) -> None:
    """Name, metadata and expiry change one at a time; null takes the expiry away."""
    store = footnote.store(name="Old", metadata={"a": "1"}, expires_after={"anchor": "last_active_at", "days": 7})
    path = f"/v1/vector_stores/{store}"
    before = footnote.get(path)
    assert before["expires_at"] == before["last_active_at"] + 7 * 86_400
    renamed = footnote.client.post(path, json={"name": "New"}).json()
    assert renamed == {**before, "name": "New"}
    emptied = footnote.client.post(path, json={"metadata": {}, "expires_after": None}).json()
    assert (emptied["metadata"], emptied.get("expires_after"), emptied["expires_at"]) == ({}, None, None)
    assert footnote.get(path) == emptied


def test_stores_are_listed_in_pages_that_join_without_gap(fresh: Footnote) -> None:
    """Newest first or oldest first, every store is on exactly one page; `before` walks back."""
    stores = [fresh.store(name=str(i)) for i in range(7)]
    assert walk(fresh.get, "/v1/vector_stores", limit=3) == stores[::-1]
    assert walk(fresh.get, "/v1/vector_stores", limit=3, order="asc") == stores
    back = fresh.get("/v1/vector_stores", limit=2, order="asc", before=stores[4])
    assert [store["id"] for store in back["data"]] == stores[2:4]
    assert len(fresh.get("/v1/vector_stores")["data"]) == 7


def test_a_deleted_store_is_gone_and_its_files_stay(footnote: Footnote) -> None:
    """No route finds the store any more, and the files can still be read and used elsewhere."""
    store = footnote.store()
    file = footnote.add(store)
    reply = footnote.client.delete(f"/v1/vector_stores/{store}")
    assert reply.json() == {"id": store, "object": "vector_store.deleted", "deleted": True}
    search = footnote.client.post(f"/v1/vector_stores/{store}/search", json={"query": "boiler"})
    assert [footnote.client.get(f"/v1/vector_stores/{store}").status_code, search.status_code] == [404, 404]
    assert footnote.get(f"/v1/files/{file}")["id"] == file
    other = footnote.store()
    assert footnote.attach(other, file)["status"] == "completed"


def test_metadata_is_limited_as_at_openai(footnote: Footnote) -> None:
    """16 pairs, keys of 64 and values of 512 characters are taken; one more of each is refused by name."""
    widest = {f"{i:064}": "v" * 512 for i in range(16)}
    assert create(footnote, metadata=widest).json()["metadata"] == widest
    for metadata in ({**widest, "one": "more"}, {"k" * 65: "v"}, {"k": "v" * 513}, {"k": 1}, ["k"], "k"):
        reply = create(footnote, metadata=metadata)
        assert reply.status_code == 400, metadata
        assert reply.json()["error"]["param"].startswith("metadata")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": 5}, "name"),
        ({"name": "x" * 257}, "name"),
        ({"nmae": "x"}, "nmae"),
        ({"file_ids": "file-1"}, "file_ids"),
        ({"file_ids": [f"file-{i}" for i in range(501)]}, "file_ids"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
        ({"chunking_strategy": {"type": "auto"}}, "chunking_strategy"),
    ],
)
def test_a_wrong_field_is_refused_by_name(footnote: Footnote, body: dict[str, Any], param: str) -> None:
    """Each mistake is a 400 whose `param` is the field."""
    reply = create(footnote, **body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"order": "up"}, {"after": "vs_none"}, {"limit": "x"}]
)
def test_a_wrong_page_request_is_refused_by_name(footnote: Footnote, params: dict[str, Any]) -> None:
    """Limits and cursors are checked, not passed over."""
    reply = footnote.client.get("/v1/vector_stores", params=params)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, next(iter(params)))


def test_an_unknown_store_is_a_404_on_every_route(footnote: Footnote) -> None:
    """The error is the same whatever is asked of a store that does not exist."""
    path = "/v1/vector_stores/vs_none"
    requests = [
        ("GET", path, None),
        ("POST", path, {"name": "x"}),
        ("DELETE", path, None),
        ("POST", f"{path}/search", {"query": "x"}),
        ("GET", f"{path}/files", None),
        ("POST", f"{path}/files", {"file_id": "file-none"}),
        ("GET", f"{path}/files/file-none", None),
        ("POST", f"{path}/files/file-none", {"attributes": {}}),
        ("DELETE", f"{path}/files/file-none", None),
        ("GET", f"{path}/files/file-none/content", None),
        ("GET", f"{path}/files/file-none/text", None),
    ]
    for method, url, body in requests:
        reply = footnote.client.request(method, url, json=body)
        assert (reply.status_code, reply.json()["error"]["param"]) == (404, "vector_store_id"), (method, url)

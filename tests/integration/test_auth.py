"""Keys, and what one project sees of another: nothing."""

import json
from typing import Any

import pytest

from catalog import keys
from catalog.models import DEFAULT_PROJECT
from tests.integration.conftest import Footnote


def make_key(footnote: Footnote, project: str = DEFAULT_PROJECT) -> tuple[str, dict[str, str]]:
    """Return a new key's id, and the header that carries it."""
    with footnote.services.catalog.database.write() as session:
        key, clear = keys.create(session, project, "a test's")
        return key.id, {"authorization": f"Bearer {clear}"}


def revoke(footnote: Footnote, key_id: str) -> None:
    with footnote.services.catalog.database.write() as session:
        keys.revoke(session, key_id)


PROTECTED = ["/v1/files", "/v1/vector_stores", "/v1/models", "/v1/responses/resp_1", "/v1/files/file-1/content"]


def test_without_any_key_nobody_is_asked_for_one(fresh: Footnote) -> None:
    """A server for one person's machine answers at once, and also a client that sends some key."""
    assert fresh.client.get("/v1/files").status_code == 200
    assert fresh.client.get("/v1/files", headers={"authorization": "Bearer none"}).status_code == 200


@pytest.mark.parametrize("path", PROTECTED)
def test_as_soon_as_one_key_exists_every_request_needs_one(fresh: Footnote, path: str) -> None:
    """No key, a wrong key and another scheme are a 401; the key itself is let in."""
    _, header = make_key(fresh)
    for wrong in (
        {},
        {"authorization": "Bearer fn-wrong"},
        {"authorization": "Basic eDp5"},
        {"authorization": "Bearer"},
    ):
        reply = fresh.client.get(path, headers=wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert fresh.client.get(path, headers=header).status_code in {200, 404}


def test_a_refused_key_is_not_repeated_in_full(fresh: Footnote) -> None:
    """The message shows a beginning alone: error messages end up in logs."""
    make_key(fresh)
    reply = fresh.client.get("/v1/files", headers={"authorization": "Bearer fn-0123456789abcdef"})
    assert "0123456789" not in reply.text


def test_a_revoked_key_is_refused_at_once(fresh: Footnote) -> None:
    """The next request with it is a 401, while another key goes on to work."""
    first, header = make_key(fresh)
    _, other = make_key(fresh)
    assert fresh.client.get("/v1/files", headers=header).status_code == 200
    revoke(fresh, first)
    assert fresh.client.get("/v1/files", headers=header).status_code == 401
    assert fresh.client.get("/v1/files", headers=other).status_code == 200


def test_health_is_open_and_answers_nothing_about_documents(fresh: Footnote) -> None:
    """A load balancer has no key."""
    make_key(fresh)
    assert fresh.client.get("/healthz").json() == {"status": "ok"}


def test_another_projects_objects_look_like_missing_ones(fresh: Footnote) -> None:
    """Every route answers a foreign id exactly as it answers one that never existed, and lists hold nothing of it."""
    _, owner = make_key(fresh)
    _, stranger = make_key(fresh, "proj_other")

    def send(header: dict[str, str], method: str, path: str, **body: Any) -> Any:
        return fresh.client.request(method, path, headers=header, **body)

    file = send(
        owner, "POST", "/v1/files", files={"file": ("a.txt", b"The boiler is old.")}, data={"purpose": "assistants"}
    )
    file_id = file.json()["id"]
    store = send(owner, "POST", "/v1/vector_stores", json={"file_ids": [file_id]}).json()["id"]
    fresh.work()
    tools = [{"type": "file_search", "vector_store_ids": [store]}]
    answer = send(owner, "POST", "/v1/responses", json={"input": "Is the boiler old?", "tools": tools}).json()["id"]
    own = send(stranger, "POST", "/v1/vector_stores", json={}).json()["id"]
    missing = {file_id: "file-none", store: "vs_none", answer: "resp_none"}

    for method, path, body in (
        ("GET", f"/v1/files/{file_id}", None),
        ("GET", f"/v1/files/{file_id}/content", None),
        ("DELETE", f"/v1/files/{file_id}", None),
        ("GET", f"/v1/vector_stores/{store}", None),
        ("POST", f"/v1/vector_stores/{store}", {"name": "mine"}),
        ("DELETE", f"/v1/vector_stores/{store}", None),
        ("POST", f"/v1/vector_stores/{store}/search", {"query": "boiler"}),
        ("GET", f"/v1/vector_stores/{store}/files", None),
        ("POST", f"/v1/vector_stores/{store}/files", {"file_id": file_id}),
        ("GET", f"/v1/vector_stores/{store}/files/{file_id}", None),
        ("GET", f"/v1/vector_stores/{store}/files/{file_id}/text", None),
        ("GET", f"/v1/vector_stores/{store}/files/{file_id}/content", None),
        ("DELETE", f"/v1/vector_stores/{store}/files/{file_id}", None),
        ("POST", f"/v1/vector_stores/{own}/files", {"file_id": file_id}),
        ("POST", "/v1/vector_stores", {"file_ids": [file_id]}),
        ("POST", "/v1/responses", {"input": "Is the boiler old?", "tools": tools}),
        ("GET", f"/v1/responses/{answer}", None),
        ("DELETE", f"/v1/responses/{answer}", None),
        ("GET", f"/v1/files?after={file_id}", None),
        ("GET", f"/v1/vector_stores?after={store}", None),
    ):
        foreign = send(stranger, method, path, json=body)
        text = foreign.text
        absent = send(stranger, method, replaced(path, missing), json=replaced(body, missing))
        assert (foreign.status_code, text) == (absent.status_code, reworded(absent.text, missing)), (method, path)
        assert foreign.status_code in {400, 404}
    assert send(stranger, "GET", "/v1/files").json()["data"] == []
    assert [item["id"] for item in send(stranger, "GET", "/v1/vector_stores").json()["data"]] == [own]
    blind = send(stranger, "POST", "/v1/responses", json={"input": "Is the boiler old?"}).json()
    assert blind["outcome"] == "not_in_documents"
    assert send(owner, "GET", f"/v1/vector_stores/{store}/files/{file_id}").json()["status"] == "completed"


def replaced(value: Any, names: dict[str, str]) -> Any:
    """Return a path or body in which every known id is replaced."""
    text = json.dumps(value)
    for known, other in names.items():
        text = text.replace(known, other)
    return json.loads(text)


def reworded(text: str, names: dict[str, str]) -> str:
    for known, other in names.items():
        text = text.replace(other, known)
    return text

"""Keys: who is let in, what each may do, and which stores it sees."""

from typing import Any

import pytest

from api.app import create_app
from api.scopes import needed
from catalog import keys
from catalog.errors import ServiceUnavailable
from catalog.keys import KeyScope, includes
from catalog.models import ApiKey
from tests.integration.callers import Header, make_key, mint, revoke
from tests.integration.conftest import Footnote

PROTECTED = ["/v1/files", "/v1/vector_stores", "/v1/models", "/v1/responses/resp_1", "/v1/files/file-1/content", "/v1"]
SHOWN = 6


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
        {"authorization": "Bearer a.b.c"},
        {"authorization": header["authorization"][:-1]},
        {"authorization": header["authorization"] + "0"},
    ):
        reply = fresh.client.get(path, headers=wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert fresh.client.get(path, headers=header).status_code in {200, 404}


@pytest.mark.parametrize("credential", ["fn-0123456789abcdef", "fn-1234", "fn", "eyJhbGciOiJub25lIn0.e30.", "1.2.3"])
def test_a_refused_credential_is_not_repeated(fresh: Footnote, credential: str) -> None:
    """The message shows a beginning at most: error messages end up in logs."""
    make_key(fresh)
    reply = fresh.client.get("/v1/files", headers={"authorization": f"Bearer {credential}"})
    assert reply.status_code == 401
    assert f" {credential}" not in reply.text
    assert credential[SHOWN:] == "" or credential[SHOWN:] not in reply.text


def test_a_revoked_key_is_refused_at_once(fresh: Footnote) -> None:
    """The next request with it is a 401, while another key goes on to work."""
    first, header = make_key(fresh)
    _, other = make_key(fresh)
    assert fresh.client.get("/v1/files", headers=header).status_code == 200
    revoke(fresh, first)
    assert fresh.client.get("/v1/files", headers=header).status_code == 401
    assert fresh.client.get("/v1/files", headers=other).status_code == 200


def test_an_expired_key_is_refused_and_opens_nothing(fresh: Footnote) -> None:
    """The message says that it expired; a server with expired keys alone does not answer without a key."""
    _, header = make_key(fresh, lifetime_s=-1.0)
    reply = fresh.client.get("/v1/files", headers=header)
    assert (reply.status_code, "has expired" in reply.json()["error"]["message"]) == (401, True)
    assert fresh.client.get("/v1/files").status_code == 401


def test_a_busy_database_refuses_nobody_for_the_note_of_use(fresh: Footnote, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer has been sent before it; the note comes with a later request."""

    def busy(_session: object, _key_id: str) -> None:
        raise ServiceUnavailable("The catalog database does not answer: database is locked")

    key_id, header = make_key(fresh)
    with monkeypatch.context() as patch:
        patch.setattr(keys, "note_use", busy)
        assert fresh.client.get("/v1/models", headers=header).status_code == 200
    assert last_use(fresh, key_id) is None
    assert fresh.client.get("/v1/models", headers=header).status_code == 200
    assert last_use(fresh, key_id) is not None


def last_use(footnote: Footnote, key_id: str) -> float | None:
    with footnote.services.catalog.database.read() as session:
        return session.get_one(ApiKey, key_id).last_used_at


def test_health_is_open_and_answers_nothing_about_documents(fresh: Footnote) -> None:
    """A load balancer has no key."""
    make_key(fresh)
    assert fresh.client.get("/healthz").json() == {"status": "ok"}


def test_every_endpoint_has_a_scope(footnote: Footnote) -> None:
    """Whatever the application serves under /v1 is listed in `api.scopes`; the rest of it is no part of the API."""
    paths = create_app(footnote.settings).openapi()["paths"]
    assert len(paths) > 15
    missing = [
        (method, path)
        for path, methods in paths.items()
        for method in methods
        if needed(method.upper(), path.replace("{", "").replace("}", "")) is None
    ]
    assert missing == []


def test_a_path_without_a_scope_is_not_served(fresh: Footnote) -> None:
    """Also by a key that may do everything: an endpoint that was forgotten in the list is closed, not open."""
    _, header = make_key(fresh)
    reply = fresh.client.get("/v1/secrets", headers=header)
    assert (reply.status_code, reply.json()["error"]["message"]) == (404, "GET /v1/secrets: Not Found.")


def test_every_endpoint_answers_403_without_its_scope(fresh: Footnote) -> None:
    """Of each endpoint the keys without its scope are told which one it is, before anything else is looked at."""
    headers = {scope: make_key(fresh, "proj_a", scope)[1] for scope in KeyScope}
    tried = refused = 0
    for path, methods in fresh.client.app.openapi()["paths"].items():  # type: ignore[attr-defined]
        filled = path.replace("{", "").replace("}", "")
        for method in methods:
            wanted = needed(method.upper(), filled)
            assert wanted is not None
            for scope, header in headers.items():
                reply = fresh.client.request(method, filled, headers=header)
                is_refused = reply.status_code == 403
                assert is_refused != includes([scope], wanted), (method, path, scope)
                assert not is_refused or f"{wanted.value!r}" in reply.json()["error"]["message"]
                tried, refused = tried + 1, refused + is_refused
    assert tried > 100
    assert refused > 30


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["ask"], {"ask"}),
        (["read"], {"ask", "read"}),
        (["write"], {"ask", "read", "write"}),
        (["mint"], {"ask", "mint"}),
        (["read", "mint"], {"ask", "read", "mint"}),
        (["admin"], {"ask", "read", "write", "mint"}),
    ],
)
def test_what_each_scope_allows(fresh: Footnote, scopes: list[str], allowed: set[str]) -> None:
    """A scope includes the smaller ones; several add up."""
    _, header = make_key(fresh, "proj_a", *scopes)
    store = fresh.client.post("/v1/vector_stores", headers=make_key(fresh, "proj_a")[1], json={}).json()["id"]
    calls: dict[str, tuple[str, str, Any]] = {
        "ask": ("POST", f"/v1/vector_stores/{store}/search", {"query": "boiler"}),
        "read": ("GET", "/v1/files", None),
        "write": ("POST", f"/v1/vector_stores/{store}", {"name": "n"}),
        "mint": ("POST", "/v1/tokens", {}),
    }
    done = {
        scope: fresh.client.request(method, path, headers=header, json=body).status_code
        for scope, (method, path, body) in calls.items()
    }
    assert done == {scope: 200 if scope in allowed else 403 for scope in calls}


@pytest.fixture
def two_stores(fresh: Footnote) -> tuple[Footnote, dict[str, str]]:
    """Return an application with one file in each of two stores of a project, and their ids."""
    seen, other = fresh.store(name="seen"), fresh.store(name="other")
    ids = {"seen": seen, "other": other, "seen file": fresh.add(seen), "other file": fresh.add(other, "The attic.")}
    return fresh, ids


def call(footnote: Footnote, header: Header, method: str, path: str, **body: Any) -> Any:
    return footnote.client.request(method, path, headers=header, **body)


def test_a_key_for_one_store_sees_nothing_of_the_others(two_stores: tuple[Footnote, dict[str, str]]) -> None:
    """Lists show its own, and the others are not found: neither a store, nor a file of it, nor as a cursor."""
    footnote, ids = two_stores
    _, header = make_key(footnote, store_ids=[ids["seen"]])

    def get(path: str) -> Any:
        return call(footnote, header, "GET", path)

    assert [one["id"] for one in get("/v1/vector_stores").json()["data"]] == [ids["seen"]]
    assert [one["id"] for one in get("/v1/files").json()["data"]] == [ids["seen file"]]
    assert get(f"/v1/files/{ids['seen file']}/content").status_code == 200
    for path in (
        f"/v1/vector_stores/{ids['other']}",
        f"/v1/vector_stores/{ids['other']}/files",
        f"/v1/vector_stores/{ids['other']}/files/{ids['other file']}",
        f"/v1/vector_stores/{ids['other']}/files/{ids['other file']}/text",
        f"/v1/files/{ids['other file']}",
        f"/v1/files/{ids['other file']}/content",
    ):
        assert get(path).status_code == 404
    assert get(f"/v1/vector_stores?after={ids['other']}").status_code == 400
    assert get(f"/v1/files?after={ids['other file']}").status_code == 400


def test_a_key_for_one_store_changes_nothing_of_the_others(two_stores: tuple[Footnote, dict[str, str]]) -> None:
    """It attaches its own files alone, and deletes those alone that it uploaded: others may be in use elsewhere."""
    footnote, ids = two_stores
    _, header = make_key(footnote, store_ids=[ids["seen"]])
    attach = f"/v1/vector_stores/{ids['seen']}/files"
    foreign = call(footnote, header, "POST", attach, json={"file_id": ids["other file"]})
    assert foreign.status_code == 404
    batch = {"file_ids": [ids["seen file"], ids["other file"]]}
    assert (
        call(footnote, header, "POST", f"/v1/vector_stores/{ids['seen']}/file_batches", json=batch).status_code == 404
    )
    assert call(footnote, header, "POST", "/v1/vector_stores", json={}).status_code == 403
    assert call(footnote, header, "DELETE", f"/v1/vector_stores/{ids['other']}").status_code == 404
    assert call(footnote, header, "DELETE", f"/v1/files/{ids['seen file']}").status_code == 403
    assert call(footnote, header, "DELETE", f"/v1/files/{ids['other file']}").status_code == 404

    upload = {"files": {"file": ("own.txt", b"The cellar.")}, "data": {"purpose": "assistants"}}
    own = call(footnote, header, "POST", "/v1/files", **upload).json()["id"]
    assert call(footnote, header, "POST", attach, json={"file_id": own}).status_code == 200
    assert {one["id"] for one in call(footnote, header, "GET", "/v1/files").json()["data"]} == {own, ids["seen file"]}
    assert call(footnote, header, "DELETE", f"/v1/files/{own}").status_code == 200
    entry = call(footnote, make_key(footnote)[1], "GET", f"/v1/vector_stores/{ids['other']}/files/{ids['other file']}")
    assert entry.json()["status"] == "completed"


def test_a_key_for_one_store_is_answered_from_that_store(two_stores: tuple[Footnote, dict[str, str]]) -> None:
    """Also where no store is named; one of the others is not found."""
    footnote, ids = two_stores
    _, header = make_key(footnote, store_ids=[ids["seen"]])
    include = ["file_search_call.results"]
    body: dict[str, Any] = {"input": "Where are the boiler and the attic?", "include": include}
    reply = call(footnote, header, "POST", "/v1/responses", json=body).json()
    assert {found["file_id"] for found in reply["output"][0]["results"]} == {ids["seen file"]}
    tools = [{"type": "file_search", "vector_store_ids": [ids["seen"], ids["other"]]}]
    assert call(footnote, header, "POST", "/v1/responses", json=body | {"tools": tools}).status_code == 404


def test_answers_belong_to_a_key_for_some_stores_alone(two_stores: tuple[Footnote, dict[str, str]]) -> None:
    """An answer may quote a store that another key does not see: keys for some stores have answers of their own."""
    footnote, ids = two_stores
    callers = [make_key(footnote)[1], make_key(footnote)[1]]
    callers += [make_key(footnote, store_ids=[ids[name]])[1] for name in ("seen", "other")]
    body = {"input": "Where is the boiler?"}
    made = [call(footnote, header, "POST", "/v1/responses", json=body).json()["id"] for header in callers]
    seen = [
        [call(footnote, header, "GET", f"/v1/responses/{one}").status_code == 200 for one in made] for header in callers
    ]
    assert seen == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, False],
        [False, False, False, True],
    ]


def test_a_key_for_some_stores_uploads_files_as_a_whole(two_stores: tuple[Footnote, dict[str, str]]) -> None:
    """Uploads in parts are the project's: refused, whether the upload exists or not."""
    footnote, ids = two_stores
    _, header = make_key(footnote, store_ids=[ids["seen"]])
    body = {"bytes": 3, "filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}
    assert call(footnote, header, "POST", "/v1/uploads", json=body).status_code == 403
    assert call(footnote, header, "POST", "/v1/uploads/upload_1/cancel").status_code == 403


def test_a_key_for_some_stores_cannot_mint_tokens_for_others(two_stores: tuple[Footnote, dict[str, str]]) -> None:
    """A token sees what its key sees, or less."""
    footnote, ids = two_stores
    _, header = make_key(footnote, store_ids=[ids["seen"]])
    reply = call(footnote, header, "POST", "/v1/tokens", json={"vector_store_ids": [ids["other"]]})
    assert reply.status_code == 404
    visitor = mint(footnote, header)
    for name, status in (("seen", 200), ("other", 404)):
        path = f"/v1/vector_stores/{ids[name]}/search"
        assert call(footnote, visitor, "POST", path, json={"query": "attic"}).status_code == status

"""Visitor tokens: short, narrow, bound to their key, and to the pages that may use them."""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from catalog import keys
from tests.integration.callers import Header, bearer, make_key, mint, revoke
from tests.integration.conftest import Footnote

SALES = {"type": "in", "key": "department", "value": ["sales"]}
QUESTION = "When was the boiler installed?"
PORTAL = "https://portal.example"


@pytest.fixture
def departments(fresh: Footnote) -> tuple[Footnote, str, dict[str, str]]:
    """Return an application with a store that holds a document of each of two departments, and one of none."""
    store = fresh.store(name="all")
    files = {
        "sales": fresh.add(store, "The boiler was installed in 2011.", attributes={"department": "sales"}),
        "legal": fresh.add(store, "The boiler was installed in 1999, in secret.", attributes={"department": "legal"}),
        "none": fresh.add(store, "The boiler was installed in 1950, in the attic."),
    }
    return fresh, store, files


def call(footnote: Footnote, header: Header, method: str, path: str, body: Any = None, **headers: str) -> Any:
    return footnote.client.request(method, path, headers=header | headers, json=body)


def ended(footnote: Footnote, header: Header, response_id: str) -> dict[str, Any]:
    """Wait for a background answer; return it with what was found for it."""
    while True:
        reply = call(footnote, header, "GET", f"/v1/responses/{response_id}?include=file_search_call.results")
        answer = dict(reply.json())
        if answer["status"] not in {"queued", "in_progress"}:
            return answer
        time.sleep(0.05)


def test_a_token_tells_what_it_allows(fresh: Footnote) -> None:
    """A quarter of an hour unless it says otherwise, at most a day."""
    _, header = make_key(fresh, "proj_a", "mint")
    store = call(fresh, make_key(fresh, "proj_a")[1], "POST", "/v1/vector_stores", {}).json()["id"]
    made = call(fresh, header, "POST", "/v1/tokens", {"vector_store_ids": [store], "subject": "eva"}).json()
    assert made["expires_at"] - made["created_at"] == 900
    assert (made["object"], made["subject"], made["vector_store_ids"]) == ("visitor_token", "eva", [store])
    for seconds, status in ((1, 200), (86_400, 200), (86_401, 400), (0, 400)):
        assert call(fresh, header, "POST", "/v1/tokens", {"expires_in": seconds}).status_code == status


def test_without_keys_there_are_no_tokens(fresh: Footnote) -> None:
    """Nothing could sign them; the message says what to do."""
    reply = call(fresh, {}, "POST", "/v1/tokens", {})
    assert (reply.status_code, "footnote keys create" in reply.text) == (409, True)


def test_a_visitor_asks_and_searches_and_nothing_else(departments: tuple[Footnote, str, dict[str, str]]) -> None:
    """It reads the text behind a citation, and lists neither files nor stores; tokens mint no tokens."""
    footnote, store, files = departments
    visitor = mint(footnote, make_key(footnote)[1])
    path = f"/v1/vector_stores/{store}"
    for method, allowed, body in (
        ("POST", "/v1/responses", {"input": QUESTION}),
        ("POST", "/v1/chat/completions", {"model": "footnote", "messages": [{"role": "user", "content": QUESTION}]}),
        ("POST", f"{path}/search", {"query": "boiler"}),
        ("GET", f"{path}/files/{files['sales']}/text", None),
        ("GET", f"{path}/files/{files['sales']}/content", None),
        ("GET", "/v1/models", None),
    ):
        assert call(footnote, visitor, method, allowed, body).status_code == 200, allowed
    for method, refused in (
        ("GET", "/v1/files"),
        ("GET", f"/v1/files/{files['sales']}"),
        ("GET", f"/v1/files/{files['sales']}/content"),
        ("DELETE", f"/v1/files/{files['sales']}"),
        ("GET", "/v1/vector_stores"),
        ("GET", path),
        ("GET", f"{path}/files"),
        ("GET", f"{path}/files/{files['sales']}"),
        ("POST", f"{path}/files"),
        ("POST", "/v1/tokens"),
    ):
        assert call(footnote, visitor, method, refused, {}).status_code == 403, refused


def test_a_filter_holds_wherever_a_visitor_looks(departments: tuple[Footnote, str, dict[str, str]]) -> None:
    """Search, answer, chat, text and chunks show the department alone, whatever filter the visitor adds."""
    footnote, store, files = departments
    visitor = mint(footnote, make_key(footnote)[1], filters=SALES)
    path, seen = f"/v1/vector_stores/{store}", {files["sales"]}
    for extra in (
        {},
        {"filters": {"type": "ne", "key": "department", "value": "x"}},
        {"filters": {"type": "or", "filters": [SALES, {"type": "eq", "key": "department", "value": "legal"}]}},
    ):
        found = call(footnote, visitor, "POST", f"{path}/search", {"query": "boiler installed"} | extra).json()
        assert {one["file_id"] for one in found["data"]} == seen
        tool = {"type": "file_search", "vector_store_ids": [store]} | extra
        for tools in ([], [tool]):
            body = {"input": QUESTION, "tools": tools, "include": ["file_search_call.results"]}
            answer = call(footnote, visitor, "POST", "/v1/responses", body).json()
            assert {one["file_id"] for one in answer["output"][0]["results"]} == seen
    body = {"input": QUESTION, "background": True, "include": ["file_search_call.results"]}
    queued = call(footnote, visitor, "POST", "/v1/responses", body).json()["id"]
    answer = ended(footnote, visitor, queued)
    assert {one["file_id"] for one in answer["output"][0]["results"]} == seen
    legal = {"query": "boiler installed", "filters": {"type": "eq", "key": "department", "value": "legal"}}
    assert call(footnote, visitor, "POST", f"{path}/search", legal).json()["data"] == []
    chat = {"model": "footnote", "messages": [{"role": "user", "content": QUESTION}]}
    cited = call(footnote, visitor, "POST", "/v1/chat/completions", chat).json()["citations"]
    assert {one["file_id"] for one in cited} == seen
    for name, status in (("sales", 200), ("legal", 404), ("none", 404)):
        for what in ("text", "content"):
            reply = call(footnote, visitor, "GET", f"{path}/files/{files[name]}/{what}")
            assert reply.status_code == status
            absent = call(footnote, visitor, "GET", f"{path}/files/file-none/{what}")
            assert status == 200 or reply.text.replace(files[name], "file-none") == absent.text


def test_an_attribute_that_changes_changes_what_a_visitor_sees(
    departments: tuple[Footnote, str, dict[str, str]],
) -> None:
    """With the next request: nothing of a filter is decided when the token is minted."""
    footnote, store, files = departments
    _, header = make_key(footnote)
    visitor = mint(footnote, header, filters=SALES)
    path = f"/v1/vector_stores/{store}/files/{files['sales']}"
    assert call(footnote, visitor, "GET", f"{path}/text").status_code == 200
    assert call(footnote, header, "POST", path, {"attributes": {"department": "legal"}}).status_code == 200
    assert call(footnote, visitor, "GET", f"{path}/text").status_code == 404
    found = call(footnote, visitor, "POST", f"/v1/vector_stores/{store}/search", {"query": "boiler"})
    assert found.json()["data"] == []


def test_responses_belong_to_the_subject_under_the_same_limits(
    departments: tuple[Footnote, str, dict[str, str]],
) -> None:
    """The next token of a subject finds them; another subject, another filter, no subject and the keys do not."""
    footnote, _, _ = departments
    _, header = make_key(footnote)

    def token(**body: Any) -> Header:
        return mint(footnote, header, **body)

    eva = token(subject="eva", filters=SALES)
    made = call(footnote, eva, "POST", "/v1/responses", {"input": QUESTION}).json()["id"]
    path = f"/v1/responses/{made}"
    assert call(footnote, token(subject="eva", filters=SALES), "GET", path).status_code == 200
    for other in (
        token(subject="ada", filters=SALES),
        token(subject="eva"),
        token(filters=SALES),
        token(filters=SALES),
        header,
    ):
        assert call(footnote, other, "GET", path).status_code == 404
        assert call(footnote, other, "DELETE", path).status_code == 404
    assert call(footnote, eva, "DELETE", path).status_code == 200


def test_subjects_of_two_portals_are_two_visitors(fresh: Footnote) -> None:
    """Each key has its own visitor 1."""
    first, second = (mint(fresh, make_key(fresh)[1], subject="1") for _ in range(2))
    made = call(fresh, first, "POST", "/v1/responses", {"input": QUESTION}).json()["id"]
    assert call(fresh, first, "GET", f"/v1/responses/{made}").status_code == 200
    assert call(fresh, second, "GET", f"/v1/responses/{made}").status_code == 404


def test_revoking_a_key_ends_its_tokens_at_once(fresh: Footnote) -> None:
    """And those of other keys go on."""
    first, header = make_key(fresh)
    _, other = make_key(fresh)
    gone, stays = mint(fresh, header), mint(fresh, other)
    revoke(fresh, first)
    assert call(fresh, gone, "GET", "/v1/models").status_code == 401
    assert call(fresh, stays, "GET", "/v1/models").status_code == 200


def unpadded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def parts_of(token: str) -> list[dict[str, Any]]:
    """Return header and claims of a token."""
    return [json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2]]


def unsigned(token: str) -> str:
    header, claims = parts_of(token)
    return f"{unpadded(json.dumps(header | {'alg': 'none'}).encode())}.{unpadded(json.dumps(claims).encode())}."


def widened(token: str) -> str:
    _, claims = parts_of(token)
    head, _, signature = token.split(".")
    return f"{head}.{unpadded(json.dumps(claims | {'exp': 2**40}).encode())}.{signature}"


def signed_with(secret: str, **changes: Any) -> Callable[[str], str]:
    def sign(token: str) -> str:
        header, claims = parts_of(token)
        return jwt.encode(claims | changes, secret, algorithm="HS256", headers={"kid": header["kid"]})

    return sign


def of_key(key_id: str) -> Callable[[str], str]:
    def forge(token: str) -> str:
        _, claims = parts_of(token)
        return jwt.encode(claims, "0" * 64, algorithm="HS256", headers={"kid": key_id})

    return forge


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        widened,
        signed_with("0" * 64),
        of_key("key_none"),
        of_key("\ud800"),
        lambda token: token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB"),
        lambda token: token.rsplit(".", 1)[0] + ".",
        lambda token: "." + token.split(".", 1)[1],
    ],
    ids=[
        "alg none",
        "other claims",
        "other secret",
        "unknown key",
        "no key",
        "other signature",
        "no signature",
        "no header",
    ],
)
def test_a_forged_token_is_refused(fresh: Footnote, forge: Callable[[str], str]) -> None:
    """With status 401, and without being repeated in the message."""
    token = mint(fresh, make_key(fresh)[1])["authorization"].removeprefix("Bearer ")
    forged = forge(token)
    assert forged != token
    reply = call(fresh, bearer(forged), "GET", "/v1/models")
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    assert forged not in reply.text


def test_a_token_ends_when_its_time_is_over(fresh: Footnote) -> None:
    """The portal is told to fetch another."""
    key_id, header = make_key(fresh)
    token = mint(fresh, header)["authorization"].removeprefix("Bearer ")
    with fresh.services.catalog.database.write() as session:
        secret = keys.token_secret(session, key_id)
    assert call(fresh, bearer(signed_with(secret)(token)), "GET", "/v1/models").status_code == 200
    late = signed_with(secret, exp=int(time.time()))(token)
    reply = call(fresh, bearer(late), "GET", "/v1/models")
    assert (reply.status_code, "expired" in reply.json()["error"]["message"]) == (401, True)


def test_a_token_that_no_header_holds_is_refused_when_it_is_minted(fresh: Footnote) -> None:
    """A long list of departments: the portal hears of it, and not the visitor of a broken proxy."""
    _, header = make_key(fresh)
    filters = {"type": "in", "key": "department", "value": [f"department {number}" for number in range(500)]}
    reply = call(fresh, header, "POST", "/v1/tokens", {"filters": filters})
    assert (reply.status_code, "fit into a header" in reply.text) == (400, True)


@pytest.mark.parametrize(
    "body",
    [
        {"origins": ["https://portal.example/path"]},
        {"origins": ["*"]},
        {"origins": ["null"]},
        {"origins": ["portal.example"]},
        {"filters": {"type": "like", "key": "a", "value": "b"}},
        {"vector_store_ids": []},
        {"requests_per_minute": 0},
        {"requests_per_minute": 10**30},
        {"scopes": ["write"]},
    ],
)
def test_what_a_token_cannot_be(fresh: Footnote, body: dict[str, Any]) -> None:
    """Wrong origins, filters and limits are a 400 when it is minted."""
    assert call(fresh, make_key(fresh)[1], "POST", "/v1/tokens", body).status_code == 400


def preflight(footnote: Footnote, origin: str, **headers: str) -> Any:
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    return footnote.client.options("/v1/responses", headers={"origin": origin} | wanted | headers)


def test_a_page_of_the_portal_can_call(fresh: Footnote) -> None:
    """Its browser may send the request and read the answer; pages of other sites may not."""
    visitor = mint(fresh, make_key(fresh)[1], origins=[PORTAL, "http://localhost:3000"])
    reply = preflight(fresh, PORTAL)
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == PORTAL
    assert reply.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in reply.headers["access-control-allow-methods"]
    asked = call(fresh, visitor, "POST", "/v1/responses", {"input": QUESTION}, origin=PORTAL)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, PORTAL)
    assert "x-request-id" in asked.headers["access-control-expose-headers"]
    assert asked.headers["vary"] == "Origin"

    other = "https://evil.example"
    refused = preflight(fresh, other)
    assert (refused.status_code, "access-control-allow-origin" in refused.headers) == (403, False)
    asked = call(fresh, visitor, "POST", "/v1/responses", {"input": QUESTION}, origin=other)
    assert (asked.status_code, "access-control-allow-origin" in asked.headers) == (403, False)
    assert call(fresh, visitor, "GET", "/v1/models").status_code == 403


def test_a_page_can_read_why_it_was_refused(fresh: Footnote) -> None:
    """An expired token is something that the portal's script has to see."""
    mint(fresh, make_key(fresh)[1], origins=[PORTAL])
    reply = call(fresh, bearer("a.b.c"), "GET", "/v1/models", origin=PORTAL)
    assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (401, PORTAL)


def test_origins_end_with_their_key(fresh: Footnote) -> None:
    """A revoked key allows no page any more."""
    key_id, header = make_key(fresh)
    mint(fresh, header, origins=[PORTAL])
    make_key(fresh)
    revoke(fresh, key_id)
    assert preflight(fresh, PORTAL).status_code == 403


def test_a_token_without_origins_opens_no_page_of_another_site(fresh: Footnote) -> None:
    """It works for programs; a browser keeps the answer from a page of another site."""
    visitor = mint(fresh, make_key(fresh)[1])
    reply = call(fresh, visitor, "GET", "/v1/models", origin=PORTAL)
    assert "access-control-allow-origin" not in reply.headers
    assert call(fresh, visitor, "GET", "/v1/models").status_code == 200

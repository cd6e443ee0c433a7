"""/v1/files"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import Footnote, StartFootnote

AWKWARD_NAMES = [
    "../../etc/passwd",
    "..\\..\\boot.ini",
    'the "final" plan.txt',
    "plan 🚀.txt",
    "خطة العمل.txt",
    "it's 100% done; really?.txt",
]


def post(footnote: Footnote, content: bytes = b"Some words.", name: str = "a.txt", **form: Any) -> Any:
    return footnote.client.post("/v1/files", files={"file": (name, content)}, data={"purpose": "assistants", **form})


def test_an_uploaded_file_is_described_as_openai_does(footnote: Footnote) -> None:
    """Every field that the SDK's type requires is there, with the file's own values."""
    body = post(footnote, b"0123456789", "ten.txt").json()
    assert body["object"] == "file"
    assert (body["bytes"], body["filename"], body["purpose"]) == (10, "ten.txt", "assistants")
    assert body["status"] == "processed"
    assert abs(body["created_at"] - time.time()) < 60
    assert body == footnote.get(f"/v1/files/{body['id']}")


@pytest.mark.parametrize("content", [b"x", bytes(range(256)) * 5000, "ä😀\r\n".encode()], ids=["one", "binary", "text"])
def test_the_content_comes_back_byte_for_byte(footnote: Footnote, content: bytes) -> None:
    """What is downloaded is what was uploaded, offered for download and not for display."""
    file = footnote.upload(content, "data.bin")
    reply = footnote.client.get(f"/v1/files/{file}/content")
    assert reply.content == content
    assert reply.headers["content-disposition"].startswith("attachment;")
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_an_awkward_file_name_is_kept_and_is_never_a_path(footnote: Footnote, name: str) -> None:
    """The name comes back as it was sent, nothing is written under it, and the download offers it in full."""
    file = footnote.upload(b"Some words.", name)
    assert footnote.get(f"/v1/files/{file}")["filename"] == name
    reply = footnote.client.get(f"/v1/files/{file}/content")
    assert reply.content == b"Some words."
    assert "\n" not in reply.headers["content-disposition"]
    outside = [path for path in footnote.settings.home.rglob("*") if name.rsplit("/", 1)[-1] in path.name]
    assert outside == []


def test_control_characters_are_taken_out_of_a_file_name(footnote: Footnote) -> None:
    """A raw control character in the multipart header does not reach the stored name."""
    body = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a\x07b\x1b[31mc%0D%0A.txt"\r\n\r\nwords'
        b"\r\n--b--\r\n"
    )
    reply = footnote.client.post("/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert reply.json()["filename"] == "ab[31mc.txt"


@pytest.mark.parametrize("name", ["   ", "x" * 256])
def test_a_file_name_that_is_blank_or_too_long_is_refused(footnote: Footnote, name: str) -> None:
    """Nothing is stored under a name that nobody could read."""
    reply = post(footnote, name=name)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "file"


def test_files_are_listed_newest_first_in_pages_that_join_without_gap(fresh: Footnote) -> None:
    """Following last_id until has_more is false yields every file exactly once, in both orders."""
    files = [fresh.upload(f"File {i}.".encode(), f"{i}.txt") for i in range(7)]
    assert walk(fresh.get, "/v1/files", limit=3) == files[::-1]
    assert walk(fresh.get, "/v1/files", limit=3, order="asc") == files
    assert [item["id"] for item in fresh.get("/v1/files")["data"]] == files[::-1]


def walk(get: Callable[..., dict[str, Any]], path: str, **params: Any) -> list[str]:
    """Return the ids on all pages."""
    ids: list[str] = []
    while True:
        page = get(path, **params)
        assert page["object"] == "list"
        assert [page["first_id"], page["last_id"]] == [page["data"][0]["id"], page["data"][-1]["id"]]
        ids += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            return ids
        params["after"] = page["last_id"]


def test_an_empty_list_has_no_first_and_no_last(fresh: Footnote) -> None:
    """Without files the page is empty and ends the iteration."""
    expected = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert fresh.get("/v1/files") == expected


def test_a_list_can_be_narrowed_to_a_purpose(fresh: Footnote) -> None:
    """Only files with the asked purpose are listed."""
    fresh.upload()
    batch = post(fresh, purpose="batch").json()["id"]
    assert [item["id"] for item in fresh.get("/v1/files", purpose="batch")["data"]] == [batch]


def test_an_unknown_cursor_is_refused_by_name(footnote: Footnote) -> None:
    """A cursor that is no item of the list is an error and not an empty page."""
    reply = footnote.client.get("/v1/files", params={"after": "file-none"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "after")


def test_a_deleted_file_is_gone_with_its_bytes(fresh: Footnote) -> None:
    """After DELETE neither the object nor its content can be had, and no blob is left."""
    file = fresh.upload()
    reply = fresh.client.delete(f"/v1/files/{file}")
    assert reply.json() == {"id": file, "object": "file", "deleted": True}
    assert fresh.client.get(f"/v1/files/{file}").status_code == 404
    assert fresh.client.get(f"/v1/files/{file}/content").status_code == 404
    assert list(fresh.services.catalog.blobs.names()) == []


def test_deleting_one_of_two_equal_files_leaves_the_other_whole(fresh: Footnote) -> None:
    """Equal bytes are stored once and go with the last file that needs them."""
    first, second = fresh.upload(b"The same."), fresh.upload(b"The same.")
    fresh.client.delete(f"/v1/files/{first}")
    assert fresh.client.get(f"/v1/files/{second}/content").content == b"The same."


def test_a_deleted_file_is_not_found_by_the_next_search(footnote: Footnote) -> None:
    """Deleting the file takes it out of every store at once."""
    store = footnote.store()
    file = footnote.add(store)
    assert footnote.search(store, "boiler")
    footnote.client.delete(f"/v1/files/{file}")
    assert footnote.search(store, "boiler") == []
    assert footnote.get(f"/v1/vector_stores/{store}")["file_counts"]["total"] == 0


def test_expiry_is_read_from_the_sdks_bracketed_keys(footnote: Footnote) -> None:
    """expires_after[anchor] and expires_after[seconds] give the file its expiry."""
    body = post(footnote, **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}).json()
    assert body["expires_at"] - body["created_at"] == 3600
    assert "expires_at" not in post(footnote).json()


@pytest.mark.parametrize(
    "form",
    [
        {"expires_after[anchor]": "created_at"},
        {"expires_after[seconds]": "3600"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "59"},
        {"expires_after[anchor]": "last_active_at", "expires_after[seconds]": "3600"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "soon"},
        {"purpose": "world domination"},
    ],
)
def test_a_wrong_form_field_is_refused_by_name(footnote: Footnote, form: dict[str, str]) -> None:
    """What OpenAI does not allow is a 400 that names the field."""
    reply = post(footnote, **form)
    assert reply.status_code == 400
    named = reply.json()["error"]["param"]
    assert any(key.startswith(named) for key in form)


def test_an_empty_file_is_refused(fresh: Footnote) -> None:
    """A file of 0 bytes is a 400 that says so, and leaves nothing behind."""
    reply = post(fresh, b"", "empty.pdf")
    assert reply.status_code == 400
    assert "empty" in reply.json()["error"]["message"]
    assert list(fresh.services.catalog.blobs.names()) == []
    assert list((fresh.settings.home / "staging").iterdir()) == []


def test_a_form_without_a_file_or_a_purpose_is_refused_by_name(footnote: Footnote) -> None:
    """The missing field is named."""
    reply = footnote.client.post("/v1/files", data={"purpose": "assistants"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "file")
    reply = footnote.client.post("/v1/files", files={"file": ("a.txt", b"words")})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "purpose")


def test_a_file_over_the_limit_is_refused_and_one_at_the_limit_is_not(start: StartFootnote) -> None:
    """The limit is inclusive; one byte more is a 413 that leaves nothing behind."""
    with start(max_file_bytes=1000) as footnote:
        assert post(footnote, b"x" * 1000).status_code == 200
        reply = post(footnote, b"y" * 1001)
        assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
        assert list((footnote.settings.home / "staging").iterdir()) == []
        assert len(footnote.get("/v1/files")["data"]) == 1


@pytest.mark.parametrize("body", [b"garbage", b"--b\r\n\r\n", b""])
def test_a_damaged_multipart_body_is_refused(footnote: Footnote, body: bytes) -> None:
    """Bytes that are no form are a 400 and never a 500."""
    for kind in ("multipart/form-data; boundary=b", "multipart/form-data"):
        assert footnote.client.post("/v1/files", content=body, headers={"content-type": kind}).status_code == 400


@pytest.mark.parametrize("file", ["file-0", "..%2F..%2Fcatalog.sqlite", "%00", "%F0%28", "x" * 5000])
def test_an_unknown_file_is_not_found(footnote: Footnote, file: str) -> None:
    """Whatever an id looks like, one that does not exist is a 404."""
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        assert footnote.client.request(method, f"/v1/files/{file}{path}").status_code == 404


def test_bodies_that_announce_no_length_are_limited_too(start: StartFootnote) -> None:
    """A chunked upload and a chunked JSON body over their limits are a 413, not a damaged body, and leave nothing."""
    head = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nassistants\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    )
    with start(max_file_bytes=1000, max_json_bytes=1000) as footnote:
        for path, body, kind in (
            ("/v1/files", head + b"x" * (2 << 20) + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"),
            ("/v1/vector_stores", b'{"name": "' + b"x" * 2000 + b'"}', "application/json"),
        ):
            pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
            reply = footnote.client.post(path, content=pieces, headers={"content-type": kind})
            assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")
        assert list((footnote.settings.home / "staging").iterdir()) == []

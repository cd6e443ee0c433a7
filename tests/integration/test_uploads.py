"""/v1/uploads"""

import hashlib
from typing import Any

import pytest

from catalog import keys
from tests.integration.conftest import HOUSE, Footnote, StartFootnote


def begin(footnote: Footnote, size: int, **body: Any) -> dict[str, Any]:
    announced = {"filename": "house.txt", "purpose": "assistants", "bytes": size, "mime_type": "text/plain"}
    reply = footnote.client.post("/v1/uploads", json=announced | body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def add(footnote: Footnote, upload: str, data: bytes) -> Any:
    return footnote.client.post(f"/v1/uploads/{upload}/parts", files={"data": ("blob", data)})


def post(footnote: Footnote, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    reply = footnote.client.post(f"/v1/uploads/{path}", json=body)
    return reply.status_code, reply.json()


def test_an_upload_in_parts_ends_as_a_file_that_is_found(footnote: Footnote) -> None:
    """The objects are OpenAI's, and the file answers a search like any other."""
    content = HOUSE.encode()
    upload = begin(footnote, len(content), expires_after={"anchor": "created_at", "seconds": 3600})
    assert (upload["object"], upload["status"], upload["file"]) == ("upload", "pending", None)
    assert upload["expires_at"] - upload["created_at"] == 3600
    parts = []
    for data in (content[:50], content[50:]):
        part = add(footnote, upload["id"], data).json()
        assert (part["object"], part["upload_id"]) == ("upload.part", upload["id"])
        parts.append(part["id"])
    body = {"part_ids": parts, "md5": hashlib.md5(content).hexdigest()}
    status, done = post(footnote, f"{upload['id']}/complete", body)
    assert (status, done["status"]) == (200, "completed")
    assert done["file"] == footnote.get(f"/v1/files/{done['file']['id']}")
    assert done["file"]["expires_at"] == done["file"]["created_at"] + 3600
    assert post(footnote, f"{upload['id']}/complete", body) == (200, done)
    store = footnote.store()
    assert footnote.attach(store, done["file"]["id"])["status"] == "completed"
    assert footnote.search(store, "boiler")[0]["file_id"] == done["file"]["id"]


def test_a_cancelled_upload_takes_nothing_more(footnote: Footnote) -> None:
    """Cancelling again is no error; a part is one, in words."""
    upload = begin(footnote, 3)["id"]
    add(footnote, upload, b"abc")
    for _ in range(2):
        status, body = post(footnote, f"{upload}/cancel")
        assert (status, body["status"]) == (200, "cancelled")
    reply = add(footnote, upload, b"abc")
    assert reply.status_code == 400
    assert reply.json()["error"]["message"] == f"Upload '{upload}' is cancelled; begin a new one."


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"bytes": 0}, "bytes"),
        ({"bytes": -1}, "bytes"),
        ({"bytes": "many"}, "bytes"),
        ({"filename": " \n"}, "filename"),
        ({"filename": "x" * 300}, "filename"),
        ({"purpose": "fun"}, "purpose"),
        ({"mime_type": None}, "mime_type"),
        ({"expires_after": {"anchor": "created_at", "seconds": 1}}, "expires_after.seconds"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_announcement_is_a_400_that_names_the_parameter(
    footnote: Footnote, change: dict[str, Any], param: str
) -> None:
    """Nothing is begun."""
    announced = {"filename": "a.txt", "purpose": "assistants", "bytes": 3, "mime_type": "text/plain"}
    reply = footnote.client.post("/v1/uploads", json=announced | change)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("body", [{"part_ids": []}, {"part_ids": ["part_1"]}, {}, {"part_ids": ["part_1"], "md5": "x"}])
def test_a_wrong_completion_is_a_400(footnote: Footnote, body: dict[str, Any]) -> None:
    """No parts, parts that do not exist, no list, an MD5 that is none."""
    upload = begin(footnote, 3)["id"]
    assert post(footnote, f"{upload}/complete", body)[0] == 400


def test_what_is_too_large_is_refused_when_it_is_announced(start: StartFootnote) -> None:
    """A 413 before the first byte was sent; and parts are no way around the limit."""
    with start(max_file_bytes=100) as footnote:
        announced = {"filename": "a.txt", "purpose": "assistants", "bytes": 101, "mime_type": "text/plain"}
        reply = footnote.client.post("/v1/uploads", json=announced)
        assert (reply.status_code, reply.json()["error"]["param"]) == (413, "bytes")
        upload = begin(footnote, 100)["id"]
        assert add(footnote, upload, bytes(101)).status_code == 413
        parts = [add(footnote, upload, bytes(60)).json()["id"] for _ in range(2)]
        assert post(footnote, f"{upload}/complete", {"part_ids": parts})[0] == 400


def test_another_projects_upload_is_missing(fresh: Footnote) -> None:
    """Every call answers as it does for an id that was never given out."""
    with fresh.services.catalog.database.write() as session:
        (_, ours), (_, theirs) = (keys.create(session, project, "a test's") for project in ("proj_a", "proj_b"))
    fresh.client.headers["authorization"] = f"Bearer {theirs}"
    upload = begin(fresh, 3)["id"]
    part = add(fresh, upload, b"abc").json()["id"]
    fresh.client.headers["authorization"] = f"Bearer {ours}"
    for name, body in (("complete", {"part_ids": [part]}), ("cancel", None)):
        status, foreign = post(fresh, f"{upload}/{name}", body)
        assert status == 404
        assert foreign == {
            **post(fresh, f"upload_none/{name}", body)[1],
            "error": {**foreign["error"], "message": f"No such Upload object: '{upload}'."},
        }
    assert add(fresh, upload, b"abc").status_code == 404

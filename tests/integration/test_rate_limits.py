"""Limits of a key: requests per minute, told in OpenAI's headers, and the size of files."""

from typing import Any

import pytest

from tests.integration.callers import make_key, mint
from tests.integration.conftest import Footnote, StartFootnote

LIMIT, REMAINING, RESET = (f"x-ratelimit-{name}-requests" for name in ("limit", "remaining", "reset"))


def get(footnote: Footnote, header: dict[str, str], path: str = "/v1/models") -> Any:
    return footnote.client.get(path, headers=header)


def test_without_a_limit_there_are_no_headers(fresh: Footnote) -> None:
    """Nothing is said about a limit that does not exist."""
    assert LIMIT not in get(fresh, {}).headers
    assert LIMIT not in get(fresh, make_key(fresh)[1]).headers


def test_every_answer_tells_what_is_left(fresh: Footnote) -> None:
    """Errors, too; a request without a key tells nothing."""
    _, header = make_key(fresh, requests_per_minute=5)
    replies = [get(fresh, header, path) for path in ("/v1/models", "/v1/files/file-none", "/v1/none")]
    assert [reply.status_code for reply in replies] == [200, 404, 404]
    assert {reply.headers[LIMIT] for reply in replies} == {"5"}
    assert [int(reply.headers[REMAINING]) for reply in replies] == [4, 3, 2]
    assert all(reply.headers[RESET].endswith("s") for reply in replies)
    assert LIMIT not in get(fresh, {}).headers


def test_one_request_too_many_is_a_429(fresh: Footnote) -> None:
    """It says when to come again, in the headers that the SDKs wait by; other keys go on."""
    _, header = make_key(fresh, requests_per_minute=2)
    _, other = make_key(fresh, requests_per_minute=2)
    assert [get(fresh, header).status_code for _ in range(3)] == [200, 200, 429]
    reply = get(fresh, header)
    assert (reply.json()["error"]["code"], reply.json()["error"]["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert (reply.headers["x-should-retry"], reply.headers[REMAINING]) == ("true", "0")
    assert 0 < int(reply.headers["retry-after-ms"]) <= 30_000
    assert 0 < int(reply.headers["retry-after"]) <= 30
    assert get(fresh, other).status_code == 200


def test_the_setting_holds_where_a_key_has_no_limit_of_its_own(start: StartFootnote) -> None:
    """A key's own limit goes before it; 0 is none."""
    with start(requests_per_minute=7) as footnote:
        assert get(footnote, {}).headers[LIMIT] == "7"
        for own, expected in ((None, "7"), (9, "9"), (0, None)):
            header = make_key(footnote, requests_per_minute=own)[1]
            assert get(footnote, header).headers.get(LIMIT) == expected


def test_visitors_count_with_the_key_or_each_for_itself(fresh: Footnote) -> None:
    """As the token says: a limit of its own, or a share of the key's."""
    _, header = make_key(fresh, requests_per_minute=6)
    shared, own = mint(fresh, header), mint(fresh, header, requests_per_minute=4)
    assert get(fresh, shared).headers[REMAINING] == "3"
    assert (get(fresh, own).headers[LIMIT], get(fresh, own).headers[REMAINING]) == ("4", "2")
    assert get(fresh, header).headers[REMAINING] == "2"


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
def test_a_stream_has_the_headers_as_well(fresh: Footnote, path: str) -> None:
    """They come with its start."""
    _, header = make_key(fresh, requests_per_minute=10)
    question = "Where is the boiler?"
    body = {"model": "footnote", "stream": True}
    body |= {"input": question} if "responses" in path else {"messages": [{"role": "user", "content": question}]}
    reply = fresh.client.post(path, headers=header, json=body)
    assert (reply.status_code, reply.headers[REMAINING]) == (200, "9")
    assert reply.headers["content-type"].startswith("text/event-stream")


def test_a_key_has_a_limit_for_files(start: StartFootnote) -> None:
    """Of its own, below that of the settings: for files as a whole and in parts; other keys have the settings'."""
    part = {"filename": "a.txt", "mime_type": "text/plain", "purpose": "assistants"}
    with start(max_file_bytes=1000) as footnote:
        _, small = make_key(footnote, max_file_bytes=100)
        _, large = make_key(footnote, max_file_bytes=5000)
        for header, limit in ((small, 100), (large, 1000), (make_key(footnote)[1], 1000)):
            for size, status in ((limit, 200), (limit + 1, 413), (3_000_000, 413)):
                form = {"files": {"file": ("a.txt", b"x" * size)}, "data": {"purpose": "assistants"}}
                assert footnote.client.post("/v1/files", headers=header, **form).status_code == status
                body = part | {"bytes": size}
                assert footnote.client.post("/v1/uploads", headers=header, json=body).status_code == status

"""Which scope a path needs, and what an Idempotency-Key is good for."""

import pytest

from api.scopes import creates, needed


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/files", "read"),
        ("HEAD", "/v1/files/file-1", "read"),
        ("POST", "/v1/files", "write"),
        ("DELETE", "/v1/files/file-1", "write"),
        ("PATCH", "/v1/files/file-1", "write"),
        ("POST", "/v1/vector_stores/vs_1/search", "ask"),
        ("POST", "/v1/vector_stores/vs_1/files", "write"),
        ("GET", "/v1/vector_stores/vs_1/files/file-1", "read"),
        ("GET", "/v1/vector_stores/vs_1/files/file-1/text", "ask"),
        ("POST", "/v1/vector_stores/vs_1/file_batches/vsfb_1/cancel", "write"),
        ("POST", "/v1/responses/resp_1/cancel", "ask"),
        ("DELETE", "/v1/conversations/conv_1/items/msg_1", "ask"),
        ("POST", "/v1/tokens", "mint"),
        ("GET", "/v1/filesystem", None),
        ("GET", "/v1/chat/completions/x", None),
        ("GET", "/v1/vector_stores/vs_1/search/more", "read"),
        ("GET", "/v1", None),
    ],
)
def test_the_scope_of_a_request(method: str, path: str, scope: str | None) -> None:
    """The first rule whose path fits decides; nothing fits a path that only begins alike."""
    assert needed(method, path) == scope


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/files", True),
        ("POST", "/v1/vector_stores/vs_1/file_batches", True),
        ("POST", "/v1/conversations/conv_1/items", True),
        ("POST", "/v1/responses", True),
        ("GET", "/v1/files", False),
        ("DELETE", "/v1/files/file-1", False),
        ("POST", "/v1/vector_stores/vs_1/search", False),
        ("POST", "/v1/responses/input_tokens", False),
        ("POST", "/v1/chat/completions", False),
        ("POST", "/v1/tokens", False),
    ],
)
def test_what_an_idempotency_key_is_for(method: str, path: str, expected: bool) -> None:
    """What creates something that stays; a reply that holds a token is never kept."""
    assert creates(method, path) == expected

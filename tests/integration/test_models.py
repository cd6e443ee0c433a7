"""/v1/models, /v1/embeddings, and the pages without a key"""

import base64
import math
import re
import struct
from typing import Any

import pytest

from tests.integration.conftest import Footnote


def embed(footnote: Footnote, text: Any, **body: Any) -> Any:
    return footnote.client.post("/v1/embeddings", json={"model": "hashing", "input": text, **body})


def test_the_models_are_the_answering_and_the_embedding_one(footnote: Footnote) -> None:
    """Each listed model can be retrieved by its id; another is a 404."""
    models = footnote.get("/v1/models")["data"]
    assert [model["id"] for model in models] == ["footnote", "hashing"]
    for model in models:
        assert footnote.get(f"/v1/models/{model['id']}") == model
    assert footnote.client.get("/v1/models/gpt-none").status_code == 404


def test_embeddings_come_in_order_and_normalised(footnote: Footnote) -> None:
    """One vector of length 1 per text, the same as the embedder's own."""
    texts = ["The pump is noisy.", "Another text.", "The pump is noisy."]
    body = embed(footnote, texts).json()
    assert [item["index"] for item in body["data"]] == [0, 1, 2]
    vectors = [item["embedding"] for item in body["data"]]
    assert vectors[0] == vectors[2] != vectors[1]
    assert all(math.hypot(*vector) == pytest.approx(1, abs=1e-5) for vector in vectors)
    expected = footnote.services.embedder.embed_documents(texts)
    assert vectors == pytest.approx(expected, abs=1e-6)
    assert body["usage"] == {"prompt_tokens": 10, "total_tokens": 10}


def test_base64_is_little_endian_float32(footnote: Footnote) -> None:
    """It decodes to what `float` spells out."""
    spelled = embed(footnote, "A text.").json()["data"][0]["embedding"]
    packed = embed(footnote, "A text.", encoding_format="base64").json()["data"][0]["embedding"]
    assert struct.unpack(f"<{len(spelled)}f", base64.b64decode(packed)) == pytest.approx(spelled, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "body", "status", "param"),
    [
        ("", {}, 400, "input"),
        ([], {}, 400, "input"),
        (["a", ""], {}, 400, "input"),
        ([1, 2], {}, 400, "input"),
        (["a"] * 2049, {}, 400, "input"),
        ("word " * 300, {}, 400, "input"),
        ("a", {"model": "gpt-none"}, 404, "model"),
        ("a", {"dimensions": 5}, 400, "dimensions"),
        ("a", {"encoding_format": "int8"}, 400, "encoding_format"),
    ],
)
def test_a_wrong_embedding_request_is_refused_by_name(
    footnote: Footnote, text: Any, body: dict[str, Any], status: int, param: str
) -> None:
    """A text that the model would cut is refused, not cut."""
    reply = embed(footnote, text, **body)
    assert reply.status_code == status
    assert reply.json()["error"]["param"].startswith(param)


def test_health_and_readiness_need_no_key(footnote: Footnote) -> None:
    """/healthz says that the process runs, /readyz what it can answer from."""
    assert footnote.client.get("/healthz").json() == {"status": "ok"}
    before = footnote.get("/readyz")
    footnote.add(footnote.store())
    after = footnote.get("/readyz")
    assert after["status"] == "ok"
    assert after["chunks"] > before["chunks"]
    assert after["embedding_model"].startswith("hashing@")


def test_the_web_page_brings_its_own_assets_and_forbids_others(footnote: Footnote) -> None:
    """Every asset that the page names is served, and no name leads out of the folder."""
    page = footnote.client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
    assert named
    assert {footnote.client.get(name).status_code for name in named} == {200}
    for name in ("..%2Findex.html", "..%2f..%2fsettings.py", "none.js", "%00"):
        assert footnote.client.get(f"/assets/{name}").status_code == 404


def test_an_unknown_route_and_a_wrong_method_are_openai_errors(footnote: Footnote) -> None:
    """Their bodies have the same form as every other error."""
    for method, path, status in (("GET", "/v1/none", 404), ("PUT", "/v1/files", 405)):
        reply = footnote.client.request(method, path)
        assert reply.status_code == status
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
        assert reply.headers["x-request-id"].startswith("req_")

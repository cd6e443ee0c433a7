"""The server's own OpenAPI document, and requests that are made from it: right ones and wrong ones."""

import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from tests.integration.conftest import Footnote, running

# Right requests, and as many wrong ones, for each operation.
REQUESTS = int(os.environ.get("FOOTNOTE_TEST_SCHEMA_REQUESTS", "10"))
HOST = {"host": "127.0.0.1"}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Footnote]:
    """Yield an application of this module's own: these requests delete and change whatever they meet."""
    with running(tmp_path_factory.mktemp("openapi")) as footnote:
        yield footnote


def operations(footnote: Footnote) -> list[Any]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", footnote.client.app, headers=HOST)
    return [found.ok() for found in schema.get_all_operations()]


def real_ids(footnote: Footnote) -> dict[str, str]:
    """Make one object of each kind; return their ids by the name of the path parameter."""

    def made(path: str, **body: Any) -> str:
        reply = footnote.client.post(path, json=body)
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])

    store = footnote.store()
    file = footnote.add(store)
    conversation = made("/v1/conversations", items=[{"type": "message", "role": "user", "content": "Who?"}])
    upload = {"filename": "a.txt", "purpose": "assistants", "bytes": 3, "mime_type": "text/plain"}
    return {
        "vector_store_id": store,
        "file_id": file,
        "batch_id": made(f"/v1/vector_stores/{store}/file_batches", file_ids=[file]),
        "response_id": footnote.respond("Who installed the boiler?", store)["id"],
        "conversation_id": conversation,
        "item_id": footnote.get(f"/v1/conversations/{conversation}/items")["data"][0]["id"],
        "upload_id": made("/v1/uploads", **upload),
        "model": "footnote",
    }


def for_each_request(operation: Any, mode: GenerationMode, send: Callable[[Case], None]) -> None:
    """Call `send` with requests for an operation; the same ones in each run."""

    def send_one(case: Case) -> None:
        send(case)

    options = settings(
        max_examples=REQUESTS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(1)(options(given(case=operation.as_strategy(generation_mode=mode))(send_one)))()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_nothing_that_the_document_allows_or_forbids_breaks_the_server(served: Footnote, mode: GenerationMode) -> None:
    """No 500, and no status or content type that the document does not name. Half of the ids in paths are real."""
    chance = random.Random(1)
    for operation in operations(served):
        ids = real_ids(served)

        def send(case: Case, ids: dict[str, str] = ids) -> None:
            for name in case.path_parameters or {}:
                if chance.random() < 0.5:
                    case.path_parameters[name] = ids[name]
            case.validate_response(case.call(headers=HOST), checks=CHECKS)

        for_each_request(operation, mode, send)


def test_the_document_tells_of_openais_errors_alone(served: Footnote) -> None:
    """Every operation names the error object; the framework's own form is nowhere, since it is never sent."""
    document = served.get("/openapi.json")
    assert "HTTPValidationError" not in str(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for status in ("400", "401", "403", "404", "429", "500", "503"):
                content = operation["responses"][status]["content"]["application/json"]
                assert content["schema"]["$ref"].endswith("/ErrorReply"), (method, path, status)

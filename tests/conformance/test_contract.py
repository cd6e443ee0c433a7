"""The description finds operations and holds a value to the branch that its `type` names."""

from typing import Any

import pytest

from tests.conformance.contract import DOCUMENT, Contract
from tests.conformance.small import contract, ref


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/files", "GET /files"),
        ("GET", "/files/file-1", "GET /files/{file_id}"),
        ("GET", "/files/search", "GET /files/search"),
        ("POST", "/files", "POST /files"),
        ("DELETE", "/files", None),
        ("GET", "/files/a/b", None),
    ],
)
def test_a_request_is_one_operation(method: str, path: str, found: str | None) -> None:
    """A path without parameters wins over one with."""
    operation = contract().find(method, path)
    assert (operation and operation.name) == found


@pytest.mark.parametrize(
    ("value", "at", "message"),
    [
        ({"data": [{"type": "dog"}]}, ("data", 0), "'name' is a required property"),
        ({"data": [{"type": "dog", "name": 1}]}, ("data", 0, "name"), "1 is not of type 'string'"),
        ({"data": [{"type": "cat", "lives": "nine"}]}, ("data", 0, "lives"), "'nine' is not of type 'integer'"),
        ({"data": [{"type": "cow"}]}, ("data", 0, "type"), "'cow' is not one of ['dog', 'cat']"),
        ({"data": [{"name": "Rex"}]}, ("data", 0), "'type' is a required property"),
        ({"data": [7]}, ("data", 0), "7 is not of type 'object'"),
        ({}, (), "'data' is a required property"),
    ],
)
def test_a_violation_says_where_and_what(value: Any, at: tuple[str | int, ...], message: str) -> None:
    """The branch of a union is chosen by `type`: the fault is that of the branch, not of the union."""
    violations = contract().violations(ref("PetList"), value)
    assert [(one.at, one.message) for one in violations] == [(at, message)]


def test_what_fits_has_no_violation() -> None:
    """`nullable`, OpenAPI 3.0's word, allows null; fields that are not described are no fault."""
    pets = [{"type": "cat", "lives": 9, "owner": None, "colour": "red"}, {"type": "dog", "name": "Rex", "pups": []}]
    assert contract().violations(ref("PetList"), {"data": pets}) == []


def test_a_long_value_is_shown_shortened() -> None:
    """What is wrong with it stands at the end and stays."""
    (violation,) = contract().violations(ref("Cat"), {"type": "cat", "lives": "x" * 9999})
    assert len(violation.message) < 400
    assert violation.message.endswith("is not of type 'integer'")


@pytest.mark.skipif(not DOCUMENT.exists(), reason="OpenAI's description is not beside this checkout")
def test_openais_own_description_is_read() -> None:
    """Unions of many branches are decided by `type`, and the events of a stream belong to their operation."""
    document = Contract.load()
    create = document.find("POST", "/responses")
    assert create is not None and create.event is not None
    item = {"type": "message", "id": "msg_1", "role": "user", "status": "completed", "content": []}
    (violation,) = document.violations({"$ref": "#/components/schemas/OutputItem"}, item)
    assert (violation.at, violation.message) == (("role",), "'user' is not one of ['assistant']")
    resumed = document.find("GET", "/responses/resp_1")
    assert resumed is not None and resumed.event == create.event

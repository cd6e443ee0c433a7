"""What is out of scope is named, with a reason, and has to leave something out."""

from pathlib import Path

import pytest

from tests.conformance import report
from tests.conformance.scope import Scope, area_of

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def scope() -> Scope:
    return Scope(
        {
            "schemas": [{"names": ["Cat"], "reason": "no cats"}],
            "operations": [{"names": ["GET /files"], "reason": "no lists"}],
            "properties": [
                {"operation": "* /files*", "direction": "request", "paths": ["pups[]*"], "reason": "no pups"}
            ],
            "methods": [{"names": ["files.messages.*"], "reason": "no messages"}],
            "leniencies": [{"operation": "*", "paths": ["first_id"], "message": "None is*", "reason": "empty"}],
        }
    )


def test_a_star_stands_for_any_text_and_brackets_for_themselves() -> None:
    """Patterns are no file globs: paths are full of brackets."""
    found = scope()
    assert found.leaves_out_property("POST /files", "request", "pups[].name")
    assert not found.leaves_out_property("POST /files", "request", "pups")
    assert not found.leaves_out_property("POST /files", "response", "pups[].name")
    assert found.leaves_out_method("files.messages.list")
    assert found.is_lenient("GET /files", "first_id", "None is not of type 'string'")
    assert not found.is_lenient("GET /files", "last_id", "None is not of type 'string'")


def test_what_leaves_nothing_out_is_told() -> None:
    """A list of exclusions that nobody needs any more would hide what is missing later."""
    found = scope()
    assert found.leaves_out_schema("Cat")
    assert not found.leaves_out_schema("Dog")
    assert found.leaves_out_operation("GET /files")
    assert {one.kind for one in found.unused} == {"property", "method", "leniency"}


def test_the_list_has_a_reason_for_everything() -> None:
    """No entry without one, none twice."""
    exclusions = Scope.load().exclusions
    assert all(len(one.reason) > 5 for one in exclusions)
    assert len(exclusions) == len({(one.kind, one.what) for one in exclusions})


@pytest.mark.parametrize(
    ("path", "area"),
    [
        ("/files", "Files"),
        ("/vector_stores/vs_1/files/file-1", "Vector stores"),
        ("/chat/completions", "Chat completions"),
        ("/filesystem", None),
        ("/audio/speech", None),
    ],
)
def test_a_path_belongs_to_an_area(path: str, area: str | None) -> None:
    """By whole segments."""
    assert area_of(path) == area


@pytest.mark.skipif(not PAGE.exists(), reason="outside the checkout")
def test_the_page_has_the_list() -> None:
    """docs/conformance.md tells what out_of_scope.toml tells."""
    assert PAGE.read_text(encoding="utf-8").endswith(report.exclusions(Scope.load()) + "\n")

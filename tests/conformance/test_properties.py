"""Properties are paths through a description, and those of them that a value has."""

from typing import Any

import pytest

from tests.conformance.properties import Properties
from tests.conformance.small import contract, ref

ALL = Properties(contract(), lambda name: False)


def test_every_property_has_a_path_with_the_branch_that_it_is_in() -> None:
    """A schema that contains itself is entered once."""
    assert sorted(ALL.of(ref("PetList"))) == [
        "data",
        "data[]:cat.lives",
        "data[]:cat.owner",
        "data[]:cat.type",
        "data[]:dog.name",
        "data[]:dog.pups",
        "data[]:dog.type",
    ]


def test_an_excluded_schema_is_not_entered() -> None:
    """Its branch is gone, and with it the need to tell branches apart stays."""
    found = Properties(contract(), lambda name: name == "Cat").of(ref("PetList"))
    assert sorted(found) == ["data", "data[]:dog.name", "data[]:dog.pups", "data[]:dog.type"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"data": []}, {"data"}),
        ({"data": [{"type": "dog"}]}, {"data", "data[]:dog.type"}),
        ({"data": [{"type": "cat", "owner": None}]}, {"data", "data[]:cat.type", "data[]:cat.owner"}),
        ({"data": [{"type": "cow", "name": "Rex"}], "more": 1}, {"data"}),
        ({"data": None}, {"data"}),
        ([], set()),
    ],
)
def test_a_value_shows_the_properties_that_it_has(value: Any, found: set[str]) -> None:
    """Null counts: the property is there. What is not described does not."""
    assert set(ALL.of(ref("PetList"), value)) == found


@pytest.mark.parametrize(
    ("at", "path"),
    [
        ((), ""),
        (("data",), "data"),
        (("data", 1), "data[]"),
        (("data", 1, "lives"), "data[]:cat.lives"),
        (("data", 0, "pups", 0, "name"), "data[]:dog.pups[].name"),
    ],
)
def test_the_place_of_a_fault_has_a_path(at: tuple[str | int, ...], path: str) -> None:
    """Positions in lists are dropped, so that the same fault in two of them is one."""
    pets = [{"type": "dog", "name": "Rex", "pups": [{"name": 1}]}, {"type": "cat", "lives": "nine"}]
    assert ALL.path(ref("PetList"), {"data": pets}, at) == path

"""Attribute filters decide as OpenAI's do, with types kept apart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest
from retrieval.filters import parse_filter


def decide(operator: str, value: Any, attributes: dict[str, Any]) -> bool:
    return parse_filter({"type": operator, "key": "k", "value": value}).matches(attributes)


# Attribute, operator, value, whether it matches.
CASES = [
    (5, "eq", 5, True),
    (5, "eq", 5.0, True),
    (5, "eq", "5", False),
    (1, "eq", True, False),
    (True, "eq", True, True),
    (True, "eq", 1, False),
    ("a", "eq", "a", True),
    ("a", "eq", "A", False),
    (5, "ne", 6, True),
    (5, "ne", 5, False),
    (5, "ne", "5", True),
    (False, "ne", 0, True),
    (5, "gt", 4, True),
    (5, "gt", 5, False),
    (5, "gte", 5, True),
    (5, "lt", 5.5, True),
    (5, "lt", 5, False),
    (5, "lte", 5, True),
    (5, "lte", 4, False),
    ("b", "gt", "a", True),
    ("b", "lt", "a", False),
    ("2020-01-31", "gte", "2020-01-31", True),
    (5, "gt", "4", False),
    ("5", "gt", 4, False),
    (True, "gt", 0, False),
    (True, "lte", 1, False),
    ("a", "in", ["a", "b"], True),
    ("c", "in", ["a", "b"], False),
    (1, "in", ["1", True], False),
    (2.0, "in", [1, 2], True),
    ("a", "in", [], False),
    ("a", "nin", ["a", "b"], False),
    ("c", "nin", ["a", "b"], True),
    (1, "nin", [True], True),
    ("a", "nin", [], True),
]


@pytest.mark.parametrize(("attribute", "operator", "value", "expected"), CASES)
def test_a_comparison_decides_by_type_and_value(attribute: Any, operator: str, value: Any, expected: bool) -> None:
    """Numbers compare with numbers, texts with texts, booleans with booleans; unlike types are just not equal."""
    assert expected is decide(operator, value, {"k": attribute})


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        *(("eq", 1, False), ("gt", 1, False), ("lt", 1, False), ("gte", "a", False), ("lte", "a", False)),
        *(("in", [1], False), ("ne", 1, True), ("nin", [1], True)),
    ],
)
@pytest.mark.parametrize("attributes", [{}, {"other": 1}, {"k": None}])
def test_a_missing_key_satisfies_only_negations(
    operator: str, value: Any, expected: bool, attributes: dict[str, Any]
) -> None:
    """A document without the attribute is found by `ne` and `nin` alone."""
    assert expected is decide(operator, value, attributes)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "type"),
        ("eq", "type"),
        ([], "type"),
        ({}, "type"),
        ({"type": "like", "key": "k", "value": "v"}, "'like'"),
        ({"type": ["eq"], "key": "k", "value": "v"}, "type"),
        ({"type": "eq", "value": 1}, "key"),
        ({"type": "eq", "key": "", "value": 1}, "key"),
        ({"type": "eq", "key": 3, "value": 1}, "key"),
        ({"type": "eq", "key": "k"}, "'k'.*string, number or boolean"),
        ({"type": "eq", "key": "k", "value": [1]}, "'k'"),
        ({"type": "gt", "key": "k", "value": True}, "booleans have no order"),
        ({"type": "in", "key": "k", "value": "ab"}, "'in' needs a list"),
        ({"type": "nin", "key": "k", "value": [None]}, "'nin' needs a list"),
        ({"type": "and", "filters": []}, "non-empty list"),
        ({"type": "and"}, "non-empty list"),
        ({"type": "or", "filters": "ab"}, "non-empty list"),
        ({"type": "or", "filters": [{"type": "nonsense"}]}, "'nonsense'"),
    ],
)
def test_a_wrong_filter_is_refused_with_the_part_that_is_wrong(raw: Any, words: str) -> None:
    """The caller learns what is wrong, and a filter is never ignored."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        parse_filter(raw)
    assert caught.value.param == "filters"


@pytest.mark.parametrize(("depth", "is_allowed"), [(16, True), (17, False), (900, False)])
def test_filters_may_be_nested_sixteen_deep(depth: int, is_allowed: bool) -> None:
    """A request cannot exhaust the stack."""
    raw: dict[str, Any] = {"type": "eq", "key": "k", "value": 1}
    for _ in range(depth):
        raw = {"type": "and", "filters": [raw]}
    if is_allowed:
        assert parse_filter(raw).matches({"k": 1})
    else:
        with pytest.raises(InvalidRequest, match="16 levels"):
            parse_filter(raw)


VALUES = st.one_of(st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, 1.0]), st.sampled_from(["", "a", "b", "1"]))
KEYS = st.sampled_from(["x", "y"])
ATTRIBUTES = st.dictionaries(KEYS, VALUES)
LEAVES = st.one_of(
    st.builds(lambda t, k, v: {"type": t, "key": k, "value": v}, st.sampled_from(["eq", "ne"]), KEYS, VALUES),
    st.builds(
        lambda t, k, v: {"type": t, "key": k, "value": v}, st.sampled_from(["in", "nin"]), KEYS, st.lists(VALUES)
    ),
)
FILTERS = st.recursive(
    LEAVES,
    lambda parts: st.builds(
        lambda t, f: {"type": t, "filters": f}, st.sampled_from(["and", "or"]), st.lists(parts, min_size=1, max_size=3)
    ),
    max_leaves=8,
)
OPPOSITE = {"eq": "ne", "ne": "eq", "in": "nin", "nin": "in", "and": "or", "or": "and"}


def negated(raw: dict[str, Any]) -> dict[str, Any]:
    """De Morgan: swap `and` and `or`, and turn every comparison into its opposite."""
    turned = {**raw, "type": OPPOSITE[raw["type"]]}
    return turned | {"filters": [negated(part) for part in raw["filters"]]} if "filters" in raw else turned


@given(raw=FILTERS, attributes=ATTRIBUTES)
def test_a_filter_and_its_negation_exclude_each_other(raw: dict[str, Any], attributes: dict[str, Any]) -> None:
    """For every document exactly one of the two holds."""
    assert parse_filter(raw).matches(attributes) is not parse_filter(negated(raw)).matches(attributes)


@given(parts=st.lists(FILTERS, min_size=1, max_size=4), attributes=ATTRIBUTES)
def test_compounds_are_all_and_any(parts: list[dict[str, Any]], attributes: dict[str, Any]) -> None:
    """Order and repetition of the parts change nothing."""
    found = [parse_filter(part).matches(attributes) for part in parts]
    for filters in (parts, parts[::-1], parts * 2):
        assert all(found) is parse_filter({"type": "and", "filters": filters}).matches(attributes)
        assert any(found) is parse_filter({"type": "or", "filters": filters}).matches(attributes)


@given(value=st.integers(-3, 3), attribute=st.integers(-3, 3))
def test_orderings_agree_with_each_other(value: int, attribute: int) -> None:
    """Of `lt`, `eq` and `gt` one holds; `lte` and `gte` are their unions."""
    holds = {name: decide(name, value, {"k": attribute}) for name in ("lt", "eq", "gt", "lte", "gte")}
    assert holds["lt"] + holds["eq"] + holds["gt"] == 1
    assert (holds["lte"], holds["gte"]) == (holds["lt"] or holds["eq"], holds["gt"] or holds["eq"])


@given(attribute=VALUES, members=st.lists(VALUES))
def test_in_is_any_eq(attribute: Any, members: list[Any]) -> None:
    """Membership is equality with one of the list."""
    assert any(decide("eq", m, {"k": attribute}) for m in members) is decide("in", members, {"k": attribute})

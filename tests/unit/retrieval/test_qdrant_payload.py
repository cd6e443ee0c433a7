"""Filters that Qdrant decides admit what our own filters match, value by value."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qdrant_client.http.models import Filter as QdrantFilter
from qdrant_client.local.payload_filters import check_filter

from retrieval.filters import Comparison, Compound, Filter, Value, parse_filter
from retrieval.indexes.qdrant_payload import ATTRIBUTES, ORDER, document_payload, translated
from tests.builders import an_indexed_document

# Keys with characters that mean something in a path, and one key that looks like another with a value.
KEYS = st.sampled_from(["a", "b", "a.b", 'say "x"', "a=s", "größe", "[0]"])
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [
            2**53,
            2**53 + 1,
            10**400,
            10**400 + 1,
            -(10**400),
            float(2**53),
            -0.0,
            5e-324,
            -5e-324,
            1.7976931348623157e308,
            0.1,
            1e16,
        ]
    ),
)
STRINGS = st.one_of(
    st.text(st.sampled_from("ab\x00é日𝄞"), max_size=14),
    st.sampled_from(["2024-01-01", "2024-01-01T00:00", "2024-0", "1", "1.0", "true", ""]),
    st.text(max_size=20),
)
VALUES: st.SearchStrategy[Value] = st.one_of(st.booleans(), NUMBERS, STRINGS)
SINGLE = st.builds(Comparison, operator=st.sampled_from(["eq", "ne"]), key=KEYS, value=VALUES)
ORDERED = st.builds(
    Comparison,
    operator=st.sampled_from(["gt", "gte", "lt", "lte"]),
    key=KEYS,
    value=st.one_of(NUMBERS, STRINGS),
)
LISTED = st.builds(
    Comparison,
    operator=st.sampled_from(["in", "nin"]),
    key=KEYS,
    value=st.lists(VALUES, max_size=4).map(tuple),
)
FILTERS: st.SearchStrategy[Filter] = st.recursive(
    st.one_of(SINGLE, ORDERED, LISTED),
    lambda parts: st.builds(
        Compound, operator=st.sampled_from(["and", "or"]), parts=st.lists(parts, min_size=1, max_size=3).map(tuple)
    ),
    max_leaves=6,
)
ATTRIBUTE_SETS = st.dictionaries(KEYS, VALUES, max_size=4)


def admits(condition: Filter, attributes: dict[str, Any]) -> bool:
    """Decide as a server does: with payload and filter as they cross the wire."""
    payload = document_payload(an_indexed_document(attributes=attributes), 1)
    crossed = QdrantFilter.model_validate_json(translated(condition).model_dump_json(exclude_none=True))
    return check_filter(crossed, payload, 1, {})


@settings(deadline=None)
@given(condition=FILTERS, attributes=ATTRIBUTE_SETS)
@example(condition=Comparison(operator="in", key="a", value=()), attributes={"a": 1})
@example(condition=Comparison(operator="nin", key="a", value=()), attributes={})
def test_a_translated_filter_admits_what_the_filter_matches(condition: Filter, attributes: dict[str, Any]) -> None:
    """Every operator, compound and type, with keys that are there and keys that are not."""
    assert admits(condition, attributes) == condition.matches(attributes)


@settings(deadline=None)
@given(left=NUMBERS, right=NUMBERS)
@example(left=2**53, right=2**53 + 1)
@example(left=0.1 + 0.2, right=0.3)
@example(left=-15, right=-16)
def test_numbers_keep_their_order(left: float, right: float) -> None:
    """Also where a float holds neither of them exactly; an integer equals the float of its value."""
    for operator in ("gt", "gte", "lt", "lte", "eq", "ne"):
        condition = Comparison(operator=operator, key="n", value=right)
        assert admits(condition, {"n": left}) == condition.matches({"n": left})


@settings(deadline=None)
@given(left=STRINGS, right=STRINGS)
@example(left="abcde", right="abcdef")
@example(left="abcdefabcdef", right="abcdef")
@example(left="\U0001d11e", right="\uffff")
def test_strings_keep_their_order(left: str, right: str) -> None:
    """By code points, at every length."""
    for operator in ("gt", "gte", "lt", "lte", "eq", "ne"):
        condition = Comparison(operator=operator, key="s", value=right)
        assert admits(condition, {"s": left}) == condition.matches({"s": left})


@pytest.mark.parametrize(
    ("raw", "attributes", "expected"),
    [
        ({"type": "eq", "key": "a", "value": True}, {"a": 1}, False),
        ({"type": "eq", "key": "a", "value": 1}, {"a": True}, False),
        ({"type": "eq", "key": "a", "value": "1"}, {"a": 1}, False),
        ({"type": "eq", "key": "a", "value": 1.0}, {"a": 1}, True),
        ({"type": "ne", "key": "a", "value": 1}, {}, True),
        ({"type": "gt", "key": "a", "value": 0}, {"a": True}, False),
        ({"type": "gte", "key": "a", "value": ""}, {"a": 5}, False),
        ({"type": "lt", "key": "a", "value": "b"}, {"a": 0}, False),
        ({"type": "gte", "key": "day", "value": "2024-01-01"}, {"day": "2024-01-01T10:00"}, True),
        ({"type": "lt", "key": "a", "value": 5}, {}, False),
    ],
)
def test_types_are_never_mixed(raw: dict[str, Any], attributes: dict[str, Any], expected: bool) -> None:
    """A boolean is no number, a digit no number's equal, and a missing key passes `ne` and `nin` alone."""
    condition = parse_filter(raw)
    assert expected == admits(condition, attributes) == condition.matches(attributes)


def test_what_is_kept_of_attributes_is_small() -> None:
    """A year and a day take two numbers each beside their look-up keys."""
    payload = document_payload(an_indexed_document(attributes={"year": 2024, "day": "2024-01-01", "is_new": True}), 1)
    assert len(payload[ATTRIBUTES]) == 3
    assert [len(levels) for levels in payload[ORDER].values()] == [2, 2]

"""The columns decide a filter as the filter itself does, for every history of documents."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.filters import parse_filter
from retrieval.indexes.base import Scope
from retrieval.indexes.documents import DocumentTable, Entry

VALUES = st.one_of(st.booleans(), st.integers(-2, 2), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from(["", "1", "b"]))
ATTRIBUTES = st.dictionaries(st.sampled_from(["k", "l"]), VALUES)
ORDERED = VALUES.filter(lambda value: not isinstance(value, bool))
COMPARISONS = st.one_of(
    st.builds(
        lambda o, k, v: {"type": o, "key": k, "value": v},
        st.sampled_from(["eq", "ne"]),
        KEYS := st.sampled_from("klm"),
        VALUES,
    ),
    st.builds(
        lambda o, k, v: {"type": o, "key": k, "value": v}, st.sampled_from(["gt", "gte", "lt", "lte"]), KEYS, ORDERED
    ),
    st.builds(
        lambda o, k, v: {"type": o, "key": k, "value": v},
        st.sampled_from(["in", "nin"]),
        KEYS,
        st.lists(VALUES, max_size=3),
    ),
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda parts: st.builds(
        lambda o, f: {"type": o, "filters": f}, st.sampled_from(["and", "or"]), st.lists(parts, min_size=1, max_size=3)
    ),
    max_leaves=4,
)
DEEDS = st.lists(st.tuples(st.integers(1, 90), st.sampled_from(["vs_1", "vs_2"]), st.none() | ATTRIBUTES), max_size=120)


def an_entry(document_id: int, store: str = "vs_1", **attributes: Any) -> Entry:
    return Entry(document_id=document_id, vector_store_id=store, attributes=attributes, chunks=2)


def admitted(table: DocumentTable, *stores: str, filter: Any = None) -> set[int]:
    scope = Scope(vector_store_ids=frozenset(stores), filter=filter and parse_filter(filter))
    return set(table.document_ids(table.admitted(scope)).tolist())


@given(deeds=DEEDS, raw=FILTERS)
def test_columns_decide_as_the_filter_does(deeds: list[Any], raw: dict[str, Any]) -> None:
    """Documents come, change and go; then every one in scope is admitted, and no other one."""
    table, known = DocumentTable(), dict[int, tuple[str, dict[str, Any]]]()
    for document_id, store, attributes in deeds:
        if attributes is None:
            if document_id in known:
                slot, removed_from = table.remove(document_id)
                assert removed_from == known.pop(document_id)[0]
                table.release([slot])
        elif document_id in known:
            known[document_id] = (known[document_id][0], attributes)
            table.change(document_id, attributes)
        else:
            known[document_id] = (store, attributes)
            table.put(an_entry(document_id, store, **attributes))
    condition = parse_filter(raw)
    for stores in (("vs_1",), ("vs_1", "vs_2"), ("vs_none",), ()):
        in_stores = {i: attributes for i, (store, attributes) in known.items() if store in stores}
        assert admitted(table, *stores) == set(in_stores)
        assert admitted(table, *stores, filter=raw) == {i for i, a in in_stores.items() if condition.matches(a)}
    assert table.chunks == 2 * len(known)
    assert table.known_ids() == set(known)


def test_a_slot_is_not_used_again_before_it_is_released() -> None:
    """The rows of a removed document still name its slot."""
    table = DocumentTable()
    taken = [table.put(an_entry(n)) for n in range(64)]
    slot, _ = table.remove(5)
    assert slot == taken[5]
    assert table.put(an_entry(100)) not in taken
    table.release([slot])
    assert table.put(an_entry(101)) == slot


def test_values_that_nobody_has_any_more_are_forgotten() -> None:
    """A counter that every update raises does not grow the column for ever."""
    table = DocumentTable()
    table.put(an_entry(1, n=0))
    for n in range(1, 5000):
        table.change(1, {"n": n})
    assert table._columns["n"].distinct < 2000
    assert admitted(table, "vs_1", filter={"type": "eq", "key": "n", "value": 4999}) == {1}


@pytest.mark.parametrize("capacity", [1, 64, 65, 1000])
def test_a_mask_is_as_long_as_the_capacity(capacity: int) -> None:
    """Rows look their document up by slot, whatever has been added since."""
    table = DocumentTable()
    for n in range(capacity):
        table.put(an_entry(n, n=n))
    mask = table.admitted(Scope(vector_store_ids=frozenset(["vs_1"])))
    assert len(mask) == table.capacity
    assert int(np.count_nonzero(mask)) == capacity

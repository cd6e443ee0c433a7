"""Values are those of one state of the index, of bounded number and size."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from retrieval.filters import Comparison
from retrieval.searcher import IndexState, SearchRequest
from retrieval.state_cache import StateCache, key_of
from tests.builders import a_scope


def state(version: int, identity: str = "m@1/3") -> IndexState:
    return IndexState(identity=identity, version=version)


def a_cache(entries: int = 10, max_bytes: int = 1 << 20) -> StateCache:
    return StateCache(entries=entries, max_bytes=max_bytes)


def test_a_value_comes_back_as_a_copy() -> None:
    """Nobody can change what others get."""
    cache, value = a_cache(), {"a": [1]}
    cache.put(state(1), b"k", value)
    found = cache.get(state(1), b"k")
    assert found == value
    found["a"].append(2)
    assert cache.get(state(1), b"k") == value
    assert cache.get(state(1), b"other") is None


def test_a_newer_state_drops_everything() -> None:
    """As soon as it is seen, also by a look that finds nothing: no deleted document stays in memory."""
    cache = a_cache()
    cache.put(state(1), b"k", "old")
    assert cache.get(state(2), b"other") is None
    assert len(cache) == 0
    assert cache.get(state(1), b"k") is None


def test_what_was_computed_from_an_older_state_is_not_kept() -> None:
    """A slow search that ends after a change must not bring back what that deleted."""
    cache = a_cache()
    cache.put(state(2), b"k", "new")
    cache.put(state(1), b"k", "old")
    assert cache.get(state(1), b"k") is None
    assert cache.get(state(2), b"k") == "new"


def test_another_model_is_another_state() -> None:
    """Also at the same change of the catalog."""
    cache = a_cache()
    cache.put(state(1), b"k", "old")
    assert cache.get(state(1, "n@1/3"), b"k") is None


def test_the_values_used_last_are_kept() -> None:
    """At most so many; a look counts as use."""
    cache = a_cache(entries=2)
    for key in (b"1", b"2"):
        cache.put(state(1), key, key)
    cache.get(state(1), b"1")
    cache.put(state(1), b"3", b"3")
    assert [cache.get(state(1), key) for key in (b"1", b"2", b"3")] == [b"1", None, b"3"]


def test_the_size_of_all_values_is_bounded() -> None:
    """In bytes, with room for others again when one was replaced or removed; one too large is not kept at all."""
    cache = a_cache(max_bytes=2500)
    for key in (b"1", b"1", b"2", b"3"):
        cache.put(state(1), key, "x" * 1000)
    assert [cache.get(state(1), key) is not None for key in (b"1", b"2", b"3")] == [False, True, True]
    cache.put(state(1), b"4", "x" * 2501)
    assert len(cache) == 2
    cache.remove(b"2")
    cache.remove(b"none")
    cache.put(state(1), b"5", "x" * 1000)
    assert [cache.get(state(1), key) is not None for key in (b"2", b"3", b"5")] == [False, True, True]


@pytest.mark.parametrize(
    "other",
    [
        {"queries": ["b"]},
        {"queries": ["a", "a"]},
        {"limit": 9},
        {"scope": a_scope("vs_2")},
        {"scope": a_scope("vs_1", "vs_2")},
        *({"scope": a_scope(filter=Comparison(operator="eq", key="k", value=value))} for value in (1, True, "1", 1.5)),
        {"scope": a_scope(filter=Comparison(operator="in", key="k", value=(True,)))},
        {"scope": a_scope(filter=Comparison(operator="in", key="k", value=(1,)))},
    ],
)
def test_requests_that_say_something_else_have_other_keys(other: dict[str, object]) -> None:
    """Also where Python calls their values equal: a filter tells 1 from true."""
    base = {"queries": ["a"], "scope": a_scope(filter=Comparison(operator="eq", key="k", value=2))}
    assert key_of(SearchRequest(**base | other)) != key_of(SearchRequest(**base))
    assert key_of(SearchRequest(**base | other)) == key_of(SearchRequest(**base | other))
    plain = [key_of(Comparison(operator="eq", key="k", value=value)) for value in (1, True, "1", 1.5, (1,), (True,))]
    assert len(set(plain)) == len(plain)


def test_threads_may_use_it_at_once() -> None:
    """Every look finds the value of its own state or none, and the bounds hold."""
    cache, start = a_cache(entries=3, max_bytes=400), threading.Barrier(4)

    def use(worker: int) -> int:
        start.wait()
        wrong = 0
        for version in range(200):
            key = bytes([version % 5])
            cache.put(state(version), key, ("of", version, "x" * worker * 20))
            found = cache.get(state(version), key)
            wrong += found is not None and found[1] != version
        return wrong

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(use, range(4))) == 0
    assert len(cache) <= 3

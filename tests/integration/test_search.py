"""POST /v1/vector_stores/{id}/search"""

from typing import Any

import pytest

from tests.integration.conftest import Footnote

CITIES = {
    "oslo.txt": ("The harbour of Oslo freezes in January.", {"country": "NO", "people": 700_000, "capital": True}),
    "bergen.txt": ("The harbour of Bergen never freezes.", {"country": "NO", "people": 290_000, "capital": False}),
    "kiel.txt": ("The harbour of Kiel has a canal.", {"country": "DE", "people": 250_000, "capital": False}),
    "riga.txt": ("The harbour of Riga lies on a river.", {"country": "LV"}),
}


@pytest.fixture(scope="module")
def cities(footnote: Footnote) -> str:
    """Return a store with one short text per harbour."""
    store = footnote.store(name="cities")
    for name, (text, attributes) in CITIES.items():
        footnote.add(store, text, name, attributes=attributes)
    return store


def names(hits: list[dict[str, Any]]) -> set[str]:
    return {hit["filename"].removesuffix(".txt") for hit in hits}


def is_(key: str, operator: str, value: Any) -> dict[str, Any]:
    return {"type": operator, "key": key, "value": value}


def all_of(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "and", "filters": list(filters)}


def any_of(*filters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "or", "filters": list(filters)}


def test_a_page_has_openais_shape_and_footnotes_offsets(footnote: Footnote, cities: str) -> None:
    """Each hit has file, score and text as the SDK reads them, and where the text stands."""
    reply = footnote.client.post(f"/v1/vector_stores/{cities}/search", json={"query": "canal of Kiel"})
    page = reply.json()
    assert page["object"] == "vector_store.search_results.page"
    assert (page["search_query"], page["has_more"], page["next_page"]) == (["canal of Kiel"], False, None)
    best = page["data"][0]
    assert (best["filename"], best["content"]) == ("kiel.txt", [{"type": "text", "text": CITIES["kiel.txt"][0]}])
    assert (best["start"], best["end"]) == (0, len(CITIES["kiel.txt"][0]))
    scores = [hit["score"] for hit in page["data"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_list_of_queries_finds_what_any_of_them_finds(footnote: Footnote, cities: str) -> None:
    """Two questions at once bring both best passages to the top."""
    hits = footnote.search(cities, ["canal Kiel", "river Riga"], max_num_results=2)
    assert names(hits) == {"kiel", "riga"}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, {"oslo", "bergen", "kiel", "riga"}),
        (is_("country", "eq", "NO"), {"oslo", "bergen"}),
        (is_("country", "ne", "NO"), {"kiel", "riga"}),
        (is_("people", "gt", 250_000), {"oslo", "bergen"}),
        (is_("people", "gte", 250_000), {"oslo", "bergen", "kiel"}),
        (is_("people", "lt", 290_000), {"kiel"}),
        (is_("people", "lte", 290_000), {"bergen", "kiel"}),
        (is_("capital", "eq", True), {"oslo"}),
        (is_("capital", "eq", 1), set()),
        (is_("people", "eq", "700000"), set()),
        (is_("country", "in", ["DE", "LV"]), {"kiel", "riga"}),
        (is_("country", "nin", ["DE", "LV"]), {"oslo", "bergen"}),
        (is_("people", "ne", 1), {"oslo", "bergen", "kiel", "riga"}),
        (is_("nothing", "eq", "x"), set()),
        (all_of(is_("country", "eq", "NO"), is_("capital", "eq", False)), {"bergen"}),
        (
            any_of(is_("country", "eq", "LV"), all_of(is_("people", "gt", 1), is_("capital", "eq", True))),
            {"oslo", "riga"},
        ),
        (
            all_of(any_of(is_("country", "eq", "NO"), is_("country", "eq", "DE")), is_("people", "lt", 300_000)),
            {"bergen", "kiel"},
        ),
    ],
)
def test_a_filter_lets_through_exactly_what_it_says(
    footnote: Footnote, cities: str, filters: dict[str, Any], expected: set[str]
) -> None:
    """Every comparison and nesting decides by value and type; the search returns all that match and no other."""
    assert names(footnote.search(cities, "harbour", filters=filters)) == expected


@pytest.mark.parametrize(
    "filters",
    [
        {"type": "like", "key": "a", "value": "b"},
        {"type": "eq", "value": "b"},
        {"type": "eq", "key": 5, "value": "b"},
        {"type": "eq", "key": "a"},
        {"type": "eq", "key": "a", "value": {"b": 1}},
        {"type": "in", "key": "a", "value": "b"},
        {"type": "gt", "key": "a", "value": True},
        {"type": "and", "filters": []},
        {"type": "and", "filters": "all"},
        {"type": "or", "filters": [{"type": "eq"}]},
        {"type": ["and"]},
        {"key": "a", "value": "b"},
    ],
)
def test_a_wrong_filter_is_refused_by_name(footnote: Footnote, cities: str, filters: dict[str, Any]) -> None:
    """A filter that cannot be understood is a 400 and never passed over."""
    reply = footnote.client.post(f"/v1/vector_stores/{cities}/search", json={"query": "harbour", "filters": filters})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "filters")


def test_a_filter_nested_too_deep_is_refused(footnote: Footnote, cities: str) -> None:
    """Depth is bounded before it is walked."""
    filters = is_("a", "eq", 1)
    for _ in range(200):
        filters = all_of(filters)
    reply = footnote.client.post(f"/v1/vector_stores/{cities}/search", json={"query": "harbour", "filters": filters})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "filters")


def test_max_num_results_and_score_threshold_shorten_the_page(footnote: Footnote, cities: str) -> None:
    """At most so many, and none below the threshold."""
    assert len(footnote.search(cities, "harbour", max_num_results=2)) == 2
    every = footnote.search(cities, "harbour of Oslo freezes")
    cut = (every[0]["score"] + every[1]["score"]) / 2
    above = footnote.search(cities, "harbour of Oslo freezes", ranking_options={"score_threshold": cut})
    assert above == every[:1]


def test_hybrid_weights_decide_which_side_counts(footnote: Footnote, cities: str) -> None:
    """With one weight at 0 that side's scores are absent; both at 0 is refused."""
    words = {"hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
    meaning = {"hybrid_search": {"embedding_weight": 2, "text_weight": 0}}
    assert {hit["scores"]["dense"] for hit in footnote.search(cities, "canal", ranking_options=words)} == {None}
    assert names(footnote.search(cities, "canal", ranking_options=words)) == {"kiel"}
    by_meaning = footnote.search(cities, "canal", ranking_options=meaning)
    assert {hit["scores"]["lexical"] for hit in by_meaning} == {None}
    assert len(by_meaning) == 4
    neither = {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}
    reply = footnote.client.post(
        f"/v1/vector_stores/{cities}/search", json={"query": "canal", "ranking_options": neither}
    )
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "ranking_options.hybrid_search")


@pytest.mark.parametrize(
    "query", ["", "   ", [], [""], ["harbour", " "], ["x"] * 21, 5, None, "x" * 16_001, ["x" * 16_001]]
)
def test_a_query_that_is_blank_too_long_or_no_text_is_refused(footnote: Footnote, cities: str, query: Any) -> None:
    """It is a 400 that names the query."""
    reply = footnote.client.post(f"/v1/vector_stores/{cities}/search", json={"query": query})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"].startswith("query")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_num_results": 0}, "max_num_results"),
        ({"max_num_results": 51}, "max_num_results"),
        ({"ranking_options": {"score_threshold": 1.1}}, "ranking_options.score_threshold"),
        ({"ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        ({"top_k": 5}, "top_k"),
    ],
)
def test_a_wrong_option_is_refused_by_name(footnote: Footnote, cities: str, body: dict[str, Any], param: str) -> None:
    """Nothing that was asked for is silently left undone."""
    reply = footnote.client.post(f"/v1/vector_stores/{cities}/search", json={"query": "harbour", **body})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_the_reply_says_what_was_searched(footnote: Footnote, cities: str) -> None:
    """Without a language model a query that may be rewritten stays as it is."""
    for query in ("harbour", ["harbour", "castle"]):
        reply = footnote.client.post(
            f"/v1/vector_stores/{cities}/search", json={"query": query, "rewrite_query": True}
        ).json()
        assert reply["search_query"] == ([query] if isinstance(query, str) else query)
        assert reply["data"] == footnote.search(cities, query)


def test_odd_queries_are_searched_like_any_other(footnote: Footnote, cities: str) -> None:
    """Operators of the search engine, quotes, emoji and other scripts are words, not syntax."""
    for query in (
        'harbour AND "',
        "NEAR(harbour)",
        "harbour*",
        "'; DROP TABLE chunks; --",
        "🚢",
        "ميناء",
        "港",
        "\x00",
        "-",
    ):
        footnote.search(cities, query)
    assert names(footnote.search(cities, 'OR "Riga" NOT (harbour', max_num_results=1)) == {"riga"}


def test_a_search_of_an_empty_store_finds_nothing(footnote: Footnote) -> None:
    """No documents, no hits, no error."""
    assert footnote.search(footnote.store(), "harbour") == []


def test_a_search_explains_itself(footnote: Footnote, cities: str) -> None:
    """Every stage names its candidates with rank, chunk and score; the last one is what was returned."""
    body = {"query": "canal of Kiel", "max_num_results": 2, "explain": True}
    page = footnote.client.post(f"/v1/vector_stores/{cities}/search", json=body).json()
    stages = {stage["name"]: stage["candidates"] for stage in page["explanation"]["stages"]}
    assert {"dense", "lexical", "fused", "loaded", "returned"} <= stages.keys()
    assert [hit["chunk_id"] for hit in page["data"]] == [one["chunk_id"] for one in stages["returned"]]
    assert [one["rank"] for one in stages["fused"]] == [1, 2, 3, 4]
    assert "explanation" not in footnote.client.post(f"/v1/vector_stores/{cities}/search", json={"query": "a"}).json()


def test_boosts_and_recency_travel_with_the_request(footnote: Footnote, cities: str) -> None:
    """A boosted country comes first; the older half is halved; a wrong filter in a boost is refused by name."""
    boosts = [{"filters": is_("country", "eq", "LV"), "factor": 100}]
    hits = footnote.search(cities, "harbour of Oslo, a river", ranking_options={"boosts": boosts})
    assert hits[0]["attributes"]["country"] == "LV"
    recency = {"half_life_days": 1, "weight": 1, "key": "people"}
    hits = footnote.search(cities, "harbour of Oslo", ranking_options={"recency": recency})
    assert all(hit["score"] < 1e-6 for hit in hits)
    body = {"query": "a", "ranking_options": {"boosts": [{"filters": {"type": "like"}, "factor": 2}]}}
    reply = footnote.client.post(f"/v1/vector_stores/{cities}/search", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "filters")
    body = {"query": "a", "ranking_options": {"diversity": 2}}
    reply = footnote.client.post(f"/v1/vector_stores/{cities}/search", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "ranking_options.diversity")

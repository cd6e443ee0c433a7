"""GET /metrics: what the operator watches, and nobody else's data."""

import re

import pytest

from catalog import keys
from catalog.models import DEFAULT_PROJECT
from tests.integration.conftest import Footnote, StartFootnote

# Names of stages, states and our parts, and of the operator's own profiles and servers.
LABELS = {"stage", "status", "cache", "le", "model", "outcome", "kind", "upstream", "rating"}


def values(footnote: Footnote, **headers: str) -> dict[str, float]:
    """Return each sample by its name with labels."""
    reply = footnote.client.get("/metrics", headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/plain; version=")
    lines = [line for line in reply.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_queries_count_as_cached_or_not(start: StartFootnote) -> None:
    """A question that was asked before is a hit; each search is counted, with the seconds of its stages."""
    with start(search_cache=0) as footnote:
        store = footnote.store(name="house")
        footnote.add(store)
        before = values(footnote)
        for query in ("What of the roof?", "What of the roof?", "And the garden?"):
            footnote.search(store, query)
        after = values(footnote)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown('footnote_query_embeddings_total{cache="hit"}') == 1
    assert grown('footnote_query_embeddings_total{cache="miss"}') == 2
    assert grown("footnote_searches_total") == 3
    for stage in ("catch_up", "embed", "candidates", "rank"):
        assert grown(f'footnote_search_stage_seconds_count{{stage="{stage}"}}') == 3
        assert grown(f'footnote_search_stage_seconds_bucket{{le="+Inf",stage="{stage}"}}') == 3


def test_searches_and_answers_count_as_cached_or_not(start: StartFootnote) -> None:
    """A repetition is a hit; every search is counted as one, from the cache too. An answer's search is one."""
    names = [
        f'footnote_{what}_cache_total{{cache="{cache}"}}' for what in ("search", "answer") for cache in ("hit", "miss")
    ]
    with start(answer_cache=10) as footnote:
        store = footnote.store(name="house")
        footnote.add(store)
        before = values(footnote)
        for _ in range(3):
            footnote.search(store, "What of the roof?")
            footnote.respond("What guarantee has the roof?", store)
        after = values(footnote)
    grown = [after[name] - before.get(name, 0.0) for name in (*names, "footnote_searches_total")]
    assert grown == [2, 2, 2, 1, 4]


def test_feedback_is_counted_by_rating(fresh: Footnote) -> None:
    """What is kept: said again it counts once, and deleted with its answer it does not."""
    store = fresh.store(name="house")
    fresh.add(store)
    made = [fresh.respond("What guarantee has the roof?", store)["id"] for _ in range(2)]
    for response_id, rating in ((made[0], "down"), (made[0], "up"), (made[1], "down")):
        fresh.client.post(f"/v1/responses/{response_id}/feedback", json={"rating": rating})

    def counted() -> tuple[float, float]:
        found = values(fresh)
        return found['footnote_feedback{rating="up"}'], found['footnote_feedback{rating="down"}']

    assert counted() == (1, 1)
    fresh.client.delete(f"/v1/responses/{made[1]}")
    assert counted() == (1, 0)


def test_chunks_count_as_reused_or_not(fresh: Footnote) -> None:
    """What was embedded for another document of the same title is there already."""
    hit, miss = ('footnote_document_embeddings_total{cache="hit"}', 'footnote_document_embeddings_total{cache="miss"}')
    # Two strategies with the same single chunk: the document is no copy, but its vectors are.
    counts = [values(fresh)]
    for size in (800, 900):
        strategy = {"type": "static", "static": {"max_chunk_size_tokens": size, "chunk_overlap_tokens": 0}}
        fresh.add(fresh.store(name=f"of {size}"), chunking_strategy=strategy)
        counts.append(values(fresh))
    before, first, second = counts
    assert (first.get(hit, 0) - before.get(hit, 0), first[miss] - before.get(miss, 0)) == (0, 1)
    assert (second[hit] - first.get(hit, 0), second[miss] - first[miss]) == (1, 0)


def test_jobs_are_counted_by_status(fresh: Footnote) -> None:
    """As the catalog has them; each status is there, also with no file."""
    store = fresh.store(name="house")
    fresh.add(store)
    fresh.client.post(f"/v1/vector_stores/{store}/files", json={"file_id": fresh.upload("waits", "w.txt")})
    found = {name: value for name, value in values(fresh).items() if name.startswith("footnote_jobs")}
    assert found == {
        'footnote_jobs{status="in_progress"}': 1,
        'footnote_jobs{status="completed"}': 1,
        'footnote_jobs{status="failed"}': 0,
        'footnote_jobs{status="cancelled"}': 0,
    }


def test_nothing_of_anybodys_data_is_told(fresh: Footnote) -> None:
    """Labels are names of the operator's own and of our parts, and every metric is one of ours."""
    store = fresh.store(name="secret project")
    fresh.add(store)
    fresh.search(store, "What of the roof?")
    assert set(re.findall(r'(\w+)="', " ".join(values(fresh)))) <= LABELS
    assert all(name.startswith("footnote_") for name in values(fresh))


@pytest.mark.parametrize("headers", [{"host": "footnote.example"}, {"origin": "http://evil.example"}])
def test_without_keys_the_own_machine_alone_is_answered(fresh: Footnote, headers: dict[str, str]) -> None:
    """As for everything else."""
    assert fresh.client.get("/metrics", headers=headers).status_code == 403


def test_a_tenants_key_does_not_open_the_operators_counts(start: StartFootnote) -> None:
    """As soon as a key exists they need a token of their own."""
    with start() as footnote:
        key = make_key(footnote)
        assert footnote.client.get("/metrics").status_code == 403
        assert footnote.client.get("/metrics", headers={"authorization": f"Bearer {key}"}).status_code == 403


def test_the_operators_token_opens_them(start: StartFootnote) -> None:
    """From any machine, with or without keys; another token or none is 401."""
    with start(metrics_token="op-token") as footnote:
        make_key(footnote)
        assert "footnote_searches_total" in values(footnote, authorization="Bearer op-token", host="footnote.example")
        for headers in ({}, {"authorization": "Bearer other"}, {"authorization": "Bearer schlüssel".encode()}):
            assert footnote.client.get("/metrics", headers=headers).status_code == 401
        assert "op-token" not in repr(footnote.settings)


def make_key(footnote: Footnote) -> str:
    with footnote.services.catalog.database.write() as session:
        return keys.create(session, DEFAULT_PROJECT, "a test's")[1]

"""A service with caches answers exactly as one without: over random histories of two tenants' documents."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from catalog import documents, files, stores
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import Document, VectorStore, VectorStoreFile
from generation.answer_cache import CachedAnswers
from generation.answerer import Answer, Answerer, AnswerEvent, AnswerRequest
from generation.backends.extractive import ExtractiveGenerator
from generation.citations import Citation
from generation.prompts import load_template
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.embedders.query_cache import CachedQueries
from retrieval.filters import Filter, parse_filter
from retrieval.indexes.base import Scope
from retrieval.indexes.memory import MemoryIndex
from retrieval.replica import Replica
from retrieval.search_cache import CachedSearch
from retrieval.searcher import Ranking, Searcher, SearchRequest, VersionedSearch
from retrieval.stages import Boost
from tests.builders import IDENTITY, a_file, a_store, publish_text

SENTENCES = st.sampled_from(
    [
        "The pump in the cellar is checked every second spring.",
        "The pump in the yard was replaced in 2011.",
        "The roof was covered with slate and has a guarantee of forty years.",
        "The boiler was installed by Brandt Heating in the autumn of 2011.",
    ]
)
QUESTIONS = st.sampled_from(["When is the pump checked?", "Who installed the boiler?", "What covers the roof?"])
# To Python 1, 1.0 and True are one value; to a filter they are not.
VALUES = st.sampled_from([1, 1.0, True, "1", "a"])
FILTERS = st.one_of(
    st.none(),
    st.builds(
        lambda kind, value: parse_filter({"type": kind, "key": "k", "value": value}),
        st.sampled_from(["eq", "ne"]),
        VALUES,
    ),
)
RANKINGS = st.sampled_from(
    [
        Ranking(),
        Ranking(dense_weight=0.3, deduplicate=True),
        Ranking(boosts=[Boost(filter=parse_filter({"type": "eq", "key": "k", "value": "a"}), factor=2.0)]),
    ]
)
# What is another one each time, or tells of the caches themselves.
FRESH = {"nonce", "prompt_sha256", "seconds", "cache", "search_cache"}
TENANTS = ("proj_one", "proj_two")


class Service:
    """Searcher and answerer over one catalog, with an index of its own; with caches or without."""

    def __init__(self, database: Database, *, has_caches: bool) -> None:
        self.hits: dict[str, list[bool]] = {"search": [], "answer": []}
        embedder = CachedQueries(HashingEmbedder(), entries=4 if has_caches else 0)
        replica = Replica(database, MemoryIndex(dimension=64), identity=IDENTITY)
        plain = Searcher(database, replica, embedder)
        # Small, so that what is kept is driven out too.
        bounds = {"entries": 4, "max_bytes": 100_000}
        self.searcher: VersionedSearch = plain
        if has_caches:
            self.searcher = CachedSearch(plain, observe=self.hits["search"].append, **bounds)
        generator = ExtractiveGenerator(embedder, min_evidence=0.2)
        self.answerer: Any = Answerer(database, self.searcher, generator, load_template("answer"))
        if has_caches:
            self.answerer = CachedAnswers(
                self.answerer,
                self.searcher,
                database,
                setup="answer",
                is_random=False,
                observe=self.hits["answer"].append,
                **bounds,
            )

    def answer(self, request: AnswerRequest) -> list[AnswerEvent]:
        return list(self.answerer.answer(request))


class Histories(RuleBasedStateMachine):
    """Documents of two tenants come, change and go; every question is asked of both services."""

    database: Database
    blobs: BlobStore
    plain: Service
    cached: Service
    _numbers = itertools.count(1)

    def __init__(self) -> None:
        super().__init__()
        self.stores = {tenant: [a_store(self.database, project_id=tenant) for _ in range(2)] for tenant in TENANTS}
        # Store and file of what is there.
        self.alive: list[tuple[VectorStore, str]] = []
        self.gone: set[str] = set()

    @rule(tenant=st.sampled_from(TENANTS), place=st.integers(0, 1), texts=st.lists(SENTENCES, min_size=1, max_size=3),
          value=st.one_of(st.none(), VALUES), source=st.sampled_from([None, None, "a.txt"]))  # fmt: skip
    def publish(self, tenant: str, place: int, texts: list[str], value: Any, source: str | None) -> None:
        """With a source, in place of the file that came from there before."""
        store = self.stores[tenant][place]
        content = f"{next(self._numbers)} {texts}".encode()
        file = a_file(self.database, self.blobs, content, project_id=tenant)
        attributes = {} if value is None else {"k": value}
        publish_text(
            self.database, self.blobs, store, *texts, file=file, entry={"attributes": attributes, "source": source}
        )
        self.alive.append((store, file.id))
        self._forget_replaced()

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        """The file, with everything of it."""
        store, file_id = self.alive.pop(data.draw(st.integers(0, len(self.alive) - 1)))
        files.delete(self.database, self.blobs, store.project_id, file_id)
        self.gone.add(file_id)

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def detach(self, data: st.DataObject) -> None:
        """The file stays, without its store."""
        store, file_id = self.alive.pop(data.draw(st.integers(0, len(self.alive) - 1)))
        with self.database.write() as session:
            entry = stores.get_file(session, stores.get(session, store.project_id, store.id), file_id)
            stores.detach(self.database, session, entry)
        self.gone.add(file_id)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), value=VALUES)
    def change(self, data: st.DataObject, value: Any) -> None:
        """Give a file other attributes."""
        store, file_id = data.draw(st.sampled_from(self.alive))
        with self.database.write() as session:
            entry = stores.get_file(session, stores.get(session, store.project_id, store.id), file_id)
            stores.set_attributes(self.database, session, entry, {"k": value})

    @rule(tenant=st.sampled_from(TENANTS), places=st.sets(st.integers(0, 1)), question=QUESTIONS, wanted=FILTERS,
          ranking=RANKINGS, limit=st.sampled_from([1, 10]))  # fmt: skip
    def ask(
        self,
        tenant: str,
        places: set[int],
        question: str,
        wanted: Filter | None,
        ranking: Ranking,
        limit: int,
    ) -> None:
        """Both services say the same, of this tenant's documents alone, and of none that is gone."""
        own = frozenset(self.stores[tenant][place].id for place in places)
        scope = Scope(vector_store_ids=own, filter=wanted)
        search = SearchRequest(queries=[question], scope=scope, ranking=ranking, limit=limit)
        asked = AnswerRequest(question=question, scope=scope, ranking=ranking, max_results=limit)
        for _ in range(2):
            expected, found = (one.searcher.search(search) for one in (self.plain, self.cached))
            assert (expected.passages, expected.index_version) == (found.passages, found.index_version)
            expected_events, events = (one.answer(asked) for one in (self.plain, self.cached))
            assert [_said(event) for event in expected_events] == [_said(event) for event in events]
            cited = [event.source.passage.chunk for event in events if isinstance(event, Citation)]
            assert {chunk.vector_store_id for chunk in cited} <= own
            assert not self.gone & {chunk.file_id for chunk in cited}

    def _forget_replaced(self) -> None:
        with self.database.read() as session:
            there = {
                (entry.vector_store_id, entry.file_id)
                for entry in session.query(VectorStoreFile).join(
                    Document, Document.vector_store_file_id == VectorStoreFile.id
                )
            }
        for store, file_id in [one for one in self.alive if (one[0].id, one[1]) not in there]:
            self.alive.remove((store, file_id))
            self.gone.add(file_id)


def _said(event: AnswerEvent) -> Any:
    """Return an event without what is another one each time."""
    if not isinstance(event, Answer):
        return event
    fields = {name: getattr(event, name) for name in Answer.__slots__}
    return fields | {"trace": {name: value for name, value in event.trace.items() if name not in FRESH}}


@pytest.fixture
def services(database: Database) -> Iterator[tuple[Service, Service]]:
    made = Service(database, has_caches=False), Service(database, has_caches=True)
    yield made
    for service in made:
        service.searcher.close()


def test_caches_change_nothing_but_the_time(
    database: Database, blobs: BlobStore, services: tuple[Service, Service]
) -> None:
    """Searches and answers agree step by step, and a good part of them came from the caches."""
    Histories.database, Histories.blobs = database, blobs
    Histories.plain, Histories.cached = services
    run_state_machine_as_test(
        Histories,
        settings=settings(max_examples=6, stateful_step_count=40, deadline=None, derandomize=True, database=None),
    )
    hits = Histories.cached.hits
    assert min(sum(told) for told in hits.values()) > 40
    assert min(len(told) - sum(told) for told in hits.values()) > 40


def test_no_answer_outlives_its_document(database: Database, blobs: BlobStore) -> None:
    """A deletion that commits between the look at the index and the cache is seen by the next request."""
    service = Service(database, has_caches=True)
    store = a_store(database)
    document = publish_text(database, blobs, store, "The pump in the cellar is checked every second spring.")
    request = AnswerRequest(question="When is the pump checked?", scope=Scope(vector_store_ids=frozenset([store.id])))
    assert [service.answer(request)[-1].outcome for _ in range(2)] == ["answered", "answered"]
    with database.write() as session:
        documents.remove(database, session, Document.id == document)
    last = service.answer(request)[-1]
    assert (last.outcome, last.passages, service.hits["answer"]) == ("not_in_documents", [], [False, True, False])
    service.searcher.close()

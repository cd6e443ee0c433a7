"""An answer from the cache is the same one again, from documents that still say so."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from catalog import documents
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import InvalidRequest
from catalog.models import Document, VectorStore
from generation.answer_cache import CachedAnswers
from generation.answerer import Answer, Answerer, AnswerEvent, AnswerRequest
from generation.backends.base import NO_ANSWER, FinishReason, Sampling
from generation.prompts import load_template
from generation.writing import Outcome
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.searcher import Ranking
from retrieval.stages import Recency
from tests.builders import a_scope, publish_text
from tests.unit.generation.scripted import ScriptedModel
from tests.unit.generation.test_answerer import PUMP, ROOF, Desk

GREEDY = Sampling(max_tokens=7, temperature=0)


class CachedDesk(Desk):
    """A desk whose answers are kept; `hits` tells of each that may be."""

    def __init__(self, database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> None:
        super().__init__(database, blobs, embedder)
        self.hits: list[bool] = []
        self.generator = ScriptedModel(f"{PUMP} [1]")
        self.cached = self.around(self.generator)

    def around(self, generator: ScriptedModel, **options: Any) -> CachedAnswers:
        answerer = Answerer(self.database, self.searcher, generator, load_template("answer"))
        fields = {"setup": "a prompt", "is_random": True, "entries": 10, "max_bytes": 1 << 20}
        return CachedAnswers(answerer, self.searcher, self.database, observe=self.hits.append, **fields | options)

    def request(self, **overrides: Any) -> AnswerRequest:
        fields = {"question": "pump checked spring", "scope": a_scope(self.store.id), "sampling": GREEDY}
        return AnswerRequest(**fields | overrides)

    def events(self, **overrides: Any) -> list[AnswerEvent]:
        return list(self.cached.answer(self.request(**overrides)))

    def last(self, **overrides: Any) -> Answer:
        answer = self.events(**overrides)[-1]
        assert isinstance(answer, Answer)
        return answer


@pytest.fixture
def desk(database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> CachedDesk:
    return CachedDesk(database, blobs, embedder)


def test_the_same_events_come_again(desk: CachedDesk) -> None:
    """Passages, text piece by piece, citations, answer; nothing is generated for it, and the trace says so."""
    *first, drawn = desk.events()
    *again, given = desk.events()
    assert first == again
    assert isinstance(drawn, Answer)
    assert isinstance(given, Answer)
    assert (drawn.trace["cache"], given.trace["cache"], desk.hits) == ("miss", "hit", [False, True])
    assert len(desk.generator.prompts) == 1
    assert given.trace["seconds"].keys() == {"cache"}
    same = {name: getattr(given, name) for name in Answer.__slots__ if name != "trace"}
    assert same == {name: getattr(drawn, name) for name in Answer.__slots__ if name != "trace"}
    kept = {name: value for name, value in given.trace.items() if name not in {"cache", "seconds"}}
    assert kept == {name: drawn.trace[name] for name in kept}


@pytest.mark.parametrize("script", [NO_ANSWER, PUMP])
def test_refusals_and_texts_without_a_footnote_are_kept_too(desk: CachedDesk, script: str) -> None:
    """They are what the documents give, as any answer."""
    desk.generator.replies = [script]
    assert [desk.last().outcome for _ in range(2)] == [
        Outcome.NOT_IN_DOCUMENTS if script == NO_ANSWER else Outcome.UNSUPPORTED
    ] * 2
    assert desk.hits == [False, True]


@pytest.mark.parametrize(
    "overrides",
    [
        {"question": "pump checked"},
        {"max_results": 1},
        {"scope": a_scope("vs_other")},
        {"sampling": Sampling(max_tokens=8, temperature=0)},
        {"ranking": Ranking(dense_weight=0.2)},
    ],
)
def test_another_request_is_answered_anew(desk: CachedDesk, overrides: dict[str, Any]) -> None:
    """Whatever of it differs."""
    desk.events()
    assert desk.last(**overrides).trace["cache"] == "miss"


@pytest.mark.parametrize(
    ("is_random", "overrides", "is_cached"),
    [
        (True, {"sampling": Sampling(temperature=0)}, True),
        (True, {"sampling": Sampling(temperature=0.1)}, False),
        (True, {"sampling": Sampling()}, False),
        (False, {"sampling": Sampling(temperature=1)}, True),
        (False, {"ranking": Ranking(recency=Recency(half_life_days=1))}, False),
    ],
)
def test_only_what_comes_out_equal_each_time_is_kept(
    desk: CachedDesk, is_random: bool, overrides: dict[str, Any], is_cached: bool
) -> None:
    """A model that draws at random is asked each time, unless its temperature is 0, and so is what depends on time."""
    desk.cached = desk.around(desk.generator, is_random=is_random)
    marks = [desk.last(**overrides).trace.get("cache") for _ in range(2)]
    assert marks == (["miss", "hit"] if is_cached else [None, None])


def test_an_answer_that_was_cut_is_not_kept(desk: CachedDesk) -> None:
    """By its reader's going away, or by an error in it."""
    list(desk.cached.answer(desk.request(), cancelled=lambda: True))
    assert desk.last().finish_reason is FinishReason.STOP

    def fail() -> None:
        raise RuntimeError("The card is gone.")

    desk.generator.deed = fail
    for _ in range(2):
        with pytest.raises(RuntimeError, match="card"):
            desk.last(question="pump")
    assert desk.hits == [False, False, False, False]


def test_a_reader_that_stops_half_way_leaves_nothing(desk: CachedDesk) -> None:
    """The events that it did not take were never drawn."""
    events = desk.cached.answer(desk.request())
    next(events)
    events.close()  # type: ignore[attr-defined] # It is a generator.
    assert desk.last().trace["cache"] == "miss"


def removed(desk: CachedDesk) -> None:
    with desk.database.write() as session:
        documents.remove(desk.database, session, Document.id == desk.ids[1])


def damaged(desk: CachedDesk) -> None:
    """Change a text behind the feed's back."""
    with desk.database.write() as session:
        session.execute(text("UPDATE documents SET text = 'The pump is never checked by anybody at all.'"))


@pytest.mark.parametrize("change", [removed, damaged])
def test_after_a_change_it_is_answered_anew(desk: CachedDesk, change: Callable[[CachedDesk], None]) -> None:
    """Any change of the catalog, and a citation that does not read the same although there was none."""
    desk.events()
    change(desk)
    assert desk.last().trace["cache"] == "miss"


def test_what_was_published_while_it_was_written_counts(desk: CachedDesk, blobs: BlobStore) -> None:
    """The answer belongs to the state before; the next one sees the new document."""
    desk.generator.deed = lambda: publish_text(desk.database, blobs, desk.store, "pump checked spring")
    desk.events()
    desk.generator.deed = lambda: None
    answer = desk.last()
    assert (answer.trace["cache"], len(answer.passages)) == ("miss", 3)


def test_an_expired_store_is_refused_from_the_cache_too(desk: CachedDesk) -> None:
    """As a search of it is."""
    desk.events()
    with desk.database.write() as session:
        store = session.get_one(VectorStore, desk.store.id)
        store.expires_after_days, store.last_active_at = 1, 0.0
    with pytest.raises(InvalidRequest, match="expired"):
        desk.events()


def test_the_tokens_of_a_question_are_counted_by_the_answerer(desk: CachedDesk) -> None:
    """A count is no answer."""
    plain = Answerer(desk.database, desk.searcher, desk.generator, load_template("answer"))
    assert desk.cached.count_input(desk.request()) == plain.count_input(desk.request()) > len(ROOF.split())


def test_citations_are_the_ones_that_were_read_again(desk: CachedDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is read from the database before any event of a kept answer goes out."""
    desk.events()
    read: list[Sequence[int]] = []
    whole = documents.text_range

    def noted(session: Any, document_id: int, start: int, end: int) -> str | None:
        read.append((document_id, start, end))
        return whole(session, document_id, start, end)

    monkeypatch.setattr(documents, "text_range", noted)
    events = desk.cached.answer(desk.request())
    next(events)
    assert read == [(desk.ids[0], 0, len(PUMP))]

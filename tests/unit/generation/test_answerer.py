"""An answer's citations were all re-read; what cannot be cited is said to be so."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pytest
from sqlalchemy import text

from catalog import documents
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.models import Document, VectorStore
from generation.answerer import Answer, Answerer, AnswerRequest
from generation.backends.base import NO_ANSWER, Finished, FinishReason, Generator, Prompt, Sampling, TextDelta, Usage
from generation.citations import Citation
from generation.conversation import Rewriter
from generation.prompts import PromptTemplate, load_template
from generation.sourcing import Searched, Searching
from generation.turns import Turn
from generation.writing import REFUSAL_TEXT, Outcome
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.indexes.memory import MemoryIndex
from retrieval.replica import Replica
from retrieval.searcher import Searcher
from tests.builders import IDENTITY, a_scope, a_store, publish_text
from tests.unit.generation.scripted import ScriptedModel

PUMP, ROOF = "The pump is checked every second spring.", "The roof was covered with slate."


class ScriptedGenerator:
    """Says what it is told to, a word at a time; keeps the prompt; does `deed` before it begins."""

    name = "scripted"
    calls_tools = False
    source_tokens = 100

    def __init__(self, script: str, deed: Callable[[], Any] = lambda: None) -> None:
        self.script = script
        self.deed = deed
        self.prompts: list[Prompt] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(
        self, prompt: Prompt, *, sampling: Sampling, cancelled: Callable[[], bool]
    ) -> Iterator[TextDelta | Finished]:
        self.prompts.append(prompt)
        self.deed()
        for position in range(0, len(self.script), 3):
            if cancelled():
                yield Finished(reason=FinishReason.CANCELLED, usage=Usage(input_tokens=1, output_tokens=0))
                return
            yield TextDelta(text=self.script[position : position + 3])
        usage = Usage(input_tokens=5, output_tokens=sampling.max_tokens)
        yield Finished(reason=FinishReason.STOP, usage=usage, evidence=0.7)

    def close(self) -> None:
        """Nothing is held."""


class Desk:
    """A store with two documents, and a way to ask about them."""

    def __init__(self, database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> None:
        self.database = database
        self.store: VectorStore = a_store(database)
        self.ids = [publish_text(database, blobs, self.store, each) for each in (PUMP, ROOF)]
        self.searcher = Searcher(database, Replica(database, MemoryIndex(dimension=64), identity=IDENTITY), embedder)

    def ask(
        self,
        generator: Generator,
        question: str = "pump checked spring",
        *,
        turns: Sequence[Turn] = (),
        template: PromptTemplate | None = None,
        rewriter: Rewriter | None = None,
        reads_neighbours: bool = False,
        max_results: int = 10,
        steps: int = 1,
        **options: Any,
    ) -> list[Any]:
        template = template or load_template("answer")
        own = {"rewriter": rewriter, "reads_neighbours": reads_neighbours}
        answerer = Answerer(self.database, self.searcher, generator, template, **own)
        request = AnswerRequest(
            question=question,
            turns=turns,
            scope=a_scope(self.store.id),
            max_results=max_results,
            steps=steps,
            sampling=Sampling(max_tokens=7),
        )
        return list(answerer.answer(request, **options))

    def answer(self, script: str, deed: Callable[[], Any] = lambda: None) -> Answer:
        answer = self.ask(ScriptedGenerator(script, deed))[-1]
        assert isinstance(answer, Answer)
        return answer


@pytest.fixture
def desk(database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> Desk:
    return Desk(database, blobs, embedder)


def test_a_supported_claim_is_cited(desk: Desk) -> None:
    """The citation is the sentence in the stored text, and the mark goes behind the claim."""
    answer = desk.answer(f"{PUMP} [1]")
    (citation,) = answer.citations
    assert (answer.text, answer.outcome, answer.finish_reason) == (PUMP, Outcome.ANSWERED, FinishReason.STOP)
    assert (desk.ids[0], PUMP, len(PUMP), 1) == (
        citation.source.passage.chunk.document_id,
        citation.quote,
        citation.index,
        citation.number,
    )
    with desk.database.read() as session:
        assert documents.text_range(session, desk.ids[0], citation.start, citation.end) == PUMP
    assert Usage(input_tokens=5, output_tokens=7) == answer.usage


def test_events_come_in_order_and_add_up(desk: Desk) -> None:
    """First what was found, then text and citations, last the answer, which is their sum."""
    begun, first, *middle, last = desk.ask(ScriptedGenerator(f"{PUMP} [1] {ROOF} [2]"))
    assert begun == Searching(queries=["pump checked spring"])
    assert isinstance(first, Searched)
    assert isinstance(last, Answer)
    assert last.text == "".join(event.text for event in middle if isinstance(event, TextDelta)) == f"{PUMP} {ROOF}"
    assert list(last.citations) == [event for event in middle if isinstance(event, Citation)]
    assert [citation.number for citation in last.citations] == [1, 2]
    assert first.passages == last.passages


def test_forged_and_wrong_markers_are_dropped(desk: Desk) -> None:
    """A number that is no source and a source that says something else give no footnote; the trace has them."""
    answer = desk.answer(f"{PUMP} [9][2][1]")
    assert [citation.source.number for citation in answer.citations] == [1]
    assert answer.trace["dropped_markers"] == [9, 2]
    assert answer.outcome == Outcome.ANSWERED


@pytest.mark.parametrize("script", [f"{PUMP}", f"{PUMP} [9]", "The violin comes from Italy. [1]"])
def test_an_answer_without_a_citation_that_holds_is_unsupported(desk: Desk, script: str) -> None:
    """It is given out, and marked as what it is."""
    answer = desk.answer(script)
    assert (answer.outcome, answer.citations) == (Outcome.UNSUPPORTED, [])
    assert "[" not in answer.text


@pytest.mark.parametrize("script", [NO_ANSWER, f" {NO_ANSWER} ", "", " \n"])
def test_a_refusal_is_said_in_words(desk: Desk, script: str) -> None:
    """The sign never leaves, and silence is a refusal too."""
    *events, answer = desk.ask(ScriptedGenerator(script))
    assert (answer.text, answer.outcome, answer.citations) == (REFUSAL_TEXT, Outcome.NOT_IN_DOCUMENTS, [])
    assert events[-1].text == REFUSAL_TEXT


@pytest.mark.parametrize("deed", ["removed", "changed"])
def test_a_citation_that_does_not_read_the_same_any_more_is_dropped(desk: Desk, deed: str) -> None:
    """Between search and answer the document went, or says something else there."""

    def change() -> None:
        with desk.database.write() as session:
            if deed == "removed":
                documents.remove(desk.database, session, Document.id == desk.ids[0])
            else:
                session.execute(text("UPDATE documents SET text = 'The pump is never checked by anybody at all.'"))

    answer = desk.answer(f"{PUMP} [1]", change)
    assert (answer.outcome, answer.citations, answer.trace["dropped_markers"]) == (Outcome.UNSUPPORTED, [], [1])


def test_the_trace_explains_the_answer(desk: Desk) -> None:
    """Sources, candidates with scores, prompt and stages are there, and the nonce is a new one each time."""
    generator = ScriptedGenerator(f"{PUMP} [1]")
    answers = [desk.ask(generator)[-1] for _ in range(2)]
    trace = answers[0].trace
    assert [p.chunk.chunk_id for p in answers[0].passages] == [source["chunk_id"] for source in trace["sources"]]
    assert ([desk.store.id], "pump checked spring") == (trace["stores"], trace["question"])
    assert trace["sampling"] == {**asdict(Sampling()), "max_tokens": 7}
    assert {"catch_up", "embed", "candidates", "rank", "generate"} == trace["seconds"].keys()
    assert [(p.chunk.chunk_id, p.score) for p in answers[0].passages] == [
        (c["chunk_id"], c["score"]) for c in trace["candidates"]
    ]
    assert trace["generator"] == "scripted"
    assert {"name", "version", "sha256"} == answers[0].prompt.keys()
    assert answers[0].index_version == 2
    assert answers[0].trace["nonce"] != answers[1].trace["nonce"]
    assert (answers[0].evidence, trace["evidence"]) == (0.7, 0.7)
    assert trace["nonce"] in generator.prompts[0].messages[-1].content
    # So that a server keeps the beginning of every prompt in its memory.
    assert len({prompt.messages[0].content for prompt in generator.prompts}) == 1


def test_passages_beyond_the_generators_budget_are_left_out(desk: Desk) -> None:
    """The prompt holds what fits, and the trace names the rest."""
    generator = ScriptedGenerator(f"{PUMP} [1]")
    generator.source_tokens = 14
    answer = desk.ask(generator)[-1]
    assert [source.text for source in generator.prompts[0].sources] == [PUMP]
    assert len(answer.trace["left_out"]) == 1


def test_a_cancelled_answer_says_so(desk: Desk) -> None:
    """The generator is told, and the answer ends with that reason."""
    answer = desk.ask(ScriptedGenerator(PUMP), cancelled=lambda: True)[-1]
    assert answer.finish_reason == FinishReason.CANCELLED


BEFORE = Turn(question="When is the pump checked?", answer="Every second spring.", file_ids=["file-7"])


def test_a_follow_up_is_searched_behind_the_question_before(desk: Desk) -> None:
    """Without a language model: by rule, with the question in the prompt as it is searched, and no earlier turn."""
    generator = ScriptedGenerator(f"{PUMP} [1]")
    _, searched, *_, answer = desk.ask(generator, "And the roof?", turns=[BEFORE])
    alone = "When is the pump checked?\nAnd the roof?"
    assert (searched.queries, searched.recalled) == (["And the roof?", alone], [])
    assert generator.prompts[0].question == alone
    assert "Every second spring." not in generator.prompts[0].messages[-1].content
    assert (answer.trace["queries"], answer.trace["recalled"]) == (["And the roof?", alone], [])
    assert "conversation" not in desk.answer(PUMP).trace


def test_a_language_model_reads_the_conversation(desk: Desk) -> None:
    """It makes the question stand alone and has the turns before it; what they draw on is told before any text."""
    model = ScriptedModel("What was the roof covered with?", f"{ROOF} [1]")
    rewriter = Rewriter(model, rewrite=load_template("rewrite"), compaction=load_template("compaction"))
    _, searched, *_, answer = desk.ask(model, "And the roof?", turns=[BEFORE], rewriter=rewriter)
    assert (searched.queries[1], searched.recalled) == ("What was the roof covered with?", ["file-7"])
    assert "User: When is the pump checked?\nAssistant: Every second spring." in model.asked()[1]
    assert model.asked()[1].endswith("Question: What was the roof covered with?")
    assert answer.trace["conversation"]["rewritten"] is True
    assert answer.trace["recalled"] == ["file-7"]
    assert {"rewrite", "generate"} < answer.trace["seconds"].keys()
    assert answer.outcome == Outcome.ANSWERED


def test_turns_take_room_from_sources(desk: Desk) -> None:
    """Together they stay in the generator's budget."""
    turn = Turn(question="Is it checked?", answer="Yes, every spring.")
    model = ScriptedModel("What was the roof covered with?", PUMP, source_tokens=26)
    rewriter = Rewriter(model, rewrite=load_template("rewrite"), compaction=load_template("compaction"))
    with_turns = desk.ask(model, "And the roof?", turns=[turn], rewriter=rewriter)[-1]
    without = desk.ask(ScriptedModel(PUMP, source_tokens=26), "And the roof?")[-1]
    assert (len(with_turns.trace["sources"]), len(without.trace["sources"])) == (1, 2)


def test_thoughts_are_kept_with_the_trace_alone(desk: Desk) -> None:
    """Numbers in them are no footnotes, and a model that only thinks has not answered."""
    template = load_template("answer-reasoning")
    *events, answer = desk.ask(ScriptedModel(f"Source [1] says so. FINAL ANSWER: {PUMP} [1]"), template=template)
    assert (answer.text, len(answer.citations)) == (PUMP, 1)
    assert answer.trace["reasoning"] == "Source [1] says so."
    assert "says so" not in "".join(event.text for event in events if isinstance(event, TextDelta))
    lost = desk.ask(ScriptedModel(f"{PUMP} [1]"), template=template)[-1]
    assert (lost.outcome, lost.text) == (Outcome.NOT_IN_DOCUMENTS, REFUSAL_TEXT)


def test_a_long_passage_is_cut_and_its_footnotes_hold(desk: Desk, blobs: BlobStore) -> None:
    """The trace says where the prompt's part of a chunk ends."""
    long = f"{PUMP} " + "Other things are written here too. " * 20
    document_id = publish_text(desk.database, blobs, desk.store, long.strip())
    answer = desk.ask(ScriptedModel(f"{PUMP} [1]", source_tokens=40), "Other things written here too")[-1]
    ((chunk_id, end),) = answer.trace["cut"].items()
    assert (int(chunk_id), 0 < end < len(long)) == (answer.trace["sources"][0]["chunk_id"], True)
    (citation,) = answer.citations
    assert (citation.source.passage.chunk.document_id, citation.quote) == (document_id, PUMP)


def test_neighbours_are_read_and_can_be_cited(desk: Desk, blobs: BlobStore) -> None:
    """In the order of the document beside the passage that was found, and only where it is asked for."""
    texts = ["It begins with hills.", "A violin plays quietly.", "It ends with rivers."]
    publish_text(desk.database, blobs, desk.store, *texts)
    question, script = "violin plays quietly", f"{texts[2]} [3]"

    def sources(**options: Any) -> tuple[list[str], Answer]:
        model = ScriptedModel(script)
        answer = desk.ask(model, question, max_results=1, **options)[-1]
        return [source.text for source in model.prompts[0].sources], answer

    assert sources()[0] == [texts[1]]
    together, answer = sources(reads_neighbours=True)
    assert together == texts
    (citation,) = answer.citations
    assert (citation.quote, citation.source.passage.score) == (texts[2], answer.passages[0].score)


def test_what_is_found_leads_on(desk: Desk, blobs: BlobStore) -> None:
    """The second step searches for the name that the first one brought up; all queries are told."""
    publish_text(desk.database, blobs, desk.store, "Those who check the pump every spring work for Hollin Bay.")
    publish_text(desk.database, blobs, desk.store, "The office of Hollin Bay has a telephone.")
    question = "Which office do those who check the pump every spring work for?"
    _, once, *_ = desk.ask(ScriptedModel("?"), question)
    _, searched, *_, answer = desk.ask(ScriptedModel("?"), question, steps=2)
    assert (once.queries, len(searched.queries)) == ([question], 2)
    assert searched.queries[1].endswith("Hollin Bay")
    ranks = [["telephone" in one.chunk.text for one in event.passages].index(True) for event in (once, searched)]
    assert ranks[1] < ranks[0]
    assert answer.trace["queries"] == searched.queries

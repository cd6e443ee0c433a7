"""A model that searches by calling file_search finds its sources and writes, and cannot do anything else."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ServiceUnavailable
from catalog.models import VectorStore
from generation.answerer import Answer, Answerer, AnswerRequest
from generation.backends.base import FinishReason, TextDelta, ToolCall, Usage
from generation.conversation import Rewriter
from generation.prices import Price
from generation.prompts import load_template
from generation.prompts.template import parse_template
from generation.replay import Replay, digest, replay
from generation.sourcing import Searched, Searching
from generation.turns import Turn
from generation.writing import Outcome
from retrieval.embedders.hashing import HashingEmbedder
from retrieval.filters import Comparison
from retrieval.indexes.base import Scope
from retrieval.indexes.memory import MemoryIndex
from retrieval.replica import Replica
from retrieval.searcher import Searcher
from tests.builders import IDENTITY, a_store, publish_text
from tests.unit.generation.scripted import CallingModel, Reply, a_search

PUMP, ROOF, BOILER = (
    "The pump is checked every second spring.",
    "The roof was covered with slate.",
    "The boiler was installed by Brandt Heating.",
)
FOREIGN = "The pump of another tenant is checked daily."
QUESTION = "When is the pump checked, and what covers the roof?"


class Desk:
    """A store with three documents, one that is not asked, and a way to ask about them."""

    def __init__(self, database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> None:
        self.database = database
        self.store: VectorStore = a_store(database)
        self.ids = [publish_text(database, blobs, self.store, each) for each in (PUMP, ROOF, BOILER)]
        publish_text(database, blobs, a_store(database), FOREIGN)
        self.searcher = Searcher(database, Replica(database, MemoryIndex(dimension=64), identity=IDENTITY), embedder)
        self.scope = Scope(vector_store_ids=frozenset({self.store.id}))

    def ask(
        self, model: CallingModel, *, limit: int = 4, cancelled: Callable[[], bool] = lambda: False, **fields: Any
    ) -> list[Any]:
        rewriter = Rewriter(model, rewrite=load_template("rewrite"), compaction=load_template("compaction"))
        answerer = Answerer(
            self.database,
            self.searcher,
            model,
            load_template("search"),
            price=Price(input=1.0, output=10.0),
            rewriter=rewriter,
            max_calls=limit,
        )
        request = AnswerRequest(**{"question": QUESTION, "scope": self.scope, "max_results": 1} | fields)
        return list(answerer.answer(request, cancelled=cancelled))

    def answer(self, *replies: str | Reply, **options: Any) -> tuple[Answer, CallingModel]:
        model = CallingModel(*replies)
        answer = self.ask(model, **options)[-1]
        assert isinstance(answer, Answer)
        return answer, model

    def replayed(self, answer: Answer) -> Replay:
        with self.database.read() as session:
            # As the record keeps it.
            trace = json.loads(json.dumps(answer.trace))
            return replay(session, trace, answer.prompt, load=load_template)


@pytest.fixture
def desk(database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> Desk:
    return Desk(database, blobs, embedder)


def tool_results(model: CallingModel) -> list[str]:
    """Return what the calls were answered, as the last prompt has it."""
    return [message.content for message in model.prompts[-1].messages if message.role == "tool"]


def numbers(result: str) -> list[int]:
    return [int(number) for number in re.findall(r'<source-\w+ number="(\d+)"', result)]


def test_the_model_searches_until_it_writes(desk: Desk) -> None:
    """Each call is a search with its own events; the answer is cited from the sources of all, numbered through."""
    calls = [("", [a_search("pump spring")]), ("", [a_search("roof slate")])]
    model = CallingModel(*calls, f"{PUMP} [1] {ROOF} [2]")
    *events, answer = desk.ask(model)
    searches = [event for event in events if isinstance(event, Searching | Searched)]
    assert [type(event) for event in searches] == [Searching, Searched, Searching, Searched]
    assert [list(event.queries) for event in searches[::2]] == [["pump spring"], ["roof slate"]]
    assert events[:4] == searches
    assert [citation.quote for citation in answer.citations] == [PUMP, ROOF]
    assert (answer.text, answer.outcome) == (f"{PUMP} {ROOF}", Outcome.ANSWERED)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == answer.text
    assert answer.trace["queries"] == ["pump spring", "roof slate"]
    assert [numbers(result) for result in tool_results(model)] == [[1], [2]]
    assert [passage.chunk.text for passage in answer.passages] == [PUMP, ROOF]
    assert answer.prompt["name"] == "search"


def test_the_tool_is_offered_with_the_question_and_without_sources(desk: Desk) -> None:
    """The first prompt is rules and question; the tool is in every request, so that what they begin with is equal."""
    _, model = desk.answer(("", [a_search("pump")]), f"{PUMP} [1]")
    first, second = model.prompts
    assert [message.role for message in first.messages] == ["system", "user"]
    assert first.messages[-1].content.endswith(QUESTION)
    assert second.messages[:2] == first.messages
    assert [message.role for message in second.messages[2:]] == ["assistant", "tool"]
    assert [tool.name for tool in first.tools] == [tool.name for tool in second.tools] == ["file_search"]
    assert first.may_call
    assert second.may_call


def test_usage_and_cost_are_those_of_all_requests(desk: Desk) -> None:
    """Three requests of ten tokens read and three written."""
    answer, _ = desk.answer(("", [a_search("pump")]), ("", [a_search("roof")]), f"{PUMP} [1]")
    assert answer.usage == Usage(input_tokens=30, output_tokens=9)
    assert answer.trace["cost"] == pytest.approx((30 * 1.0 + 9 * 10.0) / 1e6)
    assert answer.trace["seconds"].keys() >= {"decide", "embed", "generate"}


def test_several_calls_of_one_reply_are_each_answered(desk: Desk) -> None:
    """In their order, each by a message of its own."""
    answer, model = desk.answer(("", [a_search("pump"), a_search("roof slate", "roof")]), f"{ROOF} [2]")
    (reply,) = [message for message in model.prompts[-1].messages if message.calls]
    answers = [message for message in model.prompts[-1].messages if message.role == "tool"]
    assert [call.call_id for call in reply.calls] == [message.call_id for message in answers]
    assert [numbers(message.content) for message in answers] == [[1], [2]]
    assert answer.trace["queries"] == ["pump", "roof slate", "roof"]


def test_no_source_is_given_twice(desk: Desk) -> None:
    """What is found again is named by its number."""
    _, model = desk.answer(("", [a_search("pump spring")]), ("", [a_search("pump checked")]), f"{PUMP} [1]")
    first, second = tool_results(model)
    assert numbers(first) == [1]
    assert numbers(second) == []
    assert "Nothing new was found." in second
    assert "Found again: [1]" in second


def test_the_budget_holds_over_all_calls(desk: Desk, blobs: BlobStore) -> None:
    """A call takes half of the room that is left; together they never take more than there is."""
    for number in range(30):
        publish_text(desk.database, blobs, desk.store, f"Valve {number} is opened in week {number} of the year. " * 2)
    model = CallingModel(*[("", [a_search(f"valve {n} week {n}")]) for n in range(4)], "[none]", source_tokens=200)
    desk.ask(model, max_results=30)
    given = [numbers(result) for result in tool_results(model)]
    assert [number for one in given for number in one] == list(range(1, sum(map(len, given)) + 1))
    assert 0 < len(given[1]) < len(given[0]) < 8
    assert sum(len(result.split()) for result in tool_results(model)) < 260


def test_behind_the_last_call_the_model_has_to_write(desk: Desk) -> None:
    """It is told so, and may not call any more; wrong calls count too."""
    wrong = ToolCall(call_id="", name="delete_files", arguments="{}")
    answer, model = desk.answer(("", [a_search("pump")]), ("", [wrong]), f"{PUMP} [1]", limit=2)
    assert [prompt.may_call for prompt in model.prompts] == [True, True, False]
    first, second = tool_results(model)
    assert "No further search" not in first
    assert "No further search is possible. Write the answer now." in second
    assert "Not done: there is no tool 'delete_files'" in second
    assert answer.outcome == Outcome.ANSWERED


def test_an_endless_loop_ends_at_the_limit(desk: Desk) -> None:
    """A model that only ever calls is asked to write once; that it did not is an error, and no refusal."""
    model = CallingModel(("", [a_search("pump")]))
    with pytest.raises(ServiceUnavailable, match="calls tools where it has to write"):
        desk.ask(model, limit=3)
    assert [prompt.may_call for prompt in model.prompts] == [True, True, True, False]


def test_calls_behind_the_last_word_are_passed_over(desk: Desk) -> None:
    """An answer that had to be written, and was, is not undone by them."""
    answer, model = desk.answer(("", [a_search("pump")]), (f"{PUMP} [1]", [a_search("more")]), limit=1)
    assert (answer.text, answer.outcome, len(model.prompts)) == (PUMP, Outcome.ANSWERED, 2)


def test_hundreds_of_calls_are_cut(desk: Desk) -> None:
    """Those within the limit are done; of the others the model hears their number alone."""
    *events, answer = desk.ask(model := CallingModel(("", [a_search("pump")] * 500), f"{PUMP} [1]"), limit=2)
    assert sum(isinstance(event, Searched) for event in events) == 2
    assert len(tool_results(model)) == 2
    assert "Calls beyond the limit were not done: 498." in tool_results(model)[-1]
    assert answer.outcome == Outcome.ANSWERED


@pytest.mark.parametrize(
    "arguments", ["", "{", "[]", '{"queries": []}', '{"queries": ["a"], "vector_store_ids": ["x"]}']
)
def test_a_wrong_call_is_answered_with_what_is_wrong(desk: Desk, arguments: str) -> None:
    """It searches nothing, and what is repeated of it is JSON."""
    wrong = ToolCall(call_id="", name="file_search", arguments=arguments)
    *events, answer = desk.ask(model := CallingModel(("", [wrong]), ("", [a_search("pump")]), f"{PUMP} [1]"))
    assert sum(isinstance(event, Searched) for event in events) == 1
    assert tool_results(model)[0].startswith("Not done: ")
    repeated = [call.arguments for message in model.prompts[-1].messages for call in message.calls]
    assert [json.loads(one) for one in repeated] == [{}, {"queries": ["pump"]}]
    assert answer.outcome == Outcome.ANSWERED


def test_wrong_calls_alone_end_in_a_search_for_the_question(desk: Desk) -> None:
    """No answer is written without a search."""
    wrong = ToolCall(call_id="", name="x", arguments="{}")
    answer, model = desk.answer(("", [wrong]), ("", [wrong]), f"{PUMP} [1]", max_calls=2)
    assert answer.trace["queries"] == [QUESTION]
    assert [prompt.may_call for prompt in model.prompts] == [True, True, False]
    assert answer.citations


def test_a_model_that_calls_nothing_answers_from_a_search_for_the_question(desk: Desk) -> None:
    """What it wrote before is not given out, nor in the prompt."""
    *events, answer = desk.ask(model := CallingModel("The pump is checked daily, I am sure. [1]", f"{PUMP} [1]"))
    assert [list(event.queries) for event in events if isinstance(event, Searching)] == [[QUESTION]]
    assert answer.text == PUMP
    assert "I am sure" not in str(model.prompts[-1].messages)
    assert len(model.prompts) == 2


def test_words_in_front_of_a_call_are_no_answer(desk: Desk) -> None:
    """They stay in the conversation with the model, with nothing hidden in them, and never reach the reader."""
    preamble = "I look for the roof.<|im_end|>\ud800"
    replies = [("First the pump.", [a_search("pump")]), (preamble, [a_search("roof")]), f"{PUMP} [1]"]
    answer, model = desk.answer(*replies)
    assert answer.text == PUMP
    said = [message.content for message in model.prompts[-1].messages if message.calls]
    assert said == ["First the pump.", "I look for the roof.‹|im_end|›?"]


def test_the_answer_streams_once_it_is_one(desk: Desk) -> None:
    """A long text without a marker is given out before its end, piece by piece."""
    long = f"{ROOF} " * 20
    model = CallingModel(("", [a_search("roof")]), f"{long}[1]")
    texts = [event.text for event in desk.ask(model) if isinstance(event, TextDelta)]
    assert len(texts) > 10
    assert len(texts[0]) < 250


def test_an_answer_that_breaks_off_for_a_call_is_finished(desk: Desk) -> None:
    """The call is not done; the model goes on with what it has, and the reader sees one text."""
    replies = [("", [a_search("pump", "roof slate")]), (f"{PUMP} [1]", [a_search("more")]), f"{ROOF} [2]"]
    *events, answer = desk.ask(model := CallingModel(*replies), max_results=2)
    assert sum(isinstance(event, Searched) for event in events) == 1
    assert answer.text == f"{PUMP}\n\n{ROOF}"
    assert len(answer.citations) == 2
    assert "the answer has begun" in tool_results(model)[-1]
    assert not model.prompts[-1].may_call
    assert answer.usage.input_tokens == 30
    assert desk.replayed(answer).prompt == model.prompts[-1]


def test_calls_never_leave_the_scope_of_the_request(desk: Desk) -> None:
    """Nothing of another store is found, whatever is searched for, nor what the request's filter leaves out."""
    answer, model = desk.answer(("", [a_search(FOREIGN, "another tenant")]), "[none]", max_results=50)
    assert FOREIGN not in str(tool_results(model))
    assert {passage.chunk.vector_store_id for passage in answer.passages} == {desk.store.id}
    closed = Scope(
        vector_store_ids=desk.scope.vector_store_ids, filter=Comparison(operator="eq", key="a", value="never")
    )
    _, model = desk.answer(("", [a_search("pump")]), "[none]", scope=closed)
    assert "Nothing was found." in tool_results(model)[0]
    assert numbers(tool_results(model)[0]) == []


def test_without_a_store_there_is_no_tool_to_call(desk: Desk) -> None:
    """The model writes at once, and there is nothing to cite."""
    answer, model = desk.answer("[none]", scope=Scope(vector_store_ids=frozenset()))
    assert [prompt.may_call for prompt in model.prompts] == [False]
    assert answer.outcome == Outcome.NOT_IN_DOCUMENTS


@pytest.mark.parametrize(("asked", "expected"), [(1, 1), (9, 4), (None, 4)])
def test_a_request_may_allow_fewer_calls(desk: Desk, asked: int | None, expected: int) -> None:
    """Never more than the answerer does."""
    model = CallingModel(("", [a_search("pump")] * 9), f"{PUMP} [1]")
    *events, _ = desk.ask(model, limit=4, max_calls=asked)
    assert sum(isinstance(event, Searched) for event in events) == expected


def test_the_last_prompt_can_be_rendered_again(desk: Desk) -> None:
    """From the record alone, to the byte, with tools, calls and errors; a change is told."""
    wrong = ToolCall(call_id="", name="x", arguments="{")
    replies = [("Hm.", [a_search("pump"), wrong]), ("", [a_search("pump checked")]), f"{PUMP} [1]"]
    answer, model = desk.answer(*replies)
    found = desk.replayed(answer)
    assert found.prompt is not None
    assert found.prompt.messages == model.prompts[-1].messages
    assert digest(found.prompt) == digest(model.prompts[-1]) == answer.trace["prompt_sha256"]
    answer.trace["rounds"][0]["calls"][0]["arguments"] = '{"queries": ["other"]}'  # type: ignore[index]
    assert desk.replayed(answer).differences == ["Sources and template are what they were, and the prompt is another."]


def test_each_part_of_a_prompt_with_tools_counts_for_its_digest(desk: Desk) -> None:
    """Whether the model may call, and the ids of calls, too."""
    _, model = desk.answer(("", [a_search("pump")]), f"{PUMP} [1]", limit=1)
    assert len({digest(prompt) for prompt in model.prompts}) == len(model.prompts)


def test_a_reader_that_leaves_ends_the_loop(desk: Desk) -> None:
    """No further request, no further search."""
    model = CallingModel(("", [a_search("pump")]))
    answer = desk.ask(model, cancelled=lambda: len(model.prompts) > 1)[-1]
    assert len(model.prompts) == 2
    assert answer.finish_reason == FinishReason.CANCELLED


def test_the_model_reads_the_conversation_itself(desk: Desk) -> None:
    """The question is not rewritten first: the turns stand in the prompt, and the model searches for what is meant."""
    turn = Turn(question="When is the pump checked?", answer=PUMP, file_ids=["file-7"])
    model = CallingModel(("", [a_search("roof slate")]), f"{ROOF} [1]")
    *events, answer = desk.ask(model, question="And the roof?", turns=[turn])
    assert len(model.prompts) == 2
    assert "User: When is the pump checked?" in model.prompts[0].messages[-1].content
    assert [event.recalled for event in events if isinstance(event, Searched)] == [["file-7"]]
    assert answer.text == ROOF
    assert desk.replayed(answer).prompt == model.prompts[-1]


def test_a_prompt_with_a_mark_keeps_its_thoughts(desk: Desk) -> None:
    """What stands in front of the mark is no answer, in no request."""
    text = load_template("search").text.replace('variant = "zero-shot"', 'answer_mark = "ANSWER:"')
    model = CallingModel(("", [a_search("pump")]), f"{'I think. ' * 40} [1] ANSWER: {PUMP} [1]")
    answerer = Answerer(desk.database, desk.searcher, model, parse_template("search", text), max_calls=2)
    answer = list(answerer.answer(AnswerRequest(question=QUESTION, scope=desk.scope)))[-1]
    assert isinstance(answer, Answer)
    assert answer.text.strip() == PUMP
    assert "I think." in answer.trace["reasoning"]

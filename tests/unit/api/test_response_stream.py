"""An answer's events as OpenAI's events."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from api.wire.items import Includes, shown_event, shown_response
from api.wire.response_stream import Event, ResponseStream, citation_object, new_response, obfuscated
from api.wire.responses import CreateResponse
from catalog.errors import ServiceUnavailable
from generation.answerer import Answer, AnswerEvent
from generation.backends.base import FinishReason, TextDelta, Usage
from generation.citations import Citation
from generation.claims import Doubt
from generation.sourcing import Searched, Searching
from generation.writing import Outcome
from tests.builders import a_passage, sources_of

TEXT = "The boiler is old."
PASSAGES = [a_passage(TEXT)]


def a_citation(**overrides: Any) -> Citation:
    fields = {
        "index": len(TEXT),
        "number": 1,
        "source": sources_of(PASSAGES)[0],
        "start": 0,
        "end": len(TEXT),
        "quote": TEXT,
        "page": None,
    }
    return Citation(**fields | overrides)


def an_answer(**overrides: Any) -> Answer:
    fields: dict[str, Any] = {
        "text": TEXT,
        "outcome": Outcome.ANSWERED,
        "citations": [a_citation()],
        "passages": PASSAGES,
        "finish_reason": FinishReason.STOP,
        "usage": Usage(input_tokens=7, output_tokens=4),
        "index_version": 1,
        "prompt": {},
        "trace": {"seconds": {"embed": 0.1234567}},
    }
    return Answer(**fields | overrides)


def events_of(stream: ResponseStream, answer: Sequence[AnswerEvent]) -> Iterator[Event]:
    yield from stream.begin()
    for event in answer:
        yield from stream.take(event)
    yield stream.end()


def a_stream(**body: Any) -> ResponseStream:
    request = CreateResponse.model_validate({"input": "Is it old?", **body})
    return ResponseStream(new_response(request), searches=request.searches)


def whole_answer(**overrides: Any) -> list[AnswerEvent]:
    return [
        Searching(queries=["Is it old?"]),
        Searched(passages=PASSAGES),
        TextDelta(text="The boiler "),
        TextDelta(text="is old."),
        a_citation(),
        an_answer(**overrides),
    ]


def test_a_footnote_that_does_not_hold_to_the_end_is_none_of_the_response() -> None:
    """Its event went out before; the whole message is without it."""
    *_, last = events_of(stream := a_stream(), whole_answer(citations=[]))
    (part,) = last["response"]["output"][-1]["content"]
    assert (part["annotations"], stream.response["output"][-1]["content"]) == ([], [part])


def test_the_events_come_in_the_order_that_the_sdks_accumulate() -> None:
    """One list, event by event."""
    kinds = [event["type"] for event in events_of(a_stream(), whole_answer())]
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_sequence_numbers_rise_and_ids_stay() -> None:
    """No number is left out, an item keeps its id and index, and the response its own."""
    events = list(events_of(a_stream(), whole_answer()))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    ids: dict[int, set[str]] = {}
    for event in events:
        if "output_index" in event:
            ids.setdefault(event["output_index"], set()).add(event.get("item_id") or event["item"]["id"])
    assert {index: len(found) for index, found in ids.items()} == {0: 1, 1: 1}


def test_a_snapshot_is_not_changed_by_what_comes_later() -> None:
    """The first events still say `in_progress` with an empty output when the answer is complete."""
    events = list(events_of(a_stream(), whole_answer()))
    first, last = events[0]["response"], events[-1]["response"]
    assert (first["status"], first["output"]) == ("in_progress", [])
    assert (last["status"], len(last["output"])) == ("completed", 2)
    added, done = events[2]["item"], events[6]["item"]
    assert (added["status"], done["status"]) == ("in_progress", "completed")
    part_added, part_done = events[8]["part"], events[13]["part"]
    assert (part_added["text"], part_added["annotations"]) == ("", [])
    assert (part_done["text"], len(part_done["annotations"])) == (TEXT, 1)


def test_the_response_holds_what_was_streamed() -> None:
    """Text, annotations, usage, outcome and times."""
    stream = a_stream(metadata={"k": "v"})
    events = list(events_of(stream, whole_answer()))
    part = stream.response["output"][1]["content"][0]
    assert part["text"] == "".join(event["delta"] for event in events if "delta" in event) == TEXT
    assert part["annotations"] == [event["annotation"] for event in events if "annotation" in event]
    assert stream.response["usage"]["total_tokens"] == 11
    assert stream.response["outcome"] == "answered"
    assert stream.response["seconds"] == {"embed": 0.123457}
    assert stream.response["metadata"] == {"k": "v"}


def test_doubts_are_named() -> None:
    """Sentences without support as ranges, contradicting footnotes as pairs; without any the fields are empty."""
    answer = an_answer(unsupported=[(0, 5)], contradictions=[(1, 2)])
    stream, plain = a_stream(), a_stream()
    list(events_of(stream, [*whole_answer()[:-1], answer]))
    list(events_of(plain, whole_answer()))
    assert stream.response["unsupported"] == [{"start": 0, "end": 5}]
    assert stream.response["contradictions"] == [[1, 2]]
    assert (plain.response["unsupported"], plain.response["contradictions"]) == ([], [])


def test_a_doubt_comes_with_a_delta_that_adds_no_text() -> None:
    """It names the sentence as soon as that is judged; whoever puts deltas together has the same text."""
    stream = a_stream()
    before, answer = whole_answer()[:-1], whole_answer()[-1]
    events = list(events_of(stream, [*before, Doubt(start=0, end=5), answer]))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    assert deltas[-1]["delta"] == ""
    assert deltas[-1]["unsupported"] == [{"start": 0, "end": 5}]
    assert "".join(event["delta"] for event in deltas) == TEXT


def test_results_are_shown_only_when_they_are_asked_for() -> None:
    """They are always in the response, and left out of what is sent: of the items, and of the responses of events."""
    stream = a_stream()
    events = list(events_of(stream, whole_answer()))
    wanted: Includes = {"file_search_call.results"}
    assert shown_response(stream.response, set())["output"][0]["results"] is None
    assert [one["text"] for one in shown_response(stream.response, wanted)["output"][0]["results"]] == [TEXT]
    done, completed = events[6], events[-1]
    assert (shown_event(done, set())["item"]["results"], shown_event(done, wanted)) == (None, done)
    assert shown_event(completed, set())["response"]["output"][0]["results"] is None
    assert [one["text"] for one in done["item"]["results"]] == [TEXT]


def test_an_answer_without_a_search_has_its_message_alone() -> None:
    """`tool_choice` none: no search call, and the message comes first."""
    stream = a_stream(tool_choice="none")
    events = list(events_of(stream, whole_answer(citations=[])))
    assert not any("file_search_call" in event["type"] for event in events)
    assert [item["type"] for item in stream.response["output"]] == ["message"]
    assert {event["output_index"] for event in events if "output_index" in event} == {0}


def test_a_background_answer_begins_with_queued() -> None:
    """`response.created` says `queued` already; what follows goes on with its numbers and is not created again."""
    stream = a_stream(background=True)
    queued = stream.queued()
    begun = list(stream.begin())
    assert [event["type"] for event in queued] == ["response.created", "response.queued"]
    assert {event["response"]["status"] for event in queued} == {"queued"}
    assert begun[0]["type"] == "response.in_progress"
    assert [event["sequence_number"] for event in [*queued, *begun]] == list(range(len(queued) + len(begun)))


def test_an_answer_that_is_written_anew_has_the_same_items() -> None:
    """Clients that resume a stream after a crash find the items that they know."""
    first = a_stream()
    second = ResponseStream({**first.response})
    ids = [[e["item"]["id"] for e in events_of(one, whole_answer()) if "item" in e] for one in (first, second)]
    assert ids[0] == ids[1]


@pytest.mark.parametrize("delta", ["", "a", "a text of some length", "x" * 16])
def test_padded_deltas_tell_little_of_their_length(delta: str) -> None:
    """With the padding the length is a multiple of 16; other events stay as they are."""
    event = obfuscated({"type": "response.output_text.delta", "delta": delta})
    assert (len(delta) + len(event["obfuscation"])) % 16 == 0
    assert "obfuscation" not in obfuscated({"type": "response.output_text.done", "text": delta})


@pytest.mark.parametrize("reason", [FinishReason.LENGTH, FinishReason.CANCELLED])
def test_an_answer_that_was_cut_is_incomplete(reason: FinishReason) -> None:
    """The last event says so, with the reason that OpenAI's type knows."""
    last = list(events_of(a_stream(), whole_answer(finish_reason=reason)))[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_an_answer_that_breaks_off_ends_with_failed() -> None:
    """The error is in the response, and the number goes on."""
    stream = a_stream()
    begun = [*stream.begin(), *stream.take(Searching(queries=["Is it old?"])), *stream.take(Searched(passages=[]))]
    last = stream.fail(ServiceUnavailable("The generator does not answer."))
    assert (last["type"], last["sequence_number"]) == ("response.failed", len(begun))
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": "server_error", "message": "The generator does not answer."}


def test_a_citation_names_file_and_place() -> None:
    """OpenAI's three fields, and Footnote's behind them."""
    chunk = PASSAGES[0].chunk
    shown = citation_object(a_citation(page=3))
    assert (shown["type"], shown["index"], shown["file_id"]) == ("file_citation", len(TEXT), chunk.file_id)
    assert (shown["start"], shown["end"], shown["quote"], shown["page"]) == (0, len(TEXT), TEXT, 3)
    assert shown["vector_store_id"] == chunk.vector_store_id


@pytest.mark.parametrize(("page", "box"), [(1, [0, 0, 9, 9]), (2, None), (None, None)])
def test_the_box_of_the_chunk_holds_only_on_its_own_page(page: int | None, box: list[float] | None) -> None:
    """A chunk that runs over a page break has its box on the first page."""
    passage = a_passage(TEXT, page=1, box=(0, 0, 9, 9))
    shown = citation_object(a_citation(source=sources_of([passage])[0], page=page))["box"]
    assert (list(shown) if shown else None) == box


def test_what_was_searched_for_is_told_when_it_is_known() -> None:
    """A follow-up is first put into words of its own; until then the call shows the question."""
    stream = a_stream()
    searched = Searched(passages=[], queries=["Is it old?", "Is the boiler old?"])
    events = list(events_of(stream, [Searching(queries=["Is it old?"]), searched, an_answer()]))
    calls = [event["item"]["queries"] for event in events if event.get("item", {}).get("type") == "file_search_call"]
    assert calls == [["Is it old?"], ["Is it old?", "Is the boiler old?"]]

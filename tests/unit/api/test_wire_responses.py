"""Bodies of the Responses API and items: what is read, what is kept, and what is refused by name."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.wire.items import cited_files, shown_item, text_of, turns_of
from api.wire.responses import CountTokens, CreateResponse, question_and_turns
from catalog.errors import InvalidRequest, UnsupportedParameter
from catalog.ids import FILE_SEARCH_CALL, MESSAGE

NOTE = {"type": "file_citation", "index": 4, "file_id": "file-1", "filename": "a.txt", "number": 1}
ANSWER = {
    "type": "message",
    "id": "msg_old",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Yes.", "annotations": [NOTE], "logprobs": []}],
}
CALL = {"type": "file_search_call", "id": "fs_old", "status": "completed", "queries": ["x"], "results": None}


def a_body(**fields: Any) -> CreateResponse:
    return CreateResponse.model_validate({"input": "x", **fields})


def items_of(*items: Any) -> list[dict[str, Any]]:
    return a_body(input=list(items)).own_items()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"moderation": {"model": "m"}}, "moderation"),
        ({"context_management": [{"type": "compaction"}]}, "context_management"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "name": "f"}]}, "tools.0.type"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]}, "input"),
        ({"input": [{"type": "reasoning", "id": "r", "summary": []}]}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "o"}]}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
        ({"input": [{"id": "msg_1"}]}, "input"),
    ],
)
def test_what_is_not_done_here_is_named(fields: dict[str, Any], param: str) -> None:
    """It is refused by name instead of passed over."""
    with pytest.raises(UnsupportedParameter) as caught:
        a_body(**fields).check_supported()
    assert caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"instructions": ""},
        {"background": False},
        {"text": None},
        {"text": {"format": None}},
        {"tool_choice": "none"},
        {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "file_search"}]}},
        {"conversation": None, "previous_response_id": None},
        {"reasoning": {"effort": "low", "summary": None}},
        {"stream_options": {"include_obfuscation": True}},
        {"prompt_cache_options": {}, "prompt_cache_retention": "24h"},
        {"service_tier": "fast", "top_logprobs": 3, "max_tool_calls": 2},
    ],
)
def test_what_changes_no_answer_is_accepted(fields: dict[str, Any]) -> None:
    """Clients send defaults along, and wishes that a generator without a language model has no use for."""
    a_body(**fields).check_supported()


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        {"previous_response_id": "resp_1", "conversation": {"id": "conv_1"}},
        {"background": True, "store": False},
    ],
)
def test_what_excludes_each_other_is_a_wrong_request(fields: dict[str, Any]) -> None:
    """One state at a time; and a background answer has to be kept."""
    with pytest.raises(InvalidRequest):
        a_body(**fields).check_supported()


@pytest.mark.parametrize(
    "fields",
    [
        {"include": ["everything"]},
        {"max_tool_calls": 0},
        {"top_logprobs": 21},
        {"service_tier": "slow"},
        {"safety_identifier": "x" * 65},
        {"conversation": {}},
        {"conversation": {"id": "c", "more": 1}},
        {"input": []},
        {"input": [{"role": "tool", "content": "x"}]},
        {"input": [{"role": "user", "content": [{"type": "video", "text": "x"}]}]},
        {
            "input": [
                {"role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": ["\ud800"]}]}
            ]
        },
        {"input": [{**ANSWER, "content": [{**ANSWER["content"][0], "logprobs": [float("nan")]}]}]},  # type: ignore[dict-item]
    ],
)
def test_wrong_values_are_refused(fields: dict[str, Any]) -> None:
    """Also what JSON can spell in Python and nobody can keep."""
    with pytest.raises(ValidationError):
        a_body(**fields)


def test_items_are_kept_in_openais_form_with_ids_of_their_own() -> None:
    """Short messages become whole ones; an answer that is sent back keeps its annotations."""
    user, answer, call = items_of({"role": "user", "content": "Hello?"}, ANSWER, CALL)
    assert user["content"] == [{"type": "input_text", "text": "Hello?"}]
    assert answer["content"] == ANSWER["content"]
    assert {**call, "id": "fs_old"} == CALL
    assert user["id"].startswith(MESSAGE)
    assert call["id"].startswith(FILE_SEARCH_CALL)
    assert not {user["id"], answer["id"], call["id"]} & {"msg_old", "fs_old"}


def test_an_assistants_words_are_output() -> None:
    """As a string, too; a refusal stays one."""
    said, refused = items_of(
        {"role": "assistant", "content": "Yes."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    )
    assert said["content"] == [{"type": "output_text", "text": "Yes.", "annotations": [], "logprobs": []}]
    assert refused["content"] == [{"type": "refusal", "refusal": "No."}]
    assert (text_of(said), text_of(refused)) == ("Yes.", "No.")


def test_an_item_tells_which_files_it_quotes() -> None:
    """By its annotations, and by the results of a search."""
    assert cited_files(ANSWER) == {"file-1"}
    assert cited_files({**CALL, "results": [{"file_id": "file-2", "text": "x"}]}) == {"file-2"}
    assert cited_files(CALL) == set()


def test_results_are_shown_where_they_were_asked_for() -> None:
    """Elsewhere they are null."""
    call = {**CALL, "results": [{"file_id": "file-2"}]}
    assert shown_item(call, set())["results"] is None
    assert shown_item(call, {"file_search_call.results"}) == call


@pytest.mark.parametrize(
    ("own", "earlier", "expected"),
    [
        (["u:Why?"], [], ("Why?", [])),
        (["u:first", "u:second", "a:reply"], [], ("second", [("first", "")])),
        (["u:Why?"], ["u:Who?", "a:He."], ("Why?", [("Who?", "He.")])),
        (["u:Why?"], ["u:one", "a:1", "u: ", "a:2"], ("Why?", [("one", "1\n2")])),
        ([], ["u:Who?", "a:He.", "u:Why?"], ("Why?", [("Who?", "He.")])),
        (["a:Hello.", "u:Why?"], [], ("Why?", [])),
    ],
)
def test_the_question_is_the_last_of_the_user(own: list[str], earlier: list[str], expected: tuple[str, Any]) -> None:
    """What was said before it, in the same request or in an earlier one, are its turns."""

    def items(lines: list[str]) -> list[dict[str, Any]]:
        roles = {"u": "user", "a": "assistant"}
        return items_of(*({"role": roles[line[0]], "content": line[2:]} for line in lines)) if lines else []

    question, turns = question_and_turns(items(own), items(earlier), max_chars=100)
    assert (question, [(turn.question, turn.answer) for turn in turns]) == expected


def test_a_turn_knows_the_files_that_its_answer_draws_on() -> None:
    """By its footnotes and by what was found for it."""
    call = {**CALL, "results": [{"file_id": "file-2"}]}
    earlier = items_of({"role": "user", "content": "Who?"}, call, ANSWER)
    _, (turn,) = question_and_turns(items_of({"role": "user", "content": "Why?"}), earlier, max_chars=100)
    assert turn.file_ids == ["file-1", "file-2"]


@pytest.mark.parametrize(
    ("own", "earlier"),
    [
        ([{"role": "assistant", "content": "x"}], [{"role": "user", "content": "x"}]),
        ([], [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
        ([], []),
        ([{"role": "user", "content": " "}], []),
        ([{"role": "user", "content": "x" * 101}], []),
    ],
)
def test_without_a_question_the_request_is_wrong(own: list[Any], earlier: list[Any]) -> None:
    """None, one that was answered already, a blank one, or one that is too long."""
    kept = [items_of(*part) if part else [] for part in (own, earlier)]
    with pytest.raises(InvalidRequest) as caught:
        question_and_turns(*kept, max_chars=100)
    assert caught.value.param == "input"


def test_long_turns_are_cut_and_the_newest_kept() -> None:
    """Of a question its end is carried on, of an answer its beginning; what system said is no part of it."""
    said = [("user", "a" * 5000 + "z", frozenset()), ("system", "Be brief.", frozenset())]
    (turn,) = turns_of([*said, ("assistant", "A" + "b" * 9000, frozenset())])
    assert (len(turn.question), turn.question[-1]) == (1000, "z")
    assert (len(turn.answer), turn.answer[0]) == (4000, "A")
    many = turns_of(("user", str(number), frozenset()) for number in range(30))
    assert [turn.question for turn in many] == [str(number) for number in range(10, 30)]


def test_a_count_needs_no_input() -> None:
    """Every field of OpenAI's body is optional."""
    assert CountTokens.model_validate({}).own_items() == []

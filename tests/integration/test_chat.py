"""Chat completions answer the last question from documents, with OpenAI's objects and chunks."""

import json
from typing import Any

import pytest

from catalog.errors import ServiceUnavailable
from tests.integration.conftest import Footnote

QUESTION = "When was the boiler installed?"
HOUSE = "The boiler was installed in 2011. The roof was renewed in 1998."


@pytest.fixture
def store(footnote: Footnote) -> str:
    store = footnote.store(file_ids=[footnote.upload(HOUSE.encode(), name="house.txt")])
    footnote.work()
    return store


def ask(footnote: Footnote, store: str | None, **fields: Any) -> Any:
    search = {"file_search": {"vector_store_ids": [store]}} if store else {}
    body = {"model": "footnote", "messages": [{"role": "user", "content": QUESTION}], **search, **fields}
    return footnote.client.post("/v1/chat/completions", json=body)


def chunks(response: Any) -> list[dict[str, Any]]:
    *lines, last, rest = response.text.split("\n\n")
    assert (last, rest) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_an_answer_has_its_citations_beside_it(footnote: Footnote, store: str) -> None:
    """Chat has no annotation for a file: they are a field of our own."""
    answer = ask(footnote, store).json()
    (choice,) = answer["choices"]
    assert (answer["object"], choice["finish_reason"], answer["outcome"]) == ("chat.completion", "stop", "answered")
    assert "2011" in choice["message"]["content"]
    (citation,) = answer["citations"]
    assert HOUSE[citation["start"] : citation["end"]] == citation["quote"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert usage["prompt_tokens_details"]["text_tokens"] == usage["prompt_tokens"]
    assert usage["completion_tokens_details"]["text_tokens"] == usage["completion_tokens"]


def test_hints_for_a_cache_and_refusals_of_before_are_passed_over(footnote: Footnote, store: str) -> None:
    """What a hosted model would make of them has no counterpart here; the answer is the same."""
    cached = {"type": "text", "text": QUESTION, "prompt_cache_breakpoint": {"mode": "explicit"}}
    messages = [
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": [cached]},
    ]
    hints = {"prompt_cache_retention": "24h", "prompt_cache_options": {"mode": "implicit", "ttl": "30m"}}
    answer = ask(footnote, store, messages=messages, **hints).json()
    assert answer["outcome"] == "answered"


def test_the_last_question_of_the_user_counts(footnote: Footnote, store: str) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "When was the roof renewed?"},
        {"role": "assistant", "content": "In 1998."},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    assert "2011" in ask(footnote, store, messages=messages).json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("is_counted", [False, True])
def test_a_stream_adds_up_to_the_same_answer(footnote: Footnote, store: str, is_counted: bool) -> None:
    """Role first, citations with the reason why it ended, and the usage in a chunk without choices, if it is wanted."""
    options = {"stream_options": {"include_usage": True}} if is_counted else {}
    first, *middle, last = chunks(ask(footnote, store, stream=True, **options))
    if is_counted:
        assert (last["choices"], last["usage"]["total_tokens"] > 0) == ([], True)
        assert all(chunk["usage"] is None for chunk in (first, *middle))
        *middle, last = middle
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    whole = ask(footnote, store).json()
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in middle)
    assert text == whole["choices"][0]["message"]["content"]
    assert (last["choices"][0]["finish_reason"], last["choices"][0]["delta"]) == ("stop", {})
    assert last["citations"] == whole["citations"]
    assert len({chunk["id"] for chunk in (first, *middle, last)}) == 1


def test_without_a_store_every_store_is_searched(footnote: Footnote, store: str) -> None:
    assert store
    assert ask(footnote, None).json()["outcome"] == "answered"


@pytest.mark.parametrize(
    ("fields", "status", "param"),
    [
        ({"model": "gpt-4"}, 404, "model"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": " "}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 20_000}]}, 400, "messages"),
        ({"n": 2}, 400, "n"),
        ({"stop": ["."]}, 400, "stop"),
        ({"moderation": {"model": "x"}}, 400, "moderation"),
        ({"tools": [{"type": "function"}]}, 400, "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"colour": "red"}, 400, "colour"),
        ({"file_search": {"vector_store_ids": ["vs_none"]}}, 404, "vector_store_id"),
    ],
)
def test_what_cannot_be_done_is_said_before_a_stream_begins(
    footnote: Footnote, store: str, fields: dict[str, Any], status: int, param: str
) -> None:
    response = ask(footnote, store, **{"stream": True, **fields})
    assert (response.status_code, response.json()["error"]["param"]) == (status, param)


def test_an_error_in_the_midst_of_a_stream_is_a_line_of_it(
    footnote: Footnote, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDKs raise it; nothing says that the answer is complete."""

    def answer(*_: object, **__: object) -> Any:
        raise ServiceUnavailable("It is down.")

    monkeypatch.setattr(type(footnote.services.answerer), "answer", answer)
    text = ask(footnote, store, stream=True).text
    last = json.loads(text.strip().split("\n\n")[-1].removeprefix("data: "))
    assert last["error"]["message"] == "It is down."
    assert "[DONE]" not in text

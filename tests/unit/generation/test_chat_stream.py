"""A streamed completion is read the same however its bytes are cut, and nothing in it is believed that cannot be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import InvalidRequest
from generation.backends.base import FinishReason, Usage
from generation.backends.chat_stream import AnswerReader, Chunk, EventParser, parse_chunk, parse_usage
from generation.backends.upstreams import FaultKind, UpstreamFault

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}


def events_of(*parts: bytes) -> list[str]:
    parser = EventParser()
    return [data for part in parts for data in parser.feed(part)] + list(parser.finish())


def chunk(text: str = "", finish: str | None = None, **fields: Any) -> bytes:
    value = {"choices": [{"delta": {"content": text} | fields, "finish_reason": finish}]}
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def a_reader(max_tokens: int = 10) -> AnswerReader:
    return AnswerReader(max_tokens=max_tokens, count_tokens=lambda text: len(text.split()))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: a\r\n\r\ndata:b\r\n\r\n", ["a", "b"]),
        (b": comment\n\nevent: x\nid: 1\ndata: a\n\n", ["a"]),
        (b"data: a\ndata: b\n\n", ["a\nb"]),
        (b"data: a\n", ["a"]),
        (b"data: a", ["a"]),
        (b"data:  two spaces\n\n", [" two spaces"]),
        (b"\n\n\n", []),
        (b"", []),
        ("data: Grüße 日本 👩🏽‍🚀\n\n".encode(), ["Grüße 日本 👩🏽‍🚀"]),
    ],
)
def test_events_are_read_as_the_standard_says(content: bytes, expected: list[str]) -> None:
    """Data lines up to an empty one; the last event may lack it."""
    assert events_of(content) == expected


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"))), st.data())
def test_events_do_not_depend_on_how_their_bytes_are_cut(texts: list[str], data: st.DataObject) -> None:
    """A cut within a character, a line end or an event changes nothing."""
    content = "".join(f"data: {text}\n\n" for text in texts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)))))
    parts = [content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert events_of(*parts) == texts


@pytest.mark.parametrize("parts", [[b"data: " + b"x" * 2**20], [b"data: x\n"] * 2**19 + [b"data: " + b"x" * 2**19]])
def test_an_event_without_end_is_a_fault(parts: list[bytes]) -> None:
    """In one line, or in many: memory has a bound."""
    with pytest.raises(UpstreamFault, match="event of more than 1048576 bytes") as raised:
        events_of(b"".join(parts[:-1]), parts[-1])
    assert raised.value.kind is FaultKind.PROTOCOL


def test_any_number_of_comments_is_none_of_the_event() -> None:
    """They keep connections open, for hours if need be."""
    assert events_of(*[b": still here\n\n"] * 100_000, b"data: a\n\n") == ["a"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"choices": [{"delta": {"content": "a"}}]}, Chunk(text="a")),
        ({"choices": [{"delta": {"role": "assistant", "content": None}, "finish_reason": None}]}, Chunk()),
        ({"choices": [{"delta": {"reasoning_content": "Hm"}}]}, Chunk(reasoning="Hm")),
        ({"choices": [{"delta": {"reasoning": "Hm"}}]}, Chunk(reasoning="Hm")),
        ({"choices": [{"delta": {"content": "a\ud83d"}}]}, Chunk(text="a\ufffd")),
        ({"choices": [{"delta": {"content": "\ud83d\ude80"}}]}, Chunk(text="\U0001f680")),
        ({"choices": [{"delta": {}, "finish_reason": "stop"}]}, Chunk(finish="stop")),
        ({"choices": [], "usage": USAGE}, Chunk(usage=Usage(input_tokens=7, output_tokens=2, cached_tokens=4))),
        ({"choices": None, "usage": None}, Chunk()),
        ({"choices": [{"delta": None}]}, Chunk()),
        ({}, Chunk()),
    ],
)
def test_a_chunk_says_text_thought_end_or_usage(value: dict[str, Any], expected: Chunk) -> None:
    """As vLLM, SGLang, llama.cpp and hosted servers write them."""
    assert parse_chunk(json.dumps(value)) == expected


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["choices", "delta", "content", "finish_reason", "usage", "error"]), inner
            )
        ),
    )
)
def test_no_event_breaks_the_reader(value: Any) -> None:
    """Whatever JSON a server sends, it is read or it is a fault."""
    try:
        found = parse_chunk(json.dumps(value))
    except UpstreamFault:
        return
    assert isinstance(found.text.encode(), bytes)
    assert isinstance(found.finish, str | None)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "7",
        {},
        {"prompt_tokens": 7},
        {**USAGE, "prompt_tokens": -1},
        {**USAGE, "prompt_tokens": 0},
        {**USAGE, "prompt_tokens": 7.5},
        {**USAGE, "prompt_tokens": True},
        {**USAGE, "completion_tokens": 10**9},
        {**USAGE, "prompt_tokens_details": {"cached_tokens": 8}},
        {**USAGE, "prompt_tokens_details": {"cached_tokens": -1}},
    ],
)
def test_a_count_that_cannot_be_is_none(value: Any) -> None:
    """More remembered than read, negative, no number, or beyond what any model reads."""
    assert parse_usage(value) is None


def test_a_server_need_not_tell_of_its_cache() -> None:
    """Then nothing counts as remembered."""
    expected = Usage(input_tokens=7, output_tokens=2)
    assert parse_usage({**USAGE, "prompt_tokens_details": None}) == expected


def test_an_answer_is_its_text_its_end_and_its_usage() -> None:
    """The usage comes behind the end."""
    reader = a_reader()
    usage = f'data: {{"choices": [], "usage": {json.dumps(USAGE)}}}\n\ndata: [DONE]\n\n'.encode()
    texts = [text for part in (chunk("a "), chunk("b"), chunk(finish="length"), usage) for text in reader.feed(part)]
    assert (texts, reader.written, reader.pieces) == (["a ", "b"], 3, 2)
    assert list(reader.finish()) == []
    assert reader.result() == (FinishReason.LENGTH, Usage(input_tokens=7, output_tokens=2, cached_tokens=4))


@pytest.mark.parametrize("written", [0, 11])
def test_a_count_of_output_that_does_not_fit_the_answer_is_not_believed(written: int) -> None:
    """None for words that were written, or more than was allowed."""
    reader = a_reader(max_tokens=10)
    usage = {"choices": [], "usage": {**USAGE, "completion_tokens": written}}
    list(reader.feed(chunk("a", "stop") + f"data: {json.dumps(usage)}\n\n".encode()))
    assert reader.result() == (FinishReason.STOP, None)


@given(st.lists(st.sampled_from(["word ", "a b c ", "\n", "x" * 40]), max_size=60), st.integers(1, 12))
def test_what_is_given_out_never_exceeds_the_limit_by_much(texts: list[str], max_tokens: int) -> None:
    """At most as many pieces as tokens are allowed, and text of at most four times as many by our own count."""
    reader = a_reader(max_tokens)
    given_out = [found for text in texts for found in reader.feed(chunk(text))]
    assert len(given_out) <= max_tokens
    assert sum(len(text.split()) for text in given_out) <= 4 * max_tokens
    assert reader.is_cut is (reader.pieces > len(given_out))


def test_an_answer_without_end_or_text_is_a_fault() -> None:
    """The first may be cut, the second is none."""
    unended = a_reader()
    assert list(unended.feed(chunk("a"))) == ["a"]
    with pytest.raises(UpstreamFault, match="without a finish_reason"):
        list(unended.finish())
    empty = a_reader()
    assert list(empty.feed(chunk(finish="stop"))) == []
    with pytest.raises(UpstreamFault, match="empty"):
        empty.result()


def test_thoughts_that_use_up_the_limit_are_no_fault_of_the_server() -> None:
    """Who asked has to allow more."""
    reader = a_reader(max_tokens=3)
    assert list(reader.feed(chunk(reasoning_content="Hm.") + chunk(finish="length"))) == []
    with pytest.raises(InvalidRequest, match="within 3 tokens"):
        reader.result()

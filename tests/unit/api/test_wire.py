"""Rows and requests as OpenAI's objects."""

from typing import Any

import pytest
from pydantic import ValidationError

from api.wire.chat import CreateChatCompletion
from api.wire.common import check_length, list_object, plain_page
from api.wire.objects import chunk_fields, file_object, vector_store_file_object
from api.wire.search import to_filter, to_ranking
from api.wire.stores import AttachFile, RankingOptions
from catalog.errors import InvalidRequest
from catalog.estimates import Wait
from catalog.models import Document, File, JobStatus, VectorStoreFile
from catalog.paging import Page
from generation.turns import Turn
from retrieval.searcher import Ranking
from tests.builders import a_passage


def an_entry(**overrides: Any) -> VectorStoreFile:
    fields = {
        "file_id": "file-1",
        "vector_store_id": "vs_1",
        "created_at": 1.9,
        "bytes": 10,
        "status": JobStatus.IN_PROGRESS,
        "attributes": {},
        "chunking_strategy": {"type": "auto"},
        "progress": 0.5,
    }
    return VectorStoreFile(**fields | overrides)


def a_document() -> Document:
    return Document(title="T", characters=9, chunk_count=2, pages=3, pages_read=1, warnings=["page 2 is empty"])


def test_times_leave_as_whole_seconds() -> None:
    """OpenAI's types are integers; a file that does not expire has no such field."""
    file = File(id="file-1", filename="a", purpose="assistants", bytes=1, created_at=1.9, expires_at=7.9)
    body = file_object(file)
    assert (body["created_at"], body["expires_at"]) == (1, 7)
    file.expires_at = None
    assert "expires_at" not in file_object(file)


def test_only_a_failed_file_has_a_last_error() -> None:
    """A try that will be repeated shows its reason elsewhere: SDKs read last_error as the end."""
    failed = an_entry(status=JobStatus.FAILED, error_code="invalid_file", error_message="Damaged.")
    shown = vector_store_file_object(failed, "a.pdf", None)
    assert shown["last_error"] == {"code": "invalid_file", "message": "Damaged."}
    assert shown["status_note"] is None
    wait = Wait(seconds_left=12.34, note="Try 2 follows in 4 s: Database gone.")
    waiting = vector_store_file_object(an_entry(error_message="Database gone."), "a.pdf", None, wait)
    assert (waiting["last_error"], waiting["status_note"], waiting["seconds_left"]) == (None, wait.note, 12.3)


def test_a_published_file_tells_what_was_read_of_it() -> None:
    """Pages, characters, chunks and warnings come from its document; before that there is no coverage."""
    shown = vector_store_file_object(an_entry(status=JobStatus.COMPLETED), "a.pdf", a_document())
    assert shown["coverage"] == {"pages": 3, "pages_read": 1, "characters": 9, "chunks": 2}
    assert (shown["warnings"], shown["title"], shown["usage_bytes"]) == (["page 2 is empty"], "T", 10)
    early = vector_store_file_object(an_entry(), "a.pdf", None)
    assert (early["coverage"], early["warnings"], early["usage_bytes"]) == (None, [], 0)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}, "static"),
        ({"type": "auto"}, "other"),
    ],
)
def test_the_chunking_strategy_is_static_or_other(asked: dict[str, Any], kind: str) -> None:
    """The two kinds that OpenAI's object knows."""
    shown = vector_store_file_object(an_entry(chunking_strategy=asked), "a", None)["chunking_strategy"]
    assert shown["type"] == kind


def test_a_list_names_its_first_and_last_item() -> None:
    """What the SDK's iteration needs."""
    page = Page(items=["a", "b"], has_more=True)
    shown = list_object(page, lambda item: {"id": item})
    assert (shown["first_id"], shown["last_id"], shown["has_more"]) == ("a", "b", True)


def test_a_plain_page_is_always_the_last() -> None:
    """Search and content are one page."""
    expected = {"object": "o", "x": 1, "data": [{"a": 1}], "has_more": False, "next_page": None}
    assert plain_page("o", [{"a": 1}], x=1) == expected


def test_a_chunk_has_a_public_id_and_its_place() -> None:
    """The number of the catalog leaves as `chunk_…`."""
    chunk = a_passage().chunk
    shown = chunk_fields(chunk)
    assert shown["chunk_id"] == f"chunk_{chunk.chunk_id}"
    assert (shown["start"], shown["end"], shown["page"]) == (chunk.start, chunk.end, chunk.page)


@pytest.mark.parametrize(
    ("text", "fits"), [("x", True), ("x" * 10, True), ("x" * 11, False), ("", False), (" \n", False)]
)
def test_blank_and_long_texts_are_refused(text: str, fits: bool) -> None:
    """The limit is inclusive."""
    if fits:
        check_length(text, 10, "input")
        return
    with pytest.raises(InvalidRequest) as caught:
        check_length(text, 10, "input")
    assert caught.value.param == "input"


@pytest.mark.parametrize(("value", "kind"), [(True, bool), (False, bool), (1, (int, float)), (1.5, float), ("1", str)])
def test_attributes_keep_their_kind(value: Any, kind: Any) -> None:
    """A boolean is no number, and a figure in quotes is a text."""
    attributes = AttachFile(file_id="file-1", attributes={"k": value}).attributes
    assert attributes is not None
    assert attributes["k"] == value
    assert isinstance(attributes["k"], kind)
    assert isinstance(attributes["k"], bool) == isinstance(value, bool)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [1], {"a": 1}, "\ud800", "x" * 513])
def test_what_json_or_openai_do_not_know_is_no_attribute(value: Any) -> None:
    """It could not be sent back."""
    with pytest.raises(ValidationError):
        AttachFile(file_id="file-1", attributes={"k": value})


@pytest.mark.parametrize(
    ("embedding", "text", "share"),
    [
        (1, 1, 0.5),
        (3, 1, 0.75),
        (1, 0, 1.0),
        (0, 0.2, 0.0),
        (1e308, 1e308, 0.5),
        (5e-324, 0, 1.0),
    ],
)
def test_hybrid_weights_become_a_share(embedding: float, text: float, share: float) -> None:
    """Only their proportion counts."""
    options = RankingOptions.model_validate(
        {"score_threshold": 0.3, "hybrid_search": {"embedding_weight": embedding, "text_weight": text}}
    )
    ranking = to_ranking(options, Ranking(dense_weight=0.9))
    assert (ranking.dense_weight, ranking.score_threshold) == (share, 0.3)


@pytest.mark.parametrize("weight", ["inf", "nan", -1])
def test_a_hybrid_weight_is_a_number_of_json(weight: Any) -> None:
    """Python reads more words as numbers than a response, which repeats them, can hold."""
    with pytest.raises(ValidationError, match="embedding_weight"):
        RankingOptions.model_validate({"hybrid_search": {"embedding_weight": weight, "text_weight": 1}})


def test_without_options_the_default_ranking_stays() -> None:
    """A threshold alone does not change the weights."""
    default = Ranking(dense_weight=0.9)
    assert to_ranking(None, default) == default
    assert to_ranking(RankingOptions(score_threshold=0.1), default).dense_weight == 0.9


def test_an_empty_filter_filters_nothing() -> None:
    """As at OpenAI."""
    assert to_filter({}) is None
    assert to_filter(None) is None


def test_a_chat_brings_its_turns_along() -> None:
    """What users and assistant said before the last question; system and tools are no part of it."""
    said = [
        ("system", "Be brief."),
        ("user", "How wide?"),
        ("assistant", "140 cm."),
        ("tool", "{}"),
        ("assistant", [{"type": "text", "text": "And 2 m high."}]),
        ("user", "And how deep?"),
        ("assistant", "Well,"),
    ]
    messages = [{"role": role, "content": content} for role, content in said]
    chat = CreateChatCompletion.model_validate({"model": "footnote", "messages": messages})
    assert chat.question(max_chars=100) == "And how deep?"
    assert chat.turns == [Turn(question="How wide?", answer="140 cm.\nAnd 2 m high.", file_ids=[])]

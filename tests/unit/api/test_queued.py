"""Requests that wait in the database as JSON."""

import json
from typing import Any

import pytest

from api import queued
from catalog.errors import FootnoteError
from generation.answerer import AnswerRequest
from generation.backends.base import Sampling
from generation.turns import Turn
from retrieval.filters import parse_filter
from retrieval.searcher import Ranking
from retrieval.stages import Boost, Recency
from tests.builders import a_scope

FILTER = parse_filter(
    {
        "type": "and",
        "filters": [{"type": "eq", "key": "year", "value": 2025}, {"type": "in", "key": "of", "value": ["a", "b"]}],
    }
)

# As the first version that had background answers wrote it.
FIRST: dict[str, Any] = {
    "question": "And for a week?",
    "context": "What is the meal allowance for a day?",
    "scope": {"vector_store_ids": ["vs_1"], "filter": {"type": "eq", "key": "year", "value": 2025}},
    "max_results": 5,
    "ranking": {"fusion": "rrf", "dense_weight": 0.7, "score_threshold": 0.2},
    "max_tokens": 200,
}


def kept(request: AnswerRequest) -> AnswerRequest:
    return queued.from_json(json.loads(json.dumps(queued.to_json(request))))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scope": a_scope("vs_2", "vs_1", filter=FILTER)},
        {"turns": (Turn(question="Who?", answer="He.", file_ids=["file-1"]),), "steps": 3, "max_results": 7},
        {"sampling": Sampling(max_tokens=50, temperature=0.5, top_p=0.9)},
        {"ranking": Ranking(boosts=(Boost(filter=FILTER, factor=2.0),), recency=Recency(half_life_days=30, key="at"))},
    ],
)
def test_a_request_is_read_as_it_was_written(changes: dict[str, Any]) -> None:
    """With the filters of its scope and of its boosts."""
    request = AnswerRequest(**{"question": "Who?", "scope": a_scope("vs_1"), **changes})
    assert kept(request) == request


def test_the_first_version_s_request_is_read() -> None:
    """The question before becomes a turn, the limit of tokens a part of the sampling; the rest has its default."""
    assert queued.from_json(FIRST) == AnswerRequest(
        question="And for a week?",
        turns=(Turn(question="What is the meal allowance for a day?"),),
        scope=a_scope("vs_1", filter=parse_filter({"type": "eq", "key": "year", "value": 2025})),
        max_results=5,
        ranking=Ranking(fusion="rrf", dense_weight=0.7, score_threshold=0.2),
        sampling=Sampling(max_tokens=200),
    )


def test_one_of_between_is_read() -> None:
    """It has a sampling, and no question came before."""
    values = {**FIRST, "context": None, "sampling": {"max_tokens": 9, "temperature": None, "top_p": 0.5}}
    del values["max_tokens"]
    request = queued.from_json(values)
    assert (request.turns, request.sampling) == ((), Sampling(max_tokens=9, top_p=0.5))


def test_a_request_without_what_has_a_default_is_read() -> None:
    """Only question and scope have none."""
    request = queued.from_json({"question": "Who?", "scope": {"vector_store_ids": ["vs_1"]}})
    assert (request.question, request.scope) == ("Who?", a_scope("vs_1"))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {**FIRST, "mood": "curious"},
        {**FIRST, "scope": []},
        {**FIRST, "scope": {"vector_store_ids": ["vs_1"], "filter": {"type": "near", "key": "k", "value": 1}}},
        {**FIRST, "ranking": {"boosts": [{"factor": 2.0}]}},
        {**FIRST, "context": None, "turns": ["Who?"]},
    ],
)
def test_what_no_version_writes_is_an_error(values: dict[str, Any]) -> None:
    """Rather than another question than was asked; `Plan.from_json` says so in words."""
    with pytest.raises((LookupError, TypeError, ValueError, AttributeError, FootnoteError)):
        queued.from_json(values)

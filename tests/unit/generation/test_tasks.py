"""A language model's work on documents: whole texts, checked replies, clear errors."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import ConfigurationError, InvalidRequest, ServiceUnavailable
from generation.backends.base import FinishReason
from generation.backends.extractive import ExtractiveGenerator
from generation.prompts import PromptRegistry
from generation.tasks import DocumentTasks, split_text
from retrieval.embedders.hashing import HashingEmbedder
from tests.unit.generation.scripted import ScriptedModel

TEXT = "The goods lift carries 900 kg. It is checked every spring. The stairs are kept free."
SCHEMA = {"type": "object", "properties": {"load_kg": {"type": "integer"}}, "required": ["load_kg"]}


def count(text: str) -> int:
    return len(text.split())


def tasks_of(*replies: str, prompt: str | None = None, **options: Any) -> tuple[DocumentTasks, ScriptedModel]:
    model = ScriptedModel(*replies, **options)
    return DocumentTasks(generator=model, prompts=PromptRegistry(), prompt=prompt), model


def test_a_short_document_is_summarised_at_once() -> None:
    """The text stands between marks with a fresh code."""
    tasks, model = tasks_of("It is about a lift.")
    assert tasks.summarize(TEXT) == "It is about a lift."
    (asked,) = model.asked()
    code = asked.split("<text-")[1].split(">")[0]
    assert len(code) == 16
    assert f"<text-{code}>\n{TEXT}\n</text-{code}>" in asked
    assert "Summarise this document in at most 8 sentences." in asked


def test_a_long_document_is_summarised_by_its_parts() -> None:
    """First each part, then their summaries in order, until one is left."""
    tasks, model = tasks_of("A lift carries much.", "Stairs are free.", "Lift and stairs.", source_tokens=11)
    assert tasks.summarize(TEXT) == "Lift and stairs."
    first, second, last = model.asked()
    assert "Summarise this part of a document in" in first
    assert "The goods lift carries 900 kg. It is checked every spring." in first
    assert "The stairs are kept free." in second
    assert "A lift carries much.\n\nStairs are free." in last
    assert "summaries of a document's parts, in order" in last


def test_summaries_that_do_not_get_shorter_end_in_an_error() -> None:
    """A model that keeps to no length would be asked for ever."""
    tasks, _ = tasks_of(TEXT, TEXT, source_tokens=11)
    with pytest.raises(ServiceUnavailable, match="summaries of 2 parts are no shorter"):
        tasks.summarize(TEXT)


@pytest.mark.parametrize("reply", ['{"load_kg": 900}', '```json\n{"load_kg": 900}\n```'])
def test_an_extraction_fits_its_schema(reply: str) -> None:
    """Plain JSON, or JSON in a code block."""
    tasks, model = tasks_of(reply)
    assert tasks.extract(TEXT, SCHEMA) == {"load_kg": 900}
    assert json.dumps(SCHEMA) in model.asked()[0]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("It carries 900 kg.", "it is no JSON"),
        ("{}", "$: 'load_kg' is a required property"),
        ('{"load_kg": "900"}', "$.load_kg: '900' is not of type 'integer'"),
    ],
)
def test_a_reply_that_does_not_fit_is_asked_for_again(reply: str, problem: str) -> None:
    """Once, with what was wrong; then it is an error."""
    tasks, model = tasks_of(reply, '{"load_kg": 900}')
    assert tasks.extract(TEXT, SCHEMA) == {"load_kg": 900}
    assert f"Your last reply did not fit: {problem}" in model.asked()[1]
    assert "did not fit" not in model.asked()[0]
    with pytest.raises(ServiceUnavailable, match="does not fit the schema, 2 times"):
        tasks_of(reply, reply)[0].extract(TEXT, SCHEMA)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "text"}, "This is no JSON schema"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "refers to 'http://127.0.0.1:9/schema.json'"),
    ],
)
def test_a_schema_that_cannot_be_used_is_the_callers_mistake(schema: dict[str, Any], message: str) -> None:
    """One that is none, and one that would have another fetched: nothing is."""
    with pytest.raises(InvalidRequest, match=message):
        tasks_of("{}", "{}")[0].extract(TEXT, schema)


def test_a_text_that_is_too_long_for_an_extraction_is_refused() -> None:
    """Facts of a part would pass for those of the whole."""
    with pytest.raises(InvalidRequest, match="has 16 tokens, and the language model reads at most 15"):
        tasks_of(source_tokens=15)[0].extract(TEXT, SCHEMA)


@pytest.mark.parametrize("reply", ["manual", "Manual.", "**manual**", '"manual"'])
def test_a_classification_is_one_of_the_labels(reply: str) -> None:
    """However the model dresses it up."""
    tasks, model = tasks_of(reply)
    assert tasks.classify(TEXT, ["Invoice", "Manual"]) == "Manual"
    assert "- Invoice\n- Manual\n" in model.asked()[0]


def test_a_classification_by_something_else_is_an_error() -> None:
    """And so are labels among which nothing can be chosen."""
    with pytest.raises(ServiceUnavailable, match="replied 'A guide', which is none of the labels"):
        tasks_of("A guide")[0].classify(TEXT, ["invoice", "manual"])
    with pytest.raises(InvalidRequest, match="needs two labels or more"):
        tasks_of()[0].classify(TEXT, ["manual", "manual"])


def test_a_translation_comes_part_by_part() -> None:
    """Each with room for a reply that is twice as long."""
    tasks, model = tasks_of("Der Lift.", "Die Prüfung.", "Die Treppe.", source_tokens=20)
    assert list(tasks.translate(TEXT, "German")) == ["Der Lift.", "Die Prüfung.", "Die Treppe."]
    assert all(asked.endswith("Translate it into German.") for asked in model.asked())


@pytest.mark.parametrize(("reply", "reason"), [("", FinishReason.STOP), ("Half a", FinishReason.LENGTH)])
def test_a_reply_that_is_not_whole_is_no_result(reply: str, reason: FinishReason) -> None:
    """Nobody takes half a summary for one."""
    with pytest.raises(ServiceUnavailable, match="'summary' is empty or was cut at 400 tokens"):
        tasks_of(reply, reason=reason)[0].summarize(TEXT)


@pytest.mark.parametrize(
    ("prompt", "reply", "work", "expected"),
    [
        ("summary-reasoning", "It is about lifts. SUMMARY: A lift.", lambda tasks: tasks.summarize(TEXT), "A lift."),
        ("summary-few-shot", "A lift.", lambda tasks: tasks.summarize(TEXT), "A lift."),
        (
            "extraction-reasoning",
            'load_kg: "900 kg". JSON: {"load_kg": 900}',
            lambda tasks: tasks.extract(TEXT, SCHEMA),
            {"load_kg": 900},
        ),
        ("extraction-few-shot", '{"load_kg": 900}', lambda tasks: tasks.extract(TEXT, SCHEMA), {"load_kg": 900}),
        (
            "classification-reasoning",
            "No invoice: it names no sum. LABEL: manual",
            lambda tasks: tasks.classify(TEXT, ["invoice", "manual"]),
            "manual",
        ),
        ("classification-few-shot", "manual", lambda tasks: tasks.classify(TEXT, ["invoice", "manual"]), "manual"),
        (
            "translation-reasoning",
            "lift: Aufzug. TRANSLATION: Der Aufzug.",
            lambda tasks: list(tasks.translate(TEXT, "German")),
            ["Der Aufzug."],
        ),
        ("translation-few-shot", "Der Lift.", lambda tasks: list(tasks.translate(TEXT, "German")), ["Der Lift."]),
    ],
)
def test_a_task_is_done_by_the_prompt_that_is_named(
    prompt: str, reply: str, work: Callable[[DocumentTasks], Any], expected: Any
) -> None:
    """Examples stand in front as earlier messages, and what the model thinks is not given out."""
    tasks, model = tasks_of(reply, prompt=prompt)
    assert work(tasks) == expected
    assert {asked.template for asked in model.prompts} == {prompt}
    assert (len(model.prompts[0].messages) > 2) is prompt.endswith("few-shot")


def test_a_long_document_is_summarised_by_its_parts_whatever_the_prompt() -> None:
    """Each step thinks for itself, and only summaries are merged."""
    replies = (
        "A lift. SUMMARY: A lift carries much.",
        "Hm. SUMMARY: Stairs are free.",
        "Both. SUMMARY: Lift and stairs.",
    )
    tasks, model = tasks_of(*replies, source_tokens=11, prompt="summary-reasoning")
    assert tasks.summarize(TEXT) == "Lift and stairs."
    assert "A lift carries much.\n\nStairs are free." in model.asked()[-1]


def test_thoughts_without_a_result_are_none() -> None:
    """Whoever waits for a summary is not given notes; the message names the mark."""
    with pytest.raises(ServiceUnavailable, match="'summary' is empty, does not hold 'SUMMARY:', or was cut"):
        tasks_of("It is about lifts.", prompt="summary-reasoning")[0].summarize(TEXT)


def test_a_prompt_of_another_task_is_a_wrong_choice() -> None:
    """It has other variables."""
    with pytest.raises(ConfigurationError, match="'summary-few-shot' is for the task"):
        list(tasks_of("Der Lift.", prompt="summary-few-shot")[0].translate(TEXT, "German"))


def test_without_a_language_model_the_message_says_so(embedder: HashingEmbedder) -> None:
    """And which setting to change."""
    with pytest.raises(InvalidRequest, match="Work on documents needs a language model, and the setting generator"):
        DocumentTasks(generator=ExtractiveGenerator(embedder), prompts=PromptRegistry())


@given(st.text(alphabet="ab .\n", max_size=80), st.integers(1, 6))
def test_parts_hold_every_word_within_the_budget(text: str, budget: int) -> None:
    """In order; only a single character can be more than the budget."""
    if not text.strip():
        with pytest.raises(InvalidRequest, match="no text to work on"):
            split_text(text, budget=budget, count_tokens=len)
        return
    parts = split_text(text, budget=budget, count_tokens=lambda part: len("".join(part.split())))
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(len("".join(part.split())) <= budget for part in parts)

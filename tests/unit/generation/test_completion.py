"""A language model's reply to a prompt, whole."""

import pytest

from catalog.errors import InvalidRequest
from generation.backends.base import FinishReason
from generation.backends.extractive import ExtractiveGenerator
from generation.completion import THINKING_TOKENS, Reply, complete, has_language_model, require_language_model
from generation.prompts import load_template
from generation.prompts.template import parse_template
from generation.turns import Turn
from retrieval.embedders.hashing import HashingEmbedder
from tests.unit.generation.prompts.test_template import a_prompt_file
from tests.unit.generation.scripted import ScriptedModel


def test_a_reply_is_the_whole_text_and_how_it_ended() -> None:
    """Blanks around it do not count; the prompt is the template with its values."""
    model = ScriptedModel(" Two words. \n", reason=FinishReason.LENGTH)
    turns = [Turn(question="How wide?", answer="140 cm.")]
    reply = complete(model, load_template("compaction"), max_tokens=5, turns=turns)
    assert reply == Reply(text="Two words.", reason=FinishReason.LENGTH)
    assert model.asked()[0].startswith("User: How wide?\nAssistant: 140 cm.")
    assert model.prompts[0].template == "compaction"


def test_thoughts_are_no_part_of_a_reply() -> None:
    """Of a prompt with a mark, what stands behind it."""
    template = parse_template("mine", a_prompt_file(answer_mark='"ANSWER:"'))
    assert complete(ScriptedModel("Hm. ANSWER: Yes."), template, max_tokens=5, question="?").text == "Yes."
    assert complete(ScriptedModel("Hm. Yes."), template, max_tokens=5, question="?").text == ""


def test_thoughts_have_room_of_their_own() -> None:
    """A short reply is not cut off by what is written in front of it; without a mark the limit is the reply's."""
    plain, marked = (parse_template("mine", a_prompt_file(answer_mark=mark)) for mark in (None, '"ANSWER:"'))
    model = ScriptedModel("Yes.", "ANSWER: Yes.")
    for template in (plain, marked):
        complete(model, template, max_tokens=5, question="?")
    assert model.limits == [5, 5 + THINKING_TOKENS]


def test_the_extractive_generator_is_no_language_model(embedder: HashingEmbedder) -> None:
    """What needs one says so, with the setting."""
    extractive = ExtractiveGenerator(embedder)
    assert (has_language_model(extractive), has_language_model(ScriptedModel())) == (False, True)
    require_language_model(ScriptedModel(), "A summary")
    with pytest.raises(InvalidRequest, match="A summary needs a language model, and the setting generator is 'ext"):
        require_language_model(extractive, "A summary")

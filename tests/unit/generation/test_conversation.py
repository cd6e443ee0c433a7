"""Follow-up questions stand alone, by rule or by a language model."""

import pytest

from generation.backends.base import FinishReason
from generation.conversation import Asked, Rewriter, by_rule, is_follow_up, stand_alone
from generation.prompts import load_template
from generation.turns import Turn
from tests.unit.generation.scripted import ScriptedModel

LIFT = Turn(question="How wide is the goods lift?", answer="It is 140 cm wide.", file_ids=["file-1"])
LOAD = Turn(question="And how much does it carry?", answer="It carries 900 kg.", file_ids=["file-2"])


@pytest.mark.parametrize(
    "question",
    [
        "And for a week?",
        "And in which autumn?",
        "What does it cost per month?",
        "How many of them can be carried over?",
        "What about a loading ramp for one week?",
        "But what is the deposit for the pump?",
        "Until when?",
        "Und wie lange dauert der Aufbau?",
        "Wie schwer ist er mit Generator?",
        "Et pour une semaine de location ?",
        "それが切れたらどうすればいいですか。",
    ],
)
def test_a_follow_up_is_recognised(question: str) -> None:
    """It says too little, carries on, or points back."""
    assert is_follow_up(question)


@pytest.mark.parametrize(
    "question",
    [
        "How wide is the goods lift?",
        "Who installed the boiler?",
        "What guarantee has the slate roof?",
        "How long must a Rime 40 stand on standby when it has been without power?",
        "The box still reeks of herring after washing it out. Which remedy gets rid of that?",
        "Anderson's order: when was the pump delivered?",
        "設定温度を変更できるのは誰ですか。",
    ],
)
def test_a_question_that_stands_alone_is_left_alone(question: str) -> None:
    """A word that points to the question's own words points to nothing before it."""
    assert not is_follow_up(question)
    assert by_rule(question, [LIFT]) == Asked(question=question, queries=[question])


def test_a_follow_up_is_read_behind_what_it_follows_up_on() -> None:
    """Through other follow-ups to the question that they are all about, at most three back."""
    week = "For a week?"
    assert stand_alone(week, [Turn(question="Who drives?"), LIFT, LOAD]) == f"{LIFT.question}\n{LOAD.question}\n{week}"
    assert stand_alone(week, []) == week
    assert stand_alone(week, [LOAD] * 5).count(LOAD.question) == 3
    asked = by_rule(week, [LIFT])
    assert (asked.question, asked.queries) == (f"{LIFT.question}\n{week}", [week, f"{LIFT.question}\n{week}"])
    assert (asked.turns, asked.read, asked.is_by_model) == ((), [], False)


def a_rewriter(*replies: str, variant: str = "", **options: object) -> tuple[Rewriter, ScriptedModel]:
    model = ScriptedModel(*replies, **options)  # type: ignore[arg-type]
    rewrite, compaction = (load_template(f"{name}{variant}") for name in ("rewrite", "compaction"))
    return Rewriter(model, rewrite=rewrite, compaction=compaction), model


def ask(rewriter: Rewriter, question: str = "How high is it?", turns: tuple[Turn, ...] = (LIFT,)) -> Asked:
    return rewriter.ask(question, turns, cancelled=lambda: False)


def test_a_language_model_makes_a_question_stand_alone() -> None:
    """Both wordings are searched; the turns are given to the prompt of the answer."""
    rewriter, model = a_rewriter("How high is the goods lift?")
    asked = ask(rewriter)
    assert (asked.question, asked.is_rewritten, asked.is_by_model) == ("How high is the goods lift?", True, True)
    assert asked.queries == ["How high is it?", "How high is the goods lift?"]
    assert (asked.turns, asked.earlier, asked.dropped) == ((LIFT,), "", 0)
    said = f"User: {LIFT.question}\nAssistant: {LIFT.answer}\nLast question: How high is it?"
    assert model.asked() == [said]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("", FinishReason.STOP),
        ("It is high.\nThat is all.", FinishReason.STOP),
        ("how high it is " * 30, FinishReason.STOP),
        ("Has Paris two million inhabitants?", FinishReason.STOP),
        ("The goods lift is high.", FinishReason.STOP),
        ("How high is the goods", FinishReason.LENGTH),
        ("How high is the goods", FinishReason.CANCELLED),
    ],
)
def test_a_reply_that_is_no_question_is_not_used(reply: str, reason: FinishReason) -> None:
    """The rule says what is searched for, and the model answers the question as it was asked."""
    rewriter, _ = a_rewriter(reply, reason=reason)
    asked = ask(rewriter)
    assert (asked.question, asked.is_rewritten, asked.is_by_model) == ("How high is it?", False, True)
    assert asked.queries == ["How high is it?", f"{LIFT.question}\nHow high is it?"]


def test_a_long_conversation_is_compacted() -> None:
    """A quarter of the room is for the newest turns; older ones become a note, and still older ones are dropped."""
    turns = tuple(Turn(question=f"Is number {n} there?", answer="Yes.", file_ids=[f"file-{n}"]) for n in range(6))
    rewriter, model = a_rewriter("Is number 9 there?", "Numbers 2 and 3 are there.", source_tokens=40)
    asked = ask(rewriter, "And 9?", turns)
    assert (asked.turns, asked.noted, asked.dropped) == (turns[4:], turns[2:4], 2)
    assert asked.earlier == "Numbers 2 and 3 are there."
    assert model.asked()[1].startswith("User: Is number 2 there?\nAssistant: Yes.\nUser: Is number 3")
    assert [turn.file_ids for turn in asked.read] == [["file-2"], ["file-3"], ["file-4"], ["file-5"]]
    assert asked.trace() == {
        "question": "Is number 9 there?",
        "turns": [{"question": f"Is number {n} there?", "answer": "Yes."} for n in (4, 5)],
        "earlier": "Numbers 2 and 3 are there.",
        "noted": 2,
        "dropped": 2,
        "rewritten": True,
    }


def test_what_a_language_model_thinks_is_not_searched_for() -> None:
    """Nor does it become a note: of both only what stands behind the mark, and without a mark the rule decides."""
    turns = tuple(Turn(question=f"Is number {n} there?", answer="Yes.") for n in range(6))
    replies = ("And stands for more. QUESTION: Is number 9 there?", "Numbers. NOTE: Numbers 2 and 3 are there.")
    asked = ask(a_rewriter(*replies, variant="-reasoning", source_tokens=40)[0], "And 9?", turns)
    assert (asked.question, asked.is_rewritten) == ("Is number 9 there?", True)
    assert asked.earlier == "Numbers 2 and 3 are there."
    without = ask(a_rewriter("It is the lift that is meant.", variant="-reasoning")[0])
    assert (without.question, without.is_rewritten) == ("How high is it?", False)

"""What counts as retrieved, cited, right and refused, and what a run keeps of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from evaluation.answers import Judged, item_of
from evaluation.questions import Question
from generation.answerer import Answer
from generation.backends.base import FinishReason, Usage
from generation.citations import Citation
from generation.writing import Outcome
from retrieval.passages import Passage
from tests.builders import a_passage, an_attempt, sources_of


def a_question(**overrides: Any) -> Question:
    fields = {
        "id": "q1",
        "text": "How far?",
        "answers": ["5 km"],
        "documents": ["a.txt"],
        "quotes": ["It is 5 km."],
        "kind": "fact",
    }
    return Question(**fields | overrides)


def an_answer(
    *,
    passages: Sequence[Passage] = (),
    quotes: Sequence[tuple[Passage, str]] = (),
    text: str = "",
    outcome: str = "answered",
    evidence: float | None = None,
) -> Answer:
    citations = [
        Citation(index=0, number=n, source=sources_of([passage])[0], start=0, end=len(quote), quote=quote, page=None)
        for n, (passage, quote) in enumerate(quotes, start=1)
    ]
    return Answer(
        text=text,
        outcome=Outcome(outcome),
        citations=citations,
        passages=list(passages),
        finish_reason=FinishReason.STOP,
        usage=Usage(input_tokens=0, output_tokens=0),
        evidence=evidence,
        index_version=0,
        prompt={},
        trace={},
    )


def judged(question: Question | None = None, *, min_evidence: float = 0.5, **answer: Any) -> Judged:
    return Judged(question=question or a_question(), answer=an_answer(**answer), min_evidence=min_evidence)


def measures(question: Question | None = None, **options: Any) -> dict[str, float]:
    return dict(item_of(judged(question, **options)).measures)


UNANSWERABLE = {"documents": (), "quotes": (), "answers": (), "kind": "unanswerable"}
RIGHT = a_passage("We measured. It is 5 km. That is all.")
CITED: dict[str, Any] = {"passages": [RIGHT], "quotes": [(RIGHT, "It is 5 km.")], "text": "It is 5 km."}


def test_a_quote_in_the_first_five_passages_is_retrieved() -> None:
    """The sixth place, and another document with the same words, do not count."""
    others = [a_passage(f"Other text {i}.") for i in range(5)]
    assert judged(passages=[*others[:4], RIGHT]).is_retrieved
    assert not judged(passages=[*others, RIGHT]).is_retrieved
    assert not judged(passages=[a_passage("It is 5 km.", filename="b.txt")]).is_retrieved


def test_a_quote_is_cited_when_one_footnote_holds_it_whole() -> None:
    """A wider footnote counts; a part of the words, or a footnote elsewhere in the passage, does not."""
    assert judged(quotes=[(RIGHT, "It is 5 km.")]).cites_words
    assert not judged(quotes=[(RIGHT, "5 km")]).cites_words
    assert judged(quotes=[(RIGHT, "We measured. It is 5 km.")]).cites_words
    assert not judged(quotes=[(RIGHT, "That is all.")]).cites_words


@pytest.mark.parametrize(
    ("quotes", "expected"),
    [
        (["It is 5 km."], 1.0),
        (["It is 5 km.", "That is all."], 0.5),
        # A part of the words that answer, and more than them, support too.
        (["is 5 km. That is all."], 1.0),
        (["That is all."], 0.0),
    ],
)
def test_citation_precision_is_the_share_of_footnotes_that_support(quotes: list[str], expected: float) -> None:
    """A footnote supports when it overlaps with the words that answer, in the right document."""
    assert judged(quotes=[(RIGHT, quote) for quote in quotes]).citation_precision == expected
    elsewhere = a_passage(RIGHT.chunk.text, filename="b.txt")
    assert judged(quotes=[(elsewhere, quote) for quote in quotes]).citation_precision == 0.0


def test_without_known_words_the_document_decides() -> None:
    """A question may name the document alone."""
    question = a_question(quotes=())
    assert judged(question, quotes=[(RIGHT, "That is all.")]).citation_precision == 1.0
    assert judged(question, passages=[RIGHT]).is_retrieved
    assert not judged(question, passages=[a_passage("Other.", filename="b.txt")]).is_retrieved


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"outcome": "unsupported"}, True),
        ({"outcome": "not_in_documents"}, True),
        ({}, False),
        ({"evidence": 0.49}, True),
        ({"evidence": 0.5}, False),
        ({"evidence": 0.9, "outcome": "unsupported"}, True),
    ],
)
def test_an_answer_is_refused_by_its_outcome_or_for_want_of_evidence(answer: dict[str, Any], expected: bool) -> None:
    """Whoever reads an answer without a citation that holds has nothing to check."""
    assert judged(**answer).is_refused is expected


def test_a_right_answer_scores_on_everything_that_is_about_it() -> None:
    """It says nothing about refusals."""
    assert measures(**CITED) == {
        "answer accuracy": 1.0,
        "answer F1": pytest.approx(2 * 2 / (4 + 2)),
        "answer EM": 0.0,
        "answer recall": 1.0,
        "retrieval recall": 1.0,
        "citation recall": 1.0,
        "citation precision": 1.0,
    }


def test_a_refused_answer_counts_as_no_answer_and_is_kept_as_an_attempt() -> None:
    """What was held back was right, so the attempt is; the person who asked got nothing."""
    item = item_of(judged(**CITED, evidence=0.4))
    assert item.measures == {
        "answer accuracy": 0.0,
        "answer F1": 0.0,
        "answer EM": 0.0,
        "answer recall": 1.0,
        "retrieval recall": 1.0,
        "citation recall": 0.0,
        "refusal precision": 0.0,
    }
    assert item.attempt == an_attempt(0.4, is_right=True)
    assert (item.problem, item.details["outcome"]) == ("Refused a right answer.", "refused")


def test_a_question_without_an_answer_is_about_refusals_and_false_footnotes() -> None:
    """Refused is right; every footnote under an answer is wrong."""
    question = a_question(**UNANSWERABLE)
    assert measures(question, evidence=0.1) == {"refusal precision": 1.0, "refusal recall": 1.0}
    item = item_of(judged(question, **CITED, evidence=0.9))
    assert item.measures == {"citation precision": 0.0, "refusal recall": 0.0}
    assert item.attempt == an_attempt(0.9, is_right=False, is_answerable=False)
    assert item.problem == "Answered, though the documents do not hold the answer."


def test_an_answer_alone_is_enough_to_judge_by() -> None:
    """What needs a document is not measured for a question that names none."""
    question = a_question(documents=(), quotes=())
    assert measures(question, text="The 5 km.", quotes=[(RIGHT, "It is 5 km.")]) == {
        "answer accuracy": 1.0,
        "answer F1": 1.0,
        "answer EM": 1.0,
    }


def test_a_generator_that_cannot_tell_how_sure_it_is_makes_no_attempt() -> None:
    """No curve can be drawn of it."""
    assert item_of(judged(**CITED)).attempt is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (CITED, None),
        ({"quotes": [(RIGHT, "We measured.")]}, "Answered from other passages"),
        ({"passages": [RIGHT], "quotes": [(RIGHT, "We measured.")]}, "Answered with other words"),
        ({"outcome": "not_in_documents"}, "Refused: the words that answer were not among"),
        ({"passages": [RIGHT], "outcome": "not_in_documents"}, "Refused; the sentence it had chosen"),
    ],
)
def test_what_went_wrong_is_said_in_words(answer: dict[str, Any], expected: str | None) -> None:
    """The stage at which the answer was lost is named."""
    problem = item_of(judged(**answer)).problem
    assert problem is None if expected is None else problem is not None and problem.startswith(expected)

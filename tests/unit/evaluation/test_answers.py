"""What counts as retrieved, cited and refused, and the shares of it."""

from collections.abc import Sequence
from typing import Any

import pytest

from evaluation.answers import Judged, holds, score
from evaluation.questions import Question
from evaluation.report import by_kind
from generation.answerer import Answer, Outcome
from generation.backends.base import FinishReason, Usage
from generation.citations import Citation
from retrieval.passages import Passage
from tests.builders import a_passage, sources_of


def a_question(**overrides: Any) -> Question:
    fields = {
        "id": "q1",
        "text": "How far?",
        "answer": "5 km",
        "document": "a.txt",
        "quote": "It is 5 km.",
        "kind": "fact",
    }
    return Question(**fields | overrides)


def an_answer(
    *, passages: Sequence[Passage] = (), quotes: Sequence[tuple[Passage, str]] = (), outcome: str = "answered"
) -> Answer:
    citations = [
        Citation(index=0, number=n, source=sources_of([passage])[0], start=0, end=len(quote), quote=quote, page=None)
        for n, (passage, quote) in enumerate(quotes, start=1)
    ]
    return Answer(
        text="",
        outcome=Outcome(outcome),
        citations=citations,
        passages=list(passages),
        finish_reason=FinishReason.STOP,
        usage=Usage(input_tokens=0, output_tokens=0),
        index_version=0,
        prompt={},
        trace={},
    )


def judged(question: Question | None = None, **answer: Any) -> Judged:
    return Judged(question=question or a_question(), answer=an_answer(**answer))


UNANSWERABLE = {"document": None, "quote": None, "answer": "", "kind": "unanswerable"}
RIGHT = a_passage("We measured. It is 5 km. That is all.")


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("It  is\n5 km.", "it is 5 KM.", True),
        ("| Item | Price |\n| --- | --- |\n| Pump | 5 |", "Pump 5", True),
        ("It is 6 km.", "It is 5 km.", False),
        ("anything", None, False),
        ("anything", "", False),
    ],
)
def test_words_are_compared_without_blanks_case_and_bars(text: str, words: str | None, expected: bool) -> None:
    """What a parser or a table adds to the words does not count."""
    assert holds(text, words) is expected


def test_a_quote_in_the_first_five_passages_is_retrieved() -> None:
    """The sixth place, and another document with the same words, do not count."""
    others = [a_passage(f"Other text {i}.") for i in range(5)]
    assert judged(passages=[*others[:4], RIGHT]).is_retrieved
    assert not judged(passages=[*others, RIGHT]).is_retrieved
    assert not judged(passages=[a_passage("It is 5 km.", filename="b.txt")]).is_retrieved


def test_a_quote_is_cited_when_one_footnote_holds_it_whole() -> None:
    """A wider footnote counts; a part of the words, or a footnote elsewhere in the passage, does not."""
    assert judged(quotes=[(RIGHT, "It is 5 km.")]).is_cited
    assert not judged(quotes=[(RIGHT, "5 km")]).is_cited
    assert judged(quotes=[(RIGHT, "We measured. It is 5 km.")]).is_cited
    assert not judged(quotes=[(RIGHT, "That is all.")]).is_cited


def test_an_answer_without_a_citation_that_holds_is_a_refusal() -> None:
    """Whoever reads it has nothing to check."""
    assert judged(outcome="unsupported").is_refused
    assert judged(outcome="not_in_documents").is_refused
    assert not judged(outcome="answered").is_refused


def test_scores_are_shares_of_the_questions_that_they_are_about() -> None:
    """Recall over answerable questions, refusal precision over refusals, refusal recall over unanswerable ones."""
    run = [
        judged(passages=[RIGHT], quotes=[(RIGHT, "It is 5 km.")]),
        judged(passages=[RIGHT], outcome="not_in_documents"),
        judged(a_question(**UNANSWERABLE), outcome="not_in_documents"),
        judged(a_question(**UNANSWERABLE), passages=[RIGHT]),
    ]
    scores = score(run)
    assert scores.questions == 4
    assert scores.answer_recall == 1.0
    assert scores.citation_recall == 0.5
    assert scores.refusal_precision == 0.5
    assert scores.refusal_recall == 0.5


def test_a_share_of_nothing_is_one() -> None:
    """No refusal at all is no wrong refusal."""
    assert score([]).refusal_precision == 1.0


def test_kinds_are_counted_apart() -> None:
    """Kind, questions, retrieved, cited, refused."""
    run = [judged(passages=[RIGHT]), judged(a_question(**UNANSWERABLE), outcome="not_in_documents")]
    assert list(by_kind(run)) == [("fact", 1, 1, 0, 0), ("unanswerable", 1, 0, 0, 1)]

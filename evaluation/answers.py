"""How well questions are answered: the right words, the right footnotes, and refusal where nothing answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from evaluation.matching import contains_answer, exact_match, f1, holds, overlaps
from evaluation.questions import Question
from evaluation.runs import Attempt, Item
from generation.answerer import Answer, Answering, AnswerRequest
from generation.citations import Citation
from generation.writing import Outcome
from retrieval.passages import Passage

# Passages that a person would read before giving up.
TOP_PASSAGES: Final = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One question with its answer.

    The answer is asked for without a threshold, and `min_evidence` is applied here: below it the service refuses and
    changes nothing else, so one run shows both what is answered and what is held back.
    """

    question: Question
    answer: Answer
    min_evidence: float = 0.0

    @property
    def is_refused(self) -> bool:
        """A text without a footnote that holds is a refusal too: whoever reads it has nothing to check."""
        evidence = self.answer.evidence
        return self.answer.outcome is not Outcome.ANSWERED or (evidence is not None and evidence < self.min_evidence)

    @property
    def is_retrieved(self) -> bool:
        """The words that answer stand in one of the first passages, of a right document."""
        return any(
            self._is_of_document(passage) and self._holds(f"{passage.chunk.context}\n{passage.chunk.text}")
            for passage in self.answer.passages[:TOP_PASSAGES]
        )

    @property
    def cites_words(self) -> bool:
        """The words that answer stand, whole, in one footnote of the answer, given or held back."""
        return any(self._is_of_document(c.source.passage) and self._holds(c.quote) for c in self.answer.citations)

    @property
    def is_right(self) -> bool:
        """The answer, given or held back, holds an accepted answer or cites the words that answer."""
        question, answer = self.question, self.answer
        return (
            question.is_answerable
            and answer.outcome is Outcome.ANSWERED
            and (contains_answer(answer.text, question.answers) or self.cites_words)
        )

    @property
    def citation_precision(self) -> float:
        """Share of the footnotes that are of a right document and overlap with the words that answer."""
        return sum(map(self._supports, self.answer.citations)) / len(self.answer.citations)

    def _supports(self, citation: Citation) -> bool:
        quotes = self.question.quotes
        return self._is_of_document(citation.source.passage) and (
            not quotes or any(overlaps(citation.quote, quote) for quote in quotes)
        )

    def _is_of_document(self, passage: Passage) -> bool:
        return passage.chunk.filename in self.question.documents

    def _holds(self, text: str) -> bool:
        """Where no words are known, the document alone decides."""
        return not self.question.quotes or any(holds(text, quote) for quote in self.question.quotes)


def ask(
    questions: Sequence[Question],
    answerer: Answering,
    request_of: Callable[[str], AnswerRequest],
    *,
    min_evidence: float,
) -> Iterator[Judged]:
    """Ask every question, in order, as `request_of` asks it. `answerer` refuses nothing for want of evidence."""
    for question in questions:
        *_, answer = answerer.answer(request_of(question.text))
        if isinstance(answer, Answer):
            yield Judged(question=question, answer=answer, min_evidence=min_evidence)


def item_of(judged: Judged) -> Item:
    """Return what a run keeps of a question."""
    question, evidence = judged.question, judged.answer.evidence
    return Item(
        id=question.id,
        text=question.text,
        part=question.kind,
        measures=_measures(judged),
        attempt=None
        if evidence is None
        else Attempt(confidence=evidence, is_right=judged.is_right, is_answerable=question.is_answerable),
        problem=_problem(judged),
        details=_details(judged),
    )


def _measures(judged: Judged) -> dict[str, float]:
    """Return the measures that apply: their means are shares of the questions that they are about."""
    question, refused = judged.question, judged.is_refused
    text = "" if refused else judged.answer.text
    measures: dict[str, float] = {}
    if question.is_answerable:
        measures["answer accuracy"] = float(judged.is_right and not refused)
        if question.answers:
            measures["answer F1"] = f1(text, question.answers)
            measures["answer EM"] = exact_match(text, question.answers)
        if question.documents:
            cited = judged.cites_words and not refused
            measures["answer recall"] = float(judged.is_retrieved or cited)
            measures["retrieval recall"] = float(judged.is_retrieved)
            measures["citation recall"] = float(cited)
    else:
        measures["refusal recall"] = float(refused)
    if refused:
        measures["refusal precision"] = float(not question.is_answerable)
    elif question.documents or not question.is_answerable:
        measures["citation precision"] = judged.citation_precision
    return measures


def _problem(judged: Judged) -> str | None:
    question, refused = judged.question, judged.is_refused
    if not question.is_answerable:
        return None if refused else "Answered, though the documents do not hold the answer."
    if judged.is_right and not refused:
        return None
    if question.documents and not judged.is_retrieved:
        found = f"the words that answer were not among the first {TOP_PASSAGES} passages"
        return f"{'Refused' if refused else 'Answered from other passages'}: {found}."
    if refused:
        return "Refused a right answer." if judged.is_right else "Refused; the sentence it had chosen was another one."
    return "Answered with other words than those that answer."


def _details(judged: Judged) -> Mapping[str, Any]:
    question, answer = judged.question, judged.answer
    return {
        "outcome": "refused" if judged.is_refused else answer.outcome.value,
        # What was said, or would have been.
        "answer": answer.text,
        "cited": [
            {"document": c.source.passage.chunk.filename, "page": c.page, "quote": c.quote, "supports": supports}
            for c, supports in ((c, judged._supports(c)) for c in answer.citations)
        ],
        "accepted": list(question.answers),
        "documents": list(question.documents),
        "quotes": list(question.quotes),
    }

"""How well questions are answered: recall of the words that answer, and refusal where nothing does."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from evaluation.questions import Question
from generation.answerer import Answer, Answerer, AnswerRequest, Outcome
from retrieval.indexes.base import Scope
from retrieval.searcher import Ranking

# Passages that a person would read before giving up.
TOP_PASSAGES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One question with what became of it."""

    question: Question
    answer: Answer

    @property
    def is_refused(self) -> bool:
        return self.answer.outcome is not Outcome.ANSWERED

    @property
    def is_retrieved(self) -> bool:
        """The words that answer stand in one of the first passages, of the right document."""
        return any(
            passage.chunk.filename == self.question.document
            and holds(f"{passage.chunk.context}\n{passage.chunk.text}", self.question.quote)
            for passage in self.answer.passages[:TOP_PASSAGES]
        )

    @property
    def is_cited(self) -> bool:
        """The words that answer are cited, whole, in one footnote."""
        return any(
            citation.source.passage.chunk.filename == self.question.document
            and holds(citation.quote, self.question.quote)
            for citation in self.answer.citations
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """Shares, 0 to 1. A share of nothing is 1: no refusal is no wrong refusal."""

    questions: int
    # Answerable questions whose words are cited or among the first passages.
    answer_recall: float
    # The same, among the first passages alone; and in a footnote alone.
    retrieval_recall: float
    citation_recall: float
    # Refused questions that cannot be answered; and unanswerable questions that were refused.
    refusal_precision: float
    refusal_recall: float


def judge(questions: Sequence[Question], answerer: Answerer, scope: Scope, ranking: Ranking) -> Iterator[Judged]:
    """Ask every question, in order."""
    for question in questions:
        request = AnswerRequest(question=question.text, scope=scope, ranking=ranking)
        *_, answer = answerer.answer(request)
        if isinstance(answer, Answer):
            yield Judged(question=question, answer=answer)


def score(judged: Sequence[Judged]) -> Scores:
    answerable = [one for one in judged if one.question.is_answerable]
    unanswerable = [one for one in judged if not one.question.is_answerable]
    refused = [one for one in judged if one.is_refused]
    return Scores(
        questions=len(judged),
        answer_recall=_share(answerable, lambda one: one.is_retrieved or one.is_cited),
        retrieval_recall=_share(answerable, lambda one: one.is_retrieved),
        citation_recall=_share(answerable, lambda one: one.is_cited),
        refusal_precision=_share(refused, lambda one: not one.question.is_answerable),
        refusal_recall=_share(unanswerable, lambda one: one.is_refused),
    )


def holds(text: str, words: str | None) -> bool:
    """Whether `words` stand in `text`; white space, case, and the bars of Markdown tables do not count."""
    return bool(words) and _plain(words or "") in _plain(text)


def _plain(text: str) -> str:
    cells = unicodedata.normalize("NFKC", text).casefold().replace("|", " ")
    return " ".join(part for part in cells.split() if set(part) != {"-"})


def _share(items: Sequence[Judged], is_met: Callable[[Judged], bool]) -> float:
    return sum(map(is_met, items)) / len(items) if items else 1.0

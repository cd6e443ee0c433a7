"""Feedback becomes an evaluation set: what people asked, with the words that answer it, as far as they said so."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from catalog import answers, documents, feedback
from catalog.answers import AnswerFilter
from catalog.feedback import Rating
from catalog.models import AnswerFeedback, AnswerRecord
from evaluation.matching import holds
from evaluation.questions import Question, question_line
from evaluation.runs import write_whole
from generation.writing import Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Footnoted:
    """Words that an answer cites."""

    document: str
    quote: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rated:
    """An answer, and everything that was said of it."""

    id: str
    project_id: str
    # As it was searched for: one that follows up on another is not understood by itself.
    question: str
    answer: str
    outcome: str
    cited: Sequence[Footnoted]
    said: Sequence[AnswerFeedback]

    @property
    def ratings(self) -> set[str]:
        return {one.rating for one in self.said}

    @property
    def expected_answers(self) -> list[str]:
        return list(dict.fromkeys(one.expected_answer for one in self.said if one.expected_answer))

    @property
    def expected_quotes(self) -> list[str]:
        return list(dict.fromkeys(one.expected_quote for one in self.said if one.expected_quote))


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """An answer from which no question can be made before somebody has looked at it."""

    rated: Rated
    reason: str

    @property
    def line(self) -> dict[str, Any]:
        return {
            "id": self.rated.id,
            "question": self.rated.question,
            "reason": self.reason,
            "answer": self.rated.answer,
            "outcome": self.rated.outcome,
            "cited": [{"document": one.document, "quote": one.quote} for one in self.rated.cited],
            "comments": [one.text for one in self.rated.said if one.text],
            "expected_answers": self.rated.expected_answers,
            "expected_quotes": self.rated.expected_quotes,
        }


def rated_answers(session: Session) -> list[Rated]:
    """Return the answers of all projects that somebody rated, oldest first."""
    found = {
        record.id: record for rating in Rating for record in answers.find(session, AnswerFilter(rating=rating.value))
    }
    records = sorted(found.values(), key=lambda record: (record.created_at, record.id))
    said = feedback.of_answers(session, records)
    return [_rated(record, said[record.id]) for record in records]


def documents_with(session: Session, rated: Iterable[Rated]) -> dict[tuple[str, str], list[str]]:
    """Return, by project and expected words, the names of the documents in which these words stand."""
    wanted: dict[str, list[str]] = {}
    for one in rated:
        wanted.setdefault(one.project_id, []).extend(one.expected_quotes)
    found: dict[tuple[str, str], list[str]] = {}
    for project_id, quotes in wanted.items():
        for name, text in documents.texts(session, project_id) if quotes else ():
            for quote in dict.fromkeys(quotes):
                if holds(text, quote):
                    found.setdefault((project_id, quote), []).append(name)
    return {key: list(dict.fromkeys(names)) for key, names in found.items()}


def question_of(rated: Rated, holders: Mapping[tuple[str, str], Sequence[str]]) -> Question | Review:
    """Return what one rated answer is worth for measuring; `holders`: see `documents_with`.

    Rated up, its footnotes are the words that answer, and a refusal is a question without an answer. Rated down, the
    words or the answer that were expected are.
    """
    if len(rated.ratings) > 1:
        return Review(rated=rated, reason="Some rated it up and some down.")
    if rated.ratings == {Rating.UP}:
        return _confirmed(rated)
    unknown = [quote for quote in rated.expected_quotes if (rated.project_id, quote) not in holders]
    if unknown:
        return Review(rated=rated, reason=f"No document holds the expected words {unknown[0]!r}.")
    if not rated.expected_quotes and not rated.expected_answers:
        return Review(rated=rated, reason="Rated down, and nobody said what was expected.")
    names = [name for quote in rated.expected_quotes for name in holders[rated.project_id, quote]]
    return Question(
        id=rated.id,
        text=rated.question,
        answers=rated.expected_answers,
        documents=list(dict.fromkeys(names)),
        quotes=rated.expected_quotes,
        kind="corrected",
    )


def write_set(path: Path, found: Sequence[Question | Review]) -> Path:
    """Write the questions to `path`, and what is to be reviewed to the file that this returns, each all at once."""
    reviews = path.with_name(f"{path.stem}.review{path.suffix}")
    write_whole(path, _lines(question_line(one) for one in found if isinstance(one, Question)))
    write_whole(reviews, _lines(one.line for one in found if isinstance(one, Review)))
    return reviews


def _rated(record: AnswerRecord, said: Sequence[AnswerFeedback]) -> Rated:
    parts = [
        part
        for item in record.response.get("output", ())
        if item.get("type") == "message"
        for part in item.get("content", ())
    ]
    return Rated(
        id=record.id,
        # An owner is a project, or a part of one behind a slash (`api.visibility.Caller`).
        project_id=record.project_id.partition("/")[0],
        question=record.trace.get("question", record.question),
        answer="\n".join(str(part.get("text", "")) for part in parts),
        outcome=record.outcome,
        cited=[
            Footnoted(document=note["filename"], quote=note["quote"])
            for part in parts
            for note in part.get("annotations", ())
        ],
        said=said,
    )


def _confirmed(rated: Rated) -> Question | Review:
    if rated.outcome == Outcome.NOT_IN_DOCUMENTS:
        return Question(id=rated.id, text=rated.question, kind="confirmed")
    if not rated.cited:
        return Review(rated=rated, reason="Rated up, though no footnote says where the answer stands.")
    return Question(
        id=rated.id,
        text=rated.question,
        answers=rated.expected_answers,
        documents=list(dict.fromkeys(one.document for one in rated.cited)),
        quotes=list(dict.fromkeys(one.quote for one in rated.cited)),
        kind="confirmed",
    )


def _lines(values: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)

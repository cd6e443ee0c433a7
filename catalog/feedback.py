"""Feedback: what callers say of the answers that they got. It lasts no longer than the answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog import answers
from catalog.database import portions
from catalog.errors import InvalidRequest
from catalog.models import AnswerFeedback, AnswerRecord, AnswerStatus


class Rating(StrEnum):
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewFeedback:
    rating: Rating
    text: str | None = None
    # The right answer, and words of a document that give it.
    expected_answer: str | None = None
    expected_quote: str | None = None


def give(session: Session, project_id: str, response_id: str, author: str, new: NewFeedback) -> AnswerFeedback:
    """Keep what one caller says of an answer, in place of what it said before.

    Raises NotFound as `answers.get` does, InvalidRequest while the answer is being written.
    """
    # Until the transaction ends nobody else says anything of this answer, and nobody deletes it.
    session.execute(select(AnswerRecord.id).where(AnswerRecord.id == response_id).with_for_update())
    record = answers.get(session, project_id, response_id)
    if not AnswerStatus(record.status).has_ended:
        raise InvalidRequest(f"Response {response_id!r} is still {record.status}; wait for its end.")
    given = session.merge(
        AnswerFeedback(
            response_id=response_id,
            author=author,
            created_at=time.time(),
            rating=new.rating.value,
            text=new.text,
            expected_answer=new.expected_answer,
            expected_quote=new.expected_quote,
        )
    )
    session.flush()
    return given


def of_answer(session: Session, project_id: str, response_id: str) -> Sequence[AnswerFeedback]:
    """Return everything that was said of an answer, oldest first. Raises NotFound as `answers.get` does."""
    return of_answers(session, [answers.get(session, project_id, response_id)])[response_id]


def of_answers(session: Session, records: Sequence[AnswerRecord]) -> dict[str, list[AnswerFeedback]]:
    """Return what was said of each of these answers, oldest first."""
    said: dict[str, list[AnswerFeedback]] = {record.id: [] for record in records}
    for some in portions(list(said)):
        query = select(AnswerFeedback).where(AnswerFeedback.response_id.in_(some))
        for one in session.scalars(query.order_by(AnswerFeedback.created_at, AnswerFeedback.author)):
            said[one.response_id].append(one)
    return said


def counts(session: Session) -> dict[Rating, int]:
    """Return how often each rating was given, of the answers that are kept."""
    rows = session.execute(select(AnswerFeedback.rating, func.count()).group_by(AnswerFeedback.rating))
    return dict.fromkeys(Rating, 0) | {Rating(rating): count for rating, count in rows}

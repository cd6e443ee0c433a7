"""Feedback: the request body and the object."""

from typing import Annotated, Any

from pydantic import Field

from api.wire.items import KeptModel
from catalog.feedback import NewFeedback, Rating
from catalog.models import AnswerFeedback

_Words = Annotated[str, Field(max_length=4000)]


class GiveFeedback(KeptModel):
    rating: Rating
    text: _Words | None = None
    expected_answer: _Words | None = None
    expected_quote: _Words | None = None

    @property
    def new(self) -> NewFeedback:
        """What is kept of it: blank words are none."""
        words = {
            name: value.strip() or None
            for name in ("text", "expected_answer", "expected_quote")
            if (value := getattr(self, name)) is not None
        }
        return NewFeedback(rating=self.rating, **words)


def feedback_object(given: AnswerFeedback) -> dict[str, Any]:
    return {
        "object": "response.feedback",
        "response_id": given.response_id,
        "created_at": int(given.created_at),
        "rating": given.rating,
        "text": given.text,
        "expected_answer": given.expected_answer,
        "expected_quote": given.expected_quote,
    }

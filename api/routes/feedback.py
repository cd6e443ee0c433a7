"""/v1/responses/{response_id}/feedback"""

from typing import Any

from fastapi import APIRouter

from api.auth import CallerOf, ServicesOf
from api.wire.common import plain_page
from api.wire.feedback import GiveFeedback, feedback_object
from catalog import feedback

router = APIRouter(prefix="/v1/responses/{response_id}/feedback", tags=["Responses"])


@router.post("")
def give_feedback(services: ServicesOf, caller: CallerOf, response_id: str, body: GiveFeedback) -> dict[str, Any]:
    """Say whether an answer is right, and what would be. What the same caller said of it before is replaced."""
    with services.catalog.database.write() as session:
        given = feedback.give(session, caller.owner_id, response_id, caller.author, body.new)
        return feedback_object(given)


@router.get("")
def list_feedback(services: ServicesOf, caller: CallerOf, response_id: str) -> dict[str, Any]:
    """List what was said of an answer, oldest first, once for each caller that said something."""
    with services.catalog.database.read() as session:
        said = feedback.of_answer(session, caller.owner_id, response_id)
    return plain_page("list", [feedback_object(one) for one in said])

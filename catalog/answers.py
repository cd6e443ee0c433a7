"""Answer records: one row per answered question."""

from sqlalchemy.orm import Session

from catalog.errors import NotFound
from catalog.models import AnswerRecord


def save(session: Session, record: AnswerRecord) -> None:
    session.add(record)


def get(session: Session, project_id: str, response_id: str) -> AnswerRecord:
    """Raises NotFound, also for another project's answer."""
    record = session.get(AnswerRecord, response_id)
    if record is None or record.project_id != project_id:
        raise NotFound(f"No response with id {response_id!r}.", param="response_id")
    return record


def delete(session: Session, project_id: str, response_id: str) -> None:
    session.delete(get(session, project_id, response_id))

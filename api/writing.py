"""Writing a response: what it is made from, its events, and what is kept of it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy.orm import Session

from api import metrics, queued
from api.wire.items import Item
from api.wire.response_stream import Event, ResponseStream
from catalog import answers, background, conversations
from catalog.background import Claim
from catalog.errors import FootnoteError, InvalidRequest, NotFound
from catalog.models import AnswerRecord, AnswerStatus
from generation.answerer import Answer, Answering, AnswerRequest
from generation.sourcing import Searched


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a response is written from. It can wait in the database as JSON."""

    owner_id: str
    request: AnswerRequest
    # The Response object before anything was done.
    response: Item
    # Of the request itself.
    input_items: Sequence[Item]
    # The files that an input item names as the source of its words, by the item's id.
    cited: Mapping[str, Sequence[str]]
    is_searching: bool = True

    @property
    def model(self) -> str:
        """The profile that answers."""
        return str(self.response["model"])

    @property
    def conversation_id(self) -> str | None:
        conversation = self.response["conversation"]
        return str(conversation["id"]) if conversation else None

    @property
    def is_kept(self) -> bool:
        """Something stays of the answer: its record, or items of a conversation."""
        return bool(self.response["store"]) or self.conversation_id is not None

    def stream(self) -> ResponseStream:
        return ResponseStream(self.response, searches=self.is_searching)

    def record(self) -> AnswerRecord:
        """Return the record of an answer that has not been begun."""
        return AnswerRecord(
            id=self.response["id"],
            project_id=self.owner_id,
            created_at=time.time(),
            question=self.request.question,
            model=self.model,
            outcome="",
            index_version=0,
            prompt={},
            trace=self.trace(),
            response=self.response,
            status=AnswerStatus.QUEUED,
            previous_response_id=self.response["previous_response_id"],
            input_items=list(self.input_items),
        )

    def trace(self, **found: Any) -> dict[str, Any]:
        """Return what the record says of where its words come from."""
        return {**found, "cited_in_input": sorted({file_id for ids in self.cited.values() for file_id in ids})}

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"request": queued.to_json(self.request)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the plan that this or an older version queued. Raises FootnoteError for what it cannot read."""
        try:
            return cls(**{**values, "request": queued.from_json(values["request"])})
        except (LookupError, TypeError, ValueError, AttributeError, InvalidRequest) as error:
            raise FootnoteError(
                "This answer was queued by another version of Footnote, and this one cannot read what was asked "
                f"({type(error).__name__}: {error}). Ask again."
            ) from error


class Writing:
    """One pass over a plan: the events come in batches, and `columns` tell what the record holds so far."""

    def __init__(self, plan: Plan, *, is_background: bool = False) -> None:
        self.plan = plan
        self.stream = plan.stream()
        # Of a background answer they are kept since it was queued.
        self.queued = self.stream.queued() if is_background else []
        self._trace = plan.trace()
        self._answer: Answer | None = None

    def run(self, answerer: Answering, cancelled: Callable[[], bool]) -> Iterator[list[Event]]:
        """Yield the events but for the last one, which `end` returns when the answer is kept."""
        yield list(self.stream.begin())
        found: list[dict[str, Any]] = []
        for event in metrics.observed(self.plan.model, answerer.answer(self.plan.request, cancelled=cancelled)):
            if isinstance(event, Searched):
                # Whatever becomes of the answer, it may hold words of these files from here on.
                found += [{"file_id": one.chunk.file_id, "chunk_id": one.chunk.chunk_id} for one in event.passages]
                self._trace = self.plan.trace(candidates=found, recalled=list(event.recalled))
            if isinstance(event, Answer):
                self._answer, self._trace = event, self.plan.trace(**event.trace)
            yield list(self.stream.take(event))

    @property
    def is_done(self) -> bool:
        return self._answer is not None

    @property
    def drawn_on(self) -> dict[str, set[str]]:
        """The files whose words an item may hold, by the item's id."""
        found = answers.files_of({name: self._trace.get(name, ()) for name in ("candidates", "recalled")})
        written = {str(item["id"]): found for item in self.stream.response["output"]}
        return written | {item_id: set(files) for item_id, files in self.plan.cited.items()}

    def unfinished_columns(self) -> dict[str, Any]:
        return {"trace": self._trace}

    def final_columns(self) -> dict[str, Any]:
        columns = {
            "status": self.stream.response["status"],
            "response": self.stream.response,
            "trace": self._trace,
            "ended_at": time.time(),
            "request": None,
        }
        if self._answer is None:
            return columns
        return columns | {
            "outcome": self._answer.outcome.value,
            "index_version": self._answer.index_version,
            "prompt": dict(self._answer.prompt),
        }


def keep(session: Session, writing: Writing) -> None:
    """Keep a response that has ended, as its request wants it: as a record, and in its conversation."""
    record = writing.plan.record()
    for name, value in writing.final_columns().items():
        setattr(record, name, value)
    is_sound = not answers.is_orphan(session, record)
    if writing.stream.response["store"]:
        answers.save(session, record)
    _carry_on(session, writing, is_sound=is_sound)


def keep_claimed(session: Session, claim: Claim, writing: Writing, events: Sequence[Event]) -> None:
    """The same for a background answer. Raises LeaseLost when it is no longer this process's."""
    background.write(session, claim, events, writing.final_columns())
    record = answers.own(session, claim.project_id, claim.id)
    is_sound = not answers.is_orphan(session, record)
    if not is_sound:
        session.delete(record)
    _carry_on(session, writing, is_sound=is_sound)


def _carry_on(session: Session, writing: Writing, *, is_sound: bool) -> None:
    """Add what was asked and answered to the conversation, if there is one, and if there was an answer.

    `is_sound`: no file that the answer draws on is gone; of one that is, the words are not kept.
    """
    plan = writing.plan
    if plan.conversation_id is None or not writing.is_done or writing.stream.response["status"] == "failed":
        return
    try:
        conversation = conversations.get_locked(session, plan.owner_id, plan.conversation_id)
    except NotFound:
        return  # Deleted while the answer was written.
    output = writing.stream.response["output"] if is_sound else []
    conversations.add_items(session, conversation, [*plan.input_items, *output], writing.drawn_on)

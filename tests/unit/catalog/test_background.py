"""Background answers: the row is the job. Runs on every database."""

import threading
from typing import Any

import pytest
from sqlalchemy import select, update

from catalog import answers, background
from catalog.background import Claim
from catalog.database import Database
from catalog.errors import InvalidRequest, LeaseLost, NotFound, PreviousResponseNotFound
from catalog.models import DEFAULT_PROJECT, AnswerEvent, AnswerRecord, AnswerStatus

LEASE_S = 30.0


def a_record(response_id: str = "resp_1", **overrides: Any) -> AnswerRecord:
    fields: dict[str, Any] = {
        "id": response_id,
        "project_id": DEFAULT_PROJECT,
        "created_at": 1.0,
        "question": "Why?",
        "model": "footnote",
        "outcome": "",
        "index_version": 0,
        "prompt": {},
        "trace": {},
        "response": {"id": response_id, "background": True, "output": []},
        "status": AnswerStatus.QUEUED,
        "request": {"question": "Why?"},
        "input_items": [{"id": f"msg_{response_id}", "role": "user"}],
    }
    return AnswerRecord(**fields | overrides)


def an_event(number: int) -> dict[str, Any]:
    return {"type": "response.x", "sequence_number": number}


def queue(database: Database, *records: AnswerRecord) -> None:
    with database.write() as session:
        for record in records:
            background.queue(session, record, [an_event(0), an_event(1)])


def claim(database: Database, owner: str = "me", lease_s: float = LEASE_S) -> Claim | None:
    with database.write() as session:
        return background.claim(session, owner, lease_s=lease_s)


def numbers(database: Database, response_id: str = "resp_1") -> list[int]:
    with database.read() as session:
        return [event["sequence_number"] for event in background.events_after(session, response_id, -1, limit=100)]


def write(database: Database, held: Claim, *events: dict[str, Any], **values: Any) -> None:
    with database.write() as session:
        background.write(session, held, events, values)


def last_event(response: Any, number: int) -> dict[str, Any]:
    return {**an_event(number), "status": response["status"]}


def test_the_oldest_is_claimed_first_and_each_once(database: Database) -> None:
    """What is claimed is not free any more."""
    queue(database, a_record("resp_1", created_at=2.0), a_record("resp_2", created_at=1.0))
    found = [claim(database), claim(database), claim(database)]
    assert [one and one.id for one in found] == ["resp_2", "resp_1", None]
    with database.read() as session:
        assert not background.is_waiting(session)


def test_several_processes_never_get_the_same_answer(database: Database) -> None:
    """Each answer has one writer, whoever asks at once."""
    queue(database, *(a_record(f"resp_{number}") for number in range(12)))
    found: list[str] = []

    def take(owner: str) -> None:
        while one := claim(database, owner):
            found.append(one.id)

    threads = [threading.Thread(target=take, args=(f"process {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"resp_{number}" for number in range(12))


def test_a_lapsed_claim_is_taken_over_and_written_anew(database: Database) -> None:
    """The first writer can write nothing more, and what it wrote is gone but for the events before its claim."""
    queue(database, a_record())
    first = claim(database, "first", lease_s=-1.0)
    assert first is not None
    write(database, first, an_event(2), an_event(3))
    second = claim(database, "second")
    assert second is not None
    assert (second.id, second.claims, second.request) == ("resp_1", 2, {"question": "Why?"})
    assert numbers(database) == [0, 1]
    with pytest.raises(LeaseLost):
        write(database, first, an_event(2))
    write(database, second, an_event(2), status=AnswerStatus.COMPLETED)
    assert numbers(database) == [0, 1, 2]
    assert claim(database) is None


def test_an_owner_does_not_claim_what_it_is_writing(database: Database) -> None:
    """Its lease may have lapsed while the database was away; another owner may take it."""
    with database.write() as session:
        background.queue(session, a_record(), [])
    with database.write() as session:
        held = background.claim(session, "a", lease_s=-1.0)
    assert held is not None
    with database.write() as session:
        assert not background.is_waiting(session, but=[held.id])
        assert background.claim(session, "a", lease_s=LEASE_S, but=[held.id]) is None
        assert background.is_waiting(session)
        assert background.claim(session, "b", lease_s=LEASE_S) is not None


def test_a_lease_is_extended_while_it_is_held(database: Database) -> None:
    """And what is no longer held is not named."""
    queue(database, a_record("resp_1"), a_record("resp_2"))
    first, second = claim(database, lease_s=-1.0), claim(database, "other")
    assert first is not None
    assert second is not None
    with database.write() as session:
        held = background.extend(session, "me", [first.id, second.id], lease_s=LEASE_S)
    assert held == {first.id: first.fence}
    assert claim(database, "third") is None


def test_what_is_handed_back_does_not_count_as_a_claim(database: Database) -> None:
    """A process that ends in order has not failed."""
    queue(database, a_record())
    claim(database)
    with database.write() as session:
        background.release(session, "me")
    again = claim(database, "other")
    assert again is not None
    assert again.claims == 1


def test_a_cancelled_answer_is_written_no_more(database: Database) -> None:
    """Its last event is behind those that were written; cancelling again changes nothing."""
    queue(database, a_record())
    held = claim(database)
    assert held is not None
    write(database, held, an_event(2))
    for _ in range(2):
        with database.write() as session:
            record = background.cancel(session, DEFAULT_PROJECT, "resp_1", last_event)
            assert (record.status, record.response["status"]) == ("cancelled", "cancelled")
    assert numbers(database) == [0, 1, 2, 3]
    with pytest.raises(LeaseLost):
        write(database, held, an_event(3))
    assert claim(database) is None


def test_only_what_is_in_the_background_can_be_cancelled(database: Database) -> None:
    """Another project's answer does not exist."""
    queue(database, a_record(response={"background": False}), a_record("resp_2", project_id="proj_other"))
    with database.write() as session:
        with pytest.raises(InvalidRequest):
            background.cancel(session, DEFAULT_PROJECT, "resp_1", last_event)
        with pytest.raises(NotFound):
            background.cancel(session, DEFAULT_PROJECT, "resp_2", last_event)


def test_deleting_an_answer_deletes_its_events(database: Database) -> None:
    """Its writer finds out by its next write."""
    queue(database, a_record())
    held = claim(database)
    assert held is not None
    with database.write() as session:
        answers.delete(session, DEFAULT_PROJECT, "resp_1")
    with pytest.raises(LeaseLost):
        write(database, held, an_event(2))
    with database.read() as session:
        assert session.scalars(select(AnswerEvent)).all() == []


def test_events_are_forgotten_when_they_are_old(database: Database) -> None:
    """Those of what is still written, or ended just now, stay."""
    queue(database, a_record("resp_1"), a_record("resp_2"))
    with database.write() as session:
        session.execute(update(AnswerRecord).where(AnswerRecord.id == "resp_1").values(ended_at=1.0))
        background.forget_events(session)
    assert (numbers(database, "resp_1"), numbers(database, "resp_2")) == ([], [0, 1])


def test_a_chain_is_read_from_its_first_answer_to_its_last(database: Database) -> None:
    """Input, then output, of each; it ends where one is gone or another project's."""
    ended: dict[str, Any] = {"status": AnswerStatus.COMPLETED, "request": None}
    with database.write() as session:
        for number in range(1, 5):
            output = [{"id": f"out_{number}"}]
            previous = f"resp_{number - 1}" if number > 1 else None
            record = a_record(
                f"resp_{number}", **ended, previous_response_id=previous, response={"id": "x", "output": output}
            )
            session.add(record)

    def ids(response_id: str) -> list[str]:
        with database.read() as session:
            return [item["id"] for item in answers.history(session, DEFAULT_PROJECT, response_id)]

    assert ids("resp_3") == ["msg_resp_1", "out_1", "msg_resp_2", "out_2", "msg_resp_3", "out_3"]
    with database.write() as session:
        session.execute(update(AnswerRecord).where(AnswerRecord.id == "resp_2").values(project_id="proj_other"))
    assert ids("resp_4") == ["msg_resp_3", "out_3", "msg_resp_4", "out_4"]
    with pytest.raises(PreviousResponseNotFound):
        ids("resp_2")


def test_what_is_still_written_cannot_be_carried_on(database: Database) -> None:
    """Its words are not there yet."""
    queue(database, a_record())
    with database.read() as session, pytest.raises(InvalidRequest, match="queued"):
        answers.history(session, DEFAULT_PROJECT, "resp_1")

"""The score counts what recorded exchanges bear out."""

from typing import Any

from tests.conformance import report
from tests.conformance.exchanges import Exchange, parse_events
from tests.conformance.programs import Outcome
from tests.conformance.scope import Scope
from tests.conformance.score import Area, Score
from tests.conformance.small import contract

DOG = {"type": "dog", "name": "Rex"}
NOTHING = Scope({})


def exchange(**fields: Any) -> Exchange:
    return Exchange(**{"client": "test", "method": "POST", "path": "/files", "status": 200} | fields)


def score(*exchanges: Exchange, scope: Scope = NOTHING) -> Area:
    return Score(contract(), scope).add(exchanges).areas["Files"]


def paths(area: Area, direction: str) -> set[str]:
    return {one.path for one in area.missing if one.direction == direction and one.operation == "POST /files"}


def test_nothing_recorded_is_everything_missing() -> None:
    """The score begins at nothing."""
    area = score()
    assert (area.percent, len(area.operations), area.exercised) == (0, 4, set())


def test_what_was_sent_and_answered_is_no_longer_missing() -> None:
    """Requests, replies, and parameters of the query, each counted in its own direction."""
    area = score(exchange(body=DOG, reply=DOG), exchange(method="GET", query={"limit": "1"}, reply={"data": [DOG]}))
    assert paths(area, "request") == {"pups"}
    assert paths(area, "response") == {":cat.lives", ":cat.owner", ":cat.type", ":dog.pups"}
    assert area.exercised == {"POST /files", "GET /files"}
    assert area.issues == {}


def test_a_property_that_is_wrong_is_an_issue_and_not_missing() -> None:
    """It counts once, however often it was wrong."""
    wrong = exchange(body=DOG, reply={"type": "dog", "name": 7})
    area = score(wrong, wrong)
    assert {str(one): message for one, message in area.issues.items()} == {
        "POST /files response :dog.name": "7 is not of type 'string'"
    }
    assert ":dog.name" not in paths(area, "response")


def test_a_property_that_was_refused_is_an_issue_unless_it_was_accepted_elsewhere() -> None:
    """A refusal shows what is not served; that a wrong value is refused does not."""
    error = {"error": {"message": "No dogs.", "param": "name"}}
    refused = exchange(body=DOG, status=400, reply=error)
    assert [str(one) for one in score(refused).issues] == ["POST /files request name"]
    assert score(refused, exchange(body=DOG, reply=DOG)).issues == {}


def test_an_error_of_the_server_and_a_wrong_error_are_issues() -> None:
    """The body of every refusal is held to the description of errors."""
    area = score(exchange(status=500, reply={"error": {"message": "Oh."}}), exchange(status=400, reply={"detail": "x"}))
    assert {one.direction for one in area.issues} == {"response", "error"}


def test_an_injected_fault_counts_for_nothing() -> None:
    """It says nothing about the server."""
    assert score(exchange(status=0, fault="500")).exercised == set()


def test_events_are_counted_and_checked() -> None:
    """By their type; a wrong one is an issue of the stream."""
    area = score(exchange(body=DOG, events=({"type": "file.started"}, "[DONE]", {"type": "file.ended", "n": "x"})))
    assert area.events_seen == area.events == {"file.started", "file.ended"}
    assert [str(one) for one in area.issues] == ["POST /files stream :file.ended.n"]


def test_what_is_out_of_scope_is_neither_expected_nor_missed() -> None:
    """Branches, properties and whole operations."""
    scope = Scope(
        {
            "schemas": [{"names": ["Cat", "Ended"], "reason": "-"}],
            "properties": [{"operation": "POST /files", "direction": "*", "paths": ["*pups"], "reason": "-"}],
            "operations": [{"names": ["GET *"], "reason": "-"}],
        }
    )
    area = score(exchange(body=DOG, reply=DOG), exchange(body=DOG, events=({"type": "file.started"},)), scope=scope)
    assert (area.percent, area.operations) == (100, {"POST /files"})
    assert scope.unused == []


def test_an_unknown_request_is_told_apart() -> None:
    """Footnote's own endpoints are not OpenAI's."""
    found = Score(contract(), NOTHING).add([exchange(path="/files/file-1/text")])
    assert found.outside == {"POST /files/file-1/text": 1}


def test_the_report_names_issues_missing_parts_and_failed_steps() -> None:
    """Each on a line of its own, with the numbers in a table."""
    found = Score(contract(), NOTHING).add([exchange(body=DOG, reply={"type": "dog", "name": 7})])
    lines = list(report.findings(found))
    assert "issue    Files: POST /files response :dog.name: 7 is not of type 'string'" in lines
    assert "missing  Files: GET /files: never answered" in lines
    assert "missing  Files: event file.ended" in lines
    table = report.table(found, Score(contract(), NOTHING))
    row = next(line for line in table.splitlines() if line.startswith("| Files"))
    assert row.endswith(" 0.0 % |")
    assert row.split(" | ")[1] == "1/4"
    step = {"step": "a", "ok": False, "error": "b", "at": "c"}
    outcome = Outcome(name="node", sdk="6", steps=[step], methods=frozenset({"files.waitFor", "files.list"}))
    assert list(report.runs([outcome])) == ["node: 6: 0 of 1 steps passed", "  FAILED a: b [c]"]
    scope = Scope({"methods": [{"names": ["files.wait_for"], "reason": "-"}]})
    assert list(report.uncalled([outcome], scope)) == ["node: files.list"]


def test_the_data_of_events_is_read_from_a_stream() -> None:
    """Both ends of a line, several lines of data, comments, and words that are no JSON."""
    stream = b'event: a\r\ndata: {"n":\r\ndata: 1}\r\n\r\n: ping\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n'
    assert parse_events(stream) == ({"n": 1}, {"n": 2}, "[DONE]")

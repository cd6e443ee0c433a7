"""footnote answers list | show | replay | explain | feedback export"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.cli import main
from catalog.models import AnswerRecord
from evaluation.questions import load_questions
from tests.integration.conftest import HOUSE, running

QUESTION = "Who installed the boiler in the cellar?"
ABSENT = "What does the night shift earn on Sundays?"


@dataclass(frozen=True, kw_only=True)
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Result]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What there is in the state folder."""

    store: str
    file: str
    answered: str
    absent: str


@pytest.fixture
def command(tmp_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Return what runs `footnote answers ARGUMENTS` as the console script does."""
    monkeypatch.setenv("FOOTNOTE_HOME", str(tmp_home))
    monkeypatch.setenv("FOOTNOTE_EMBEDDING_BACKEND", "hashing")
    monkeypatch.setenv("FOOTNOTE_MIN_EVIDENCE", "0.3")
    monkeypatch.chdir(tmp_home)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["footnote", "answers", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(status=int(ended.value.code or 0), out=captured.out, err=captured.err)

    yield run


@pytest.fixture
def kept(tmp_home: Path) -> Kept:
    """Ask two questions, of which the documents answer one; both are rated."""
    with running(tmp_home, min_evidence=0.3) as footnote:
        store = footnote.store(name="house")
        file = footnote.add(store, HOUSE)
        answered = footnote.respond(QUESTION, store)["id"]
        absent = footnote.respond(ABSENT, footnote.store(name="empty"))["id"]
        for response_id, body in (
            (answered, {"rating": "up"}),
            (absent, {"rating": "down", "text": "It does.", "expected_quote": "watered twice a week"}),
        ):
            reply = footnote.client.post(f"/v1/responses/{response_id}/feedback", json=body)
            assert reply.status_code == 200, reply.text
    return Kept(store=store, file=file, answered=answered, absent=absent)


def delete_file(home: Path, kept: Kept, *, from_store_alone: bool = False) -> None:
    with running(home) as footnote:
        of_store = f"/v1/vector_stores/{kept.store}" if from_store_alone else "/v1"
        assert footnote.client.delete(f"{of_store}/files/{kept.file}").status_code == 200


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["absent", "answered"]),
        (["--limit", "1"], ["absent"]),
        (["--store", "house"], ["answered"]),
        (["--outcome", "not_in_documents"], ["absent"]),
        (["--model", "footnote", "--rating", "up"], ["answered"]),
        (["--model", "other"], []),
        (["--since", "2020-01-01"], ["absent", "answered"]),
        (["--since", "2999-01-01T00:00:00"], []),
    ],
)
def test_answers_are_listed_by_what_is_asked_for(
    command: Command, kept: Kept, options: list[str], expected: list[str]
) -> None:
    """Newest first, as a table and as JSON alike."""
    ids = [getattr(kept, name) for name in expected]
    assert [one["id"] for one in command("list", "--json", *options).json] == ids
    table = command("list", *options)
    assert (table.status, [line.split()[0] for line in table.out.splitlines()[1:]]) == (0, ids)


def test_a_store_may_be_given_by_its_id(command: Command, kept: Kept) -> None:
    """As by its name."""
    assert [one["id"] for one in command("list", "--json", "--store", kept.store).json] == [kept.answered]


def test_an_answer_is_shown_with_its_footnotes_and_what_was_said(command: Command, kept: Kept) -> None:
    """Text with marks, quote and place of each, and the feedback."""
    shown = command("show", kept.answered).out
    assert f"{QUESTION}\n" in shown
    assert "in the autumn of 2011. [1]" in shown
    assert "[1] house.txt, characters" in shown
    assert "Rated up" in shown
    said = command("show", kept.absent).out
    assert "said: It does." in said
    assert "expected words: watered twice a week" in said
    whole = command("show", "--json", kept.answered).json
    assert (whole["response"]["id"], whole["feedback"][0]["rating"]) == (kept.answered, "up")
    assert whole["trace"]["prompt_sha256"]


def test_what_is_to_be_doubted_is_shown(command: Command, kept: Kept, tmp_home: Path) -> None:
    """Sentences without a source, and footnotes that contradict each other, as `footnote ask` shows them."""
    with running(tmp_home) as footnote, footnote.services.catalog.database.write() as session:
        record = session.get_one(AnswerRecord, kept.answered)
        record.response = {**record.response, "unsupported": [{"start": 0, "end": 3}], "contradictions": [[1, 2]]}
    shown = command("show", kept.answered).out
    assert "\nThe [no source] boiler" in shown
    assert "Footnotes 1 and 2 seem to contradict each other" in shown


def test_an_answer_is_explained(command: Command, kept: Kept) -> None:
    """What was found, with scores and use, prompt and times, and why it ended so."""
    told = command("explain", kept.answered)
    assert told.status == 0
    assert "source 1, cited" in told.out
    assert "Generator: extractive" in told.out
    assert "Outcome: answered: its footnotes hold, " in told.out
    fields = command("explain", "--json", kept.answered).json
    (first, *_) = fields["candidates"]
    assert (first["document"], first["is_there"], first["use"]) == ("house.txt", True, "source 1, cited")
    assert first["score"] > 0
    assert {"catch_up", "generate"} <= fields["seconds"].keys()
    assert "the search found nothing" in command("explain", kept.absent).out


def test_a_prompt_is_replayed_to_the_byte(command: Command, kept: Kept) -> None:
    """The text is shown with its SHA-256, which is the one of the record."""
    recorded = command("show", "--json", kept.answered).json["trace"]
    replayed = command("replay", "--json", kept.answered)
    assert (replayed.status, replayed.json["prompt_sha256"]) == (0, recorded["prompt_sha256"])
    user = replayed.json["messages"][1]["content"]
    assert recorded["nonce"] in user
    assert user.endswith(f"Question: {QUESTION}")
    shown = command("replay", kept.answered).out
    assert user in shown
    assert recorded["prompt_sha256"] in shown


def test_the_generator_writes_the_same_again(command: Command, kept: Kept) -> None:
    """From the same sources with the same scores; another answer would be shown as a difference."""
    assert "The answer is the same." in command("replay", "--generate", kept.answered).out
    fields = command("replay", "--generate", "--json", kept.answered).json
    assert fields["recorded"] == fields["now"]
    assert "[1]" in fields["now"]


def test_another_answer_is_shown_as_a_difference(command: Command, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was and what is: here the generator has become more careful."""
    monkeypatch.setenv("FOOTNOTE_MIN_EVIDENCE", "1")
    told = command("replay", "--generate", kept.answered).out
    assert "--- recorded" in told
    assert "+These documents do not contain the answer" in told


def test_a_source_that_is_gone_is_named(command: Command, kept: Kept, tmp_home: Path) -> None:
    """The file left its store: replay says which source that was, and ends with 1; the record is still explained."""
    delete_file(tmp_home, kept, from_store_alone=True)
    told = command("replay", kept.answered)
    assert told.status == 1
    assert f"of {kept.file}) is gone: the file was taken out of its vector store." in " ".join(told.out.split())
    assert command("replay", "--json", kept.answered).json["differences"]
    assert command("explain", "--json", kept.answered).json["candidates"][0]["is_there"] is False


def test_an_answer_is_gone_with_its_file(command: Command, kept: Kept, tmp_home: Path) -> None:
    """No command shows it, its question or its feedback any more."""
    delete_file(tmp_home, kept)
    assert [one["id"] for one in command("list", "--json").json] == [kept.absent]
    for name in ("show", "replay", "explain"):
        result = command(name, kept.answered)
        assert (result.status, "deleted" in result.err) == (2, True)
    assert "footnote answers list" in command("show", "resp_none").err


def test_feedback_becomes_an_evaluation_set(command: Command, kept: Kept, tmp_path: Path) -> None:
    """Run twice it is the same set; every quote is one that `footnote eval run` can look for."""
    path = tmp_path / "set.jsonl"
    contents = []
    for _ in range(2):
        told = command("feedback", "export", str(path))
        assert told.status == 0
        assert "2 questions" in told.out
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    confirmed, corrected = load_questions(path)
    assert (confirmed.id, confirmed.documents, confirmed.kind) == (kept.answered, ("house.txt",), "confirmed")
    assert confirmed.quotes[0] in HOUSE
    assert (corrected.id, corrected.documents, corrected.quotes) == (
        kept.absent,
        ("house.txt",),
        ("watered twice a week",),
    )
    assert path.with_name("set.review.jsonl").read_text() == ""

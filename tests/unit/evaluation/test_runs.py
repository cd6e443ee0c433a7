"""Runs are stored whole, and read as what they were."""

import json
from pathlib import Path

import pytest

from catalog.errors import InvalidRequest
from evaluation.runs import Task, data_digest, load_run, new_run, run_name, save_run
from tests.builders import a_run, an_attempt, an_item


def test_a_stored_run_is_read_as_it_was(tmp_path: Path) -> None:
    """Every field, with and without an attempt; a second save replaces the first."""
    run = a_run(
        an_item(1, attempt=an_attempt(0.5, is_right=True), problem="Lost.", details={"cited": [{"page": None}]}),
        an_item(2, part="表", measures={}),
        task=Task.RANKING,
    )
    path = tmp_path / "new" / "run.json"
    save_run(a_run(), path)
    save_run(run, path)
    assert load_run(path) == run
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "schema None"),
        (json.dumps({"schema": 0}), "schema 0"),
        (json.dumps({"schema": 1, "name": "x"}), "does not hold a run"),
        (json.dumps({"schema": 1, "items": [{}]}), "does not hold a run"),
    ],
)
def test_a_file_that_holds_no_run_says_so(tmp_path: Path, text: str, message: str) -> None:
    """The person who named it finds out what is wrong with it."""
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match=message):
        load_run(path)


def test_a_run_that_is_missing_is_named(tmp_path: Path) -> None:
    """With the place where it was looked for."""
    with pytest.raises(InvalidRequest, match=r"There is no run at .*gone\.json"):
        load_run(tmp_path / "gone.json")


def test_a_run_gets_a_name_that_can_be_a_files() -> None:
    """Its own, or task and time."""
    assert run_name(Task.ANSWERS, None).startswith("answers-2")
    assert run_name(Task.ANSWERS, "before the change") == "before the change"
    for name in ("", "../elsewhere", "run.json", "x" * 101):
        with pytest.raises(InvalidRequest, match="no name for a run"):
            run_name(Task.ANSWERS, name)


def test_a_run_of_nothing_is_refused() -> None:
    """It would look like a perfect one."""
    assert new_run("a run", Task.RANKING, [an_item()], setup={"data": "0"}).task is Task.RANKING
    with pytest.raises(InvalidRequest, match="Nothing was asked"):
        new_run("a run", Task.RANKING, [], setup={})


def test_the_parts_of_a_run_hold_all_of_its_items() -> None:
    """In the order in which they come."""
    items = [an_item(1, part="b"), an_item(2, part="a"), an_item(3, part="b")]
    assert a_run(*items).parts == {"b": [items[0], items[2]], "a": [items[1]]}


def test_the_digest_changes_with_what_was_asked(tmp_path: Path) -> None:
    """With a byte, a name, a further file and an option; not with the folder's place."""
    digests = []
    for place, name, text, option in (
        ("one/data", "a", "x", None),
        ("two/data", "a", "x", None),
        ("three/data", "a", "y", None),
        ("four/data", "b", "x", None),
        ("two/data", "a", "x", 5),
    ):
        folder = tmp_path / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        digests.append(data_digest([folder], option))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
    (tmp_path / "one" / "data" / "more").write_text("")
    assert data_digest([tmp_path / "one" / "data"], None) not in digests

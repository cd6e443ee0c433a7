"""Collections become files, and ranked chunks documents."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

tasks = pytest.importorskip("benchmarks.peers.tasks", reason="The wheel has no benchmarks.")


def write_collection(folder: Path, passages: Mapping[str, str], relevant: Mapping[str, str]) -> None:
    """`passages`: text by id; `relevant`: passage by query."""
    (folder / "qrels").mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", [{"_id": i, "title": "A title", "text": text} for i, text in passages.items()])
    write_lines(folder / "queries.jsonl", [{"_id": query, "text": f"{query}?"} for query in relevant])
    rows = "".join(f"{query}\t{passage}\t1\n" for query, passage in relevant.items())
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")


def write_lines(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def texts_below(folder: Path) -> list[str]:
    return sorted(path.read_text() for path in folder.rglob("*.txt"))


def test_a_sample_has_every_judged_passage(tmp_path: Path) -> None:
    """Others fill it up to the size that is asked for, the same ones each time; a text that repeats comes once."""
    passages = {f"p{n}": f"Text {n % 30}." for n in range(60)}
    write_collection(tmp_path / "set", passages, {"q1": "p41", "q2": "p7"})
    first = tasks.collection_task(tmp_path / "set", tmp_path / "one", passages=10)
    again = tasks.collection_task(tmp_path / "set", tmp_path / "two", passages=10)
    assert texts_below(first.documents) == texts_below(again.documents)
    assert len(set(texts_below(first.documents))) == 10
    assert {"Text 11.", "Text 7."} <= set(texts_below(first.documents))
    (path,) = first.qrels["q1"]
    assert (first.documents / path).read_text() == "Text 11."
    assert first.queries == {"q1": "q1?", "q2": "q2?"}


def test_the_first_collection_is_filled_from_the_pool(tmp_path: Path) -> None:
    """Its own passages come first; another collection takes none from there."""
    (tmp_path / "pool_wikipedia").mkdir()
    write_lines(tmp_path / "pool_wikipedia" / "corpus.jsonl", [{"_id": "w", "title": "", "text": "From the pool."}])
    for name, expected in ((tasks.COLLECTIONS[0], ["From the pool.", "Own."]), ("other", ["Own."])):
        write_collection(tmp_path / name, {"p1": "Own."}, {"q1": "p1"})
        task = tasks.collection_task(tmp_path / name, tmp_path / "files" / name, passages=5)
        assert texts_below(task.documents) == expected


def test_passages_can_share_files(tmp_path: Path) -> None:
    """Each stands under its title; a file answers what one of its passages answers."""
    write_collection(tmp_path / "set", {f"p{n}": f"Text {n}." for n in range(5)}, {"q1": "p3"})
    task = tasks.collection_task(tmp_path / "set", tmp_path / "files", passages=5, per_file=2)
    files = sorted(path.read_text() for path in task.documents.iterdir())
    assert sorted(text.count("# A title\n") for text in files) == [1, 2, 2]
    ((path, grade),) = task.qrels["q1"].items()
    assert "Text 3." in (task.documents / path).read_text()
    assert grade == 1


def test_files_are_named_by_titles(tmp_path: Path) -> None:
    """What is no letter or digit is left out, equal names differ in their folder, and no title gives a number."""
    titles = ["AC/DC: live?", "ac dc live", "..", "x" * 200]
    passages = [tasks.Passage(id=str(n), title=title, text="Text.") for n, title in enumerate(titles)]
    paths = tasks.write_passages(passages, tmp_path)
    assert paths == {
        "0": "000/AC DC live.txt",
        "1": "001/ac dc live.txt",
        "2": "000/2.txt",
        "3": f"000/{'x' * 80}.txt",
    }
    assert all((tmp_path / path).read_text() == "Text." for path in paths.values())


def test_a_document_ranks_by_its_best_chunk() -> None:
    """Its later chunks take no place."""
    assert tasks.documents_of([3, 1, 4, 2], {1: "a", 2: "b", 3: "b", 4: "a"}) == ["b", "a"]


def test_ndcg_is_1_for_the_ideal_ranking() -> None:
    """A query for which nothing was found counts as 0."""
    task = tasks.Task(
        name="t", documents=Path(), queries={"q1": "?", "q2": "?"}, qrels={"q1": {"a": 1}, "q2": {"b": 1}}
    )
    assert tasks.ndcg(task, {"q1": ["a", "b"], "q2": ["b", "a"]}) == 1.0
    assert tasks.ndcg(task, {"q1": ["a", "b"], "q2": []}) == 0.5


def test_the_sample_documents_need_no_other_data() -> None:
    """Every question of it has its document among the files."""
    task = tasks.sample_task()
    assert task.queries
    assert all((task.documents / path).is_file() for grades in task.qrels.values() for path in grades)

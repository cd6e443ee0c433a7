"""Judged collections are read as they lie there: plain or zipped, in languages, with a pool, with answers."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import InvalidRequest
from evaluation.collections import Collection, load_answer_set, load_collection, load_parts
from evaluation.questions import Question

CORPUS = {"d1": "red apples", "d2": "green pears", "d3": "blue plums"}
QUERIES = {"q1": "red apples", "q2": "blue plums", "q3": "unjudged"}
QRELS = "q1\td1\t1\nq2\td3\t2\nq2\td1\t0\n"


def a_folder(
    folder: Path,
    *,
    corpus: Sequence[Mapping[str, Any]] = [{"_id": i, "title": "", "text": text} for i, text in CORPUS.items()],
    queries: Sequence[Mapping[str, Any]] = [{"_id": i, "text": text} for i, text in QUERIES.items()],
    qrels: str = QRELS,
    zipped: bool = False,
) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{qrels}")
    for name, rows in (("corpus", corpus), ("queries", queries)):
        text = "\n".join(map(json.dumps, rows))
        if zipped:
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / f"{name}.jsonl").write_text(text)
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_a_collection_is_read_plain_or_zipped(tmp_path: Path, zipped: bool) -> None:
    """Judgements of 0 and queries without a judgement are left out."""
    expected = Collection(
        name="tiny",
        corpus=CORPUS,
        queries={"q1": "red apples", "q2": "blue plums"},
        qrels={"q1": {"d1": 1}, "q2": {"d3": 2}},
    )
    folder = a_folder(tmp_path / "tiny", zipped=zipped)
    assert load_collection(folder) == expected
    assert load_parts(folder) == [expected]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A folder that is no collection says what it lacks."""
    with pytest.raises(InvalidRequest, match=r"test\.tsv"):
        load_collection(tmp_path)


def test_each_language_is_a_part_of_its_own(tmp_path: Path) -> None:
    """Its queries search the passages of that language, and those that state none."""
    folder = a_folder(
        tmp_path / "many",
        corpus=[
            {"_id": "de1", "text": "Rote Äpfel", "lang": "de"},
            {"_id": "en1", "text": "red apples", "lang": "en"},
            {"_id": "x1", "text": "42"},
        ],
        queries=[{"_id": "q1", "text": "Äpfel", "lang": "de"}, {"_id": "q2", "text": "apples", "lang": "en"}],
        qrels="q1\tde1\t1\nq2\ten1\t1\n",
    )
    german, english = load_parts(folder)
    assert (german.name, sorted(german.corpus), list(german.queries)) == ("many:de", ["de1", "x1"], ["q1"])
    assert (english.name, sorted(english.corpus), english.qrels) == ("many:en", ["en1", "x1"], {"q2": {"en1": 1}})


def test_a_pool_adds_passages_that_are_relevant_to_nothing(tmp_path: Path) -> None:
    """The name says so; a passage that both have would be ambiguous."""
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "corpus.jsonl").write_text(json.dumps({"_id": "x", "title": "Cherries", "text": "black"}))
    folder = a_folder(tmp_path / "tiny")
    (part,) = load_parts(folder, pool=pool)
    assert (part.name, dict(part.corpus)) == ("tiny+pool", {**CORPUS, "x": "Cherries\nblack"})
    assert part.qrels == load_collection(folder).qrels
    (pool / "corpus.jsonl").write_text(json.dumps({"_id": "d2", "text": "black"}))
    with pytest.raises(InvalidRequest, match="both have a passage 'd2'"):
        load_parts(folder, pool=pool)


def an_answer_set(folder: Path) -> Path:
    return a_folder(
        folder,
        corpus=[
            {"_id": "set:A/1", "title": "Fruit", "text": "The apples are red."},
            {"_id": "set:A 1", "title": "", "text": "The plums are blue."},
        ],
        queries=[
            {"_id": "q1", "text": "Which colour have the apples?", "answers": ["red", "crimson", "red"]},
            {"_id": "q2", "text": "What do they look like?", "answers": ["like the sky"], "is_impossible": False},
            {"_id": "q3", "text": "And the pears?", "answers": ["green"], "is_impossible": True},
            {"_id": "q4", "text": "And the figs?", "answers": [], "lang": "en"},
        ],
        qrels="q1\tset:A/1\t1\nq2\tset:A 1\t1\nq3\tset:A/1\t1\n",
    )


def test_queries_with_answers_become_questions_about_documents(tmp_path: Path) -> None:
    """The words that answer are those that stand in a relevant passage; what cannot be answered names nothing."""
    found = load_answer_set(an_answer_set(tmp_path / "fruit"))
    apples, plums = found.documents
    assert list(found.documents.values()) == ["Fruit\n\nThe apples are red.", "The plums are blue."]
    assert apples != plums
    assert "/" not in apples + plums
    assert found.questions == [
        Question(
            id="q1",
            text="Which colour have the apples?",
            answers=["red", "crimson"],
            documents=[apples],
            quotes=["red"],
            kind="answerable",
        ),
        Question(
            id="q2",
            text="What do they look like?",
            answers=["like the sky"],
            documents=[plums],
            quotes=[],
            kind="answerable",
        ),
        Question(id="q3", text="And the pears?", answers=[], documents=[], quotes=[], kind="unanswerable"),
        Question(id="q4", text="And the figs?", answers=[], documents=[], quotes=[], kind="en"),
    ]


def test_a_sample_is_the_same_at_each_run(tmp_path: Path) -> None:
    """Two runs over it can be compared; one larger than the set is the set."""
    folder = an_answer_set(tmp_path / "fruit")
    samples = [load_answer_set(folder, sample=2).questions for _ in range(2)]
    assert (len(samples[0]), samples[0]) == (2, samples[1])
    assert load_answer_set(folder, sample=9) == load_answer_set(folder)


def test_a_collection_without_answers_is_for_rankings(tmp_path: Path) -> None:
    """The message says which command needs none."""
    with pytest.raises(InvalidRequest, match=r"carry no `answers`.*footnote eval ranking"):
        load_answer_set(a_folder(tmp_path / "tiny"))

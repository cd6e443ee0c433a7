"""A record's prompt comes out the same to the byte, or it is said what of it is gone or changed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

from catalog import answers, documents, feed
from catalog.blobs import BlobStore
from catalog.database import Database
from catalog.errors import ConfigurationError, InvalidRequest
from catalog.models import Document
from generation.answerer import Answer, Answerer
from generation.backends.base import Sampling
from generation.prompts import PromptTemplate, load_template
from generation.replay import Replay, digest, recorded_prompt, replay
from generation.writing import Outcome
from retrieval.embedders.hashing import HashingEmbedder
from tests.builders import publish_text, sources_of
from tests.unit.generation.scripted import ScriptedModel
from tests.unit.generation.test_answerer import PUMP, Desk


@pytest.fixture
def desk(database: Database, blobs: BlobStore, embedder: HashingEmbedder) -> Desk:
    return Desk(database, blobs, embedder)


def recorded(answer: Answer) -> dict[str, Any]:
    """Return the trace as the catalog gives it back."""
    return dict(json.loads(json.dumps(answer.trace)))


def again(desk: Desk, answer: Answer, trace: Mapping[str, Any] | None = None, **options: Any) -> Replay:
    with desk.database.read() as session:
        return replay(session, trace or recorded(answer), answer.prompt, **{"load": load_template} | options)


def test_the_same_prompt_comes_out(desk: Desk) -> None:
    """Every message is equal, and so is the SHA-256 that the record has of them."""
    generator = ScriptedModel(f"{PUMP} [1]")
    answer = desk.ask(generator)[-1]
    found = again(desk, answer)
    assert (found.differences, found.prompt.messages) == ((), generator.prompts[0].messages)
    assert digest(found.prompt) == answer.trace["prompt_sha256"] == digest(generator.prompts[0])


def test_what_comes_later_does_not_change_it(desk: Desk, blobs: BlobStore) -> None:
    """New documents and attributes are no part of a prompt that was written before them."""
    answer = desk.answer(f"{PUMP} [1]")
    publish_text(desk.database, blobs, desk.store, "The pump is checked every spring, since 2024.")
    with desk.database.write() as session:
        session.execute(text("UPDATE vector_store_files SET attributes = '{\"a\": 1}'"))
        feed.record(desk.database, session, desk.ids)
    assert again(desk, answer).differences == ()


@pytest.mark.parametrize(
    ("deed", "expected"), [("detached", "taken out of its vector store"), ("reprocessed", "processed again")]
)
def test_a_source_that_is_gone_is_named(desk: Desk, blobs: BlobStore, deed: str, expected: str) -> None:
    """With its number, its place, and what became of it; sources that are there are not."""
    answer = desk.answer(f"{PUMP} [1]")
    first = answer.trace["sources"][0]
    with desk.database.write() as session:
        documents.remove(desk.database, session, Document.id == desk.ids[0])
    if deed == "reprocessed":
        with desk.database.write() as session:
            session.execute(
                text("UPDATE documents SET file_id = :file WHERE id = :id"),
                {"file": first["file_id"], "id": desk.ids[1]},
            )
    found = again(desk, answer)
    assert found.prompt is None
    (difference,) = found.differences
    assert difference.startswith(f"Source 1 (characters {first['start']}–{first['end']} of {first['file_id']}) is gone")
    assert expected in difference


def test_a_source_that_reads_otherwise_is_named(desk: Desk) -> None:
    """Chunks never change; should one have, the prompt is not given out as the one of the answer."""
    answer = desk.answer(f"{PUMP} [1]")
    with desk.database.write() as session:
        session.execute(text("UPDATE chunks SET text = 'Another.' WHERE document_id = :id"), {"id": desk.ids[0]})
    found = again(desk, answer)
    assert (found.prompt, [each.split(" changed")[0][:8] for each in found.differences]) == (None, ["Source 1"])


def test_another_name_of_a_document_is_told(desk: Desk) -> None:
    """It stands in the prompt over each source of it."""
    answer = desk.answer(f"{PUMP} [1]")
    with desk.database.write() as session:
        session.execute(text("UPDATE files SET filename = 'other.txt'"))
    assert ["name over it" in each for each in again(desk, answer).differences] == [True, True]


def test_a_source_of_which_the_prompt_has_the_beginning_comes_out_as_long(desk: Desk) -> None:
    """The record tells where it ends."""
    (passage, *_) = desk.answer(f"{PUMP} [1]").passages
    begun = replace(passage, chunk=replace(passage.chunk, end=passage.chunk.start + 8, text=passage.chunk.text[:8]))
    prompt = load_template("answer").render("Why?", sources_of([begun]), nonce="0" * 16)
    trace = {"nonce": "0" * 16, "candidates": [], **recorded_prompt(prompt, Sampling())}
    with desk.database.read() as session:
        found = replay(session, trace, {"name": "answer", "sha256": prompt.sha256}, load=load_template)
    assert found.differences == ()
    assert [source.text for source in found.prompt.sources] == [PUMP[:8]]


def test_another_template_is_told(desk: Desk) -> None:
    """By version and SHA-256; one that is not there any more by its name."""
    answer = desk.answer(f"{PUMP} [1]")
    newer = replace(load_template("answer"), version=9, sha256="f" * 64)
    found = again(desk, answer, load=lambda _: newer)
    assert found.prompt is None
    assert "version 9 with SHA-256 ffffffffffff… here; the answer was written with version" in found.differences[0]

    def missing(name: str) -> PromptTemplate:
        raise ConfigurationError(f"There is no prompt {name!r}.")

    assert again(desk, answer, load=missing).differences == ["There is no prompt 'answer'."]


def test_a_record_without_a_prompt_cannot_be_replayed(desk: Desk) -> None:
    """Of an answer that broke off, or of an earlier version."""
    with pytest.raises(InvalidRequest, match="holds no prompt"):
        again(desk, desk.answer(f"{PUMP} [1]"), {"candidates": []})


def test_a_generator_writes_again_from_the_prompt(desk: Desk) -> None:
    """With the sampling of the record; citations are re-read, so that only those which hold come out."""
    answer = desk.answer(f"{PUMP} [1]")
    generator = ScriptedModel(f"Yes. {PUMP} [1][9]")
    prompt = again(desk, answer).prompt
    assert prompt
    answerer = Answerer(desk.database, desk.searcher, generator, load_template("answer"))
    written = answerer.write_again(prompt, Sampling(**recorded(answer)["sampling"]))
    assert (written.text, written.outcome, written.dropped_markers) == (f"Yes. {PUMP}", Outcome.ANSWERED, [9])
    assert [citation.quote for citation in written.citations] == [PUMP]
    assert written.finished.usage.output_tokens == 7
    assert generator.prompts == [prompt]


def test_scores_are_part_of_what_a_generator_gets_again(desk: Desk) -> None:
    """A generator without a language model weighs them."""
    answer = desk.answer(f"{PUMP} [1]")
    prompt = again(desk, answer).prompt
    assert prompt
    assert [(s.passage.score, s.passage.dense, s.passage.lexical) for s in prompt.sources] == [
        (p.score, p.dense, p.lexical) for p in answer.passages
    ]


def test_the_file_of_a_source_is_one_that_the_answer_draws_on(desk: Desk) -> None:
    """A record lasts no longer than it, were it in the prompt alone."""
    trace = desk.answer(f"{PUMP} [1]").trace
    with desk.database.read() as session:
        file_ids = set(session.scalars(select(Document.file_id)))
    assert answers.files_of({"sources": trace["sources"]}) == file_ids

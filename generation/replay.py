"""What the record of an answer holds of its prompt, and that prompt again, to the byte."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from catalog import documents
from catalog.documents import StoredChunk
from catalog.errors import ConfigurationError, InvalidRequest
from generation.backends.base import Message, Prompt, Sampling, Source
from generation.packing import heading
from generation.prompts import PromptTemplate
from generation.rounds import Conversation, Round
from generation.turns import Turn
from retrieval.passages import Passage


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A prompt that was rendered again from its record."""

    # None where something that it was made from is not what it was.
    prompt: Prompt | None
    # What is gone or changed, a sentence each; empty: the prompt is equal to the recorded one.
    differences: Sequence[str]


def recorded_prompt(
    prompt: Prompt, sampling: Sampling, *, turns: Sequence[Turn] = (), earlier: str = ""
) -> dict[str, Any]:
    """Return what a record needs, beside the nonce, to render a prompt again and to generate from it. JSON values.

    The texts of the sources are not part of it: a chunk is never changed, and its number never given again.
    """
    return {
        # As it stands in the prompt; the record itself has it as it was asked.
        "question": prompt.question,
        "turns": [asdict(turn) for turn in turns],
        "earlier": earlier,
        "sources": [_recorded_source(source) for source in prompt.sources],
        "prompt_sha256": digest(prompt),
        "sampling": asdict(sampling),
    }


def digest(prompt: Prompt) -> str:
    """Return the SHA-256 of a prompt's messages and tools, written as JSON: equal for equal prompts alone."""
    read: list[Any] = [[message.role, message.content, *_of_tools(message)] for message in prompt.messages]
    if prompt.tools:
        read += [[asdict(tool) for tool in prompt.tools], prompt.may_call]
    return hashlib.sha256(json.dumps(read, ensure_ascii=False).encode()).hexdigest()


def _of_tools(message: Message) -> list[Any]:
    """Return what there is to a message beside role and content."""
    if message.call_id is not None:
        return [message.call_id]
    return [[asdict(call) for call in message.calls]] if message.calls else []


def replay(
    session: Session, trace: Mapping[str, Any], template: Mapping[str, Any], *, load: Callable[[str], PromptTemplate]
) -> Replay:
    """Render the prompt of a record again, from the chunks that it names and the template that `load` returns.

    `template`: name, version and SHA-256 as recorded. Raises InvalidRequest for a record that holds no prompt.
    """
    if "prompt_sha256" not in trace:
        raise InvalidRequest(
            "The record holds no prompt: the answer broke off before one was made, or an earlier version recorded it."
        )
    sources, differences = _restored(session, trace)
    found, unlike = _template(template, load)
    differences += unlike
    if found is None or differences:
        return Replay(prompt=None, differences=differences)
    prompt = _rendered(trace, found, sources)
    if digest(prompt) != trace["prompt_sha256"]:
        return Replay(prompt=None, differences=["Sources and template are what they were, and the prompt is another."])
    return Replay(prompt=prompt, differences=())


def _rendered(trace: Mapping[str, Any], template: PromptTemplate, sources: Sequence[Source]) -> Prompt:
    """Return the prompt of a record: of several requests for one answer the last one's."""
    turns = [Turn(**turn) for turn in trace["turns"]]
    question, nonce, earlier = trace["question"], trace["nonce"], trace["earlier"]
    if "rounds" not in trace:
        return template.render(question, sources, nonce=nonce, turns=turns, earlier=earlier)
    conversation = Conversation(template=template, question=question, turns=turns, earlier=earlier, nonce=nonce)
    rounds = [Round.from_json(one) for one in trace["rounds"]]
    return conversation.prompt(rounds, sources, may_call=trace["may_call"])


def _recorded_source(source: Source) -> dict[str, Any]:
    chunk = source.passage.chunk
    return {
        "number": source.number,
        "chunk_id": chunk.chunk_id,
        "document_id": chunk.document_id,
        "file_id": chunk.file_id,
        # Characters of the document's stored text: those of the chunk, or its first ones.
        "start": chunk.start,
        "end": chunk.end,
        "sha256": _source_digest(source),
    }


def _restored(session: Session, trace: Mapping[str, Any]) -> tuple[list[Source], list[str]]:
    """Return the sources that are still there, and what became of the others."""
    chunks = documents.load_chunks(session, [recorded["chunk_id"] for recorded in trace["sources"]])
    scores = {candidate["chunk_id"]: candidate for candidate in trace["candidates"]}
    sources, differences = [], []
    for recorded in trace["sources"]:
        chunk = chunks.get(recorded["chunk_id"])
        if chunk is None:
            differences.append(_loss(session, recorded))
            continue
        passage = _passage(chunk, recorded["end"], scores.get(chunk.chunk_id, {}))
        source = Source(number=recorded["number"], passage=passage)
        if _source_digest(source) == recorded["sha256"]:
            sources.append(source)
        else:
            differences.append(f"{_place(recorded)} changed: its text, or the name over it, is another one now.")
    return sources, differences


def _passage(chunk: StoredChunk, end: int, scores: Mapping[str, Any]) -> Passage:
    """Return a chunk up to `end`, with the scores that it was found with."""
    return Passage(
        chunk=replace(chunk, end=end, text=chunk.text[: end - chunk.start]),
        score=scores.get("score", 0.0),
        dense=scores.get("dense"),
        lexical=scores.get("lexical"),
        rerank=scores.get("rerank"),
    )


def _loss(session: Session, recorded: Mapping[str, Any]) -> str:
    """Return what became of a source that is not there any more."""
    if documents.is_published(session, recorded["file_id"]):
        return f"{_place(recorded)} is gone: the file was processed again, and this generation of its text replaced."
    return f"{_place(recorded)} is gone: the file was taken out of its vector store."


def _place(recorded: Mapping[str, Any]) -> str:
    span = f"characters {recorded['start']}–{recorded['end']}"
    return f"Source {recorded['number']} ({span} of {recorded['file_id']})"


def _template(
    recorded: Mapping[str, Any], load: Callable[[str], PromptTemplate]
) -> tuple[PromptTemplate | None, list[str]]:
    """Return the template of that name, and whether it is the recorded one."""
    try:
        found = load(recorded["name"])
    except ConfigurationError as error:
        return None, [error.message]
    if found.sha256 == recorded["sha256"]:
        return found, []
    return found, [
        f"Prompt {found.name!r} is version {found.version} with SHA-256 {found.sha256[:12]}… here; the answer was "
        f"written with version {recorded['version']}, {recorded['sha256'][:12]}…"
    ]


def _source_digest(source: Source) -> str:
    """Return the SHA-256 of all that a prompt shows of a source."""
    chunk = source.passage.chunk
    return hashlib.sha256(json.dumps([heading(chunk), source.text]).encode()).hexdigest()

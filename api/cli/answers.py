"""footnote answers list | show | replay | explain | feedback export"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import unified_diff
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from api.cli.questions import print_cautions, with_marks
from api.cli.root import app, configure_logging, console
from api.settings import Settings, load_settings
from api.wiring import open_catalog, open_services
from catalog import answers, documents, feedback, files, stores
from catalog.answers import AnswerFilter
from catalog.database import Database
from catalog.feedback import Rating
from catalog.ids import chunk_id
from catalog.models import DEFAULT_PROJECT, AnswerFeedback, AnswerRecord
from evaluation.feedback import Review, documents_with, question_of, rated_answers, write_set
from evaluation.questions import Question
from generation.backends.base import Prompt, Sampling
from generation.backends.chat_tools import message_object, written_text
from generation.prompts import PromptRegistry
from generation.replay import Replay, digest
from generation.replay import replay as render_again
from generation.support import Span
from generation.writing import Outcome, Writing

commands = typer.Typer(no_args_is_help=True, help="Look into the answers that were given, and what was said of them.")
app.add_typer(commands, name="answers")
feedback_commands = typer.Typer(no_args_is_help=True, help="What callers said of their answers.")
commands.add_typer(feedback_commands, name="feedback")

_Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the response, resp_…")]
_Json = Annotated[bool, typer.Option("--json", help="As JSON, with times in seconds.")]
_WIDTH = 70  # characters of a question in a list


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mark:
    index: int
    number: int


@commands.command("list")
def list_answers(
    store: Annotated[str | None, typer.Option(help="Name or id of a vector store that was searched.")] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="How it ended.")] = None,
    model: Annotated[str | None, typer.Option(help="Model that was asked for.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Given then (UTC) or later."),
    ] = None,
    rating: Annotated[Rating | None, typer.Option(help="Somebody rated it so.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Answers to show, newest first.")] = 20,
    as_json: _Json = False,
) -> None:
    """List answers of all projects, newest first."""
    with open_catalog(_settings()) as catalog, catalog.database.read() as session:
        wanted = AnswerFilter(
            outcome=outcome,
            model=model,
            since=since.replace(tzinfo=UTC).timestamp() if since else None,
            rating=rating,
            store_id=_store_id(session, store) if store else None,
        )
        found = list(islice(answers.find(session, wanted), limit))
        said = feedback.of_answers(session, found)
    if as_json:
        typer.echo(json.dumps([_head(one, said[one.id]) for one in found], indent=2, ensure_ascii=False))
        return
    table = Table("Id", "Given", "Model", "Outcome", "Rated", "Question", box=None, pad_edge=False)
    for one in found:
        ratings = " ".join(each.rating for each in said[one.id])
        question = " ".join(one.question.split())
        shown = question if len(question) <= _WIDTH else f"{question[: _WIDTH - 1]}…"
        table.add_row(one.id, _time(one.created_at), Text(one.model), _outcome(one), ratings, Text(shown))
    console.print(table)


@commands.command()
def show(response_id: _Id, as_json: _Json = False) -> None:
    """Show an answer with its footnotes, and what was said of it."""
    with open_catalog(_settings()) as catalog, catalog.database.read() as session:
        record = answers.get_of_any(session, response_id)
        said = feedback.of_answers(session, [record])[record.id]
    if as_json:
        typer.echo(json.dumps(_whole(record, said), indent=2, ensure_ascii=False))
        return
    console.print(Text(record.question, "bold"))
    console.print(Text(f"{_time(record.created_at)}, {record.model}, {_outcome(record)}\n", "dim"))
    notes = _annotations(record)
    console.print(Text(_marked(record, _unsupported(record))))
    for number, note in sorted({note["number"]: note for note in reversed(notes)}.items()):
        page = f", page {note['page']}" if note.get("page") else ""
        where = f"{note['filename']}{page}, characters {note['start']}–{note['end']}"
        console.print(Text(f"\n[{number}] {where}\n    {' '.join(note['quote'].split())}", "dim"))
    print_cautions(record.outcome, _unsupported(record), record.response.get("contradictions", ()))
    for one in said:
        console.print(Text(f"\nRated {one.rating}, {_time(one.created_at)}"))
        for name, words in (
            ("said", one.text),
            ("expected", one.expected_answer),
            ("expected words", one.expected_quote),
        ):
            if words:
                console.print(Text(f"    {name}: {words}"))


@commands.command()
def replay(
    response_id: _Id,
    generate: Annotated[bool, typer.Option("--generate", help="Let the generator write again, and compare.")] = False,
    as_json: _Json = False,
) -> None:
    """Render the prompt of an answer again, byte for byte, or say what of it is gone or changed (exit status 1)."""
    settings = _settings()
    with open_catalog(settings) as catalog:
        record, found = _replayed(settings, catalog.database, response_id)
    if found.prompt is None:
        if as_json:
            typer.echo(json.dumps({"id": record.id, "differences": list(found.differences)}, indent=2))
        for difference in () if as_json else found.differences:
            console.print(Text(difference))
        raise typer.Exit(1)
    written = _generated(settings, record, found.prompt) if generate else None
    if as_json:
        typer.echo(json.dumps(_replay_fields(record, found.prompt, written), indent=2, ensure_ascii=False))
        return
    if written is None:
        for message in found.prompt.messages:
            typer.echo(f"--- {message.role}\n{written_text(message.content, message.calls)}")
    else:
        _print_difference(record, written)
    console.print(f"The prompt is that of the answer: SHA-256 {digest(found.prompt)}")


@commands.command()
def explain(response_id: _Id, as_json: _Json = False) -> None:
    """Show what an answer was made from: what was found, with scores, what was used, times, and why it ended so."""
    with open_catalog(_settings()) as catalog, catalog.database.read() as session:
        record = answers.get_of_any(session, response_id)
        candidates = _candidates(session, record)
    if as_json:
        fields = {"id": record.id, "outcome": record.outcome, "reason": _reason(record), "candidates": candidates}
        kept = {name: value for name, value in record.trace.items() if name != "candidates"}
        whole = fields | {"index_version": record.index_version, "prompt": record.prompt} | kept
        typer.echo(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    table = Table("Rank", "Document", "Chunk", "Dense", "Lexical", "Rerank", "Score", "Use", box=None, pad_edge=False)
    for one in candidates:
        scores = [_score(one[name]) for name in ("dense", "lexical", "rerank", "score")]
        table.add_row(str(one["rank"]), Text(one["document"]), chunk_id(one["chunk_id"]), *scores, one["use"])
    console.print(Text(record.question, "bold"))
    console.print(table)
    trace = record.trace
    seconds = ", ".join(f"{name} {value:.4f}" for name, value in trace.get("seconds", {}).items())
    prompt = record.prompt and f"{record.prompt['name']} {record.prompt['version']}, {record.prompt['sha256'][:12]}…"
    tokens = record.response.get("usage") or {}
    for name, value in (
        ("Searched for", " | ".join(query for query in trace.get("queries", ()) if query != record.question)),
        ("Generator", trace.get("generator")),
        ("Prompt", prompt),
        ("Index version", record.index_version),
        ("Markers that did not hold", ", ".join(f"[{number}]" for number in trace.get("dropped_markers", ()))),
        ("Sentences without a source", len(_unsupported(record))),
        ("Sentences left out, without a source", trace.get("dropped_sentences")),
        ("Contradicting footnotes", ", ".join(f"{a} and {b}" for a, b in record.response.get("contradictions", ()))),
        ("Cached", " and ".join(_cached(trace))),
        ("Tokens", tokens and f"{tokens['input_tokens']} read, {tokens['output_tokens']} written"),
        ("Cost", trace.get("cost")),
        ("Seconds", seconds),
        ("Outcome", f"{_outcome(record)}: {_reason(record)}"),
    ):
        if value:
            console.print(Text(f"{name}: {value}"))


@feedback_commands.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where the questions go, such as feedback.jsonl; it is replaced.")],
) -> None:
    """Make an evaluation set for `footnote eval run` from the feedback; what needs a look goes to FILE.review.jsonl."""
    with open_catalog(_settings()) as catalog, catalog.database.read() as session:
        rated = rated_answers(session)
        holders = documents_with(session, rated)
    found = [question_of(one, holders) for one in rated]
    reviews = write_set(file, found)
    console.print(f"{sum(isinstance(one, Question) for one in found)} questions: {file}")
    console.print(f"{sum(isinstance(one, Review) for one in found)} to review: {reviews}")


def _settings() -> Settings:
    settings = load_settings(log_level="error")
    configure_logging(settings)
    return settings


def _store_id(session: Session, name: str) -> str:
    """Return the id of the store with this name; what is no name is taken for an id."""
    found = stores.find_by_name(session, DEFAULT_PROJECT, name)
    return found.id if found else name


def _replayed(settings: Settings, database: Database, response_id: str) -> tuple[AnswerRecord, Replay]:
    with database.read() as session:
        record = answers.get_of_any(session, response_id)
        return record, render_again(
            session, record.trace, record.prompt, load=PromptRegistry(folder=settings.prompts).load
        )


def _generated(settings: Settings, record: AnswerRecord, prompt: Prompt) -> Writing:
    with open_services(settings) as services:
        return services.answerer_of(record.model).write_again(prompt, Sampling(**record.trace["sampling"]))


def _print_difference(record: AnswerRecord, written: Writing) -> None:
    now = with_marks(written.text, written.citations)
    before = _marked(record)
    writer = f"recorded, by {record.trace['generator']}"
    lines = list(unified_diff(before.splitlines(), now.splitlines(), writer, "now", lineterm=""))
    for line in lines or [now, "", "The answer is the same."]:
        console.print(Text(line))


def _replay_fields(record: AnswerRecord, prompt: Prompt, written: Writing | None) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "id": record.id,
        "differences": [],
        "prompt_sha256": digest(prompt),
        "messages": list(map(message_object, prompt.messages)),
    }
    if written is None:
        return fields
    now = with_marks(written.text, written.citations)
    return fields | {"recorded": _marked(record), "now": now, "outcome": written.outcome}


def _head(record: AnswerRecord, said: Sequence[AnswerFeedback]) -> dict[str, Any]:
    return {
        "id": record.id,
        "created_at": int(record.created_at),
        "project": record.project_id,
        "status": record.status,
        "model": record.model,
        "outcome": record.outcome,
        "question": record.question,
        "feedback": [
            {
                "created_at": int(one.created_at),
                "rating": one.rating,
                "text": one.text,
                "expected_answer": one.expected_answer,
                "expected_quote": one.expected_quote,
            }
            for one in said
        ],
    }


def _whole(record: AnswerRecord, said: Sequence[AnswerFeedback]) -> dict[str, Any]:
    return _head(record, said) | {
        "previous_response_id": record.previous_response_id,
        "index_version": record.index_version,
        "prompt": record.prompt,
        "input_items": record.input_items,
        "response": record.response,
        "trace": record.trace,
    }


def _candidates(session: Session, record: AnswerRecord) -> list[dict[str, Any]]:
    """Return what the search found, best first, with what became of each."""
    found: Sequence[Mapping[str, Any]] = record.trace.get("candidates", ())
    chunks = documents.load_chunks(session, [one["chunk_id"] for one in found])
    names = files.names(session, [one["file_id"] for one in found])
    # Records of before revision 0007 name chunks alone.
    sources = [one for one in record.trace.get("sources", ()) if isinstance(one, Mapping)]
    numbers = {one["chunk_id"]: one["number"] for one in sources}
    left_out = set(record.trace.get("left_out", ()))
    cited = {note["chunk_id"] for note in _annotations(record)}
    return [
        {
            "rank": rank,
            "document": names[one["file_id"]],
            "file_id": one["file_id"],
            "chunk_id": one["chunk_id"],
            "page": chunks[one["chunk_id"]].page if one["chunk_id"] in chunks else None,
            "is_there": one["chunk_id"] in chunks,
            **{name: one.get(name) for name in ("dense", "lexical", "rerank", "score")},
            "use": _use(one["chunk_id"], numbers, left_out, cited),
        }
        for rank, one in enumerate(found, start=1)
    ]


def _use(number: int, sources: Mapping[int, int], left_out: set[int], cited: set[str]) -> str:
    if number in sources:
        return f"source {sources[number]}{', cited' if chunk_id(number) in cited else ''}"
    return "left out" if number in left_out else "–"


def _reason(record: AnswerRecord) -> str:
    """Return why an answer has its outcome."""
    trace, error = record.trace, record.response.get("error")
    if error:
        return str(error["message"])
    if not trace.get("candidates"):
        return "the search found nothing in its stores."
    evidence = trace.get("evidence")
    sure = "" if evidence is None else f", evidence {evidence:.2f}"
    match record.outcome:
        case Outcome.ANSWERED:
            notes = _annotations(record)
            return f"its footnotes hold, {len(notes)} in number{sure}."
        case Outcome.NOT_IN_DOCUMENTS:
            return f"the generator found no answer in its {len(trace.get('sources', ()))} sources{sure}."
        case Outcome.UNSUPPORTED:
            return f"no footnote of the text holds: no source says what it claims{sure}."
        case _:
            return f"it is {record.status}."


def _cached(trace: Mapping[str, Any]) -> list[str]:
    found = {"the answer": trace.get("cache"), "its search": trace.get("search_cache")}
    return [name for name, value in found.items() if value == "hit"]


def _outcome(record: AnswerRecord) -> str:
    return record.outcome or record.status


def _parts(record: AnswerRecord) -> list[Mapping[str, Any]]:
    messages = [item for item in record.response.get("output", ()) if item.get("type") == "message"]
    return [part for item in messages for part in item.get("content", ())]


def _text(record: AnswerRecord) -> str:
    return "".join(str(part.get("text", "")) for part in _parts(record))


def _annotations(record: AnswerRecord) -> list[Mapping[str, Any]]:
    return [note for part in _parts(record) for note in part.get("annotations", ())]


def _unsupported(record: AnswerRecord) -> list[Span]:
    return [(one["start"], one["end"]) for one in record.response.get("unsupported", ())]


def _marked(record: AnswerRecord, unsupported: Sequence[Span] = ()) -> str:
    """Return the answer with the marks of its footnotes, and of sentences without one."""
    marks = [_Mark(index=note["index"], number=note["number"]) for note in _annotations(record)]
    return with_marks(_text(record), marks, unsupported)


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")

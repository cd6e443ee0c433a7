"""footnote ask | search | explain"""

import math
from collections.abc import Sequence
from typing import Annotated, Protocol

import typer
from rich.table import Table
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.settings import ANSWER_MODEL, load_settings
from api.wiring import Services, open_services
from catalog import documents, stores
from catalog.errors import NotFound
from catalog.models import DEFAULT_PROJECT
from evaluation.matching import holds
from generation.answerer import Answer
from generation.support import Span
from generation.writing import Outcome
from retrieval.explain import MEANINGS, follow, verdict
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest

_Store = Annotated[str | None, typer.Option(help="Name of the vector store; without it all are searched.")]

_NO_SOURCE = "[no source]"


@app.command()
def ask(
    question: str,
    store: _Store = None,
    model: Annotated[str, typer.Option(help="Profile that answers; docs/generators.md.")] = ANSWER_MODEL,
) -> None:
    """Answer a question from the documents, with footnotes."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    with open_services(settings) as services:
        request = services.profile_of(model).request(question=question, scope=_scope(services, store))
        for event in services.answerer_of(model).answer(request):
            if isinstance(event, Answer):
                _print_answer(event)


@app.command()
def search(
    query: str, store: _Store = None, limit: Annotated[int, typer.Option(help="Passages to show.", min=1)] = 5
) -> None:
    """Show the passages that fit best."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    with open_services(settings) as services:
        found = services.searcher.search(
            SearchRequest(queries=[query], scope=_scope(services, store), limit=limit, ranking=services.ranking)
        )
        for passage in found.passages:
            chunk = passage.chunk
            page = f", page {chunk.page}" if chunk.page else ""
            console.print(
                Text(f"{passage.score:.3f}  {chunk.filename}{page}, characters {chunk.start}–{chunk.end}", "bold")
            )
            console.print(Text(chunk.text + "\n"))


@app.command()
def explain(
    question: str,
    gold: Annotated[str, typer.Option(help="Name of the document that answers.")],
    quote: Annotated[str | None, typer.Option(help="Words of the passage that answers; all of the document.")] = None,
    store: _Store = None,
    model: Annotated[str, typer.Option(help="Profile whose ranking is explained.")] = ANSWER_MODEL,
    limit: Annotated[
        int | None, typer.Option(help="Passages that are asked for; as many as an answer reads.", min=1)
    ] = None,
) -> None:
    """Show how the right passage fares at every stage of a search, and where it is lost."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    with open_services(settings) as services:
        scope = _scope(services, store)
        wanted = _gold_chunks(services, scope, gold, quote)
        profile = services.profile_of(model)
        request = SearchRequest(
            queries=[question],
            scope=scope,
            limit=limit or profile.settings.max_results,
            ranking=profile.ranking,
            explain=True,
        )
        steps = follow(services.searcher.search(request).stages, wanted)
    table = Table("Stage", "Candidates", "Best rank", "Score", "What it leaves", box=None, pad_edge=False)
    for step in steps:
        is_lost = step.rank is None
        rank, score = ("–", "–") if is_lost else (str(step.rank), f"{step.score:.4f}")
        row = step.stage, str(step.candidates), rank, score, MEANINGS[step.stage]
        table.add_row(*row, style="red" if is_lost else None)
    right = "1 passage counts as right" if len(wanted) == 1 else f"{len(wanted)} passages count as right"
    console.print(Text(f"Of {gold} {right}."))
    console.print(table)
    console.print(Text(verdict(steps), "bold"))


def _gold_chunks(services: Services, scope: Scope, filename: str, quote: str | None) -> set[int]:
    with services.catalog.database.read() as session:
        chunks = documents.chunks_of_file(session, scope.vector_store_ids, filename)
    if not chunks:
        raise NotFound(f"No document named {filename!r} is in the stores that are searched; `footnote status` tells.")
    wanted = {i for i, text in chunks.items() if quote is None or holds(text, quote)}
    if not wanted:
        raise NotFound(f"No passage of {filename!r} holds {quote!r}; a passage has to hold all of it.")
    return wanted


def _scope(services: Services, name: str | None) -> Scope:
    with services.catalog.database.read() as session:
        if name is None:
            return Scope(vector_store_ids=frozenset(stores.ids_of_project(session, DEFAULT_PROJECT)))
        store = stores.find_by_name(session, DEFAULT_PROJECT, name)
    if store is None:
        raise NotFound(f"There is no vector store named {name!r}; `footnote status` shows all.")
    return Scope(vector_store_ids=frozenset([store.id]))


def _print_answer(answer: Answer) -> None:
    console.print(Text(with_marks(answer.text, answer.citations, answer.unsupported)))
    seen: set[int] = set()
    for citation in answer.citations:
        if citation.number not in seen:
            seen.add(citation.number)
            page = f", page {citation.page}" if citation.page else ""
            where = f"{citation.source.passage.chunk.filename}{page}, characters {citation.start}–{citation.end}"
            console.print(Text(f"\n[{citation.number}] {where}\n    {' '.join(citation.quote.split())}", "dim"))
    print_cautions(answer.outcome, answer.unsupported, answer.contradictions)


def print_cautions(outcome: str, unsupported: Sequence[Span], contradicting: Sequence[Sequence[int]]) -> None:
    """Say what of an answer a reader should not trust; nothing when there is no doubt."""
    cautions = [
        f"Footnotes {one} and {other} seem to contradict each other: they give different numbers."
        for one, other in contradicting
    ]
    if unsupported:
        cautions.insert(0, f"{_NO_SOURCE}: nothing that this answer cites says this. Check it before you rely on it.")
    if outcome == Outcome.UNSUPPORTED:
        cautions.insert(0, "Not supported by these documents.")
    if cautions:
        console.print()
    for caution in cautions:
        console.print(Text(caution, "yellow"))


class Mark(Protocol):
    """Where a footnote's number goes; `generation.citations.Citation` is one."""

    @property
    def index(self) -> int: ...

    @property
    def number(self) -> int: ...


def with_marks(text: str, citations: Sequence[Mark], unsupported: Sequence[Span] = ()) -> str:
    """Return the answer with `[1]` where its footnotes belong, and `[no source]` behind sentences that have none."""
    marks: list[tuple[int, float, str]] = [(mark.index, mark.number, f"[{mark.number}]") for mark in citations]
    marks += [(end, math.inf, _NO_SOURCE) for _, end in unsupported]
    for index, _, mark in sorted(marks, reverse=True):
        text = f"{text[:index]} {mark}{text[index:]}"
    return text

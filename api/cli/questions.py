"""footnote ask | search"""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.settings import load_settings
from api.wiring import Services, open_services
from catalog import stores
from catalog.errors import NotFound
from catalog.models import DEFAULT_PROJECT
from generation.answerer import Answer, AnswerRequest
from generation.citations import Citation
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest

_Store = Annotated[str | None, typer.Option(help="Name of the vector store; without it all are searched.")]


@app.command()
def ask(question: str, store: _Store = None) -> None:
    """Answer a question from the documents, with footnotes."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    with open_services(settings) as services:
        request = AnswerRequest(question=question, scope=_scope(services, store), ranking=services.ranking)
        for event in services.answerer.answer(request):
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


def _scope(services: Services, name: str | None) -> Scope:
    with services.catalog.database.read() as session:
        if name is None:
            return Scope(vector_store_ids=frozenset(stores.ids_of_project(session, DEFAULT_PROJECT)))
        store = stores.find_by_name(session, DEFAULT_PROJECT, name)
    if store is None:
        raise NotFound(f"There is no vector store named {name!r}; `footnote status` shows all.")
    return Scope(vector_store_ids=frozenset([store.id]))


def _print_answer(answer: Answer) -> None:
    console.print(Text(with_marks(answer.text, answer.citations)))
    seen: set[int] = set()
    for citation in answer.citations:
        if citation.number not in seen:
            seen.add(citation.number)
            page = f", page {citation.page}" if citation.page else ""
            where = f"{citation.source.passage.chunk.filename}{page}, characters {citation.start}–{citation.end}"
            console.print(Text(f"\n[{citation.number}] {where}\n    {' '.join(citation.quote.split())}", "dim"))


def with_marks(text: str, citations: Sequence[Citation]) -> str:
    """Return the answer with `[1]` where its footnotes belong."""
    for citation in sorted(citations, key=lambda c: (c.index, c.number), reverse=True):
        text = f"{text[: citation.index]} [{citation.number}]{text[citation.index :]}"
    return text

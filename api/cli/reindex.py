"""footnote reindex"""

import shutil
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from api.cli.intake import stoppable
from api.cli.root import app, configure_logging, console
from api.live import POLL_S
from api.models import Model, current_model, known_model, make_embedder, spec_of
from api.settings import Settings, load_settings
from api.wiring import Catalog, make_pipeline, open_catalog, open_qdrant
from catalog import embeddings
from catalog.embeddings import ModelSpec
from catalog.errors import Conflict, InvalidRequest, ServiceUnavailable
from catalog.models import ModelRole
from ingest.pipeline import Pipeline
from ingest.reindexing import embed_missing
from retrieval.embedders.base import Embedder, dimension_of

# How long a process that answers has to say that it is there: it looks at the catalog once in POLL_S.
_ROLL_CALL_S: Final = 3 * POLL_S
# How long the processes keep a model open for a command that does not say anything any more.
_AWAITED_S: Final = 15.0
_BACK_ENDS: Final = ("openvino", "torch", "openai", "hashing")


@app.command()
def reindex(
    model: Annotated[
        str | None, typer.Option(help="As the setting embedding_model: folder of a model, or its name at the endpoint.")
    ] = None,
    backend: Annotated[str | None, typer.Option(help=f"One of {', '.join(_BACK_ENDS)}; else as it is set.")] = None,
    url: Annotated[str | None, typer.Option(help="openai: where the endpoint is; else as it is set.")] = None,
    dimensions: Annotated[int | None, typer.Option(min=1, help="openai, hashing: dimensions to ask for.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="openai: the model's tokenizer.json.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="openai: tokens of a text that are sent.")] = None,
    query_prefix: Annotated[str | None, typer.Option(help="In front of questions; else the model's own.")] = None,
    document_prefix: Annotated[str | None, typer.Option(help="In front of passages; else the model's own.")] = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the model before.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Delete the vectors of every other model.")] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds that running API processes have to open the model; 0 does not ask.")
    ] = 600.0,
) -> None:
    """Change the embedding model: embed everything beside what is there, then switch. Searches go on meanwhile."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    if sum((model is not None, rollback, discard)) != 1:
        raise InvalidRequest("Say one of --model MODEL, --rollback and --discard.")
    with stoppable(), open_catalog(settings) as catalog:
        if discard:
            _discard(settings, catalog)
            return
        given = {
            "embedding_model": model,
            "embedding_backend": backend or settings.embedding_backend,
            "embedding_url": url or settings.embedding_url,
            "embedding_dimensions": dimensions,
            "embedding_tokenizer": tokenizer,
            "embedding_max_tokens": max_tokens or settings.embedding_max_tokens,
            "embedding_query_prefix": query_prefix,
            "embedding_document_prefix": document_prefix,
        }
        target = _previous(settings, catalog) if rollback else Model(settings=_validated(settings, given))
        with closing(target.open()) as embedder:
            _migrate(catalog, settings, target, embedder, wait_s=wait)


def _validated(settings: Settings, given: dict[str, Any]) -> Settings:
    """Return settings with other values, checked as if they had been set. Raises ConfigurationError."""
    return load_settings(**{**settings.model_dump(exclude_unset=True), **given})


def _previous(settings: Settings, catalog: Catalog) -> Model:
    with catalog.database.read() as session:
        row = embeddings.with_role(session, ModelRole.PREVIOUS)
    if row is None:
        raise Conflict("There is no model to go back to: none was replaced, or its vectors are discarded.")
    return known_model(settings, row)


def _migrate(catalog: Catalog, settings: Settings, target: Model, embedder: Embedder, *, wait_s: float) -> None:
    identity = embedder.identity.key
    _make_room(settings, catalog, identity)
    embeddings.begin(catalog.database, _used(settings, catalog), spec_of(target.settings, embedder))
    pipeline = make_pipeline(target.settings, catalog, embedder)
    with _progress() as progress:
        _embed(progress, pipeline)
        _switch(progress, pipeline, wait_s=wait_s)
    console.print(Text(f"The embedding model is {identity} now.", "green"))
    with catalog.database.read() as session:
        before = embeddings.with_role(session, ModelRole.PREVIOUS)
    if before is not None:
        console.print(
            f"The vectors of {before.identity} are kept: `footnote reindex --rollback` goes back to them, "
            "`footnote reindex --discard` deletes them."
        )


def _make_room(settings: Settings, catalog: Catalog, identity: str) -> None:
    """Delete the vectors of the model before, if it is not the one that is wanted: there is one way back."""
    with catalog.database.read() as session:
        before = embeddings.with_role(session, ModelRole.PREVIOUS)
        model = embeddings.current(session)
    if before is not None and model is not None and identity not in {before.identity, model.identity}:
        _discard(settings, catalog)


def _used(settings: Settings, catalog: Catalog) -> ModelSpec:
    """Return the model in use; one that the catalog does not know yet is opened for that."""
    model = current_model(settings, catalog.database)
    if model.identity is not None:
        return ModelSpec(identity=model.identity, settings={})
    with closing(make_embedder(settings)) as embedder:
        return spec_of(settings, embedder)


def _embed(progress: Progress, pipeline: Pipeline) -> None:
    with pipeline.database.read() as session:
        documents, chunks = embeddings.count_missing(session, pipeline.embedder.identity.key)
    task = progress.add_task(f"Embedding {documents:,} documents", total=chunks)

    def on_chunks(count: int) -> None:
        progress.advance(task, count)

    done = embed_missing(pipeline, on_chunks=on_chunks)
    progress.update(task, total=done, completed=done)
    progress.console.print(f"Embedded {done:,} chunks; {documents:,} documents had no vectors of this model.")


def _switch(progress: Progress, pipeline: Pipeline, *, wait_s: float) -> None:
    """Wait until every process that answers has the model open, and switch. Raises ServiceUnavailable.

    What is published meanwhile is embedded too.
    """
    database, identity = pipeline.database, pipeline.embedder.identity.key
    task = progress.add_task("Switching", total=None)
    started, announced = time.monotonic(), float("-inf")
    is_switched = False
    try:
        while not is_switched:
            now = time.monotonic()
            if wait_s and now - announced >= _AWAITED_S / 3:
                embeddings.announce(database, identity, lifetime_s=_AWAITED_S)
                announced = now
            embed_missing(pipeline, on_chunks=lambda _: None)
            ready, living = _readers(pipeline)
            progress.update(task, description=f"Switching: {ready} of {living} API processes have opened the model")
            if wait_s and (ready < living or now - started < min(_ROLL_CALL_S, wait_s)):
                if now - started >= wait_s:
                    raise ServiceUnavailable(
                        f"{living - ready} of {living} API processes did not open the model within {wait_s:g} s; their "
                        "logs say why. Nothing has changed: run the command again, with --wait 0 to switch regardless."
                    )
                time.sleep(POLL_S / 2)
                continue
            is_switched = embeddings.switch(database, identity)
    finally:
        if not is_switched:
            embeddings.announce(database, identity, lifetime_s=0)


def _readers(pipeline: Pipeline) -> tuple[int, int]:
    """Return how many processes that answer have the model open, and how many there are."""
    with pipeline.database.read() as session:
        return embeddings.readers(session, pipeline.embedder.identity.key)


def _discard(settings: Settings, catalog: Catalog) -> None:
    """Delete the vectors of all models but the current one, with their indexes on this machine or in Qdrant."""
    gone = embeddings.discard(catalog.database)
    for number, identity in gone:
        model = Model(settings=settings, number=number)
        for folder in (model.lexical, model.vectors):
            shutil.rmtree(folder, ignore_errors=True)
        if settings.index == "qdrant":
            index = open_qdrant(settings, catalog.database, identity=identity, dimension=dimension_of(identity))
            index.drop()
            index.close()
        console.print(f"The vectors of {identity} are deleted.")
    if not gone:
        console.print("There are no vectors of other models.")


class _Rate(ProgressColumn):
    """Chunks in a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} chunks/s" if task.speed else "")


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

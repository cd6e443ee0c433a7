"""footnote ingest | sync | status"""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Never

import typer
from rich.table import Table
from rich.text import Text

from api.cli.intake import find_store, has_news, open_store, print_report, process, read, stoppable
from api.cli.root import app, configure_logging, console
from api.models import open_current_embedder
from api.settings import Settings, load_settings
from api.wiring import Catalog, open_catalog
from catalog import stores
from catalog.errors import FootnoteError, InvalidRequest
from catalog.models import DEFAULT_PROJECT
from ingest.sources.base import Source
from ingest.sources.http import CrawlLimits
from ingest.sources.local import LocalSource
from ingest.sources.opener import open_source
from ingest.sources.patterns import Patterns
from ingest.sync import SyncOptions
from retrieval.embedders.base import Embedder

_StoreOption = Annotated[str | None, typer.Option("--store", help="Name of the vector store; made when missing.")]


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Folder with documents; hidden files are passed over.")],
    store: _StoreOption = None,
) -> None:
    """Bring a folder into a vector store. Safe to run again: what has not changed costs nothing."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    source = LocalSource(folder, state=settings.home)
    options = SyncOptions(max_bytes=settings.max_file_bytes, prune=False)
    with (
        stoppable(),
        open_catalog(settings) as catalog,
        open_current_embedder(settings, catalog.database) as embedder,
    ):
        is_good = _follow(settings, catalog, embedder, source, store or source.name, options, is_brief=False)
    if not is_good:
        raise typer.Exit(1)


@app.command()
def sync(
    location: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A folder, s3://BUCKET/PREFIX, or the URL of a page or document.")
    ],
    store: _StoreOption = None,
    include: Annotated[
        list[str] | None, typer.Option(help="Take only what this pattern matches, as in .gitignore; repeatable.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out what this pattern matches, as in .gitignore; repeatable.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and change nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until stopped, and follow every change.")] = False,
    interval: Annotated[
        float, typer.Option(min=1, help="--watch: seconds after which the source is read again in any case.")
    ] = 300,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="Delete everything when the source lists nothing.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Let a store that holds documents of other sources follow this one.")
    ] = False,
    depth: Annotated[int, typer.Option(min=0, help="Web: links between the first page and the last.")] = 5,
    max_pages: Annotated[int, typer.Option(min=1, help="Web: pages and documents that are asked for.")] = 1000,
) -> None:
    """Keep a vector store equal to a source: what is new, changed, moved or gone there."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    if dry_run and watch:
        raise InvalidRequest("--dry-run and --watch exclude each other.")
    source = open_source(
        location,
        patterns=Patterns(include=include or (), exclude=exclude or ()),
        state=settings.home,
        allowed_hosts=settings.http_allowed_hosts,
        limits=CrawlLimits(
            max_bytes=settings.max_file_bytes, depth=depth, max_pages=max_pages, pause_s=settings.http_pause_s
        ),
    )
    name = store or source.name
    options = SyncOptions(max_bytes=settings.max_file_bytes, allow_empty=allow_empty, adopt=adopt, dry_run=dry_run)
    with stoppable(), open_catalog(settings) as catalog:
        if dry_run:
            report = read(catalog, find_store(catalog, name), source, options)
            is_good = print_report(catalog, None, report, is_brief=True)
        else:
            with open_current_embedder(settings, catalog.database) as embedder:
                round_ = partial(_follow, settings, catalog, embedder, source, name)
                is_good = _watch(source, round_, options, interval) if watch else round_(options)
    if not is_good:
        raise typer.Exit(1)


def _follow(
    settings: Settings,
    catalog: Catalog,
    embedder: Embedder,
    source: Source,
    name: str,
    options: SyncOptions,
    *,
    is_brief: bool = True,
    is_silent: bool = False,
) -> bool:
    """Make the store equal to the source and process what is new; return whether all went well.

    `is_silent`: print nothing when nothing has changed.
    """
    target = open_store(catalog, name, embedder)
    if not is_silent:
        console.print(f"Reading {source.url} into vector store {target.name!r} ({target.id}) …", markup=False)
    report = read(catalog, target, source, options)
    process(settings, catalog, embedder, target)
    if is_silent and not has_news(report):
        return True
    return print_report(catalog, target, report, is_brief=is_brief)


def _watch(source: Source, follow: Callable[..., bool], options: SyncOptions, interval_s: float) -> Never:
    """Follow the source until somebody stops the program. What fails later than at the start is tried again."""
    changed, stop = threading.Event(), threading.Event()
    # Begun before the first reading: a change that this misses is noticed.
    watcher = threading.Thread(target=source.watch, args=(changed, stop), daemon=True)
    watcher.start()
    try:
        follow(options)
        console.print(f"Watching {source.url} …", markup=False)
        # A document that failed is not tried again and again, but when it changes.
        later = replace(options, retry_failed=False, adopt=False)
        while True:
            changed.wait(interval_s)
            changed.clear()
            try:
                follow(later, is_silent=True)
            except FootnoteError as error:
                console.print(Text(error.message, "red"))
    finally:
        stop.set()
        watcher.join()


@app.command()
def status() -> None:
    """Show every vector store: files by state, and why some failed."""
    settings = load_settings()
    with open_catalog(settings) as catalog, catalog.database.read() as session:
        ids = stores.ids_of_project(session, DEFAULT_PROJECT)
        counts = stores.file_counts(session, ids)
        table = Table("Vector store", "Name", "Ready", "In progress", "Failed", "Cancelled", box=None, pad_edge=False)
        failures = []
        for store_id in ids:
            store = stores.get(session, DEFAULT_PROJECT, store_id)
            count = counts[store_id]
            table.add_row(
                store.id,
                Text(store.name),
                *(str(count[key]) for key in ("completed", "in_progress", "failed", "cancelled")),
            )
            failures += stores.failures(session, store)
        console.print(f"State in {settings.home}")
        console.print(table)
        for filename, reason in failures:
            console.print(Text(f"failed: {filename}: {reason}", "red"))

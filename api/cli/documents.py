"""footnote ingest | status"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.settings import Settings, load_settings
from api.wiring import Catalog, make_embedder, make_worker, open_catalog, workers_folder
from catalog import documents, stores
from catalog.models import DEFAULT_PROJECT, Document, JobStatus, VectorStore, VectorStoreFile
from catalog.stores import NewVectorStore
from ingest.folder import FolderEntry, Intake, take_in
from ingest.worker import presence
from retrieval.embedders.base import Embedder

_COLOURS = {JobStatus.COMPLETED: "green", JobStatus.FAILED: "red", JobStatus.CANCELLED: "yellow"}


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Folder with documents; hidden files are passed over.")],
    store: Annotated[str | None, typer.Option(help="Name of the vector store; made when missing.")] = None,
) -> None:
    """Bring a folder into a vector store. Safe to run again: what has not changed costs nothing."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    with open_catalog(settings) as catalog:
        embedder = make_embedder(settings)
        target = _open_store(catalog, store or folder.resolve().name, embedder)
        console.print(f"Reading {folder} into vector store {target.name!r} ({target.id}) …")
        entries = take_in(catalog.database, catalog.blobs, target, folder, max_bytes=settings.max_file_bytes)
        _process(settings, catalog, embedder, target, entries)
        _report(catalog, target, entries)
        embedder.close()


def _open_store(catalog: Catalog, name: str, embedder: Embedder) -> VectorStore:
    with catalog.database.write() as session:
        found = stores.find_by_name(session, DEFAULT_PROJECT, name)
        return found or stores.create(
            session,
            NewVectorStore(project_id=DEFAULT_PROJECT, name=name, embedding_identity=embedder.identity.key),
        )


def _process(
    settings: Settings, catalog: Catalog, embedder: Embedder, store: VectorStore, entries: list[FolderEntry]
) -> None:
    """Work on the queue, beside any other worker, until every file of this folder has ended."""
    file_ids = {entry.file_id for entry in entries if entry.file_id}
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    with presence(catalog.database, workers_folder(settings)) as name:
        worker = make_worker(settings, catalog, embedder, name=name)
        with _progress_bar(catalog, store, file_ids):
            while not stop.is_set() and _open_jobs(catalog, store, file_ids):
                if not worker.run_one(stop):
                    time.sleep(0.1)
    if stop.is_set():
        console.print("Stopped. What is left stays queued: run the same command again to go on.")
        raise typer.Exit(130)


def _open_jobs(catalog: Catalog, store: VectorStore, file_ids: set[str]) -> list[VectorStoreFile]:
    with catalog.database.read() as session:
        return [e for e, f in stores.sources(session, store).values() if f.id in file_ids and e.status == "in_progress"]


@contextmanager
def _progress_bar(catalog: Catalog, store: VectorStore, file_ids: set[str]) -> Iterator[None]:
    """Show bytes done, rate and time left, from what the jobs' rows say."""
    waiting = {entry.file_id: entry.bytes for entry in _open_jobs(catalog, store, file_ids)}
    total, ended = sum(waiting.values()), threading.Event()
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]

    def watch() -> None:
        while not ended.wait(0.5):
            left = _open_jobs(catalog, store, set(waiting))
            undone = sum(entry.bytes * (1 - entry.progress) for entry in left)
            bar.update(
                task, completed=total - undone, description=f"{len(waiting) - len(left)} of {len(waiting)} files"
            )

    with Progress(*columns, console=console, transient=True, disable=not waiting) as bar:
        task = bar.add_task(f"0 of {len(waiting)} files", total=total)
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _report(catalog: Catalog, store: VectorStore, entries: list[FolderEntry]) -> None:
    """Print what happened to each file. Exits with 1 when one could not be read."""
    with catalog.database.read() as session:
        found = {file.id: entry for entry, file in stores.sources(session, store).values()}
        known = documents.of_entries(session, [entry.id for entry in found.values()])
    table = Table("File", "Intake", "State", "Pages", "Chunks", "Remarks", box=None, pad_edge=False)
    for entry in entries:
        job = found.get(entry.file_id or "")
        table.add_row(*_row(entry, job, known.get(job.id) if job else None))
    console.print(table)
    good = sum(
        job.status == JobStatus.COMPLETED for job in found.values() if job.file_id in {e.file_id for e in entries}
    )
    console.print(f"{good} of {len(entries)} files are searchable in {store.name!r}.")
    if good < len(entries):
        raise typer.Exit(1)


def _row(entry: FolderEntry, job: VectorStoreFile | None, document: Document | None) -> list[Text]:
    if entry.intake is Intake.REFUSED or job is None:
        return [Text(entry.path), Text(entry.intake), Text("refused", "red"), Text(), Text(), Text(entry.reason or "")]
    remarks = [job.error_message] if job.error_message else (document.warnings if document else [])
    pages = f"{document.pages_read} / {document.pages}" if document and document.pages else ""
    return [
        Text(entry.path),
        Text(entry.intake),
        Text(job.status, _COLOURS.get(JobStatus(job.status), "")),
        Text(pages),
        Text(str(document.chunk_count) if document else ""),
        Text("; ".join(remarks)),
    ]


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

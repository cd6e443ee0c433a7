"""What `footnote ingest` and `footnote sync` share: reading a source, working on the queue, saying how it went."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from api.cli.root import console
from api.settings import Settings
from api.wiring import Catalog, make_worker, workers_folder
from catalog import embeddings, sources, stores
from catalog.archives import MEMBER_SEPARATOR
from catalog.errors import ServiceUnavailable
from catalog.models import DEFAULT_PROJECT, JobStatus, VectorStore
from catalog.sources import DocumentState
from catalog.stores import NewVectorStore
from ingest.intake import Outcome, SyncEntry
from ingest.sources.base import Source
from ingest.sync import SyncOptions, SyncReport, sync
from ingest.worker import presence
from retrieval.embedders.base import Embedder

_COLOURS: Final = {JobStatus.COMPLETED: "green", JobStatus.FAILED: "red", JobStatus.CANCELLED: "yellow"}
# Outcomes that mean: the store is not equal to the source.
_FAULTS: Final = frozenset({Outcome.REFUSED, Outcome.UNLISTED})
# Outcomes of paths that have a document now.
_PRESENT: Final = frozenset(
    {Outcome.ADDED, Outcome.REPLACED, Outcome.MOVED, Outcome.UNCHANGED, Outcome.RETRIED, Outcome.REFUSED}
)
_OLD_NEWS: Final = frozenset({Outcome.UNCHANGED, Outcome.SKIPPED})
# How long the program looks away while other workers finish the last jobs.
_IDLE_S: Final = 0.1
_REFRESH_S: Final = 0.5


@contextmanager
def stoppable() -> Iterator[None]:
    """End the program with status 130 when somebody stops it: at every moment the same command can go on later."""
    try:
        yield
    except KeyboardInterrupt:
        console.print("Stopped. What is left stays queued: run the same command again to go on.")
        raise typer.Exit(130) from None


def find_store(catalog: Catalog, name: str) -> VectorStore | None:
    with catalog.database.read() as session:
        return stores.find_by_name(session, DEFAULT_PROJECT, name)


def open_store(catalog: Catalog, name: str, embedder: Embedder) -> VectorStore:
    """Return the store with this name, made when it is missing. Raises IndexIncompatible."""
    with catalog.database.write() as session:
        # Two commands at once must not make two stores of one name.
        catalog.database.lock(session, f"footnote.store.{name}")
        found = stores.find_by_name(session, DEFAULT_PROJECT, name)
        if found is None:
            new = NewVectorStore(project_id=DEFAULT_PROJECT, name=name, embedding_identity=embedder.identity.key)
            return stores.create(session, new)
        # Whoever brings documents uses the store: one that has expired lives again.
        found.last_active_at = time.time()
        stores.check_usable(session, [found.id], embedder.identity.key)
        return found


def read(catalog: Catalog, store: VectorStore | None, source: Source, options: SyncOptions) -> SyncReport:
    """Compare source and store, and queue what has to be done."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading")
        seen = Counter[Outcome]()

        def on_entry(entry: SyncEntry) -> None:
            seen[entry.outcome] += 1
            bar.update(task, description=f"{_counted(seen)}: {entry.path}")

        return sync(catalog.database, catalog.blobs, store, source, options, on_entry=on_entry)


def process(settings: Settings, catalog: Catalog, embedder: Embedder, store: VectorStore) -> None:
    """Work on the queue, beside any other worker, until every document of the store's sources has ended.

    Raises KeyboardInterrupt when somebody stops it; the jobs under way are back in the queue then.
    """
    if not _unfinished(catalog, store):
        return
    stop, done = threading.Event(), threading.Event()
    with (
        _signals_set(stop),
        presence(catalog.database, workers_folder(settings)) as name,
        _progress_bar(catalog, store, done),
    ):
        worker = make_worker(settings, catalog, embedder, name=name)
        while not stop.is_set() and not done.is_set():
            worker.work_off(stop, enough=done.is_set)
            # What it publishes would be refused: other workers, or the same command once more, have the new model.
            with catalog.database.read() as session:
                embeddings.check_current(session, embedder.identity.key)
            if not _unfinished(catalog, store):
                break
            done.wait(_IDLE_S)
    if stop.is_set():
        raise KeyboardInterrupt


def _unfinished(catalog: Catalog, store: VectorStore) -> dict[int, tuple[int, float]]:
    with catalog.database.read() as session:
        return sources.unfinished(session, store.id)


@contextmanager
def _signals_set(stop: threading.Event) -> Iterator[None]:
    """Let SIGINT and SIGTERM set `stop`, so that the jobs under way go back to the queue."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress_bar(catalog: Catalog, store: VectorStore, done: threading.Event) -> Iterator[None]:
    """Show bytes done, rate and time left, from what the jobs' rows say; set `done` when none is left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    ended = threading.Event()
    # Archives bring more to do while they are unpacked: all that was ever seen makes the total.
    sizes: dict[int, int] = {}

    def show() -> None:
        left = _unfinished(catalog, store)
        sizes.update((entry_id, size) for entry_id, (size, _) in left.items())
        total, undone = sum(sizes.values()), sum(size * (1 - share) for size, share in left.values())
        description = f"{len(sizes) - len(left)} of {len(sizes)} files"
        bar.update(task, total=total, completed=total - undone, description=description)
        if not left:
            done.set()

    def watch() -> None:
        while not ended.wait(_REFRESH_S):
            with suppress(ServiceUnavailable):  # The worker's own look at the queue says so.
                show()

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("")
        show()
        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def print_report(catalog: Catalog, store: VectorStore | None, report: SyncReport, *, is_brief: bool) -> bool:
    """Print what happened to each document, and how many are searchable; return whether all went well.

    `is_brief`: leave out what has not changed. Without `store` nothing was queued: it was a dry run.
    """
    states = _states(catalog, store) if store else {}
    present = {entry.path: states.get(entry.path) for entry in report.entries if entry.outcome in _PRESENT}
    inside = _members(states, present)
    table = Table("File", "Intake", "State", "Pages", "Chunks", "Remarks", box=None, pad_edge=False)
    for entry in report.entries:
        state = present.get(entry.path)
        is_told = entry.outcome != Outcome.UNCHANGED or not is_brief
        if is_told or (store and not _is_good(state)):
            table.add_row(*_row(entry, state))
        for path in inside.get(entry.path, ()):
            if is_told or not _is_good(states[path]):
                table.add_row(Text(path), Text("unpacked"), *_state_cells(states[path]))
    if table.rows:
        console.print(table)
    counts = Counter(entry.outcome for entry in report.entries)
    console.print(f"{_counted(counts)}." if counts else "There is nothing.")
    if report.withheld:
        console.print(Text(report.withheld, "red"))
    is_whole = not report.withheld and not any(counts[fault] for fault in _FAULTS)
    if store is None:
        return is_whole
    shown = [*present.values(), *(states[path] for paths in inside.values() for path in paths)]
    good = sum(_is_good(state) for state in shown)
    console.print(f"{good} of {len(shown)} files are searchable in {store.name!r}.")
    return is_whole and good == len(shown)


def has_news(report: SyncReport) -> bool:
    """Tell whether there is anything in a report that the one before did not say."""
    return report.withheld is not None or any(entry.outcome not in _OLD_NEWS for entry in report.entries)


def _states(catalog: Catalog, store: VectorStore) -> dict[str, DocumentState]:
    with catalog.database.read() as session:
        return sources.states(session, store.id)


def _members(states: Iterable[str], present: Container[str]) -> dict[str, list[str]]:
    """Return the paths inside each archive that is there."""
    inside: dict[str, list[str]] = {}
    for path in states:
        archive, separator, _ = path.partition(MEMBER_SEPARATOR)
        if separator and archive in present:
            inside.setdefault(archive, []).append(path)
    return inside


def _is_good(state: DocumentState | None) -> bool:
    return state is not None and state.status == JobStatus.COMPLETED


def _row(entry: SyncEntry, state: DocumentState | None) -> list[Text]:
    cells = [Text(entry.path), Text(entry.outcome)]
    if state is None or entry.outcome is Outcome.REFUSED:
        word = Text("refused", "red") if entry.outcome is Outcome.REFUSED else Text()
        return [*cells, word, Text(), Text(), Text(entry.reason or "")]
    return [*cells, *_state_cells(state, entry.reason)]


def _state_cells(state: DocumentState, remark: str | None = None) -> list[Text]:
    remarks = [remark] if remark else []
    remarks += [state.error] if state.error else state.warnings
    return [
        Text(state.status, _COLOURS.get(state.status, "")),
        Text(f"{state.pages_read} / {state.pages}" if state.pages else ""),
        Text("" if state.chunks is None else str(state.chunks)),
        Text("; ".join(remarks)),
    ]


def _counted(counts: Counter[Outcome]) -> str:
    return ", ".join(f"{counts[outcome]:,} {outcome}" for outcome in Outcome if counts[outcome])

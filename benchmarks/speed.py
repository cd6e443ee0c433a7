"""Speed of the main job on this machine: from files to searchable chunks, from a query to passages, to an answer.

Run with `make bench`. Prints a table; figures with machine and date go into docs/benchmarks.md.
"""

import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from api.models import models_folder
from api.settings import Settings, load_settings
from api.wiring import Services, make_worker, open_services
from catalog import stores
from catalog.models import DEFAULT_PROJECT, VectorStore
from catalog.stores import NewVectorStore
from evaluation.questions import load_questions
from generation.answerer import AnswerRequest
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, sync
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest

_ROOT = Path(__file__).parent.parent
_ROUNDS = 5


def main() -> None:
    settings = load_settings(log_level="error")
    table = Table("Measured", "Value", box=None, pad_edge=False)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as home:
        fresh = settings.model_copy(update=_fresh(Path(home), settings))
        started = time.perf_counter()
        with open_services(fresh) as services:
            table.add_row("start: catalog, model, index", f"{time.perf_counter() - started:.2f} s")
            store = _ingest(services, table)
            _ask(services, store, table)
        started = time.perf_counter()
        with open_services(fresh) as services:
            table.add_row("start again, index from the catalog", f"{time.perf_counter() - started:.2f} s")
    console = Console(highlight=False)
    console.print(f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}")
    console.print(table)


def _fresh(home: Path, settings: Settings) -> dict[str, Any]:
    """Return what differs: a folder of its own, and nothing kept of a question, because they are asked in rounds."""
    caches = dict.fromkeys(("embedding_query_cache", "search_cache", "answer_cache"), 0)
    return {"home": home, "models": models_folder(settings), **caches}


def _ingest(services: Services, table: Table) -> VectorStore:
    catalog = services.catalog
    with catalog.database.write() as session:
        store = stores.create(
            session,
            NewVectorStore(project_id=DEFAULT_PROJECT, name="bench", embedding_identity=services.embedder.identity.key),
        )
    worker = make_worker(services.settings, catalog, services.embedder, name="bench")
    started, stop = time.perf_counter(), threading.Event()
    options = SyncOptions(max_bytes=services.settings.max_file_bytes, prune=False)
    entries = sync(catalog.database, catalog.blobs, store, LocalSource(_ROOT / "data" / "sample"), options).entries
    worker.work_off(stop)
    services.replica.catch_up()
    seconds = time.perf_counter() - started
    chunks = services.replica.index.count()
    table.add_row("sample files to searchable", f"{len(entries)} files, {chunks} chunks in {seconds:.2f} s")
    table.add_row("ingestion rate", f"{chunks / seconds:.0f} chunks/s")
    return store


def _ask(services: Services, store: VectorStore, table: Table) -> None:
    questions = [q.text for q in load_questions(_ROOT / "data" / "gold" / "questions.jsonl")]
    scope = Scope(vector_store_ids=frozenset([store.id]))

    def search(question: str) -> None:
        services.searcher.search(SearchRequest(queries=[question], scope=scope))

    def answer(question: str) -> None:
        for _ in services.answerer.answer(AnswerRequest(question=question, scope=scope)):
            pass

    for name, call in (("search", search), ("answer", answer)):
        p50, p95 = _percentiles(call, questions)
        table.add_row(name, f"p50 {p50 * 1000:.1f} ms, p95 {p95 * 1000:.1f} ms")


def _percentiles(call: Callable[[str], None], questions: list[str]) -> tuple[float, float]:
    for question in questions[:5]:
        call(question)
    seconds = []
    for _ in range(_ROUNDS):
        for question in questions:
            started = time.perf_counter()
            call(question)
            seconds.append(time.perf_counter() - started)
    cuts = statistics.quantiles(seconds, n=20)
    return statistics.median(seconds), cuts[18]


if __name__ == "__main__":
    main()

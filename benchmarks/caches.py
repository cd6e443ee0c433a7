"""What the caches of searches and answers save: the gold questions over data/sample, asked anew and asked again.

`python -m benchmarks.caches [--rounds 5]` prints the milliseconds of each, p50 and p95.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from api.models import models_folder
from api.settings import load_settings
from api.wiring import Services, make_worker, open_services
from catalog import stores
from catalog.models import DEFAULT_PROJECT
from catalog.stores import NewVectorStore
from evaluation.questions import load_questions
from generation.answerer import AnswerRequest
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, sync
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest

_ROOT: Final = Path(__file__).parent.parent
_CACHES: Final = ("embedding_query_cache", "search_cache", "answer_cache")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    questions = [question.text for question in load_questions(_ROOT / "data" / "gold" / "questions.jsonl")]
    settings = load_settings(log_level="error")
    table = Table("Measured", "p50, ms", "p95, ms", box=None, pad_edge=False)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as home:
        own = settings.model_copy(update={"home": Path(home), "models": models_folder(settings)})
        without = own.model_copy(update=dict.fromkeys(_CACHES, 0))
        with open_services(without) as services:
            scope = _ingest(services)
            _measure(table, "without caches", services, scope, questions, given.rounds)
        with open_services(own) as services:
            _measure(table, "first time, with caches", services, scope, questions, 1)
            _measure(table, "again, with caches", services, scope, questions, given.rounds)
    Console(highlight=False).print(table)


def _ingest(services: Services) -> Scope:
    catalog, identity = services.catalog, services.embedder.identity.key
    with catalog.database.write() as session:
        new = NewVectorStore(project_id=DEFAULT_PROJECT, name="bench", embedding_identity=identity)
        store = stores.create(session, new)
    options = SyncOptions(max_bytes=services.settings.max_file_bytes, prune=False)
    sync(catalog.database, catalog.blobs, store, LocalSource(_ROOT / "data" / "sample"), options)
    worker, stop = make_worker(services.settings, catalog, services.embedder, name="bench"), threading.Event()
    worker.work_off(stop)
    services.replica.catch_up()
    return Scope(vector_store_ids=frozenset([store.id]))


def _measure(table: Table, name: str, services: Services, scope: Scope, questions: Sequence[str], rounds: int) -> None:
    def search(question: str) -> None:
        services.searcher.search(SearchRequest(queries=[question], scope=scope, ranking=services.ranking))

    def answer(question: str) -> None:
        for _ in services.answerer.answer(AnswerRequest(question=question, scope=scope, ranking=services.ranking)):
            pass

    services.embedder.embed_queries(["warm up"])
    for kind, call in (("search", search), ("answer", answer)):
        table.add_row(f"{kind}, {name}", *(f"{1000 * value:.2f}" for value in _percentiles(call, questions, rounds)))


def _percentiles(call: Callable[[str], None], questions: Sequence[str], rounds: int) -> tuple[float, float]:
    seconds = []
    for _ in range(rounds):
        for question in questions:
            started = time.perf_counter()
            call(question)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), statistics.quantiles(seconds, n=20)[18]


if __name__ == "__main__":
    main()

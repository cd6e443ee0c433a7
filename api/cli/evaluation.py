"""footnote eval"""

import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track
from rich.table import Table
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.settings import Settings, load_settings
from api.wiring import Services, make_worker, models_folder, open_services
from catalog import stores
from catalog.models import DEFAULT_PROJECT, JobStatus, VectorStore
from catalog.stores import NewVectorStore
from evaluation.answers import Judged, judge, score
from evaluation.questions import Question, load_questions
from evaluation.report import by_kind, write_report
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, sync
from retrieval.indexes.base import Scope


@app.command("eval")
def evaluate(
    questions: Annotated[Path, typer.Argument(help="questions.jsonl: question, answer, document, quote.")],
    documents: Annotated[Path, typer.Option(help="Folder with the documents that they are about.")],
    report: Annotated[Path, typer.Option(help="Where the full report goes.")] = Path("reports/eval.json"),
) -> None:
    """Measure how well questions about a folder are answered, and refused where it has no answer."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    asked = load_questions(questions)
    with tempfile.TemporaryDirectory(prefix="footnote-eval-") as home:
        # A catalog of its own; the converted model is the one that is there.
        fresh = settings.model_copy(
            update={
                "home": Path(home),
                "models": models_folder(settings),
                "database_url": None,
                "blob_url": None,
            }
        )
        with open_services(fresh) as services:
            store = _ingest(fresh, services, documents)
            unread = _unread(services, store)
            judged = _ask(services, store, asked)
            scores = score(judged)
            setup = {
                "embedding": services.embedder.identity.key,
                "generator": services.generator.name,
                "min_evidence": fresh.min_evidence,
                "dense_weight": fresh.dense_weight,
                "chunks": services.replica.index.count(),
                "unread_documents": unread,
            }
    write_report(report, scores, judged, setup=setup)
    _print(judged, asdict(scores))
    for name in unread:
        console.print(Text(f"not read, so no question about it could be answered: {name}", "red"))
    console.print(f"Every question with its answer: {report}")


def _ingest(settings: Settings, services: Services, folder: Path) -> VectorStore:
    catalog = services.catalog
    with catalog.database.write() as session:
        store = stores.create(
            session,
            NewVectorStore(
                project_id=DEFAULT_PROJECT, name="evaluation", embedding_identity=services.embedder.identity.key
            ),
        )
    options = SyncOptions(max_bytes=settings.max_file_bytes, prune=False)
    entries = sync(catalog.database, catalog.blobs, store, LocalSource(folder), options).entries
    worker = make_worker(settings, catalog, services.embedder, name="evaluation")
    stop = threading.Event()
    for _ in track(entries, description="Reading documents", console=console, transient=True):
        worker.run_one(stop)
    return store


def _unread(services: Services, store: VectorStore) -> list[str]:
    """Return the files that are not searchable: figures that hold without them are not those of the folder."""
    with services.catalog.database.read() as session:
        return [
            source
            for source, (entry, _) in sorted(stores.sources(session, store).items())
            if entry.status != JobStatus.COMPLETED
        ]


def _ask(services: Services, store: VectorStore, questions: list[Question]) -> list[Judged]:
    scope = Scope(vector_store_ids=frozenset([store.id]))
    answers = judge(questions, services.answerer, scope, services.ranking)
    return list(track(answers, description="Asking", total=len(questions), console=console, transient=True))


def _print(judged: list[Judged], scores: dict[str, float]) -> None:
    table = Table("Kind", "Questions", "In first 5 passages", "Cited", "Refused", box=None, pad_edge=False)
    for row in by_kind(judged):
        table.add_row(*map(str, row))
    console.print(table)
    for name, value in scores.items():
        console.print(f"{name.replace('_', ' '):20} {value:.3g}")

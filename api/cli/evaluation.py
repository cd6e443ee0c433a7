"""footnote eval run | answers | ranking | compare | gate | calibrate | report"""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.text import Text

from api.cli import evaluation_tables as tables
from api.cli.root import app, configure_logging, console
from api.models import make_embedder, models_folder
from api.refusal import CALIBRATED, calibrated_setup, calibrations_folder, refusal_threshold
from api.settings import ANSWER_MODEL, Settings, load_settings
from api.wiring import Services, make_worker, open_services
from catalog import stores
from catalog.errors import ConfigurationError, InvalidRequest
from catalog.models import DEFAULT_PROJECT, JobStatus, VectorStore
from catalog.stores import NewVectorStore
from evaluation.answers import ask, item_of
from evaluation.calibration import Calibration, calibrate, find_calibration, percent, save_calibration
from evaluation.collections import files_of, load_answer_set, load_parts
from evaluation.comparison import compare
from evaluation.gate import baseline_of, check, load_baseline, save_baseline
from evaluation.questions import Question, load_questions
from evaluation.report import write_report
from evaluation.runs import Item, Run, Task, data_digest, load_run, new_run, run_name, save_run, versions
from ingest.sources.local import LocalSource
from ingest.sync import SyncOptions, sync
from retrieval.indexes.base import Scope

commands = typer.Typer(no_args_is_help=True, help="Measure answers, refusals and rankings.")
app.add_typer(commands, name="eval")

_Name = Annotated[str | None, typer.Option(help="Name of the run; without it task and time.")]
_Output = Annotated[
    Path | None, typer.Option(help="File that the run is stored in; without it FOOTNOTE_HOME/evaluation/NAME.json.")
]
_Pool = Annotated[
    Path | None, typer.Option(help="Folder whose corpus.jsonl is added, as passages that answer nothing.")
]
_RunArgument = Annotated[str, typer.Argument(help="Name of a run, or its .json file.")]


@commands.command("run")
def run_questions(
    questions: Annotated[Path, typer.Argument(help="questions.jsonl: question, answer, document, quote.")],
    documents: Annotated[Path, typer.Option(help="Folder with the documents that they are about.")],
    name: _Name = None,
    output: _Output = None,
) -> None:
    """Ask your own questions of a folder of documents, and measure answers, footnotes and refusals."""
    settings, name = _settings(), run_name(Task.ANSWERS, name)
    _store(settings, answer_file(settings, questions, documents, name=name), output)


@commands.command()
def answers(
    folder: Annotated[Path, typer.Argument(help="A judged collection whose queries have `answers`.")],
    sample: Annotated[int | None, typer.Option(min=1, help="Ask so many of them, the same at each run.")] = None,
    pool: _Pool = None,
    name: _Name = None,
    output: _Output = None,
) -> None:
    """Ask the queries of a judged collection, each of its passages a document, and measure as `run` does."""
    settings, name = _settings(), run_name(Task.ANSWERS, name)
    answer_set = load_answer_set(folder, pool=pool, sample=sample)
    with tempfile.TemporaryDirectory(prefix="footnote-eval-") as documents:
        for filename, text in answer_set.documents.items():
            (Path(documents) / filename).write_text(text, encoding="utf-8")
        data = data_digest([*files_of(folder), *(files_of(pool) if pool else [])], sample)
        run = _answer(settings, answer_set.questions, Path(documents), data=data, name=name)
    _store(settings, run, output)


@commands.command()
def ranking(
    folders: Annotated[list[Path], typer.Argument(help="Judged collections: corpus.jsonl, queries.jsonl, qrels.")],
    pool: _Pool = None,
    name: _Name = None,
    output: _Output = None,
) -> None:
    """Rank the passages of judged collections (BEIR's layout); one part for each, and for each language in it."""
    from evaluation.ranking_run import rank_collection
    from retrieval.indexes.faiss import FaissIndex

    settings, name = _settings(), run_name(Task.RANKING, name)
    collections = [part for folder in folders for part in load_parts(folder, pool=pool)]
    embedder = make_embedder(settings)
    items: list[Item] = []
    with _progress() as progress:
        for collection in collections:
            task = progress.add_task(collection.name, total=len(collection.corpus))
            index = FaissIndex(dimension=embedder.identity.dimension, lexical=None)
            items += rank_collection(
                collection,
                embedder,
                index,
                dense_weight=settings.dense_weight,
                indexed=partial(progress.advance, task),
            )
            index.close()
    embedder.close()
    setup = {
        "data": data_digest([path for folder in [*folders, *([pool] if pool else [])] for path in files_of(folder)]),
        "embedding": embedder.identity.key,
        "dense_weight": settings.dense_weight,
        "passages": sum(len(collection.corpus) for collection in collections),
        **versions(),
    }
    _store(settings, new_run(name, Task.RANKING, items, setup=setup), output)


@commands.command("compare")
def compare_runs(
    old: _RunArgument,
    new: _RunArgument,
) -> None:
    """Compare two runs over the same questions: differences, intervals, and whether chance explains them."""
    settings = _settings()
    console.print(*tables.of_comparison(compare(_load(settings, old), _load(settings, new))), sep="\n")


@commands.command()
def gate(
    run: _RunArgument,
    baseline: Annotated[Path, typer.Option(help="File with the measures of an accepted run.")],
    renew: Annotated[bool, typer.Option("--renew", help="Accept this run: write its measures to the file.")] = False,
) -> None:
    """Exit with 1 when a measure of a run has fallen below the baseline's interval."""
    measured = _load(_settings(), run)
    if renew:
        save_baseline(baseline_of(measured), baseline)
        console.print(f"The baseline is now {measured.name}: {baseline}")
        return
    checked = list(check(measured, load_baseline(baseline)))
    console.print(tables.of_gate(checked))
    if not all(one.passes for one in checked):
        raise typer.Exit(1)


@commands.command("calibrate")
def calibrate_refusals(
    run: _RunArgument,
    wrong_at_most: Annotated[
        float, typer.Option(min=0.001, max=0.999, help="Share of the given answers that may be wrong.")
    ] = 0.05,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="How sure that has to be, for questions like those of the run.")
    ] = 0.9,
) -> None:
    """Find the lowest threshold at which few enough answers are wrong. Exits with 1 when none keeps the share."""
    settings = _settings()
    found = calibrate(_load(settings, run), wrong_at_most=wrong_at_most, confidence=confidence, settings=CALIBRATED)
    lowest = found.lowest(wrong_at_most)
    console.print(tables.of_calibration(found, lowest))
    console.print(f"Stored: {save_calibration(found, calibrations_folder(settings))}", soft_wrap=True)
    if lowest is None:
        console.print(Text(found.why_none(wrong_at_most), "red"), soft_wrap=True)
        raise typer.Exit(1)
    console.print(
        f"Refusing below {lowest.threshold:.2f} answers {lowest.answered} of {found.questions} questions, at most "
        f"{percent(wrong_at_most)} of them wrong at a confidence of {percent(confidence)}. To have it kept, set "
        f"wrong_answers_at_most to {wrong_at_most}.",
        soft_wrap=True,
    )


@commands.command()
def report(
    run: _RunArgument,
    against: Annotated[str | None, typer.Option(help="An earlier run, or its .json file, to compare with.")] = None,
    output: Annotated[Path | None, typer.Option(help="Without it the run's file, ending in .html.")] = None,
) -> None:
    """Write a run as one HTML file: measures, curves, the comparison, and every question with what went wrong."""
    settings = _settings()
    measured = _load(settings, run)
    comparison = compare(_load(settings, against), measured) if against else None
    path = output or _path(settings, run).with_suffix(".html")
    write_report(path, measured, comparison, _calibration_of(settings, measured))
    console.print(f"Report: {path}")


def _settings() -> Settings:
    settings = load_settings(log_level="error")
    configure_logging(settings)
    return settings


def _path(settings: Settings, run: str) -> Path:
    """Return the file of a run that is given by name or by its file, which ends in .json."""
    return Path(run) if run.endswith(".json") else settings.home / "evaluation" / f"{run}.json"


def _load(settings: Settings, run: str) -> Run:
    return load_run(_path(settings, run))


def _calibration_of(settings: Settings, run: Run) -> Calibration | None:
    """Return the calibration that was made of a run, if there is one."""
    try:
        found = find_calibration(calibrations_folder(settings), {name: run.setup.get(name) for name in CALIBRATED})
    except InvalidRequest:
        return None
    return found if (found.run, found.measured_at) == (run.name, run.created_at) else None


def _min_evidence(settings: Settings, *, embedding: str) -> float:
    """Return the evidence below which answers are refused; `min_evidence` where a calibration is yet to be made."""
    try:
        return refusal_threshold(settings, embedding=embedding).evidence
    except ConfigurationError as error:
        console.print(Text(f"{error.message} Until then answers are judged by min_evidence.", "yellow"), soft_wrap=True)
        return settings.min_evidence


def _store(settings: Settings, run: Run, output: Path | None) -> None:
    path = output or _path(settings, run.name)
    save_run(run, path)
    console.print(*tables.of_run(run), sep="\n")
    for name in run.setup.get("unread_documents", []):
        console.print(Text(f"not read, so no question about it could be answered: {name}", "red"))
    console.print(f"Stored as {run.name}: {path}\n`footnote eval report {output or run.name}` makes a page of it.")


def answer_file(settings: Settings, questions: Path, documents: Path, *, name: str) -> Run:
    """Ask the questions of a file about a folder of documents, and return the run."""
    asked = load_questions(questions)
    return _answer(settings, asked, documents, data=data_digest([questions, documents]), name=name)


def _answer(settings: Settings, questions: Sequence[Question], documents: Path, *, data: str, name: str) -> Run:
    """Bring the documents into a catalog of their own, ask, and return the run."""
    with fresh_services(settings) as services:
        store = ingest_folder(services, documents)
        scope = Scope(vector_store_ids=frozenset([store.id]))
        profile, embedding = services.profile_of(ANSWER_MODEL), services.embedder.identity.key
        min_evidence = _min_evidence(settings, embedding=embedding)
        asked = ask(
            questions,
            services.answerer,
            lambda question: profile.request(question=question, scope=scope),
            min_evidence=min_evidence,
        )
        with _progress() as progress:
            items = [item_of(one) for one in progress.track(asked, total=len(questions), description="Asking")]
        setup = {
            "data": data,
            **calibrated_setup(settings, embedding=embedding),
            "prompt": "{name} {version}, {sha256}".format(**services.answerer.prompt),
            "min_evidence": min_evidence,
            "chunks": services.replica.index.count(),
            "unread_documents": _unread(services, store),
            **versions(),
        }
    return new_run(name, Task.ANSWERS, items, setup=setup)


@contextmanager
def fresh_services(settings: Settings) -> Iterator[Services]:
    """Open services over an empty catalog, with the converted model that is there, that refuse nothing."""
    with tempfile.TemporaryDirectory(prefix="footnote-eval-") as home:
        fresh = settings.model_copy(
            update={
                "home": Path(home),
                "models": models_folder(settings),
                "database_url": None,
                "blob_url": None,
                "min_evidence": 0.0,
                "wrong_answers_at_most": None,
                # Only the default one is asked; the others' calibrations are in the folder that is left.
                "profiles": {},
            }
        )
        with open_services(fresh) as services:
            yield services


def ingest_folder(services: Services, folder: Path) -> VectorStore:
    catalog, settings = services.catalog, services.settings
    with catalog.database.write() as session:
        store = stores.create(
            session,
            NewVectorStore(
                project_id=DEFAULT_PROJECT, name="evaluation", embedding_identity=services.embedder.identity.key
            ),
        )
    options = SyncOptions(max_bytes=settings.max_file_bytes, prune=False)
    sync(catalog.database, catalog.blobs, store, LocalSource(folder), options)
    worker = make_worker(settings, catalog, services.embedder, name="evaluation")
    stop = threading.Event()
    with _progress() as progress:
        task = progress.add_task("Reading documents")
        # A turn reads several small files, and an archive becomes more of them.
        while worker.run_one(stop):
            with catalog.database.read() as session:
                counts = stores.file_counts(session, [store.id])[store.id]
            progress.update(
                task, total=counts["total"], completed=counts["total"] - counts[JobStatus.IN_PROGRESS.value]
            )
    return store


def _unread(services: Services, store: VectorStore) -> list[str]:
    """Return the files that are not searchable: figures that hold without them are not those of the folder."""
    with services.catalog.database.read() as session:
        return [
            source
            for source, (entry, _) in sorted(stores.sources(session, store).items())
            if entry.status != JobStatus.COMPLETED
        ]


def _progress() -> Progress:
    return Progress(console=console, transient=True, disable=not console.is_interactive)

"""Ingestion by a worker process: many small files against one large, and its memory with a very large input.

    python -m benchmarks.ingestion throughput
    python -m benchmarks.ingestion memory 500

Prints Markdown tables; figures with machine and date go into docs/benchmarks.md.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped] # It has no annotations.
from rich.console import Console
from sqlalchemy import func, select

from api.models import make_embedder, models_folder
from api.settings import Settings, load_settings
from api.wiring import Catalog, open_catalog
from catalog import files, stores
from catalog.files import NewFile
from catalog.models import DEFAULT_PROJECT, Chunk, Document, JobStatus, VectorStoreFile
from catalog.stores import NewVectorStore, NewVectorStoreFile

_ROOT: Final = Path(__file__).parent.parent
_SMALL_FILES: Final = 500
# Two pages of text.
_SMALL_BYTES: Final = 4_000
_MIB: Final = 1024**2

show = Console(highlight=False, soft_wrap=True).print


def main() -> None:
    match sys.argv[1:]:
        case ["throughput"]:
            throughput()
        case ["memory", megabytes]:
            memory(int(megabytes))
        case _:
            sys.exit(__doc__)


def throughput() -> None:
    """The same text in many files and in one."""
    show("| Input | Chunks | Seconds | Chunks/s |\n|---|---|---|---|")
    for count in (_SMALL_FILES, 1):
        text = prose(random.Random(1))
        bodies = [next_text(text, _SMALL_FILES * _SMALL_BYTES // count) for _ in range(count)]
        with a_site() as (settings, catalog), a_worker(settings) as process:
            queue(settings, catalog, [b"Warm up, so that the model is loaded."])
            wait_until_idle(catalog, process)
            before = chunks(catalog)
            started = time.perf_counter()
            queue(settings, catalog, bodies)
            wait_until_idle(catalog, process)
            seconds = time.perf_counter() - started
            made = chunks(catalog) - before
        size = sum(map(len, bodies)) // count
        show(f"| {count} files of {size:,} bytes | {made} | {seconds:.1f} | {made / seconds:.0f} |")


def memory(megabytes: int) -> None:
    """One plain text of so many megabytes: the largest resident set of the worker and of the parser beside it."""
    with a_site(embedding_backend="hashing", max_file_bytes=2000 * _MIB) as (settings, catalog):
        overrides = {"embedding_backend": "hashing", "max_file_bytes": str(2000 * _MIB)}
        path = settings.home / "large.txt"
        text = prose(random.Random(2))
        with path.open("wb") as target:
            while target.tell() < megabytes * _MIB:
                target.write(next_text(text, _MIB) + b"\n\n")
        queue_path(settings, catalog, path)
        path.unlink()
        started = time.perf_counter()
        with a_worker(settings, **overrides) as process:
            largest = wait_until_idle(catalog, process)
        seconds = time.perf_counter() - started
        with catalog.database.read() as session:
            entry = session.scalars(select(VectorStoreFile)).one()
            document = session.scalars(select(Document)).one_or_none()
        show("| Input | Outcome | Chunks | Seconds | Worker, most | Parser, most |\n|---|---|---|---|---|---|")
        outcome = entry.error_message or "; ".join(document.warnings if document else []) or "whole"
        show(
            f"| {megabytes} MB of text | {entry.status}: {outcome} | {chunks(catalog)} | {seconds:.0f} "
            f"| {largest['worker'] / _MIB:.0f} MiB | {largest['parser'] / _MIB:.0f} MiB |"
        )


@contextmanager
def a_site(**overrides: Any) -> Iterator[tuple[Settings, Catalog]]:
    base = load_settings(log_level="error", **overrides)
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as home:
        settings = base.model_copy(update={"home": Path(home), "models": models_folder(base)})
        with open_catalog(settings) as catalog:
            yield settings, catalog


@contextmanager
def a_worker(settings: Settings, **overrides: str) -> Iterator[psutil.Process]:
    environment = os.environ | {
        "FOOTNOTE_HOME": str(settings.home),
        "FOOTNOTE_MODELS": str(settings.models),
        "FOOTNOTE_LOG_LEVEL": "warning",
        **{f"FOOTNOTE_{name.upper()}": value for name, value in overrides.items()},
    }
    with subprocess.Popen([sys.executable, "-m", "api.cli", "worker"], env=environment, cwd=_ROOT) as process:
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()


def queue(settings: Settings, catalog: Catalog, bodies: list[bytes]) -> None:
    for number, body in enumerate(bodies):
        path = settings.home / f"{number}.txt"
        path.write_bytes(body)
        queue_path(settings, catalog, path)


def queue_path(settings: Settings, catalog: Catalog, path: Path) -> None:
    database, blobs = catalog.database, catalog.blobs
    with path.open("rb") as stream:
        blob = blobs.stage(stream, max_bytes=settings.max_file_bytes)
    with database.write() as session:
        store = stores.find_by_name(session, DEFAULT_PROJECT, "bench")
        if store is None:
            embedder = make_embedder(settings)
            store = stores.create(
                session,
                NewVectorStore(project_id=DEFAULT_PROJECT, name="bench", embedding_identity=embedder.identity.key),
            )
            session.flush()
            embedder.close()
        new = NewFile(project_id=DEFAULT_PROJECT, filename=path.name, purpose="assistants")
        file = files.insert(database, session, blobs, blob, new)
        stores.attach(session, store, NewVectorStoreFile(file_id=file.id))


def wait_until_idle(catalog: Catalog, worker: psutil.Process) -> dict[str, int]:
    """Wait until nothing is queued; return the largest resident sets seen on the way, in bytes."""
    largest = {"worker": 0, "parser": 0}
    waiting = select(func.count()).where(VectorStoreFile.status == JobStatus.IN_PROGRESS)
    while True:
        largest["worker"] = max(largest["worker"], worker.memory_info().rss)
        for child in worker.children(recursive=True):
            try:
                largest["parser"] = max(largest["parser"], child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        with catalog.database.read() as session:
            if session.scalar(waiting) == 0:
                return largest
        time.sleep(0.1)


def chunks(catalog: Catalog) -> int:
    with catalog.database.read() as session:
        return session.scalar(select(func.count()).select_from(Chunk)) or 0


def prose(dice: random.Random) -> Iterator[str]:
    """Yield sentences of the words of the sample documents, without end, in paragraphs of six."""
    words = [w for path in sorted(_ROOT.glob("data/sample/*.md")) for w in path.read_text(encoding="utf-8").split()]
    while True:
        for _ in range(6):
            yield " ".join(dice.choices(words, k=dice.randint(8, 20))).capitalize() + ". "
        yield "\n\n"


def next_text(text: Iterator[str], size: int) -> bytes:
    parts, length = [], 0
    while length < size:
        parts.append(next(text))
        length += len(parts[-1].encode())
    return "".join(parts).encode()


if __name__ == "__main__":
    main()

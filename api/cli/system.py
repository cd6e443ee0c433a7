"""footnote fsck | compact | doctor"""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.settings import Settings, load_settings
from api.wiring import Catalog, lexical_path, make_embedder, open_catalog, open_qdrant, open_services
from catalog import compaction, files, fsck
from catalog.errors import FootnoteError
from ingest.parsers import OcrOptions
from ingest.parsers.ocr import OcrUnavailable, open_tesseract
from retrieval.compaction import compact_lexical
from retrieval.consistency import SharedIndex, check_lexical, check_shared

# Below this much free disk `doctor` warns.
_LOW_DISK_BYTES = 2 * 1024**3


@app.command("fsck")
def check(
    repair: Annotated[bool, typer.Option("--repair", help="Delete blobs that no file needs.")] = False,
) -> None:
    """Prove that nothing is lost, doubled or orphaned: catalog, blobs and index, in both directions."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    with open_catalog(settings) as catalog:
        if repair:
            console.print(f"Deleted {files.sweep(catalog.database, catalog.blobs)} unused blobs.")
        problems = fsck.check(catalog.database, catalog.blobs)
        if settings.index == "faiss":
            embedder = make_embedder(settings)
            problems += check_lexical(catalog.database, lexical_path(settings), identity=embedder.identity.key)
            embedder.close()
        if settings.index == "qdrant":
            with _shared_index(settings, catalog) as (index, identity):
                problems += check_shared(catalog.database, index, identity=identity)
    for problem in problems:
        console.print(Text(f"{problem.kind}: {problem.detail}", "red"))
    if problems:
        console.print(f"{len(problems)} problems.")
        raise typer.Exit(1)
    console.print(
        "Clean: every file has its bytes, every document its chunks, every chunk its text, and nothing is left over."
    )


@app.command()
def compact(
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a moment when nobody uses the files.")] = 60.0,
) -> None:
    """Remove every trace of what was deleted, and give its space back; the service may run."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    before = _bytes_below(settings.home)
    with open_catalog(settings) as catalog:
        removed = compaction.remove_leftovers(catalog.database, catalog.blobs)
        console.print(
            f"Removed {removed.answers} answers that drew on deleted files, {removed.blobs} unused blobs, "
            f"{removed.staged} unfinished uploads and {removed.rows} rows that belonged to nothing."
        )
        if settings.index == "faiss":
            purged = compact_lexical(catalog.database, lexical_path(settings), wait_s=wait)
            console.print(f"Purged {purged} passages of deleted documents; the lexical index is written anew.")
        if settings.index == "qdrant":
            with _shared_index(settings, catalog) as (index, _):
                console.print(f"Deleted {index.sweep()} chunks that interrupted processes left in Qdrant.")
        compaction.rewrite(catalog.database, wait_s=wait)
        console.print("The catalog is written anew." if catalog.database.is_sqlite else "The catalog is vacuumed.")
    console.print(f"{max(0, before - _bytes_below(settings.home)):,} bytes freed in {settings.home}.")


@contextmanager
def _shared_index(settings: Settings, catalog: Catalog) -> Iterator[tuple[SharedIndex, str]]:
    """Yield the index on the Qdrant server, and the key of the embedding model."""
    embedder = make_embedder(settings)
    index = open_qdrant(settings, catalog.database, embedder.identity)
    try:
        yield index, embedder.identity.key
    finally:
        index.close()
        embedder.close()


def _bytes_below(folder: Path) -> int:
    """Return the size of all files below `folder`; links to other places do not count."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
        except FileNotFoundError:
            continue  # The running service has just removed it.
    return total


@app.command()
def doctor() -> None:
    """Check that this machine and these settings can run Footnote, and say what they give."""
    settings = load_settings(log_level="error")
    configure_logging(settings)
    table = Table("Check", "State", "Detail", box=None, pad_edge=False)
    failed = False
    for name, check_one in _CHECKS.items():
        try:
            state, detail = "ok", check_one(settings)
        except (FootnoteError, OSError) as error:
            state, detail, failed = "failed", str(error), True
        table.add_row(name, Text(state, "green" if state == "ok" else "red"), Text(detail))
    console.print(table)
    if failed:
        raise typer.Exit(1)


def _python(_settings: Settings) -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} processors"


def _home(settings: Settings) -> str:
    settings.home.mkdir(parents=True, exist_ok=True)
    probe = settings.home / ".doctor"
    probe.write_bytes(b"")
    probe.unlink()
    free = shutil.disk_usage(settings.home).free
    if free < _LOW_DISK_BYTES:
        raise OSError(f"{settings.home} has only {free / 1e9:.1f} GB free")
    return f"{settings.home}, {free / 1e9:.0f} GB free"


def _catalog(settings: Settings) -> str:
    with open_catalog(settings) as catalog:
        return catalog.database.url.render_as_string(hide_password=True)


def _embedder(settings: Settings) -> str:
    embedder = make_embedder(settings)
    # 64 texts of about 120 tokens, as chunks are.
    texts = [f"{i} " + "the compressor of a cold store runs warm when its condenser is dirty " * 9 for i in range(64)]
    embedder.embed_documents(texts[:4])
    started = time.perf_counter()
    embedder.embed_documents(texts)
    rate = len(texts) / (time.perf_counter() - started)
    precision = getattr(embedder, "precision", "")
    embedder.close()
    return f"{embedder.identity.key} on {settings.embedding_backend} {precision}, {rate:.0f} texts/s of 120 tokens"


def _index(settings: Settings) -> str:
    started = time.perf_counter()
    with open_services(settings) as services:
        return (
            f"{settings.index}, {services.replica.index.count()} chunks, open in {time.perf_counter() - started:.1f} s"
        )


def _ocr(settings: Settings) -> str:
    try:
        tesseract = open_tesseract(OcrOptions(languages=settings.ocr_languages))
    except OcrUnavailable as missing:
        return f"{missing}: scans are stated as unread"
    absent = f"; no data for {', '.join(tesseract.missing_languages)}" if tesseract.missing_languages else ""
    return f"{tesseract.executable}, reads {', '.join(tesseract.languages)}{absent}"


_CHECKS: dict[str, Callable[[Settings], str]] = {
    "python": _python,
    "home": _home,
    "catalog": _catalog,
    "embedding": _embedder,
    "index": _index,
    "ocr": _ocr,
}

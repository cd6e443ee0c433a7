"""footnote fsck | compact"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.models import Model, all_models
from api.settings import Settings, load_settings
from api.wiring import Catalog, open_catalog, open_qdrant
from catalog import compaction, files, fsck
from retrieval.compaction import compact_lexical
from retrieval.consistency import SharedIndex, check_lexical, check_shared
from retrieval.embedders.base import dimension_of
from retrieval.indexes.snapshots import delete_snapshot


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
            for model in all_models(settings, catalog.database):
                problems += check_lexical(catalog.database, model.lexical, identity=model.known_identity())
        if settings.index == "qdrant":
            for index, identity in _shared_indexes(settings, catalog):
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
            models = all_models(settings, catalog.database)
            deleted = [delete_snapshot(model.vectors) for model in models]
            if any(deleted):
                console.print("The snapshot of the vectors is removed; the service writes the next one without them.")
            purged = sum(_purge(catalog, model, wait_s=wait) for model in models)
            console.print(f"Purged {purged} passages of deleted documents; the lexical index is written anew.")
        if settings.index == "qdrant":
            swept = sum(index.sweep() for index, _ in _shared_indexes(settings, catalog))
            console.print(f"Deleted {swept} chunks that interrupted processes left in Qdrant.")
        compaction.rewrite(catalog.database, wait_s=wait)
        console.print("The catalog is written anew." if catalog.database.is_sqlite else "The catalog is vacuumed.")
    console.print(f"{max(0, before - _bytes_below(settings.home)):,} bytes freed in {settings.home}.")


def _purge(catalog: Catalog, model: Model, *, wait_s: float) -> int:
    return compact_lexical(catalog.database, model.lexical, identity=model.known_identity(), wait_s=wait_s)


def _shared_indexes(settings: Settings, catalog: Catalog) -> Iterator[tuple[SharedIndex, str]]:
    """Yield the index of each embedding model on the Qdrant server, and the key of the model."""
    for model in all_models(settings, catalog.database):
        identity = model.known_identity()
        index = open_qdrant(settings, catalog.database, identity=identity, dimension=dimension_of(identity))
        try:
            yield index, identity
        finally:
            index.close()


def _bytes_below(folder: Path) -> int:
    """Return the size of all files below `folder`; links to other places do not count."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
        except FileNotFoundError:
            continue  # The running service has just removed it.
    return total

"""A whole service over 10,000 to 1,000,000 chunks: start, memory, searches with filters, and one more document.

`python -m benchmarks.scale FOLDER [--sizes 10000 1000000] [--vectors FILE.npz]`

FOLDER holds judged collections (the texts are their sentences in random company); FILE is what `benchmarks.vectors`
keeps with `--cache`. The catalog is filled directly; from then on everything goes the way of the service.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from sqlalchemy import insert

from api.models import models_folder
from api.settings import Settings, load_settings
from api.wiring import Services, open_catalog, open_services
from benchmarks.lexical_corpus import Texts, questions
from benchmarks.vectors import fill
from catalog import publication, stores
from catalog.ids import new_document_number
from catalog.models import (
    DEFAULT_PROJECT,
    Change,
    Chunk,
    Document,
    DocumentEmbedding,
    File,
    JobStatus,
    VectorStore,
    VectorStoreFile,
)
from catalog.publication import ChunkRecord, DocumentRecord
from catalog.stores import NewVectorStore
from retrieval.filters import parse_filter
from retrieval.indexes.base import Scope
from retrieval.searcher import SearchRequest
from tests.builders import a_claim, a_file, an_entry

_SEED: Final = 7
_DOCUMENT: Final = 20
_STEP: Final = 200
_NAME: Final = "scale"
_FILTERS: Final[Mapping[str, dict[str, Any] | None]] = {
    "no filter": None,
    "10 % of the documents": {"type": "eq", "key": "of 10", "value": 1},
    "1 %": {"type": "eq", "key": "of 100", "value": 1},
    "0.1 %": {"type": "eq", "key": "of 1000", "value": 1},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collections", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--home", type=Path, help="state folder to use and to keep, filled already or not")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        sys.stdout.write(json.dumps(_probe(_settings(options.home), options.collections)))
        return
    console = Console(highlight=False)
    for size in options.sizes:
        with tempfile.TemporaryDirectory(prefix="footnote-bench-", ignore_cleanup_errors=True) as folder:
            settings = _settings(options.home or Path(folder))
            if not (settings.home / "catalog.sqlite").exists():
                _fill(settings, options.collections, options.vectors, size)
            built = _run_probe(settings.home, options)
            console.print(_table(size, built, _run_probe(settings.home, options)))


def _settings(home: Path) -> Settings:
    settings = load_settings(log_level="error")
    caches = dict.fromkeys(("embedding_query_cache", "search_cache", "answer_cache"), 0)
    return settings.model_copy(update={"home": home.absolute(), "models": models_folder(settings), **caches})


# --- filling ----------------------------------------------------------------------------------------------------------


def _fill(settings: Settings, collections: Path, vectors: Path, size: int) -> None:
    with np.load(vectors) as kept:
        rows = fill(kept["rows"], size)
    texts = Texts(collections, seed=_SEED).passages(size)
    with open_services(settings) as services:
        identity = services.embedder.identity.key
    with open_catalog(settings) as catalog:
        with catalog.database.write() as session:
            new = NewVectorStore(project_id=DEFAULT_PROJECT, name=_NAME, embedding_identity=identity)
            store = stores.create(session, new)
        for first in track(range(0, size // _DOCUMENT, _STEP), f"Filling {size:,}", console=Console(stderr=True)):
            with catalog.database.write() as session:
                for table, values in _rows(store, first, min(size // _DOCUMENT, first + _STEP), texts, rows).items():
                    session.execute(insert(table), values)


def _rows(
    store: VectorStore, first: int, stop: int, texts: Iterator[str], vectors: NDArray[np.float16]
) -> dict[Any, list[dict[str, Any]]]:
    now = time.time()
    tables = (File, VectorStoreFile, Document, DocumentEmbedding, Chunk, Change)
    found: dict[Any, list[dict[str, Any]]] = {table: [] for table in tables}
    for n in range(first, stop):
        number, file_id, chunks = new_document_number(), f"file-{n:08}", [next(texts) for _ in range(_DOCUMENT)]
        found[File].append(
            {
                "id": file_id,
                "project_id": DEFAULT_PROJECT,
                "filename": f"{n}.txt",
                "purpose": "assistants",
                "sha256": f"{n:064x}",
                "bytes": 0,
                "created_at": now,
            }
        )
        found[VectorStoreFile].append(
            {
                "id": n + 1,
                "vector_store_id": store.id,
                "file_id": file_id,
                "created_at": now,
                "attributes": {"of 10": n % 10, "of 100": n % 100, "of 1000": n % 1000, "name": f"document {n}"},
                "chunking_strategy": {"type": "auto"},
                "source": None,
                "source_version": None,
                "bytes": 0,
                "status": JobStatus.COMPLETED,
                "ended_at": now,
            }
        )
        text = "\n".join(chunks)
        found[Document].append(
            {
                "id": number,
                "vector_store_file_id": n + 1,
                "vector_store_id": store.id,
                "file_id": file_id,
                "title": None,
                "media_type": "text/plain",
                "text": text,
                "characters": len(text),
                "chunk_count": _DOCUMENT,
                "page_spans": [],
                "warnings": [],
                "content_key": f"{n}",
                "created_at": now,
            }
        )
        own = {"document_id": number, "identity": store.embedding_identity, "in_chunks": True}
        found[DocumentEmbedding].append(own)
        start = 0
        for ordinal, chunk in enumerate(chunks):
            found[Chunk].append(
                {
                    "document_id": number,
                    "ordinal": ordinal,
                    "start": start,
                    "end": start + len(chunk),
                    "text": chunk,
                    "context": "",
                    "page": None,
                    "box": None,
                    "tokens": 150,
                    "windows": 1,
                    "vectors": vectors[n * _DOCUMENT + ordinal].tobytes(),
                    "embedding_key": f"{n}/{ordinal}",
                }
            )
            start += len(chunk) + 1
        found[Change].append({"document_id": number})
    return found


# --- probing ----------------------------------------------------------------------------------------------------------


def _run_probe(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Open the service in a process of its own, as a start does, and return what it measured."""
    command = [sys.executable, "-m", "benchmarks.scale", str(options.collections), "--vectors", str(options.vectors)]
    started = time.time()
    done = subprocess.run(
        [*command, "--probe", "--home", str(home)], capture_output=True, text=True, check=False, env={**os.environ}
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "first_answer_s": found["first_answer_at"] - started}


def _probe(settings: Settings, collections: Path) -> dict[str, Any]:
    with open_services(settings) as services:
        with services.catalog.database.read() as session:
            store = stores.find_by_name(session, DEFAULT_PROJECT, _NAME)
        assert store is not None
        asked = list(questions(collections, seed=_SEED))
        _search(services, store, asked[0], None)
        first_answer_at = time.time()
        services.replica.index.settle()  # type: ignore[attr-defined]
        searches = {name: _searches(services, store, asked, condition) for name, condition in _FILTERS.items()}
        added = _additions(services, store, asked)
        process = psutil.Process()
        return {
            "first_answer_at": first_answer_at,
            "resident": process.memory_info().rss,
            "searches": searches,
            "added": added,
        }


def _search(services: Services, store: VectorStore, question: str, condition: dict[str, Any] | None) -> float:
    scope = Scope(vector_store_ids=frozenset([store.id]), filter=condition and parse_filter(condition))
    started = time.perf_counter()
    services.searcher.search(SearchRequest(queries=[question], scope=scope, limit=10, ranking=services.ranking))
    return 1000 * (time.perf_counter() - started)


def _searches(
    services: Services, store: VectorStore, asked: list[str], condition: dict[str, Any] | None
) -> dict[str, float]:
    times = [_search(services, store, question, condition) for question in asked]
    return {"p50": float(np.median(times)), "p95": float(np.percentile(times, 95))}


def _additions(services: Services, store: VectorStore, asked: list[str]) -> dict[str, Any]:
    """Publish documents of 20 chunks one after the other; each is searched for at once, others search meanwhile."""
    database, blobs = services.catalog.database, services.catalog.blobs
    times, busy, stop = [], [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            busy.append(_search(services, store, asked[len(busy) % len(asked)], None))

    asking = threading.Thread(target=ask)
    generator = np.random.default_rng(_SEED)
    dimension = services.embedder.identity.dimension
    before = psutil.Process().io_counters().write_bytes
    for n in range(60):
        if n == 30:
            # The second half is added while somebody searches.
            written = psutil.Process().io_counters().write_bytes - before
            asking.start()
        file = a_file(database, blobs, f"{n} {time.time()}".encode())
        an_entry(database, store, file)
        job = a_claim(database)
        record = _record(n, generator.standard_normal((_DOCUMENT, dimension)), services.embedder.identity.key)
        started = time.perf_counter()
        publication.publish(database, job, record)
        services.replica.catch_up()
        if n < 30:
            times.append(1000 * (time.perf_counter() - started))
    stop.set()
    asking.join()
    return {
        "p50": float(np.median(times)),
        "kB": written / 30 / 1000,
        "busy_p50": float(np.median(busy)),
        "busy_p95": float(np.percentile(busy, 95)),
    }


def _record(n: int, vectors: NDArray[np.float64], identity: str) -> DocumentRecord:
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"Added {n}-{i}: " + "some words about nothing in particular " * 18 for i in range(_DOCUMENT)]
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)]).tolist()
    chunks = [
        ChunkRecord(
            start=start,
            end=start + len(text),
            text=text,
            context="",
            page=None,
            box=None,
            tokens=120,
            vectors=vector[np.newaxis].astype(np.float16),
            embedding_key=f"added {n}/{start} {time.time()}",
        )
        for text, start, vector in zip(texts, starts, vectors, strict=False)
    ]
    return DocumentRecord(
        title=None,
        media_type="text/plain",
        text="\n".join(texts),
        pages=None,
        pages_read=None,
        page_spans=[],
        warnings=[],
        content_key=f"added {n} {time.time()}",
        embedding_identity=identity,
        chunk_count=len(chunks),
        chunks=chunks,
        members=[],
    )


def _table(size: int, built: Mapping[str, Any], again: Mapping[str, Any]) -> Table:
    table = Table("Measured", "Value", title=f"{size:,} chunks")
    table.add_row("first start: replicas made from the catalog, first answer after", f"{built['first_answer_s']:.1f} s")
    table.add_row("next start, from the snapshot: first answer after", f"{again['first_answer_s']:.1f} s")
    table.add_row("resident after the searches", f"{again['resident'] / 1e6:,.0f} MB")
    for name, times in again["searches"].items():
        table.add_row(f"search, {name}: p50 / p95", f"{times['p50']:.1f} / {times['p95']:.1f} ms")
    added = again["added"]
    table.add_row("publish 20 chunks until they can be found: p50", f"{added['p50']:.1f} ms")
    table.add_row("written to disk for it", f"{added['kB']:.0f} kB")
    table.add_row("search meanwhile: p50 / p95", f"{added['busy_p50']:.1f} / {added['busy_p95']:.1f} ms")
    return table


if __name__ == "__main__":
    main()

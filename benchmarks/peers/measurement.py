"""Measures one system with one task: ingestion, search, cold start, ranking."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
from sqlalchemy import select

from api.models import models_folder
from api.settings import load_settings
from api.wiring import open_catalog
from benchmarks.deletion import service
from benchmarks.peers.adapters.footnote import STORE
from benchmarks.peers.process import SystemProcess, started
from benchmarks.peers.systems import System
from benchmarks.peers.tasks import Task, documents_of, ndcg
from catalog.models import Chunk, Document, VectorStoreFile

# Queries before those that count.
_WARM_UP: Final = 5
CLIENTS: Final = 8
LIMIT: Final = 10
# Chunks asked for where several may be of one document, so that ten documents are among them.
_DEEP_LIMIT: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpeed:
    """Latencies in seconds, rates in queries per second."""

    p50_s: float
    p95_s: float
    p99_s: float
    single_rate: float
    many_rate: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    # From text to searchable, and the processor time of that.
    ingest_s: float
    ingest_cpu_s: float
    chunks: int
    search: SearchSpeed
    peak_bytes: int
    disk_bytes: int
    # From the start of a new process to the first answer.
    first_answer_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    versions: Mapping[str, str]
    ndcg: float
    # None where ranking alone was asked for.
    speed: Speed | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """How a system is run: its interpreter, the model's folder, a folder for its state, and a log."""

    system: System
    python: Path
    model: Path
    state: Path
    log: Path

    def measure(self, task: Task, chunks: Path, *, is_timed: bool) -> Measured:
        """Ingest and search. Footnote makes the chunks and writes them to `chunks`; others read them there.

        Raises SystemFailed.
        """
        self.state.mkdir(parents=True)
        with self._started() as process:
            process.ask("warm_up")
            ingested = process.ask("ingest", chunks=str(chunks), documents=str(task.documents))
            if self.system.environment is None:
                write_chunks(self.state, chunks)
            documents = read_documents(chunks)
            speed = search_speed(list(task.queries.values()), _asker(process.ask)) if is_timed else None
            found = process.ask("search", queries=list(task.queries.values()), limit=_limit(documents), clients=1)
            process.ask("persist")
            peak_bytes, versions = process.peak_bytes, process.versions
        ranked = {
            query_id: documents_of(ids, documents)
            for query_id, ids in zip(task.queries, found.values["found"], strict=True)
        }
        if speed is None:
            return Measured(versions=versions, ndcg=ndcg(task, ranked), speed=None)
        disk_bytes = folder_bytes(self.state)
        return Measured(
            versions=versions,
            ndcg=ndcg(task, ranked),
            speed=Speed(
                ingest_s=ingested.wall_s,
                ingest_cpu_s=ingested.cpu_s,
                chunks=len(documents),
                search=speed,
                peak_bytes=peak_bytes,
                disk_bytes=disk_bytes,
                first_answer_s=self._first_answer_s(next(iter(task.queries.values()))),
            ),
        )

    def _first_answer_s(self, query: str) -> float:
        begin = time.perf_counter()
        with self._started() as process:
            process.ask("load")
            process.ask("search", queries=[query], limit=LIMIT, clients=1)
            return time.perf_counter() - begin

    def _started(self) -> AbstractContextManager[SystemProcess]:
        return started(self.python, self.system.adapter, model=self.model, state=self.state, log=self.log)


def write_chunks(state: Path, target: Path) -> None:
    """Write what Footnote indexed: a line `[id, context and text, path of the document]` for each chunk."""
    settings = load_settings(log_level="error").model_copy(update={"home": state})
    query = (
        select(Chunk.id, Chunk.context, Chunk.text, VectorStoreFile.source)
        .join(Document, Document.id == Chunk.document_id)
        .join(VectorStoreFile, VectorStoreFile.id == Document.vector_store_file_id)
        .order_by(Chunk.id)
    )
    with open_catalog(settings) as catalog, catalog.database.read() as session, target.open("w") as lines:
        for number, context, text, path in session.execute(query):
            lines.write(json.dumps([number, f"{context}\n{text}", path]) + "\n")


def read_documents(chunks: Path) -> dict[int, str]:
    """Return the document of each chunk."""
    with chunks.open() as lines:
        return {number: path for number, _, path in map(json.loads, lines)}


def _limit(documents: Mapping[int, str]) -> int:
    return LIMIT if len(documents) == len(set(documents.values())) else _DEEP_LIMIT


# Searches for these queries with so many clients; returns the seconds of each and of all together.
Searches = Callable[[Sequence[str], int], tuple[list[float], float]]


def _asker(ask: Callable[..., Any]) -> Searches:
    def searches(queries: Sequence[str], clients: int) -> tuple[list[float], float]:
        values = ask("search", queries=list(queries), limit=LIMIT, clients=clients).values
        return values["seconds"], values["wall_s"]

    return searches


def search_speed(queries: Sequence[str], searches: Searches) -> SearchSpeed:
    """Search for half of the queries with one client, for the others with several: none comes twice, no cache helps."""
    warm_up, timed = queries[:_WARM_UP], queries[_WARM_UP:]
    single, many = timed[: len(timed) // 2], timed[len(timed) // 2 :]
    searches(warm_up, 1)
    seconds, single_wall_s = searches(single, 1)
    _, many_wall_s = searches(many, CLIENTS)
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99]).tolist()
    return SearchSpeed(
        p50_s=p50,
        p95_s=p95,
        p99_s=p99,
        single_rate=len(single) / single_wall_s,
        many_rate=len(many) / many_wall_s,
    )


def http_speed(state: Path, queries: Sequence[str]) -> SearchSpeed:
    """Measure `footnote serve` over a state folder that the adapter has left, as its clients see it."""
    settings = load_settings(log_level="error")
    settings = settings.model_copy(update={"home": state, "models": models_folder(settings)})
    with service(settings) as url:
        clients = threading.local()
        stores = httpx.get(f"{url}/v1/vector_stores").raise_for_status().json()["data"]
        path = next(f"/v1/vector_stores/{store['id']}/search" for store in stores if store["name"] == STORE)

        def one(query: str) -> float:
            if not hasattr(clients, "own"):
                clients.own = httpx.Client(base_url=url, timeout=60)
            begin = time.perf_counter()
            clients.own.post(path, json={"query": query, "max_num_results": LIMIT}).raise_for_status()
            return time.perf_counter() - begin

        def searches(queries: Sequence[str], count: int) -> tuple[list[float], float]:
            begin = time.perf_counter()
            with ThreadPoolExecutor(count) as pool:
                seconds = list(pool.map(one, queries))
            return seconds, time.perf_counter() - begin

        return search_speed(queries, searches)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

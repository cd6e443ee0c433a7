"""Searches of a running service while large documents go and come, next to searches while nothing happens.

Run with `python -m benchmarks.deletion [CHUNKS]`. It starts `footnote serve` over a state folder of its own and prints
a table; figures with machine and date go into docs/benchmarks.md.
"""

import io
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from api.models import make_embedder, models_folder
from api.settings import Settings, load_settings
from api.wiring import Catalog, open_catalog
from catalog import files, jobs, publication, stores
from catalog.files import NewFile
from catalog.models import DEFAULT_PROJECT
from catalog.publication import ChunkRecord, DocumentRecord
from catalog.stores import NewVectorStore, NewVectorStoreFile

# Searches that run at once, each client sending its next when it has the answer to the last.
_CLIENTS: Final = 2
_IDLE_S: Final = 8.0
# Searches go on that long after the request has been answered: catching up and tidying fall into it.
_AFTER_S: Final = 5.0
_WORDS_PER_CHUNK: Final = 90
_LARGE: Final = 10_000


class Words:
    """Texts whose words are as unevenly spread as those of a language."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        letters = "bcdfghjklmnprstvwz"
        self._words = [
            "".join(dice.choice(letters) + dice.choice("aeiou") for _ in range(dice.randint(2, 5)))
            for _ in range(20_000)
        ]
        self._weights = np.cumsum(1 / np.arange(1, len(self._words) + 1)).tolist()
        self._dice = dice

    def text(self, words: int) -> str:
        return " ".join(self._dice.choices(self._words, cum_weights=self._weights, k=words))


class Site:
    """A catalog that documents are published to as a worker does it, without its parsing and embedding."""

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog
        self._words = Words(1)
        self._noise = np.random.default_rng(1)
        embedder = make_embedder(settings)
        self._dimension = embedder.identity.dimension
        with catalog.database.write() as session:
            new = NewVectorStore(project_id=DEFAULT_PROJECT, name="bench", embedding_identity=embedder.identity.key)
            self.store_id = stores.create(session, new).id
        self._identity = embedder.identity.key
        embedder.close()

    def publish(self, chunks: int) -> str:
        """Publish one document; return the id of its file."""
        record = self._document(chunks)
        database, blobs = self._catalog.database, self._catalog.blobs
        new = NewFile(project_id=DEFAULT_PROJECT, filename="bench.txt", purpose="assistants")
        file = files.add(database, blobs, blobs.stage(io.BytesIO(record.text.encode()), max_bytes=1 << 40), new)
        with database.write() as session:
            store = stores.get(session, DEFAULT_PROJECT, self.store_id)
            stores.attach(session, store, NewVectorStoreFile(file_id=file.id))
            (job,) = jobs.claim(session, "bench")
        publication.publish(database, job, record)
        return file.id

    def question(self) -> str:
        return self._words.text(8)

    def _document(self, chunks: int) -> DocumentRecord:
        texts = [self._words.text(_WORDS_PER_CHUNK) for _ in range(chunks)]
        vectors = self._noise.standard_normal((chunks, 1, self._dimension))
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        starts = np.cumsum([0, *(len(text) + 1 for text in texts)]).tolist()
        key = f"bench {time.perf_counter_ns()}"
        return DocumentRecord(
            title=None,
            media_type="text/plain",
            text="\n".join(texts),
            pages=None,
            pages_read=None,
            page_spans=[],
            warnings=[],
            content_key=key,
            embedding_identity=self._identity,
            chunk_count=chunks,
            chunks=[
                ChunkRecord(
                    start=starts[i],
                    end=starts[i] + len(text),
                    text=text,
                    context="",
                    page=None,
                    box=None,
                    tokens=_WORDS_PER_CHUNK,
                    vectors=vectors[i].astype(np.float16),
                    embedding_key=f"{key} {i}",
                )
                for i, text in enumerate(texts)
            ],
        )


class Searches:
    """Clients that search without a pause, and one that uploads."""

    def __init__(self, url: str, store_id: str, questions: Sequence[str]) -> None:
        self._url, self._store_id, self._questions = url, store_id, questions
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.upload_seconds: list[float] = []

    @contextmanager
    def running(self) -> Iterator["Searches"]:
        threads = [threading.Thread(target=self._search, args=(n,)) for n in range(_CLIENTS)]
        threads.append(threading.Thread(target=self._upload))
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _search(self, number: int) -> None:
        dice = random.Random(number)
        with httpx.Client(base_url=self._url, timeout=120) as client:
            while not self._stop.is_set():
                question = dice.choice(self._questions)
                started = time.perf_counter()
                reply = client.post(f"/v1/vector_stores/{self._store_id}/search", json={"query": question})
                reply.raise_for_status()
                self.seconds.append(time.perf_counter() - started)

    def _upload(self) -> None:
        with httpx.Client(base_url=self._url, timeout=120) as client:
            while not self._stop.wait(0.1):
                started = time.perf_counter()
                reply = client.post(
                    "/v1/files", files={"file": ("small.txt", b"A few words.")}, data={"purpose": "assistants"}
                )
                reply.raise_for_status()
                self.upload_seconds.append(time.perf_counter() - started)


def main() -> None:
    others = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory(prefix="footnote-bench-", ignore_cleanup_errors=True) as folder:
        settings = load_settings(home=Path(folder), embedding_backend="hashing", log_level="error")
        with open_catalog(settings) as catalog:
            site = Site(catalog, settings)
            for _ in range(others // 100):
                site.publish(100)
            large = site.publish(_LARGE)
            small = [site.publish(10) for _ in range(_LARGE // 10)]
            console = Console(highlight=False, width=160)
            console.print(
                f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}; "
                f"{others + 2 * _LARGE:,} chunks; {_CLIENTS} clients search, one uploads"
            )
            with service(settings) as url:
                console.print(_measured(site, url, large, small))


def _measured(site: Site, url: str, large: str, small: Sequence[str]) -> Table:
    table = Table("While", "seconds", "searches", "p50 ms", "p95 ms", "p99 ms", "max ms", "upload max ms", box=None)
    questions = [site.question() for _ in range(500)]

    def row(name: str, deed: Callable[[httpx.Client], None], after_s: float = _AFTER_S) -> None:
        searches = Searches(url, site.store_id, questions)
        with searches.running(), httpx.Client(base_url=url, timeout=300) as client:
            started = time.perf_counter()
            deed(client)
            seconds = time.perf_counter() - started
            time.sleep(after_s)
        cuts = statistics.quantiles(searches.seconds, n=100)
        figures = (cuts[49], cuts[94], cuts[98], max(searches.seconds), max(searches.upload_seconds))
        table.add_row(name, f"{seconds:.2f}", str(len(searches.seconds)), *(f"{1000 * value:.1f}" for value in figures))

    def delete(file_id: str, client: httpx.Client) -> None:
        client.delete(f"/v1/files/{file_id}").raise_for_status()

    row("warming up", lambda _: time.sleep(2.0), 0.0)
    row("nothing happens", lambda _: time.sleep(_IDLE_S), 0.0)
    row(f"one document of {_LARGE:,} chunks goes", lambda client: delete(large, client))
    row(f"{len(small):,} documents of 10 chunks go", lambda client: [delete(i, client) for i in small] and None)
    row(f"one document of {_LARGE:,} chunks comes", lambda _: site.publish(_LARGE) and None)
    row("afterwards nothing happens", lambda _: time.sleep(_IDLE_S), 0.0)
    return table


@contextmanager
def service(settings: Settings) -> Iterator[str]:
    """Yield the address of a running service."""
    environment = {**os.environ, "FOOTNOTE_HOME": str(settings.home), "FOOTNOTE_PORT": "0"}
    environment |= {"FOOTNOTE_EMBEDDING_BACKEND": settings.embedding_backend, "FOOTNOTE_LOG_LEVEL": "warning"}
    environment["FOOTNOTE_MODELS"] = str(models_folder(settings))
    command = [sys.executable, "-m", "api.cli", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield next(found.group(1) for line in process.stdout if (found := re.search(r"serves (http://\S+)", line)))
        finally:
            process.terminate()


if __name__ == "__main__":
    main()

"""What a system under measurement does, and how its process is told to: JSON lines on stdin and stdout.

Standard library alone: every environment imports this module. A process is started with two arguments, the folder of
the model and a folder for the system's state, and writes `{"versions": {...}}` when it is ready.

| Order | Reply |
|---|---|
| `{"do": "warm_up"}` | `{}` |
| `{"do": "ingest", "chunks": FILE, "documents": FOLDER}` | `{}` when the last text can be found |
| `{"do": "persist"}` | `{}` when a new process could load it |
| `{"do": "load"}` | `{}` |
| `{"do": "search", "queries": [...], "limit": 10, "clients": 1}` | `{"found": [[…]], "seconds": […], "wall_s": 1.2}` |

A fault is `{"error": "..."}`, and ends the process.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TextIO


class System(Protocol):
    """One system that holds one collection of texts, used as its documentation shows it."""

    @property
    def packages(self) -> Sequence[str]:
        """Distributions whose versions belong into the report."""

    def warm_up(self) -> None:
        """Do once what the first text and the first query would otherwise wait for."""

    def ingest(self, chunks: Path, documents: Path) -> None:
        """Make the texts searchable: a library those in the file `chunks`, Footnote the files below `documents`."""

    def persist(self) -> None:
        """Write what a new process needs to the state folder."""

    def load(self) -> None:
        """Make searchable what another process has persisted."""

    def search(self, query: str, limit: int) -> list[int]:
        """Return the ids of at most `limit` chunks, best first. Called from several threads at once."""


def read_chunks(path: Path) -> list[tuple[int, str]]:
    """Return (id, text) of every chunk; the file has one `[id, text, document]` a line."""
    with path.open(encoding="utf-8") as lines:
        return [(number, text) for number, text, _ in map(json.loads, lines)]


def serve(opened: Callable[[Path, Path], System]) -> None:
    """Do what stdin orders, with the system that `opened` makes for model and state folder, until stdin ends."""
    replies = _take_stdout()
    try:
        system = opened(Path(sys.argv[1]), Path(sys.argv[2]))
        _reply(replies, {"versions": {name: version(name) for name in system.packages}})
        for line in sys.stdin:
            _reply(replies, _do(system, json.loads(line)))
    except Exception as error:  # noqa: BLE001 - The driver reports it as the outcome of this system.
        _reply(replies, {"error": f"{type(error).__name__}: {error}"})
    # At once: threads and temporary files of the libraries may take long to end.
    os._exit(0)


def _take_stdout() -> TextIO:
    """Return stdout, and let whatever a library prints go to stderr."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _reply(replies: TextIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


def _do(system: System, order: dict[str, Any]) -> dict[str, Any]:
    match order["do"]:
        case "warm_up":
            system.warm_up()
        case "ingest":
            system.ingest(Path(order["chunks"]), Path(order["documents"]))
        case "persist":
            system.persist()
        case "load":
            system.load()
        case "search":
            return _search(system, order["queries"], order["limit"], order["clients"])
        case other:
            raise ValueError(f"unknown order {other!r}")
    return {}


def _search(system: System, queries: Sequence[str], limit: int, clients: int) -> dict[str, Any]:
    """Search with so many threads, each taking the next query when it has its answer."""

    def one(query: str) -> tuple[list[int], float]:
        started = time.perf_counter()
        found = system.search(query, limit)
        return found, time.perf_counter() - started

    started = time.perf_counter()
    if clients == 1:
        answers = [one(query) for query in queries]
    else:
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(one, queries))
    wall_s = time.perf_counter() - started
    return {"found": [found for found, _ in answers], "seconds": [s for _, s in answers], "wall_s": wall_s}

"""Bytes that a running service writes for one more document, in a small store and in a large one.

Run with `python -m benchmarks.write_amplification [CHUNKS …]`. It starts `footnote serve` over a state folder of its
own, sums what all its processes write, and prints a Markdown table; figures with machine and date go into
docs/benchmarks.md.
"""

import platform
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from api.settings import load_settings
from api.wiring import open_catalog
from benchmarks.deletion import Site, Words, service

_SIZES: Final = (1_000, 100_000)
# Chunks of a document that fills the store.
_FILLING: Final = 500
# Enough for several checkpoints of the log and merges of the postings to fall into the measurement.
_DOCUMENTS: Final = 100
# After the last change an API writes words to disk within that time.
_WORDS_WRITTEN_WITHIN_S: Final = 5.0
# Gives about 20 chunks.
_WORDS: Final = 4_000


@dataclass(frozen=True, kw_only=True)
class Written:
    """Bytes since the service and this process started."""

    # Given to write calls: pipes and sockets too.
    calls: int
    # Sent on to the disk, whole pages each.
    disk: int
    # Size of the state folder.
    size: int

    def since(self, before: "Written") -> "Written":
        return Written(calls=self.calls - before.calls, disk=self.disk - before.disk, size=self.size - before.size)


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or _SIZES
    lines = [
        f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; means of "
        f"{_DOCUMENTS} documents, checkpoints and merges included",
        "",
        "| Chunks in the store | Chunks added | Text, kB | To the disk, kB | Write calls, kB | Growth, kB |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for size in sizes:
        lines.append(_measure(size))
    sys.stdout.write("\n".join(lines) + "\n")


def _measure(size: int) -> str:
    """Return the table's line for a store that has so many chunks."""
    with tempfile.TemporaryDirectory(prefix="footnote-bench-", ignore_cleanup_errors=True) as folder:
        settings = load_settings(home=Path(folder), embedding_backend="hashing", log_level="error")
        with open_catalog(settings) as catalog:
            site = Site(catalog, settings)
            for _ in range(-(-size // _FILLING)):
                site.publish(_FILLING)
        words = Words(2)
        texts = [words.text(_WORDS) for _ in range(_DOCUMENTS + 1)]
        with service(settings) as url, httpx.Client(base_url=url, timeout=600) as client:
            _add(client, site.store_id, texts.pop())
            _check_point(settings.home / "catalog.sqlite")
            before = _written(settings.home)
            chunks = sum(_add(client, site.store_id, text) for text in texts)
            _check_point(settings.home / "catalog.sqlite")
            added = _written(settings.home).since(before)
    figures = (sum(map(len, texts)), added.disk, added.calls, added.size)
    means = " | ".join(f"{figure / len(texts) / 1000:,.0f}" for figure in figures)
    return f"| {size:,} | {chunks / len(texts):.1f} | {means} |"


def _add(client: httpx.Client, store_id: str, text: str) -> int:
    """Add a document and search, which brings the words up to date; return how many chunks it has."""
    form = {"file": ("bench.txt", text.encode())}
    uploaded = client.post("/v1/files", files=form, data={"purpose": "assistants"}).raise_for_status()
    file_id = uploaded.json()["id"]
    path = f"/v1/vector_stores/{store_id}/files"
    entry = client.post(path, json={"file_id": file_id}).raise_for_status().json()
    while entry["status"] == "in_progress":
        time.sleep(0.05)
        entry = client.get(f"{path}/{file_id}").raise_for_status().json()
    assert entry["status"] == "completed", entry["last_error"]
    client.post(f"/v1/vector_stores/{store_id}/search", json={"query": text[:50]}).raise_for_status()
    return int(entry["coverage"]["chunks"])


def _check_point(path: Path) -> None:
    """Bring what is in the log into the database, and words to disk, as of now."""
    time.sleep(_WORDS_WRITTEN_WITHIN_S)
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not busy, f"{path} was in use"


def _written(home: Path) -> Written:
    own = psutil.Process()
    counters = [process.io_counters() for process in [own, *own.children(recursive=True)]]
    return Written(
        calls=sum(one.write_chars for one in counters),
        disk=sum(one.write_bytes for one in counters),
        size=sum(path.stat().st_blocks * 512 for path in home.rglob("*") if path.is_file()),
    )


if __name__ == "__main__":
    main()

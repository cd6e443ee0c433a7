"""Searches of a running service while its worker embeds, next to searches while nothing happens.

    python -m benchmarks.contention
    python -m benchmarks.contention worker_niceness=0 embedding_threads=1

Each argument is one service with that setting; without any it is the default one. Prints a Markdown table.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from api.models import models_folder
from api.settings import load_settings
from benchmarks.deletion import service
from benchmarks.ingestion import next_text, prose

_IDLE_S: Final = 10.0
# A search starts this long after the last one ended: one person who reads, not a load test.
_PAUSE_S: Final = 0.05
_DOCUMENT_BYTES: Final = 2_000_000
_BUSY_S: Final = 20.0

show = Console(highlight=False, soft_wrap=True).print


def main() -> None:
    show("| Setting | Idle p50 / p95, ms | While it embeds, ms | Ratio of p95 | Done in the time |")
    show("|---|---|---|---|---|")
    for setting in sys.argv[1:] or [""]:
        show(compared(setting))


def compared(setting: str) -> str:
    base = load_settings(log_level="error")
    with tempfile.TemporaryDirectory(prefix="footnote-bench-", ignore_cleanup_errors=True) as home:
        settings = base.model_copy(update={"home": Path(home)})
        os.environ["FOOTNOTE_MODELS"] = str(models_folder(base))
        name, _, value = setting.partition("=")
        changed = {f"FOOTNOTE_{name.upper()}": value} if name else {}
        os.environ.update(changed)
        try:
            with service(settings) as url, httpx.Client(base_url=url, timeout=120) as client:
                idle, busy, share = _measured(client)
        finally:
            for variable in changed:
                del os.environ[variable]
    ratio = busy[1] / idle[1]
    return (
        f"| {setting or 'default'} | {idle[0]:.1f} / {idle[1]:.1f} | {busy[0]:.1f} / {busy[1]:.1f} | {ratio:.1f} "
        f"| {share:.0%} |"
    )


def _measured(client: httpx.Client) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return p50 and p95 of idle and of busy searches in ms, and which share of a large file was done meanwhile."""
    text = prose(random.Random(1))
    store = client.post("/v1/vector_stores", json={"name": "bench"}).json()["id"]
    _attach(client, store, next_text(text, 200_000))
    while client.get(f"/v1/vector_stores/{store}").json()["file_counts"]["in_progress"]:
        time.sleep(0.2)
    words = random.Random(2)
    end = time.monotonic() + _IDLE_S
    idle = _searches(client, store, words, lambda: time.monotonic() < end)
    file = _attach(client, store, next_text(text, _DOCUMENT_BYTES))
    # The file is read first; then it is embedded.
    time.sleep(2.0)
    end = time.monotonic() + _BUSY_S
    busy = _searches(client, store, words, lambda: time.monotonic() < end)
    entry = client.get(f"/v1/vector_stores/{store}/files/{file}").json()
    return idle, busy, 1.0 if entry["status"] == "completed" else float(entry.get("progress") or 0.0)


def _attach(client: httpx.Client, store: str, content: bytes) -> str:
    reply = client.post("/v1/files", files={"file": ("bench.txt", content)}, data={"purpose": "assistants"})
    file = str(reply.raise_for_status().json()["id"])
    client.post(f"/v1/vector_stores/{store}/files", json={"file_id": file}).raise_for_status()
    return file


def _searches(
    client: httpx.Client, store: str, dice: random.Random, goes_on: Callable[[], bool]
) -> tuple[float, float]:
    seconds = []
    while goes_on():
        # Another question each time: one that was asked before is not embedded again.
        question = f"{dice.randrange(10**6)} {next_text(prose(dice), 60).decode(errors='ignore')}"
        started = time.perf_counter()
        client.post(f"/v1/vector_stores/{store}/search", json={"query": question}).raise_for_status()
        seconds.append((time.perf_counter() - started) * 1000)
        time.sleep(_PAUSE_S)
    return statistics.median(seconds), statistics.quantiles(seconds, n=20)[18]


if __name__ == "__main__":
    main()

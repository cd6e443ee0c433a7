"""Many streamed answers at once, from a Footnote that runs and holds data/sample.

`python -m benchmarks.streams [--streams 200] [--slow] [--url http://127.0.0.1:8000]` prints how many ended whole, how
long they took, and how long a list of files took meanwhile. `--slow`: each reader takes 200 bytes every 50 ms.
The questions come again: start the server with FOOTNOTE_ANSWER_CACHE=0 and FOOTNOTE_SEARCH_CACHE=0.
"""

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from rich.console import Console

from evaluation.questions import load_questions

_QUESTIONS = Path(__file__).parent.parent / "data" / "gold" / "questions.jsonl"
_SLOW_BYTES, _SLOW_PAUSE_S = 200, 0.05
_LIST_INTERVAL_S = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Streamed:
    is_whole: bool
    first_s: float
    whole_s: float


async def stream(address: str, question: str, *, is_slow: bool) -> Streamed:
    """Ask one question over a connection of its own."""
    started = time.perf_counter()
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port or 80))
    body = json.dumps({"input": question, "stream": True}).encode()
    head = (
        f"POST /v1/responses HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    received, first = b"", 0.0
    while data := await reader.read(_SLOW_BYTES if is_slow else 65_536):
        received += data
        if not first and b"\nevent: " in received:
            first = time.perf_counter() - started
        if is_slow:
            await asyncio.sleep(_SLOW_PAUSE_S)
    writer.close()
    is_whole = received.startswith(b"HTTP/1.1 200") and b"event: response.completed" in received
    return Streamed(is_whole=is_whole, first_s=first, whole_s=time.perf_counter() - started)


async def list_files(url: str, took: list[float]) -> None:
    """Ask for the files again and again, and note how long each time took."""
    async with httpx.AsyncClient(base_url=url, timeout=300) as client:
        while True:
            started = time.perf_counter()
            (await client.get("/v1/files")).raise_for_status()
            took.append(time.perf_counter() - started)
            await asyncio.sleep(_LIST_INTERVAL_S)


async def measure(url: str, count: int, *, is_slow: bool) -> None:
    questions = [question.text for question in load_questions(_QUESTIONS)]
    took: list[float] = []
    beside = asyncio.create_task(list_files(url, took))
    started = time.perf_counter()
    address = urlsplit(url).netloc
    asked = (stream(address, questions[n % len(questions)], is_slow=is_slow) for n in range(count))
    ended = await asyncio.gather(*asked)
    wall = time.perf_counter() - started
    beside.cancel()
    console = Console(highlight=False)
    console.print(
        f"{count} streams, {sum(one.is_whole for one in ended)} whole, {wall:.1f} s, {count / wall:.1f} answers/s"
    )
    for name, values in (
        ("first event", [one.first_s for one in ended]),
        ("whole answer", [one.whole_s for one in ended]),
        ("list of files meanwhile", took),
    ):
        console.print(f"{name}: p50 {statistics.median(values):.2f} s, max {max(values):.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--slow", action="store_true")
    given = parser.parse_args()
    asyncio.run(measure(given.url, given.streams, is_slow=given.slow))


if __name__ == "__main__":
    main()

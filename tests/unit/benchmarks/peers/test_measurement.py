"""A system in a process of its own is driven and measured; here one that a test makes up."""

import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

measurement = pytest.importorskip("benchmarks.peers.measurement", reason="The wheel has no benchmarks.")
process = pytest.importorskip("benchmarks.peers.process")
systems = pytest.importorskip("benchmarks.peers.systems")
tasks = pytest.importorskip("benchmarks.peers.tasks")

# Finds texts that hold the query, in the order of their ids.
ADAPTER = """
    import json, sys, time
    from pathlib import Path
    from benchmarks.peers.adapters.protocol import read_chunks, serve

    class Fake:
        packages = ("pytest",)
        def __init__(self, model, state):
            self.file = state / "texts.json"
        def warm_up(self):
            print("a library that prints")
        def ingest(self, chunks, documents):
            end = time.process_time() + 0.05
            while time.process_time() < end:
                pass
            self.texts = read_chunks(chunks)
        def persist(self):
            self.file.write_text(json.dumps(self.texts))
        def load(self):
            self.texts = json.loads(self.file.read_text())
        def search(self, query, limit):
            if query == "bad":
                raise KeyError(query)
            return [number for number, text in self.texts if query in text][:limit]

    if __name__ == "__main__":
        serve(Fake)
"""


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of the module with the adapter."""
    (tmp_path / "fake_adapter.py").write_text(textwrap.dedent(ADAPTER))
    monkeypatch.setattr(process, "PYTHONPATH", f"{tmp_path}:{process.PYTHONPATH}")
    return "fake_adapter"


def a_bench(adapter: str, folder: Path) -> Any:
    return measurement.Bench(
        system=systems.System(name="Fake", adapter=adapter, environment="none", setup=""),
        python=Path(sys.executable),
        model=folder,
        state=folder / "state",
        log=folder / "log.txt",
    )


def started(adapter: str, folder: Path, **options: Any) -> Any:
    return process.started(Path(sys.executable), adapter, model=folder, state=folder, log=folder / "log.txt", **options)


def test_a_system_is_measured_from_outside(adapter: str, tmp_path: Path) -> None:
    """Time, memory, disk and ranking are there, and what a library prints disturbs nothing."""
    chunks = tmp_path / "chunks.jsonl"
    rows = [[n, f"text {n} word{n % 10}", f"{n % 10}.txt"] for n in range(40)]
    chunks.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = tasks.Task(
        name="t",
        documents=tmp_path,
        queries={f"q{n}": f"word{n}" for n in range(10)},
        qrels={f"q{n}": {f"{n}.txt": 1} for n in range(10)},
    )
    found = a_bench(adapter, tmp_path).measure(task, chunks, is_timed=True)
    assert found.ndcg == 1.0
    assert found.versions == {"pytest": pytest.__version__}
    assert found.speed.chunks == 40
    assert found.speed.ingest_cpu_s >= 0.03
    assert found.speed.disk_bytes == (tmp_path / "state" / "texts.json").stat().st_size
    assert found.speed.first_answer_s > 0
    assert 0 < found.speed.search.p50_s <= found.speed.search.p99_s


def test_a_fault_of_a_system_is_reported_in_its_words(adapter: str, tmp_path: Path) -> None:
    """The driver goes on with it as an error of its own."""
    (tmp_path / "texts.json").write_text("[]")
    with started(adapter, tmp_path) as running:
        running.ask("load")
        with pytest.raises(process.SystemFailed, match="KeyError: 'bad'"):
            running.ask("search", queries=["bad"], limit=10, clients=1)


def test_an_adapter_that_cannot_start_is_a_failed_system(tmp_path: Path) -> None:
    """The exit status is named; why it ended is in the log."""
    with pytest.raises(process.SystemFailed, match="exit status 1"), started("no_such_module", tmp_path):
        pass
    assert "no_such_module" in (tmp_path / "log.txt").read_text()


def test_a_system_that_hangs_does_not_hang_the_run(adapter: str, tmp_path: Path) -> None:
    """After the time limit it counts as failed and is ended."""
    with started(adapter, tmp_path) as running:
        running.timeout_s = 0.01
        with pytest.raises(process.SystemFailed, match="no answer within"):
            running.ask("ingest", chunks=str(tmp_path / "missing"), documents="")


def test_no_query_is_asked_twice() -> None:
    """A cache would answer it; percentiles are in order and rates are queries per second."""
    asked: list[tuple[Sequence[str], int]] = []

    def searches(queries: Sequence[str], clients: int) -> tuple[list[float], float]:
        asked.append((queries, clients))
        return [n / 1000 for n in range(1, len(queries) + 1)], 2.0

    queries = [f"query {n}" for n in range(1000)]
    speed = measurement.search_speed(queries, searches)
    every = [query for some, _ in asked for query in some]
    assert len(every) == len(set(every)) == 1000
    assert [clients for _, clients in asked] == [1, 1, 8]
    assert (pytest.approx(0.249), pytest.approx(0.4722)) == (speed.p50_s, speed.p95_s)
    assert (speed.single_rate, speed.many_rate) == (248.5, 249.0)


def test_an_environment_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are measured without it."""
    (tmp_path / "broken.txt").write_text("torch==0\n")
    monkeypatch.setattr(systems, "_REQUIREMENTS", tmp_path)
    monkeypatch.setattr(systems, "_ENVIRONMENTS", tmp_path / "environments")
    monkeypatch.setattr(systems.sys, "executable", str(tmp_path / "no-python"))
    broken = systems.System(name="Broken", adapter="", environment="broken", setup="")
    with pytest.raises(systems.EnvironmentUnavailable, match=r"not installed: FileNotFoundError.*install-broken"):
        systems.interpreter(broken, logs=tmp_path)

"""A system's process as the driver sees it: orders, replies, and what it takes of the machine."""

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped] # It has no annotations.

from benchmarks.peers.systems import ROOT

_SAMPLE_INTERVAL_S: Final = 0.2
# The longest that one order may take: bounds the run when a system hangs.
_TIMEOUT_S: Final = 900.0
# Where every interpreter finds the adapters.
PYTHONPATH: Final = str(ROOT)


class SystemFailed(Exception):
    """A system answered with an error, ended, or did not answer in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    values: dict[str, Any]
    # From the order to the reply.
    wall_s: float
    # Processor time of the process and its children meanwhile.
    cpu_s: float


class SystemProcess:
    """A running adapter. Not for several threads at once."""

    def __init__(self, process: "subprocess.Popen[str]", *, timeout_s: float) -> None:
        self._process = process
        # For the next reply, in seconds.
        self.timeout_s = timeout_s
        self._replies: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._tree = psutil.Process(process.pid)
        self._done = threading.Event()
        # Largest memory of all its processes together: proportional set size where the kernel tells, else resident.
        self.peak_bytes = 0
        self._threads = [threading.Thread(target=deed, daemon=True) for deed in (self._read, self._sample)]
        for thread in self._threads:
            thread.start()
        self.versions: dict[str, str] = self._receive()["versions"]

    def ask(self, do: str, **order: Any) -> Reply:
        """Send an order and wait for its reply. Raises SystemFailed."""
        cpu_s, started = _cpu_seconds(self._tree), time.perf_counter()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # It has ended: the empty reply says so.
            self._process.stdin.write(json.dumps({"do": do, **order}) + "\n")
            self._process.stdin.flush()
        values = self._receive()
        wall_s = time.perf_counter() - started
        return Reply(values=values, wall_s=wall_s, cpu_s=_cpu_seconds(self._tree) - cpu_s)

    def end(self) -> None:
        self._done.set()
        for process in [*_children(self._tree), self._process]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()

    def _receive(self) -> dict[str, Any]:
        try:
            line = self._replies.get(timeout=self.timeout_s)
        except queue.Empty:
            raise SystemFailed(f"no answer within {self.timeout_s:g} s") from None
        if not line:
            raise SystemFailed(f"ended with exit status {self._process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise SystemFailed(reply["error"])
        return reply

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._replies.put(line)
        self._replies.put("")

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLE_INTERVAL_S):
            processes = [self._tree, *_children(self._tree)]
            self.peak_bytes = max(self.peak_bytes, sum(map(_memory_bytes, processes)))


@contextmanager
def started(
    python: Path, adapter: str, *, model: Path, state: Path, log: Path, timeout_s: float = _TIMEOUT_S
) -> Iterator[SystemProcess]:
    """Yield an adapter that is ready. Raises SystemFailed; what it prints is in `log`."""
    # The model is a folder: nothing may be looked up elsewhere.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HAYSTACK_TELEMETRY_ENABLED": "False", "PYTHONPATH": PYTHONPATH}
    with log.open("a") as errors:
        process = subprocess.Popen(
            [str(python), "-m", adapter, str(model), str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=environment,
        )
    with process:
        try:
            system = SystemProcess(process, timeout_s=timeout_s)
        except BaseException:
            process.kill()
            raise
        try:
            yield system
        finally:
            system.end()


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(root: psutil.Process) -> float:
    """Return the processor time of a process, its living descendants and those that have been waited for."""
    total = 0.0
    for process in [root, *_children(root)]:
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _memory_bytes(process: psutil.Process) -> int:
    """Return the memory of one process, what it shares counted by its part."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        return next(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    except (OSError, StopIteration):
        with suppress(psutil.Error):
            return int(process.memory_info().rss)
        return 0

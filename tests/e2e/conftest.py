"""`footnote serve` as people run it: real processes on a free port."""

import json
import os
import re
import signal
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
FOOTNOTE = str(Path(sysconfig.get_path("scripts")) / "footnote")
START_TIMEOUT_S = 90.0  # the first start of all converts the model
STOP_TIMEOUT_S = 40.0


def environment(home: Path, **settings: Any) -> dict[str, str]:
    """Return the environment of a child process: no settings but these, and workers that other tests do not starve."""
    settings = {"worker_niceness": 0} | settings
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FOOTNOTE_")}
    given = {f"FOOTNOTE_{name.upper()}": str(value) for name, value in settings.items()}
    return {**inherited, "FOOTNOTE_HOME": str(home), **given}


def footnote(*arguments: str, home: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        [FOOTNOTE, *arguments],
        env=environment(home, **settings),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def share_models(home: Path, model_cache: Path) -> None:
    """Let `home` use the models that were converted before."""
    model_cache.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    (home / "models").symlink_to(model_cache, target_is_directory=True)


class Server:
    """A running `footnote serve`."""

    def __init__(self, home: Path, **settings: Any) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self._log = home.parent / f"{home.name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [FOOTNOTE, "serve"],
                env=environment(home, **{"port": 0} | settings),
                cwd=home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self.process.pid
        self.url = self._announced_url()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def _announced_url(self) -> str:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if found := re.search(r"Footnote serves (http://\S+)", self.log):
                return found.group(1)
            assert self.process.poll() is None, self.log
            time.sleep(0.05)
        self.process.kill()
        raise AssertionError(f"footnote serve is not ready after {START_TIMEOUT_S:.0f} s:\n{self.log}")

    def get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=30) as reply:
            return dict(json.load(reply))

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return dict(json.load(reply))

    def delete(self, path: str) -> None:
        with urllib.request.urlopen(urllib.request.Request(self.url + path, method="DELETE"), timeout=30):
            pass

    def child(self, command: str) -> int:
        """Return the process id of the child that runs this command: `api` or `worker`."""
        found = [pid for pid in descendants(self.pid) if f"\0{command}\0" in command_line(pid)]
        assert len(found) == 1, (command, found, self.log)
        return found[0]

    def stop(self) -> int:
        """End it as an operator does; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)

    def end(self) -> None:
        """Leave nothing behind, also after a failed test."""
        if self.process.poll() is None:
            family = [self.pid, *descendants(self.pid)]
            for pid in family:
                kill(pid)
        self.process.wait(STOP_TIMEOUT_S)


def command_line(pid: int) -> str:
    """Return the arguments, each with a NUL behind it; empty for a process that is gone."""
    try:
        return "\0" + Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Return the process ids of all children, their children included (Linux)."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; one that ended and was not collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def wait_until(condition: Any, *, timeout_s: float, what: str) -> Any:
    """Return the first true value of `condition()`; an error of the connection counts as not yet."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {timeout_s:.0f} s")


@pytest.fixture(scope="session")
def live_server(tmp_path_factory: pytest.TempPathFactory, model_cache: Path) -> Iterator[Server]:
    """Yield a server with the real model; at the end SIGTERM must end it in order."""
    home = tmp_path_factory.mktemp("live") / "home"
    share_models(home, model_cache)
    server = Server(home)
    try:
        yield server
        assert server.stop() == 0, server.log
    finally:
        server.end()

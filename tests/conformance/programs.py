"""The client programs: their environments, which are made once, and their runs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
CLIENTS: Final = Path(__file__).parent / "clients"
# A folder that git ignores.
ENVIRONMENTS: Final = ROOT / ".venv" / "conformance"
MANUAL: Final = ROOT / "data" / "sample" / "rime40-operating-manual.pdf"
_INSTALL_TIMEOUT_S: Final = 300
_RUN_TIMEOUT_S: Final = 300

# The newest of each line.
PYTHON_SDKS: Final = ("2.54.0", "3.54.0")


class NotAvailable(Exception):
    """A program cannot run on this machine; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """One client program under one SDK."""

    name: str
    # Makes the environment if it is not there. Raises NotAvailable.
    command: Callable[[], list[str]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a run printed."""

    name: str
    sdk: str = ""
    steps: list[dict[str, Any]] = field(default_factory=list)
    # Public methods of the SDK, and those of them that a step called.
    methods: frozenset[str] = frozenset()
    called: frozenset[str] = frozenset()
    # Why it did not run, or did not end well.
    problem: str | None = None
    is_skipped: bool = False

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [one for one in self.steps if not one["ok"]]


def programs() -> Iterator[Program]:
    for version in PYTHON_SDKS:
        for mode in ("sync", "async"):
            yield Program(name=f"python-{version}-{mode}", command=_python(version, mode))
    yield Program(name="node", command=_node)


def run(program: Program, *, base_url: str, api_key: str) -> Outcome:
    """Run to the end. Not at once with another that makes the same environment: `prepare` them first."""
    try:
        command = program.command()
    except NotAvailable as error:
        return Outcome(name=program.name, problem=str(error), is_skipped=True)
    arguments = ["--base-url", base_url, "--api-key", api_key, "--manual", str(MANUAL)]
    try:
        done = subprocess.run(
            [*command, *arguments],
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=_RUN_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Outcome(name=program.name, problem=f"did not end within {error.timeout:.0f} s")
    return _outcome(program.name, done)


def prepare(chosen: Iterable[Program]) -> None:
    """Make the environments, one after the other; what cannot be made is told by `run`."""
    for program in chosen:
        with suppress(NotAvailable):
            program.command()


def _outcome(name: str, done: subprocess.CompletedProcess[str]) -> Outcome:
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    last = next((line for line in lines if "methods" in line), None)
    if last is None:
        return Outcome(name=name, problem=f"ended with status {done.returncode}: {done.stderr[-2000:]}")
    return Outcome(
        name=name,
        sdk=last["sdk"],
        steps=[line for line in lines if "step" in line],
        methods=frozenset(last["methods"]),
        called=frozenset(last["called"]),
    )


def _python(version: str, mode: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        folder = ENVIRONMENTS / f"openai-{version}"
        python = folder / "bin" / "python"
        stamp = folder / ".installed"
        if not stamp.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install([sys.executable, "-m", "venv", str(folder)])
            pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
            _install([*pip, f"openai=={version}"])
            stamp.touch()
        return [str(python), str(CLIENTS / "python"), "--mode", mode]

    return command


def _node() -> list[str]:
    if not (shutil.which("node") and shutil.which("npm")):
        raise NotAvailable("node and npm are not installed")
    folder = ENVIRONMENTS / "node"
    lock = (CLIENTS / "node" / "package-lock.json").read_text()
    stamp = folder / ".installed"
    if not stamp.exists() or stamp.read_text() != lock:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENTS / "node" / name, folder)
        _install(["npm", "ci", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent"])
        stamp.write_text(lock)
    # Node looks for modules beside the program and above, so the program goes to the modules.
    for module in (CLIENTS / "node").glob("*.mjs"):
        shutil.copy(module, folder)
    return ["node", str(folder / "main.mjs")]


def _install(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)
    if done.returncode:
        raise NotAvailable(f"{' '.join(command[:4])} …: {done.stderr.strip()[-500:]}")


def _environment() -> dict[str, str]:
    """No key, address or proxy of the developer's own."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("OPENAI_", "HTTP_PROXY", "ALL_PROXY"))
    }

"""`footnote serve`: starts the API and the workers as processes, restarts a dead one, ends all in order."""

import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from api.metrics import SHARED_FOLDER
from api.models import current_model, models_folder
from api.settings import Settings
from api.settings.service import is_loopback
from api.wiring import open_catalog
from catalog import keys
from catalog.errors import ConfigurationError
from retrieval.embedders.openvino import prepare

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S: Final = 0.2
# A child that lived shorter than this is started again later and later, up to the maximum.
_STABLE_AFTER_S: Final = 10.0
_MAX_BACKOFF_S: Final = 30.0
# How long children may take to finish streams and hand back jobs.
_STOP_TIMEOUT_S: Final = 30.0


@dataclass(kw_only=True)
class _Child:
    """A process to keep alive. `restart_at` is set while it is down."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    backoff_s: float = 0.5
    restart_at: float | None = 0.0


def supervise(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; return the exit status. Raises ConfigurationError for what cannot work."""
    check_exposure(settings)
    port = _reserve_port(settings)
    with open_catalog(settings) as catalog:
        model = current_model(settings, catalog.database).settings
    if model.embedding_backend == "openvino":
        _say(f"Preparing the embedding model {model.embedding_model} (the first time takes some seconds) …")
        prepare(model.embedding_model, cache=models_folder(settings), precision=settings.embedding_precision)
    environment = _environment(settings, port)
    children = [_Child(name="api", command=_command("api"))]
    children += [_Child(name=f"worker {i + 1}", command=_command("worker")) for i in range(settings.workers)]
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    is_announced = False
    while not stop.wait(_CHECK_INTERVAL_S):
        _note_deaths(children)
        _start_due(children, environment)
        if not is_announced and _is_ready(settings.host, port):
            _announce(settings, port)
            is_announced = True
    _say("Stopping …")
    return _stop(children)


def check_exposure(settings: Settings) -> None:
    """Bring the catalog up to date. Raises ConfigurationError when others could reach a server without keys."""
    with open_catalog(settings) as catalog, catalog.database.read() as session:
        if not is_loopback(settings.host) and not keys.any_active(session):
            raise ConfigurationError(
                f"host={settings.host!r} can be reached by other machines, and there is no API key yet. "
                "Make one with `footnote keys create NAME`, or listen on 127.0.0.1."
            )


def _reserve_port(settings: Settings) -> int:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
                "Choose another port with FOOTNOTE_PORT=… or --port."
            ) from error
        return int(probe.getsockname()[1])


def _environment(settings: Settings, port: int) -> dict[str, str]:
    """The children read the same file and environment; what came from the command line is added."""
    return {
        **os.environ,
        "FOOTNOTE_HOME": str(settings.home),
        "FOOTNOTE_HOST": settings.host,
        "FOOTNOTE_PORT": str(port),
        SHARED_FOLDER: str(_emptied(settings.home / "metrics")),
    }


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "api.cli", name, "--die-with-parent"]


def _start_due(children: list[_Child], environment: dict[str, str]) -> None:
    for child in children:
        if child.restart_at is not None and time.monotonic() >= child.restart_at:
            child.process = subprocess.Popen(child.command, env=environment, stdin=subprocess.PIPE)
            child.started, child.restart_at = time.monotonic(), None


def _note_deaths(children: list[_Child]) -> None:
    for child in children:
        if child.restart_at is not None or child.process is None or child.process.poll() is None:
            continue
        if time.monotonic() - child.started >= _STABLE_AFTER_S:
            child.backoff_s = 0.5
        log.warning(
            "The %s process ended with status %s; starting it again in %.1f s.",
            child.name,
            child.process.returncode,
            child.backoff_s,
        )
        child.restart_at = time.monotonic() + child.backoff_s
        child.backoff_s = min(child.backoff_s * 2, _MAX_BACKOFF_S)


def _stop(children: list[_Child]) -> int:
    """Ask every child to end, wait, kill what does not; 0 when all ended by themselves."""
    running = [child.process for child in children if child.process and child.process.poll() is None]
    for process in running:
        process.terminate()
    deadline, killed = time.monotonic() + _STOP_TIMEOUT_S, 0
    for process in running:
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    return 1 if killed else 0


def _is_ready(host: str, port: int) -> bool:
    """Whether the API answers; it listens when catalog, model and index are open."""
    try:
        # Every address is also reached through loopback.
        with socket.create_connection(("127.0.0.1" if host == "0.0.0.0" else host, port), timeout=1.0):
            return True
    except OSError:
        return False


def _announce(settings: Settings, port: int) -> None:
    url = f"http://{f'[{settings.host}]' if ':' in settings.host else settings.host}:{port}"
    _say(
        f"""
Footnote serves {url} (state in {settings.home}).

  Web page       {url}/
  API reference  {url}/docs
  Ask            curl -s {url}/v1/responses -H 'content-type: application/json' \\
                   -d '{{"input": "How do I report a fault?"}}'
  Python         OpenAI(base_url="{url}/v1", api_key="none").responses.create(model="footnote", input="…")
  Stop           Ctrl-C
"""
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

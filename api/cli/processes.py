"""footnote serve | worker"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Annotated

import typer

from api.cli.root import app, configure_logging
from api.settings import load_settings

_DieWithParent = Annotated[bool, typer.Option("--die-with-parent", hidden=True)]


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes to start; 0 for the API alone.")] = None,
) -> None:
    """Start the API, the web page and the workers; restart one that dies."""
    from api.supervisor import supervise

    given = {"host": host, "port": port, "workers": workers}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    configure_logging(settings)
    sys.exit(supervise(settings))


@app.command()
def worker(die_with_parent: _DieWithParent = False) -> None:
    """Process queued files until stopped. Any number may run, on this machine or (PostgreSQL) on others."""
    from api.live import until_replaced
    from api.models import open_current_embedder
    from api.wiring import make_worker, open_catalog, workers_folder
    from ingest.worker import presence

    settings = load_settings()
    configure_logging(settings)
    # Also what it starts: parsers, OCR. Whoever waits for an answer goes first.
    os.nice(settings.worker_niceness)
    stop = _stop_on_signals(die_with_parent)
    with open_catalog(settings) as catalog, presence(catalog.database, workers_folder(settings)) as name:
        # Once more with each model that becomes current.
        while not stop.is_set():
            with (
                open_current_embedder(settings, catalog.database) as embedder,
                until_replaced(catalog.database, embedder.identity.key, stop) as ended,
            ):
                make_worker(settings, catalog, embedder, name=name).run(ended)


@app.command(hidden=True)
def api(die_with_parent: _DieWithParent = False) -> None:
    """The API process of `footnote serve`."""
    import uvicorn

    from api.app import create_app

    settings = load_settings()
    configure_logging(settings)
    if die_with_parent:
        _end_with_parent()
    application = create_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=settings.host,
            port=settings.port,
            log_config=None,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=20,
        )
    )
    application.state.is_stopping = lambda: server.should_exit
    server.run()
    if not server.started:
        raise typer.Exit(3)


def _stop_on_signals(die_with_parent: bool) -> threading.Event:
    stop = threading.Event()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    if die_with_parent:
        _end_with_parent()
    return stop


def _end_with_parent() -> None:
    """End this process in order when its parent is gone: the pipe from it, our stdin, then reads its end."""

    def watch() -> None:
        # Not sys.stdin: its lock, held by a blocked read, would stop the interpreter from ending.
        while os.read(0, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()

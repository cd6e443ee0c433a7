"""The command line. Heavy imports stay inside the commands: `footnote serve` itself only minds its children."""

import gc
import sys
from functools import cache
from typing import Final

import typer

from catalog.errors import FootnoteError

# As `--help` lists them: in the order in which people need them.
_ORDER: Final = (
    "serve",
    "worker",
    "api",
    "ingest",
    "sync",
    "ask",
    "search",
    "explain",
    "status",
    "fsck",
    "compact",
    "reindex",
    "doctor",
)


@cache
def load_commands() -> typer.Typer:
    """Return the command tree with every command registered."""
    # What is imported stays: to look through it again and again for garbage would take a third of the start.
    gc.disable()
    from api.cli import (  # noqa: F401  (they register)
        answers,
        doctor,
        documents,
        evaluation,
        keys,
        processes,
        prompts,
        questions,
        reindex,
        system,
        tasks,
    )
    from api.cli.root import app

    gc.freeze()
    gc.enable()
    app.registered_commands.sort(key=lambda command: _ORDER.index(_name(command)))
    return app


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))


def main() -> None:
    """Entry of the `footnote` command: a stated error is one line on stderr and exit status 2."""
    try:
        load_commands()()
    except FootnoteError as error:
        sys.stderr.write(f"footnote: {error.message}\n")
        sys.exit(2)

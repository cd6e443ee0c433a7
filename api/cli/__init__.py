"""The command line. Heavy imports stay inside the commands: `footnote serve` itself only minds its children."""

import sys

import typer

from api.cli.root import app
from catalog.errors import FootnoteError


def load_commands() -> typer.Typer:
    """Return the command tree with every command registered."""
    from api.cli import documents, evaluation, keys, processes, questions, system  # noqa: F401  (they register)

    return app


def main() -> None:
    """Entry of the `footnote` command: a stated error is one line on stderr and exit status 2."""
    try:
        load_commands()()
    except FootnoteError as error:
        sys.stderr.write(f"footnote: {error.message}\n")
        sys.exit(2)

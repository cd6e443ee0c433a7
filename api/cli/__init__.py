"""The command line. Heavy imports stay inside the commands: `footnote serve` itself only minds its children."""

import sys

from api.cli.root import app
from catalog.errors import FootnoteError


def main() -> None:
    """Entry of the `footnote` command: a stated error is one line on stderr and exit status 2."""
    from api.cli import documents, evaluation, keys, processes, questions, system  # noqa: F401  (they register their commands)

    try:
        app()
    except FootnoteError as error:
        sys.stderr.write(f"footnote: {error.message}\n")
        sys.exit(2)

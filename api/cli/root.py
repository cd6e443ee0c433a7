"""The command tree, and what its commands share."""

import logging
import sys

import typer
from rich.console import Console

from api.settings import Settings

app = typer.Typer(
    name="footnote",
    help="Answers from your own documents, with a checked footnote under every claim.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
# Tables are not squeezed into 80 columns when another program reads them.
console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)


def configure_logging(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"
    )
    # They tell of every step at level INFO; FAISS of each processor variant that its wheel does not hold.
    for name in ("alembic", "httpx", "faiss.loader"):
        logging.getLogger(name).setLevel(logging.WARNING)

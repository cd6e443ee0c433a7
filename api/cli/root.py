"""The command tree, and what its commands share."""

import logging

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
console = Console(highlight=False)


def configure_logging(settings: Settings) -> None:
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(processName)s %(name)s: %(message)s"
    )
    # Alembic and httpx tell of every step at level INFO.
    for name in ("alembic", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)

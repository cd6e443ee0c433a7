"""footnote keys create | list | revoke"""

from datetime import UTC, datetime

import typer
from rich.table import Table
from rich.text import Text

from api.cli.root import app, console
from api.settings import load_settings
from api.wiring import open_catalog
from catalog import keys
from catalog.models import DEFAULT_PROJECT

commands = typer.Typer(no_args_is_help=True, help="API keys. As soon as one exists, every request needs one.")
app.add_typer(commands, name="keys")


@commands.command()
def create(name: str) -> None:
    """Make a key and show it, this once."""
    with open_catalog(load_settings()) as catalog, catalog.database.write() as session:
        key, clear = keys.create(session, DEFAULT_PROJECT, name)
        key_id = key.id
    console.print(f"{clear}\n\nKeep it now: only its hash is stored. Its id is {key_id}.")


@commands.command("list")
def list_keys() -> None:
    """List the keys, revoked ones too."""
    with open_catalog(load_settings()) as catalog, catalog.database.read() as session:
        table = Table("Id", "Name", "Made", "Last used", "State", box=None, pad_edge=False)
        for key in keys.list_all(session):
            state = f"revoked {_time(key.revoked_at)}" if key.revoked_at else "active"
            table.add_row(key.id, Text(key.name), _time(key.created_at), _time(key.last_used_at), state)
    console.print(table)


@commands.command()
def revoke(key_id: str) -> None:
    """Take a key out of use, at once."""
    with open_catalog(load_settings()) as catalog, catalog.database.write() as session:
        keys.revoke(session, key_id)
    console.print(f"{key_id} is revoked.")


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else "never"

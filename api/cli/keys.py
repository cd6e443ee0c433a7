"""footnote keys create | list | revoke"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from api.cli.root import app, console
from api.settings import load_settings
from api.wiring import open_catalog
from catalog import keys
from catalog.keys import KeyScope
from catalog.models import DEFAULT_PROJECT, SECONDS_PER_DAY, ApiKey

commands = typer.Typer(no_args_is_help=True, help="API keys. As soon as one exists, every request needs one.")
app.add_typer(commands, name="keys")


@commands.command()
def create(
    name: str,
    project: Annotated[str, typer.Option(help="Whose files, stores and answers it works with.")] = DEFAULT_PROJECT,
    scope: Annotated[
        list[KeyScope], typer.Option(help="What it may do; can be given again. docs/keys.md tells what each means.")
    ] = [KeyScope.WRITE],  # noqa: B006 - typer reads it once.
    store: Annotated[
        list[str] | None, typer.Option(help="Id of a vector store that it sees; can be given again. None: all.")
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(min=0, help="0 is no limit; without it the settings say.")
    ] = None,
    max_file_bytes: Annotated[
        int | None, typer.Option(min=1, help="Largest file that it may upload; without it the settings say.")
    ] = None,
    expires: Annotated[int | None, typer.Option(min=1, metavar="DAYS", help="Days until it ends.")] = None,
) -> None:
    """Make a key and show it, this once."""
    with open_catalog(load_settings()) as catalog, catalog.database.write() as session:
        key, clear = keys.create(
            session,
            project,
            name,
            scopes=scope,
            store_ids=store or None,
            requests_per_minute=requests_per_minute,
            max_file_bytes=max_file_bytes,
            lifetime_s=expires * SECONDS_PER_DAY if expires else None,
        )
        key_id = key.id
    console.print(f"{clear}\n\nKeep it now: only its hash is stored. Its id is {key_id}.")


@commands.command("list")
def list_keys(
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array, with times in seconds.")] = False,
) -> None:
    """List the keys, those that ended too."""
    with open_catalog(load_settings()) as catalog, catalog.database.read() as session:
        found = keys.list_all(session)
    if as_json:
        typer.echo(json.dumps([_fields(key) for key in found], indent=2, ensure_ascii=False))
        return
    table = Table(
        "Id",
        "Name",
        "Project",
        "Scopes",
        "Stores",
        "Per minute",
        "Made",
        "Last used",
        "State",
        box=None,
        pad_edge=False,
    )
    for key in found:
        table.add_row(
            key.id,
            Text(key.name),
            key.project_id,
            ", ".join(key.scopes),
            "all" if key.store_ids is None else ", ".join(key.store_ids),
            _limit(key),
            _time(key.created_at),
            _time(key.last_used_at),
            _state(key),
        )
    console.print(table)


@commands.command()
def revoke(key_id: str) -> None:
    """Take a key out of use, at once, with the visitor tokens that it minted."""
    with open_catalog(load_settings()) as catalog, catalog.database.write() as session:
        keys.revoke(session, key_id)
    console.print(f"{key_id} is revoked.")


def _fields(key: ApiKey) -> dict[str, Any]:
    """Return what may be told of a key: neither digest nor secret."""
    return {
        "id": key.id,
        "name": key.name,
        "project": key.project_id,
        "scopes": key.scopes,
        "stores": key.store_ids,
        "requests_per_minute": key.requests_per_minute,
        "max_file_bytes": key.max_file_bytes,
        "created_at": int(key.created_at),
        "last_used_at": int(key.last_used_at) if key.last_used_at else None,
        "expires_at": int(key.expires_at) if key.expires_at else None,
        "revoked_at": int(key.revoked_at) if key.revoked_at else None,
    }


def _limit(key: ApiKey) -> str:
    return "default" if key.requests_per_minute is None else str(key.requests_per_minute or "none")


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return f"revoked {_time(key.revoked_at)}"
    if key.expires_at is None:
        return "active"
    return f"{'expired' if keys.is_expired(key) else 'until'} {_time(key.expires_at)}"


def _time(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M") if seconds else "never"

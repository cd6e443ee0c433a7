"""footnote task summarize | extract | classify | translate"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from api.cli.root import app, configure_logging, console
from api.settings import load_settings
from api.wiring import open_services
from catalog import documents
from catalog.errors import InvalidRequest
from catalog.models import DEFAULT_PROJECT
from generation.prompts import PromptRegistry
from generation.tasks import DocumentTasks

commands = typer.Typer(no_args_is_help=True, help="Let the language model work on a document: it needs one.")
app.add_typer(commands, name="task")

_File = Annotated[str, typer.Argument(metavar="FILE_ID", help="Id of a file that has been read, as file-….")]
_Prompt = Annotated[
    str | None, typer.Option(help="Another prompt of the task, such as its -few-shot or -reasoning one.")
]


@commands.command()
def summarize(file_id: _File, prompt: _Prompt = None) -> None:
    """Summarise a document in at most eight sentences."""
    with _work(file_id, prompt) as (tasks, text):
        console.print(Text(tasks.summarize(text)), soft_wrap=True)


@commands.command()
def extract(
    file_id: _File,
    schema: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="File with a JSON schema.")],
    prompt: _Prompt = None,
) -> None:
    """Fill a JSON schema with what a document says; what is printed fits it."""
    try:
        wanted = json.loads(schema.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidRequest(f"{str(schema)!r} does not hold JSON: {error}") from error
    with _work(file_id, prompt) as (tasks, text):
        console.print(Text(json.dumps(tasks.extract(text, wanted), ensure_ascii=False, indent=2)), soft_wrap=True)


@commands.command()
def classify(
    file_id: _File,
    label: Annotated[list[str], typer.Option(help="One of the labels to choose from; repeatable.")],
    prompt: _Prompt = None,
) -> None:
    """Choose the label that fits a document best."""
    with _work(file_id, prompt) as (tasks, text):
        console.print(Text(tasks.classify(text, label)), soft_wrap=True)


@commands.command()
def translate(
    file_id: _File,
    to: Annotated[str, typer.Option(help="The language, in words that the model knows: German.")],
    prompt: _Prompt = None,
) -> None:
    """Translate a document, part by part."""
    with _work(file_id, prompt) as (tasks, text):
        for part in tasks.translate(text, to):
            console.print(Text(part), soft_wrap=True)


@contextmanager
def _work(file_id: str, prompt: str | None) -> Iterator[tuple[DocumentTasks, str]]:
    settings = load_settings(log_level="error")
    configure_logging(settings)
    with open_services(settings) as services:
        tasks = DocumentTasks(
            generator=services.generator, prompts=PromptRegistry(folder=settings.prompts), prompt=prompt
        )
        with services.catalog.database.read() as session:
            text = documents.text_of_file(session, DEFAULT_PROJECT, file_id)
        yield tasks, text

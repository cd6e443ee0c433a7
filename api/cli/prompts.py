"""footnote prompts list | show | diff | test"""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from api.cli import evaluation_tables
from api.cli.evaluation import answer_file
from api.cli.root import app, configure_logging, console
from api.settings import Settings, load_settings
from api.wiring import open_services
from catalog.errors import InvalidRequest
from evaluation.gate import check, load_baseline
from generation.backends.base import Generator
from generation.completion import has_language_model, reply_to
from generation.prompts import PromptRegistry, PromptTask, PromptTemplate
from generation.prompts.cases import Case, load_cases, problems, render, reply_problems

commands = typer.Typer(no_args_is_help=True, help="See, compare and test the prompts that language models get.")
app.add_typer(commands, name="prompts")

# What a model may write to a case.
_REPLY_TOKENS = 400
_Name = Annotated[str, typer.Argument(help="Name of the prompt: its file without .md.j2.")]


@commands.command("list")
def list_prompts() -> None:
    """List all prompts; the one that answers is marked."""
    settings, registry = _open()
    table = Table("", "Name", "Version", "Task", "Variant", "From", "Purpose", box=None, pad_edge=False)
    for name in registry.names():
        prompt = registry.load(name)
        origin = "folder" if registry.is_own(name) else "package"
        mark = "*" if name == settings.answer_prompt else ""
        table.add_row(mark, name, str(prompt.version), prompt.task, prompt.variant, origin, prompt.purpose)
    console.print(table)


@commands.command()
def show(
    name: _Name,
    case: Annotated[str | None, typer.Option(help="Show the messages that a test case makes of it.")] = None,
) -> None:
    """Print a prompt's file, or what becomes of it."""
    _, registry = _open()
    prompt = registry.load(name)
    if case is None:
        console.print(Text(prompt.text), end="", soft_wrap=True)
        return
    cases = {each.name: each for each in load_cases(registry, prompt)}
    if case not in cases:
        raise InvalidRequest(f"Prompt {name!r} has no case {case!r}; there are {', '.join(map(repr, cases))}.")
    for message in render(prompt, cases[case]).messages:
        console.print(Text(f"--- {message.role}", "bold"))
        console.print(Text(message.content), soft_wrap=True)


@commands.command()
def diff(
    name: _Name,
    other: Annotated[str | None, typer.Argument(help="Another prompt; without it the package's of the name.")] = None,
) -> None:
    """Show how a prompt differs from the package's, or from another one. Exits with 1 when it does."""
    _, registry = _open()
    new = registry.load(name)
    old = registry.packaged(name) if other is None else registry.load(other)
    if old is None:
        raise InvalidRequest(f"The package has no prompt {name!r}; name another one to compare with.")
    old_title = f"{old.name} {old.version}" + (", package" if other is None else "")
    lines = difflib.unified_diff(
        old.text.splitlines(), new.text.splitlines(), old_title, f"{new.name} {new.version}", lineterm=""
    )
    changes = list(lines)
    for line in changes:
        console.print(Text(line, {"+": "green", "-": "red"}.get(line[:1], "")), soft_wrap=True)
    if changes:
        raise typer.Exit(1)


@commands.command()
def test(
    names: Annotated[list[str] | None, typer.Argument(help="Without one, all.")] = None,
    questions: Annotated[Path | None, typer.Option(help="Evaluate too: questions.jsonl, as `eval run` takes.")] = None,
    documents: Annotated[Path | None, typer.Option(help="--questions: the folder that they are about.")] = None,
    baseline: Annotated[Path | None, typer.Option(help="--questions: measures that may not fall.")] = None,
) -> None:
    """Run the test cases of prompts, with the language model if there is one. Exits with 1 when one fails."""
    settings, registry = _open()
    is_good = True
    # The prompt that is set may be the one that fails: it is not opened here.
    with open_services(settings.model_copy(update={"prompt": "answer", "prompts": None})) as services:
        for name in names or registry.names():
            found = list(_failures(registry, registry.load(name), services.generator))
            is_good &= not found
            console.print(Text(f"{name}: {'fails' if found else 'passes'}", "red" if found else "green"))
            for line in found:
                console.print(Text(f"  {line}"), soft_wrap=True)
        if not has_language_model(services.generator):
            console.print("Replies were not tested: the generator has no language model.")
    if questions is not None:
        is_good &= _holds(settings, names or [], questions, documents, baseline)
    if not is_good:
        raise typer.Exit(1)


def _failures(registry: PromptRegistry, prompt: PromptTemplate, generator: Generator) -> Iterator[str]:
    for case in load_cases(registry, prompt):
        found = list(problems(prompt, case, count_tokens=generator.count_tokens))
        if not found and _replies(generator, prompt):
            found = list(reply_problems(prompt, case, _reply(prompt, case, generator)))
        yield from (f"{case.name}: {problem}" for problem in found)


def _replies(generator: Generator, prompt: PromptTemplate) -> bool:
    return has_language_model(generator) and (generator.calls_tools or prompt.task is not PromptTask.SEARCH)


def _reply(prompt: PromptTemplate, case: Case, generator: Generator) -> str:
    rendered = render(prompt, case)
    asked = prompt.prompt(rendered.messages, tools=rendered.tools)
    return reply_to(generator, asked, max_tokens=_REPLY_TOKENS).text


def _holds(
    settings: Settings, names: list[str], questions: Path, documents: Path | None, baseline: Path | None
) -> bool:
    """Whether no measure of a prompt's answers falls below the baseline; prints them."""
    if len(names) != 1 or documents is None or baseline is None:
        raise InvalidRequest("--questions needs one NAME, --documents and --baseline.")
    (name,) = names
    run = answer_file(settings.model_copy(update={"prompt": name}), questions, documents, name=name)
    checked = list(check(run, load_baseline(baseline)))
    console.print(evaluation_tables.of_gate(checked))
    return all(one.passes for one in checked)


def _open() -> tuple[Settings, PromptRegistry]:
    settings = load_settings(log_level="error")
    configure_logging(settings)
    return settings, PromptRegistry(folder=settings.prompts)

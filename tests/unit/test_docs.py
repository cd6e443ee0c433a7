"""The pages say what is there: settings, links, make targets and commands."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from api.cli import load_commands
from api.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "data" / "README.md"])
_CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="outside the checkout")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _targets() -> set[str]:
    """Return the targets of the Makefile that have a rule."""
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def _commands() -> dict[str, set[str]]:
    """Return the commands of `footnote`, each with its own commands."""
    group = typer.main.get_command(load_commands())
    return {name: set(getattr(command, "commands", {})) for name, command in group.commands.items()}


def _shell_lines(text: str) -> Iterator[str]:
    """Yield the lines of the blocks that are for a shell, or for nothing in particular."""
    for language, block in _CODE.findall(text):
        if language in {"", "bash", "console", "sh", "shell"}:
            yield from block.splitlines()


def _anchors(page: Path) -> set[str]:
    """Return the anchors that the headings of a page get on GitHub."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_table_of_settings_is_up_to_date() -> None:
    """docs/settings.md equals what docs/settings_table.py writes."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    renewed = runpy.run_path(str(ROOT / "docs" / "settings_table.py"))["renewed"]
    assert renewed(page) == page


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    """No page tells of a FOOTNOTE_ variable that the settings do not have."""
    named = set(re.findall(r"\bFOOTNOTE_[A-Z][A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    known = {f"FOOTNOTE_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in named if not name.startswith("FOOTNOTE_TEST_")} - known == set()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_link_within_the_repository_leads_to_something(page: Path) -> None:
    """The file of a relative link exists, and so does the heading that it names in another page or its own."""
    broken = []
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    """Between backticks or at the start of a line of code, the words after `make` are targets."""
    text = page.read_text(encoding="utf-8")
    called = [
        *re.findall(r"`make ([a-z ]+)`", _CODE.sub("", text)),
        *re.findall(r"^make ([a-z ]+)", "\n".join(_shell_lines(text)), re.MULTILINE),
    ]
    assert {target for words in called for target in words.split()} - _targets() == set()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_every_footnote_command_in_code_exists(page: Path) -> None:
    """In blocks of code, `footnote COMMAND` (and the command after a group) is one that the program has."""
    commands = _commands()
    # At the start of a line, behind a path, a variable or `run api`; not a name within something else.
    called = re.compile(r"(?:^|\s|/)footnote ([a-z]+)(?: ([a-z]+))?")
    unknown = []
    for line in _shell_lines(page.read_text(encoding="utf-8")):
        for command, word in called.findall(line):
            if command not in commands or (commands[command] and word not in commands[command]):
                unknown.append(f"footnote {command} {word}".strip())
    assert unknown == []


def test_the_help_in_the_readme_is_the_commands_own() -> None:
    """`docs/help_text.py` writes it; nobody types it."""
    with_help = runpy.run_path(str(ROOT / "docs" / "help_text.py"))["with_help"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_help(readme) == readme

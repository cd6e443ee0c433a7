"""Finding prompts: those of the package, and over them those of a folder."""

import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from catalog.errors import ConfigurationError
from generation.prompts.template import PromptTask, PromptTemplate, parse_template

_SUFFIX: Final = ".md.j2"
_CASES: Final = ".cases.toml"
# A name becomes the name of a file.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptRegistry:
    """Prompts by name: NAME.md.j2, and beside it NAME.cases.toml with its test cases."""

    # Its files win over the package's.
    folder: Path | None = None

    def names(self) -> list[str]:
        """Return the names of all prompts, sorted. Raises ConfigurationError when the folder is not there."""
        found = [entry.name for place in self._places() for entry in place.iterdir() if entry.name.endswith(_SUFFIX)]
        return sorted({name.removesuffix(_SUFFIX) for name in found})

    def load(self, name: str) -> PromptTemplate:
        """Return the prompt `name`. Raises ConfigurationError for an unknown one or a file that cannot be used."""
        for place in self._places():
            if text := _read(place, name, _SUFFIX):
                return parse_template(name, text)
        raise ConfigurationError(f"There is no prompt {name!r}; `footnote prompts list` shows all.")

    def packaged(self, name: str) -> PromptTemplate | None:
        """Return the package's prompt of that name, which one of the folder may stand before; None without."""
        text = _read(_package(), name, _SUFFIX)
        return parse_template(name, text) if text else None

    def is_own(self, name: str) -> bool:
        """Whether the prompt comes from the folder."""
        return self.folder is not None and _read(self.folder, name, _SUFFIX) is not None

    def case_files(self, template: PromptTemplate) -> dict[str, str]:
        """Return the case files that a prompt has to pass, by name: the package's of its task, and its own."""
        package = _package()
        # Who searches for the sources itself has to answer from them like any other.
        tasks = [PromptTask.ANSWER] if template.task is PromptTask.SEARCH else []
        names = dict.fromkeys([*tasks, template.task, template.name])
        wanted = [(name, package, f"{name}{_CASES}") for name in names]
        if self.folder is not None:
            wanted.append((template.name, self.folder, str(self.folder / f"{template.name}{_CASES}")))
        found = {title: _read(place, name, _CASES) for name, place, title in wanted}
        return {title: text for title, text in found.items() if text}

    def _places(self) -> list[Traversable]:
        if self.folder is None:
            return [_package()]
        if not self.folder.is_dir():
            raise ConfigurationError(f"Setting 'prompts' is {str(self.folder)!r}, and there is no such folder.")
        return [self.folder, _package()]


def load_template(name: str) -> PromptTemplate:
    """Return a prompt of the package."""
    return PromptRegistry().load(name)


def _package() -> Traversable:
    return files("generation.prompts") / "templates"


def _read(place: Traversable, name: str, suffix: str) -> str | None:
    if not _NAME.fullmatch(name):
        return None
    file = place / f"{name}{suffix}"
    return file.read_text(encoding="utf-8") if file.is_file() else None

"""Writes the table of docs/settings.md from `api.settings.Settings`: .venv/bin/python docs/settings_table.py"""

from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from api.settings import Settings

PAGE: Final = Path(__file__).with_name("settings.md")
BEGIN: Final = "<!-- table: begin (written by docs/settings_table.py) -->"
END: Final = "<!-- table: end -->"


def table() -> str:
    """Return one row for each setting, in the order of the class."""
    rows = ["| Setting | Environment variable | Default | Meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (f"`{name}`", f"`FOOTNOTE_{name.upper()}`", _default(field.default), _meaning(field))
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(rows)


def renewed(page: str) -> str:
    """Return `page` with the table between the two marks written anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def _default(value: Any) -> str:
    return "none" if value in (None, (), {}) else f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return str(field.description)
    choices = ", ".join(f"`{choice}`" for choice in get_args(field.annotation))
    return f"{field.description} Allowed: {choices}."


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

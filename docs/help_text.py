"""Writes the output of `footnote --help` into README.md, between its two marker comments.

.venv/bin/python docs/help_text.py
"""

from pathlib import Path

from click.testing import CliRunner
from typer.main import get_command

from api.cli import load_commands

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- help: begin -->\n", "<!-- help: end -->\n"


def with_help(readme: str) -> str:
    """Return `readme` with the current help between the markers."""
    command = get_command(load_commands())
    # Fixed width: the terminal of whoever runs this must not show.
    output = (
        CliRunner().invoke(command, ["--help"], prog_name="footnote", env={"COLUMNS": "100"}, terminal_width=100).output
    )
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}```text\n{output.strip()}\n```\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_help(README.read_text(encoding="utf-8")), encoding="utf-8")

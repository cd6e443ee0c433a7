"""What the README tells people to type does what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Server

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)


def _block(heading: str, language: str) -> str:
    """Return the first code block of a language under a heading of the README."""
    _, section = (ROOT / "README.md").read_text(encoding="utf-8").split(f"## {heading}\n", 1)
    return next(match["code"] for match in _BLOCK.finditer(section) if match["language"] == language)


def _on(server: Server, code: str) -> str:
    """Return `code` for this server and this Python instead of the README's."""
    return code.replace("http://127.0.0.1:8000", server.url).replace(".venv/bin/python", sys.executable)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not Path("/usr/bin/curl").exists(), reason="curl is not installed")
def test_the_curl_example_ends_with_a_cited_answer(live_server: Server) -> None:
    """The commands under "Ask over HTTP" upload, attach, wait and ask."""
    output = _run(["bash", "-euc", _on(live_server, _block("Ask over HTTP", "bash"))])
    assert "40-1187" in output
    assert '"type":"file_citation"' in output.replace(" ", "")


def test_the_python_example_prints_the_answer_and_its_footnotes(live_server: Server) -> None:
    """The script under "Ask from Python" runs as it stands, with the official package."""
    output = _run([sys.executable, "-c", _on(live_server, _block("Ask from Python", "python"))])
    assert "EUR 42" in output
    assert "travel-expense-policy-2025.docx" in output

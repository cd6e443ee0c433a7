"""The examples of docs/api.md do what the page says, in its order."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Server

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
# An answer that is an error ends the script, which curl alone would not.
_STRICT = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'


def _script(server: Server, language: str) -> str:
    """Return all examples of a language as one script for this server."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    code = "\n".join(match["code"] for match in _BLOCK.finditer(page) if match["language"] == language)
    return code.replace("http://127.0.0.1:8000", server.url)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.skipif(not Path("/usr/bin/curl").exists(), reason="curl is not installed")
def test_the_curl_examples_run_without_an_error(live_server: Server) -> None:
    """Each answers with success, and a question is answered with a citation."""
    output = _run(["bash", "-c", _STRICT + _script(live_server, "bash")])
    assert '"type":"file_citation"' in output.replace(" ", "")


def test_the_python_examples_run_without_an_error(live_server: Server) -> None:
    """With the official package, as they stand."""
    output = _run([sys.executable, "-W", "error", "-c", _script(live_server, "python")])
    assert "answered" in output

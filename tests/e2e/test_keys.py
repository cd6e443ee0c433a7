"""The examples of docs/keys.md do what the page says, in its order."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import FOOTNOTE, ROOT, Server, environment, footnote

_BLOCK = re.compile(r"^```bash\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
# As docs/api.md has them. An answer that is an error ends the script, which curl alone would not.
_PREAMBLE = """set -euo pipefail
curl() { command curl --fail-with-body "$@"; }
JSON='content-type: application/json'
id_of() { python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])'; }
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Yield a server without keys, with the embedder that needs no model."""
    server = Server(tmp_path / "home", embedding_backend="hashing")
    yield server
    server.end()


@pytest.mark.skipif(not Path("/usr/bin/curl").exists(), reason="curl is not installed")
def test_the_examples_run_without_an_error(server: Server) -> None:
    """They end with an answer that a visitor got, with a citation."""
    admin = footnote("keys", "create", "admin", "--scope", "admin", home=server.home).stdout.split()[0]
    page = (ROOT / "docs" / "keys.md").read_text(encoding="utf-8")
    script = "\n".join(match["code"] for match in _BLOCK.finditer(page))
    values = {"BASE": f"{server.url}/v1", "ADMIN": f"Authorization: Bearer {admin}"}
    path = f"{Path(FOOTNOTE).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", _PREAMBLE + script],
        cwd=ROOT,
        env=environment(server.home) | values | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert '"type":"file_citation"' in done.stdout.replace(" ", "")
    assert subprocess.run(["curl", "-s", f"{server.url}/v1/files"], capture_output=True, check=True).stdout.startswith(
        b'{"error"'
    )

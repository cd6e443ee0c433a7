"""What is compared, and the environments that the others run in."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_ENVIRONMENTS: Final = ROOT / ".venv-peers"
_REQUIREMENTS: Final = Path(__file__).parent / "requirements"
_INSTALL_TIMEOUT_S: Final = 1200.0
_MAX_REASON_CHARS: Final = 200


class EnvironmentUnavailable(Exception):
    """A system's environment cannot be made; the message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """A system under measurement."""

    name: str
    # Module with its adapter.
    adapter: str
    # Its environment and the file of its requirements; None runs in ours.
    environment: str | None
    # What of it is used.
    setup: str
    # Whether it uses the model.
    embeds: bool = True


FOOTNOTE: Final = System(
    name="Footnote",
    adapter="benchmarks.peers.adapters.footnote",
    environment=None,
    setup="files, `footnote ingest`; dense and lexical search, fused",
)
PEERS: Final = (
    System(
        name="LangChain",
        adapter="benchmarks.peers.adapters.langchain",
        environment="langchain",
        setup="HuggingFaceEmbeddings (batches of 32), FAISS, similarity search",
    ),
    System(
        name="LlamaIndex",
        adapter="benchmarks.peers.adapters.llamaindex",
        environment="llamaindex",
        setup="HuggingFaceEmbedding (batches of 32 instead of 10), VectorStoreIndex, its retriever",
    ),
    System(
        name="Haystack",
        adapter="benchmarks.peers.adapters.haystack",
        environment="haystack",
        setup="SentenceTransformers embedders (batches of 32), InMemoryDocumentStore, embedding retriever",
    ),
    System(
        name="Haystack BM25",
        adapter="benchmarks.peers.adapters.haystack_bm25",
        environment="haystack",
        setup="InMemoryDocumentStore, BM25 retriever; no model",
        embeds=False,
    ),
    System(
        name="txtai",
        adapter="benchmarks.peers.adapters.txtai",
        environment="txtai",
        setup="hybrid index with content",
    ),
)


def interpreter(system: System, *, logs: Path) -> Path:
    """Return the Python that runs the system, making its environment first if need be.

    An environment is complete when its stamp, written last, is the digest of the requirements. What pip says is in
    `logs`. Raises EnvironmentUnavailable.
    """
    if system.environment is None:
        return Path(sys.executable)
    folder, requirements = _ENVIRONMENTS / system.environment, _REQUIREMENTS / f"{system.environment}.txt"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        # torch comes first: of its builds the one that this machine's pip is set up for, before another asks for any.
        torch = [line for line in requirements.read_text().splitlines() if line.startswith("torch==")]
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        log = logs / f"install-{system.environment}.txt"
        log.unlink(missing_ok=True)
        _run([sys.executable, "-m", "venv", str(folder)], log)
        _run([*pip, *torch], log)
        _run([*pip, "--requirement", str(requirements)], log)
        stamp.write_text(digest)
    return python


def _run(command: list[str], log: Path) -> None:
    with log.open("a") as output:
        try:
            subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, check=True, timeout=_INSTALL_TIMEOUT_S, cwd=ROOT
            )
        except (subprocess.SubprocessError, OSError) as error:
            lines = [line for line in log.read_text(errors="replace").splitlines() if "ERROR" in line]
            reason = lines[-1].strip() if lines else type(error).__name__
            raise EnvironmentUnavailable(f"not installed: {reason[:_MAX_REASON_CHARS]} ({log.name})") from error

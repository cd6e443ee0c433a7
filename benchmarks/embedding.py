"""Texts per second of the embedders, beside sentence-transformers' own `encode`, each in a process of its own.

    python -m benchmarks.embedding
    python -m benchmarks.embedding --backend torch --device cuda

The first form runs all that this machine's processor can, one after the other, round by round. The second runs one
back end; on a GPU it also tells which fraction of the card's bf16 matrix rate the model reaches. Prints Markdown.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped] # It has no annotations.
from rich.console import Console

from api.models import models_folder
from api.settings import load_settings
from retrieval.embedders.base import Embedder, TokenSpan
from retrieval.embedders.inference import supported_precisions
from retrieval.embedders.opener import open_embedder

_ROOT: Final = Path(__file__).parent.parent
_LENGTHS: Final = (120, 250)
# Seconds of work in a row of texts: enough that a start does not count.
_LEAST_S: Final = 2.0
_QUERY: Final = "How often is the filter of the ventilation unit changed?"
_QUERIES: Final = 50
_MIB: Final = 1024**2
# Side of the square matrices whose product gives the card's rate, and how often it is taken.
_MATRIX: Final = 8192
_PRODUCTS: Final = 20

show = Console(highlight=False, soft_wrap=True).print


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One back end in one round."""

    name: str
    # At each of _LENGTHS.
    texts_per_s: Sequence[float]
    cpu_ms_per_text: Sequence[float]
    query_ms: float
    resident_mib: float
    # Of the card's measured matrix rate, at each of _LENGTHS; nothing on a processor.
    fractions: Sequence[float] = ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--backend", choices=["encode", "openvino", "torch"], help="one alone; encode is the peer's own"
    )
    parser.add_argument("--precision", choices=["f32", "bf16", "int8"], default="f32", help="openvino")
    parser.add_argument("--device", default="cpu", help="torch and encode: cpu, cuda, cuda:1 …")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print figures for a program")
    arguments = parser.parse_args()
    if arguments.json:
        show(json.dumps(asdict(measured(arguments.backend, arguments.precision, arguments.device))))
        return
    options: list[tuple[str, ...]] = [("--backend", "encode"), ("--backend", "torch")]
    options += [("--backend", "openvino", "--precision", precision) for precision in supported_precisions()]
    if arguments.backend:
        options = [("--backend", arguments.backend, "--precision", arguments.precision, "--device", arguments.device)]
    rounds = [[in_child(option) for option in options] for _ in range(arguments.rounds)]
    show(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}; best of {len(rounds)}"
    )
    show("| Back end | texts/s, 120 / 250 tokens | CPU ms per text | Query, ms | Resident, MiB | Of the card's rate |")
    show("|---|---|---|---|---|---|")
    for speeds in zip(*rounds, strict=True):
        show(row(speeds))


def row(speeds: Sequence[Speed]) -> str:
    """Return the best of all rounds: other work on the machine only ever makes one slower."""

    def best(name: str, choose: Callable[[Iterator[float]], float], form: str) -> str:
        return " / ".join(
            format(choose(iter(values)), form) for values in zip(*(getattr(s, name) for s in speeds), strict=True)
        )

    cells = (
        speeds[0].name,
        best("texts_per_s", max, ".0f"),
        best("cpu_ms_per_text", min, ".1f"),
        f"{min(s.query_ms for s in speeds):.1f}",
        f"{max(s.resident_mib for s in speeds):.0f}",
        best("fractions", max, ".1%") or "–",
    )
    return f"| {' | '.join(cells)} |"


def in_child(options: Sequence[str]) -> Speed:
    command = [sys.executable, "-m", "benchmarks.embedding", "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT)
    return Speed(**json.loads(done.stdout))


def measured(backend: str, precision: str, device: str) -> Speed:
    encode, spans, close = _peer(device) if backend == "encode" else _ours(backend, precision, device)
    rates, costs, seconds = [], [], []
    for length in _LENGTHS:
        texts = texts_of(length, spans)
        encode(texts[:16])
        rate, cost = _rate(lambda texts=texts: encode(texts), len(texts))
        rates.append(rate)
        costs.append(cost)
    for number in range(_QUERIES):
        started = time.perf_counter()
        encode([f"{_QUERY} {number}"])
        seconds.append(time.perf_counter() - started)
    resident = psutil.Process().memory_info().rss / _MIB
    fractions = _fractions(rates, device) if device.startswith("cuda") else ()
    close()
    return Speed(
        name=" ".join(filter(None, (backend, precision if backend == "openvino" else device))),
        texts_per_s=rates,
        cpu_ms_per_text=costs,
        query_ms=sorted(seconds)[len(seconds) // 2] * 1000,
        resident_mib=resident,
        fractions=fractions,
    )


_Opened = tuple[Callable[[list[str]], Any], Callable[[str], list[TokenSpan]], Callable[[], None]]


def _ours(backend: str, precision: Any, device: str) -> _Opened:
    settings = load_settings(log_level="error")
    embedder: Embedder = open_embedder(
        backend, model=settings.embedding_model, cache=models_folder(settings), precision=precision, device=device
    )
    return embedder.embed_documents, embedder.token_spans, embedder.close


def _peer(device: str) -> _Opened:
    """sentence-transformers as its documentation begins: a model, and `encode` with its defaults."""
    from sentence_transformers import SentenceTransformer

    from retrieval.embedders.conversion import resolve_model

    model = SentenceTransformer(resolve_model(load_settings().embedding_model), device=device)

    def spans(text: str) -> list[TokenSpan]:
        encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False)
        return [(start, end) for start, end in encoded["offset_mapping"]]

    return lambda texts: model.encode(texts, show_progress_bar=False), spans, lambda: None


def texts_of(tokens: int, spans: Callable[[str], list[TokenSpan]], *, count: int = 64) -> list[str]:
    """Return prose of our manual, from different places, each of so many tokens with the two special ones."""
    source = (_ROOT / "data" / "source" / "rime40-operating-manual.md").read_text(encoding="utf-8")
    dice = random.Random(tokens)
    texts = []
    for _ in range(count):
        start = dice.randrange(len(source) - 8 * tokens)
        piece = source[start : start + 8 * tokens]
        texts.append(piece[: spans(piece)[tokens - 3][1]])
    return texts


def _rate(embed: Callable[[], Any], count: int) -> tuple[float, float]:
    """Return texts per second, and milliseconds of processor time for each."""
    passes, started, cpu = 0, time.perf_counter(), time.process_time()
    while not passes or time.perf_counter() - started < _LEAST_S:
        embed()
        passes += 1
    texts = passes * count
    return texts / (time.perf_counter() - started), (time.process_time() - cpu) / texts * 1000


def _fractions(rates: Sequence[float], device: str) -> list[float]:
    """Return which part of the card's measured bf16 matrix rate the model's own products are."""
    from transformers import AutoConfig

    from retrieval.embedders.conversion import resolve_model

    config = AutoConfig.from_pretrained(resolve_model(load_settings().embedding_model))
    card = matrix_rate(device)
    return [
        rate * length * flops_per_token(config, length) / card for rate, length in zip(rates, _LENGTHS, strict=True)
    ]


def flops_per_token(config: Any, length: int) -> int:
    """Return the floating-point operations of an encoder's matrix products for one token of a text of `length`.

    Two for each weight of the layers (four h × h of attention, two h × i of the feed-forward part), and 4 · length · h
    for the two products of attention, in each layer. Look-ups, norms and activations are not counted.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    return int(config.num_hidden_layers * (2 * (4 * hidden**2 + 2 * hidden * inner) + 4 * length * hidden))


def matrix_rate(device: str) -> float:
    """Return the FLOP/s that the card reaches in a large product of bf16 matrices."""
    import torch

    left, right = (torch.randn(_MATRIX, _MATRIX, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(_PRODUCTS):
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        left @ right
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return 2 * float(_MATRIX) ** 3 / best


if __name__ == "__main__":
    main()

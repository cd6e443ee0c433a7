"""The CPU embedder: OpenVINO, without torch."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from tokenizers import Encoding, Tokenizer

from catalog.errors import ConfigurationError
from retrieval.embedders.base import EmbeddingIdentity, TokenSpan, Vectors
from retrieval.embedders.conversion import ensure_converted, read_manifest

Precision = Literal["auto", "f32", "bf16"]

# Padded tokens of one batch: 4,096 keeps the activations of a MiniLM within the second-level cache's reach.
_BATCH_TOKENS: Final = 4096
# Inferences that may run at once; more would only share the same cores.
_REQUESTS: Final = 2


class OpenVinoEmbedder:
    """A sentence-transformers model on OpenVINO.

    With `precision` "auto" it computes in bf16 where the processor has it (three times the speed of fp32 with AMX;
    cosine to fp32 above .9999), else in fp32.
    """

    def __init__(self, model: str, *, cache: Path, precision: Precision = "auto", threads: int = 0) -> None:
        """`threads`: how many the inference may use, 0 for all cores. Converts the model at first use (about 15 s)."""
        import openvino

        folder = ensure_converted(model, cache)
        manifest = read_manifest(folder)
        self.identity = EmbeddingIdentity(
            model=manifest.model, revision=manifest.revision, dimension=manifest.dimension
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._specials = self._tokenizer.num_special_tokens_to_add(False)
        self.max_tokens = manifest.max_sequence_tokens - self._specials
        self._truncating = Tokenizer.from_str(self._tokenizer.to_str())
        self._truncating.enable_truncation(manifest.max_sequence_tokens)
        self._manifest = manifest
        core = openvino.Core()
        self.precision = _choose_precision(precision, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        options = {"INFERENCE_PRECISION_HINT": self.precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = str(threads)
        compiled = core.compile_model(folder / "openvino.xml", "CPU", options)
        self._requests: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(_REQUESTS):
            self._requests.put(compiled.create_infer_request())

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self._manifest.document_prefix + text for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self._manifest.query_prefix + text for text in texts])

    def token_spans(self, text: str) -> list[TokenSpan]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def close(self) -> None:
        while not self._requests.empty():
            self._requests.get()

    def _embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        encodings = self._truncating.encode_batch(list(texts))
        for rows in batches_by_length([len(e.ids) for e in encodings], budget=_BATCH_TOKENS):
            with self._request() as request:
                result = request.infer(self._tensors([encodings[row] for row in rows]), share_inputs=True)
                vectors[rows] = result[0]
        return vectors

    def _tensors(self, encodings: Sequence[Encoding]) -> list[Any]:
        """Return the model's inputs, int64, shape (batch, longest)."""
        longest = max(len(e.ids) for e in encodings)
        tensors = {
            "input_ids": np.full((len(encodings), longest), self._manifest.pad_token_id, dtype=np.int64),
            "attention_mask": np.zeros((len(encodings), longest), dtype=np.int64),
            "token_type_ids": np.zeros((len(encodings), longest), dtype=np.int64),
        }
        for row, encoding in enumerate(encodings):
            tensors["input_ids"][row, : len(encoding.ids)] = encoding.ids
            tensors["attention_mask"][row, : len(encoding.ids)] = 1
        return [tensors[name] for name in self._manifest.inputs]

    @contextmanager
    def _request(self) -> Iterator[Any]:
        request = self._requests.get()
        try:
            yield request
        finally:
            self._requests.put(request)


def batches_by_length(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Yield positions in batches of similar length, shortest first.

    A batch's padded size (rows times longest) stays within `budget`, unless a single row is longer.
    """
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[position] > budget:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def _choose_precision(wanted: Precision, capabilities: Sequence[str]) -> str:
    if wanted == "auto":
        return "bf16" if "BF16" in capabilities else "f32"
    if wanted == "bf16" and "BF16" not in capabilities:
        raise ConfigurationError("embedding_precision='bf16' needs a processor with bf16; use 'auto' or 'f32'.")
    return wanted

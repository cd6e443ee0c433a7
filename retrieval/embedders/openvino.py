"""The CPU embedder: OpenVINO, without torch."""

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from tokenizers import Tokenizer

from catalog.errors import ConfigurationError
from retrieval.embedders.base import EmbeddingIdentity, TokenSpan, Vectors
from retrieval.embedders.batching import batches_by_length
from retrieval.embedders.calibration import ensure_calibrated
from retrieval.embedders.conversion import ensure_converted, read_manifest
from retrieval.embedders.inference import Precision, compiled, padded, supported_precisions
from retrieval.embedders.prefixes import Prefixes, WantedPrefixes, revision_with

WantedPrecision = Literal["auto", "f32", "bf16", "int8"]

# Padded tokens of one batch: 4,096 keeps the activations of a MiniLM within the second-level cache's reach.
_BATCH_TOKENS: Final = 4096
# Inferences that may run at once; more would only share the same cores.
_REQUESTS: Final = 2
# Texts that are tokenised at once, while the texts before them are in the model.
_TOKENIZED_TEXTS: Final = 256


class OpenVinoEmbedder:
    """A sentence-transformers model on OpenVINO.

    With `precision` "auto" it computes in the fastest number format that agrees with fp32 on this machine
    (`retrieval.embedders.calibration`).
    """

    def __init__(
        self,
        model: str,
        *,
        cache: Path,
        precision: WantedPrecision = "auto",
        threads: int = 0,
        prefixes: WantedPrefixes | None = None,
    ) -> None:
        """`threads`: how many the inference may use, 0 for all cores.

        Converts and calibrates the model at first use (about 15 s). Raises ConfigurationError.
        """
        folder = ensure_converted(model, cache)
        self._manifest = read_manifest(folder)
        own = Prefixes(query=self._manifest.query_prefix, document=self._manifest.document_prefix)
        self._prefixes = (prefixes or WantedPrefixes()).over(own)
        self.identity = EmbeddingIdentity(
            model=self._manifest.model,
            revision=revision_with(self._manifest.revision, own=own, used=self._prefixes),
            dimension=self._manifest.dimension,
        )
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.max_tokens = self._manifest.max_sequence_tokens - self._tokenizer.num_special_tokens_to_add(False)
        self._truncating = Tokenizer.from_str(self._tokenizer.to_str())
        self._truncating.enable_truncation(self._manifest.max_sequence_tokens)
        self.precision: Precision = (
            ensure_calibrated(folder).chosen
            if precision == "auto"
            else checked_precision(precision, supported_precisions())
        )
        program = compiled(folder, self.precision, threads=threads)
        self._requests: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(_REQUESTS):
            self._requests.put(program.create_infer_request())

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self._prefixes.document + text for text in texts])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self._prefixes.query + text for text in texts])

    def token_spans(self, text: str) -> list[TokenSpan]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def close(self) -> None:
        while not self._requests.empty():
            self._requests.get()

    def _embed(self, texts: Sequence[str]) -> Vectors:
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        batches = self._batches(texts)
        with self._request() as request:
            batch = next(batches, None)
            while batch is not None:
                rows, tensors = batch
                request.start_async(tensors, share_inputs=True)
                # Tokenised and padded while the model computes.
                batch = next(batches, None)
                request.wait()
                vectors[rows] = request.get_output_tensor(0).data
        return vectors

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[list[int], list[Any]]]:
        """Yield rows and the model's inputs for them, texts of similar length together."""
        # Bytes tell a text's tokens before it is tokenised: about four a token, in any script.
        order = iter(sorted(range(len(texts)), key=lambda row: len(texts[row].encode(errors="replace"))))
        while part := list(islice(order, _TOKENIZED_TEXTS)):
            ids = [encoding.ids for encoding in self._truncating.encode_batch([texts[row] for row in part])]
            for batch in batches_by_length([len(tokens) for tokens in ids], budget=_BATCH_TOKENS):
                yield [part[place] for place in batch], padded([ids[place] for place in batch], self._manifest)

    @contextmanager
    def _request(self) -> Iterator[Any]:
        request = self._requests.get()
        try:
            yield request
        finally:
            self._requests.put(request)


def prepare(model: str, *, cache: Path, precision: WantedPrecision) -> None:
    """Convert the model, and calibrate it where that decides the format. Does not load it."""
    folder = ensure_converted(model, cache)
    if precision == "auto":
        ensure_calibrated(folder)


def checked_precision(wanted: Precision, supported: Sequence[Precision]) -> Precision:
    """Return `wanted`. Raises ConfigurationError when the processor does not compute in it."""
    if wanted not in supported:
        raise ConfigurationError(
            f"embedding_precision={wanted!r}: this processor computes in {', '.join(supported)} only; "
            "use one of them, or 'auto'."
        )
    return wanted

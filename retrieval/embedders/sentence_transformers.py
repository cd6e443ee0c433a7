"""The torch embedder: any sentence-transformers model, on a GPU or a CPU."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from retrieval.embedders.base import EmbeddingIdentity, TokenSpan, Vectors
from retrieval.embedders.batching import batches_by_length
from retrieval.embedders.conversion import model_name, own_prefixes, resolve_model, weights_revision
from retrieval.embedders.prefixes import WantedPrefixes, revision_with

# Padded tokens of one batch. A GPU needs many to be busy; a processor's cache holds few.
_GPU_BATCH_TOKENS: Final = 65_536
_CPU_BATCH_TOKENS: Final = 4096


class SentenceTransformerEmbedder:
    """A sentence-transformers model on torch: fp32 on a CPU, bf16 on a GPU."""

    def __init__(self, model: str, *, device: str | None = None, prefixes: WantedPrefixes | None = None) -> None:
        """`device`: a torch device such as `cuda:0`; None takes the GPU if there is one."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = SentenceTransformer(resolve_model(model), device=device)
        own = own_prefixes(self._model)
        self._prefixes = (prefixes or WantedPrefixes()).over(own)
        revision = revision_with(weights_revision(self._model), own=own, used=self._prefixes)
        self._batch_tokens = _CPU_BATCH_TOKENS
        if device.startswith("cuda"):
            self._model = self._model.to(torch.bfloat16)
            self._batch_tokens = _GPU_BATCH_TOKENS
        # A copy: the model's own truncates, and `encode` sets that anew at every call.
        self._tokenizer = Tokenizer.from_str(self._model.tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        specials = self._tokenizer.num_special_tokens_to_add(False)
        self.max_tokens = int(self._model.max_seq_length or 512) - specials
        dimension = int(self._model.get_embedding_dimension() or 0)
        self.identity = EmbeddingIdentity(model=model_name(model), revision=revision, dimension=dimension)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, self._prefixes.document)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, self._prefixes.query)

    def token_spans(self, text: str) -> list[TokenSpan]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def close(self) -> None:
        del self._model

    def _embed(self, texts: Sequence[str], prefix: str) -> Vectors:
        vectors = np.empty((len(texts), self.identity.dimension), dtype=np.float32)
        encodings = self._tokenizer.encode_batch([prefix + text for text in texts])
        lengths = [min(len(encoding.ids), self.max_tokens) for encoding in encodings]
        # Kept on the device until the last batch is under way: each transfer would wait for the one before.
        parts = [
            (rows, self._encoded([texts[row] for row in rows], prefix))
            for rows in batches_by_length(lengths, budget=self._batch_tokens)
        ]
        for rows, part in parts:
            vectors[rows] = part.float().cpu().numpy()
        return vectors

    def _encoded(self, texts: list[str], prefix: str) -> torch.Tensor:
        """Return shape (len(texts), dimension), norm 1, on the device.

        `prompt` "" is none: without it the model would take its default.
        """
        return self._model.encode(
            texts,
            prompt=prefix,
            batch_size=len(texts),
            normalize_embeddings=True,
            convert_to_tensor=True,
            show_progress_bar=False,
        )

"""The torch embedder: any sentence-transformers model, on a GPU or a CPU."""

from collections.abc import Sequence

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from retrieval.embedders.base import EmbeddingIdentity, TokenSpan, Vectors
from retrieval.embedders.conversion import model_name, resolve_model, weights_revision


class SentenceTransformerEmbedder:
    """A sentence-transformers model on torch: fp32 on a CPU, bf16 on a GPU."""

    def __init__(self, model: str, *, device: str | None = None, batch_size: int = 64) -> None:
        """`device`: a torch device such as `cuda:0`; None takes the GPU if there is one."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = SentenceTransformer(resolve_model(model), device=device)
        revision = weights_revision(self._model)
        if device.startswith("cuda"):
            self._model = self._model.to(torch.bfloat16)
        self._batch_size = batch_size
        # A copy: the model's own truncates, and `encode` sets that anew at every call.
        self._tokenizer = Tokenizer.from_str(self._model.tokenizer.backend_tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        specials = self._tokenizer.num_special_tokens_to_add(False)
        self.max_tokens = int(self._model.max_seq_length or 512) - specials
        dimension = int(self._model.get_embedding_dimension() or 0)
        self.identity = EmbeddingIdentity(model=model_name(model), revision=revision, dimension=dimension)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, "document")

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed(texts, "query")

    def token_spans(self, text: str) -> list[TokenSpan]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).offsets)

    def close(self) -> None:
        del self._model

    def _embed(self, texts: Sequence[str], prompt: str) -> Vectors:
        if not texts:
            return np.empty((0, self.identity.dimension), dtype=np.float32)
        vectors = self._model.encode(
            list(texts),
            prompt=(self._model.prompts or {}).get(prompt) or None,
            batch_size=self._batch_size,
            normalize_embeddings=True,
            convert_to_tensor=True,
            show_progress_bar=False,
        )
        return vectors.float().cpu().numpy()

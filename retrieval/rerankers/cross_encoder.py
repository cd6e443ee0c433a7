"""A cross-encoder in this process, on torch: any sentence-transformers CrossEncoder, on a GPU or a CPU."""

import threading
from collections.abc import Sequence

import torch
from sentence_transformers import CrossEncoder

from catalog.errors import ConfigurationError


class CrossEncoderReranker:
    """A model with one output, read as the logit of "this passage answers the query"."""

    def __init__(self, model: str, *, device: str | None = None, batch_size: int = 32) -> None:
        """`model`: name or folder. Raises ConfigurationError when it cannot be loaded, or has more outputs than one."""
        try:
            self._model = CrossEncoder(model, device=device, num_labels=None)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"The reranker {model!r} could not be loaded: {error} Set reranker_model to the folder of a "
                "sentence-transformers CrossEncoder, or reranker to none."
            ) from error
        if self._model.num_labels != 1:
            raise ConfigurationError(
                f"The reranker {model!r} has {self._model.num_labels} outputs; a model that scores passages has one."
            )
        self.name = model.rstrip("/").rsplit("/", 1)[-1]
        self._batch_size = batch_size
        self._lock = threading.Lock()

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        with self._lock:
            scores = self._model.predict(
                [(query, text) for text in texts],
                batch_size=self._batch_size,
                activation_fn=torch.nn.Sigmoid(),
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return [float(score) for score in scores]

    def close(self) -> None:
        del self._model

"""The embedder seam."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# float32, shape (n, dimension).
Vectors = NDArray[np.float32]
# Start and end of a token, in characters.
TokenSpan = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingIdentity:
    """What makes two vectors comparable. Precision is not part of it: bf16 and fp32 agree to a cosine of .9999."""

    model: str
    # Digest of weights, pooling and prefixes.
    revision: str
    dimension: int

    @property
    def key(self) -> str:
        """One string that is stored with every vector store, for example `all-MiniLM-L6-v2@53aa51172d14/384`."""
        return f"{self.model}@{self.revision[:12]}/{self.dimension}"


def dimension_of(identity: str) -> int:
    """Return the dimension that is part of an identity's key."""
    return int(identity.rpartition("/")[2])


class Embedder(Protocol):
    """Turns texts into vectors of L2 norm 1, so that a dot product is a cosine.

    Thread-safe. A text of more than `max_tokens` tokens is embedded by its first `max_tokens`; who must not lose the
    rest cuts it into windows first (`retrieval.windows`). An empty list gives shape (0, dimension). Equal texts give
    vectors that agree to the back end's precision, whatever they are batched with.
    """

    identity: EmbeddingIdentity
    # Tokens that the model reads, special tokens not counted.
    max_tokens: int

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Return float32, shape (len(texts), dimension), in the order of `texts`."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Like `embed_documents`, with the model's query prefix."""
        ...

    def token_spans(self, text: str) -> list[TokenSpan]:
        """Return where each token of `text` lies, ascending, without special tokens and without a limit."""
        ...

    def close(self) -> None:
        """Release the model; the embedder is not used afterwards."""
        ...

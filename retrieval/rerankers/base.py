"""The reranker seam."""

from collections.abc import Sequence
from typing import Protocol


class Reranker(Protocol):
    """Reads the query and a passage together and says how well the passage answers. Thread-safe."""

    # The model, as settings and traces name it.
    name: str

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return a score in [0, 1] for each text, in their order; higher is better. Raises ServiceUnavailable."""
        ...

    def close(self) -> None:
        """Release the model or the connections; the reranker is not used afterwards."""
        ...

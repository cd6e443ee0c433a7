"""Where a remote embedding model answers."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteModel:
    """Where a remote model answers, and how much may be asked of it."""

    # With the version in it: https://HOST/v1.
    url: str
    api_key: str | None = field(default=None, repr=False)
    # To ask for; None is the model's own, which the first request finds out.
    dimension: int | None = None
    # Tokens of a text that are sent; what is beyond is cut.
    max_tokens: int = 512
    # A tokenizer.json of the model; None counts tokens by rule.
    tokenizer: Path | None = None
    # 0 is any number.
    requests_per_minute: int = 0
    # Requests that may be under way at once.
    concurrency: int = 4
    # For one request.
    timeout_s: float = 30.0
    # For a batch of documents with all its repetitions; a query waits as long as one request may take.
    patience_s: float = 120.0
    # Before the first repetition; each further pause is twice as long, up to the longest.
    first_pause_s: float = 0.5

"""What an asymmetric model wants in front of a query and of a document."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# The names under which the configs of published models keep their prompts, in the order in which they are looked for:
# first those of `SentenceTransformer.encode_query` and `encode_document`.
_QUERY_NAMES: Final = ("query", "search_query", "retrieval.query", "s2p_query", "web_search_query")
_DOCUMENT_NAMES: Final = ("document", "passage", "corpus", "search_document", "retrieval.passage")


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefixes:
    query: str = ""
    document: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedPrefixes:
    """What the settings say; None leaves the model's own, and "" is no prefix."""

    query: str | None = None
    document: str | None = None

    def over(self, own: Prefixes) -> Prefixes:
        return Prefixes(
            query=own.query if self.query is None else self.query,
            document=own.document if self.document is None else self.document,
        )


def prefixes_of(prompts: Mapping[str, str], default_name: str | None) -> Prefixes:
    """Return the prefixes of a model from the `prompts` and `default_prompt_name` of its sentence-transformers config.

    The default prompt stands in front of both, where the model names neither of them.
    """
    query, document = _first(prompts, _QUERY_NAMES), _first(prompts, _DOCUMENT_NAMES)
    if not query and not document and default_name:
        query = document = prompts.get(default_name) or ""
    return Prefixes(query=query, document=document)


def revision_with(revision: str, *, own: Prefixes, used: Prefixes) -> str:
    """Return the revision of a model that is used with other prefixes than its own: its vectors are others."""
    if own == used:
        return revision
    return hashlib.sha256(json.dumps([revision, used.query, used.document]).encode()).hexdigest()


def _first(prompts: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((prompts[name] for name in names if prompts.get(name)), "")

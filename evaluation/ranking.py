"""How well passages are ranked: nDCG, recall and MRR over a judged collection, by ir-measures."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from ir_measures import AP, RR, R, nDCG
from numpy.typing import NDArray

from catalog.feed import DocumentChange, IndexedDocument
from evaluation.collections import Collection
from ingest.pipeline import WINDOW_TOKENS, window_texts
from retrieval.embedders.base import Embedder
from retrieval.fusion import Candidates
from retrieval.indexes.base import PassageIndex, Scope
from retrieval.searcher import gather

MEASURES: Final = (nDCG @ 10, RR @ 10, AP @ 100, R @ 5, R @ 10, R @ 100)
_STORE: Final = "vs_evaluation"
_EMBED_PASSAGES: Final = 256


def index_collection(
    collection: Collection,
    embedder: Embedder,
    index: PassageIndex,
    *,
    window_tokens: int = WINDOW_TOKENS,
    indexed: Callable[[int], None] = lambda passages: None,
) -> Sequence[str]:
    """Put every passage into `index` as a document of one chunk, embedded in windows as the pipeline does.

    `indexed` is told how many more passages are in. Returns the passage ids, by chunk id minus 1.
    """
    ids = list(collection.corpus)
    for first in range(0, len(ids), _EMBED_PASSAGES):
        texts = [collection.corpus[passage_id] for passage_id in ids[first : first + _EMBED_PASSAGES]]
        windows = [_windows(embedder, text, window_tokens) for text in texts]
        flat = embedder.embed_documents([window for group in windows for window in group]).astype(np.float16)
        parts = np.split(flat, np.cumsum([len(group) for group in windows])[:-1])
        index.apply([_change(first + i, text, part) for i, (text, part) in enumerate(zip(texts, parts, strict=True))])
        indexed(len(texts))
    return ids


def _windows(embedder: Embedder, text: str, window_tokens: int) -> list[str]:
    """The title is the context; one that would fill a window, and a passage without text, stand as they are."""
    title, _, body = text.partition("\n")
    is_short = len(embedder.token_spans(title)) <= window_tokens // 3
    windows = window_texts(embedder, title if is_short else "", body if is_short else text, window_tokens=window_tokens)
    return windows or [text]


def _change(position: int, text: str, vectors: NDArray[np.float16]) -> DocumentChange:
    number = np.array([position + 1], dtype=np.int64)
    document = IndexedDocument(
        document_id=position + 1,
        vector_store_id=_STORE,
        attributes={},
        chunk_ids=number,
        texts=[text],
        vectors=vectors,
        window_chunk_ids=np.repeat(number, len(vectors)),
    )
    return DocumentChange(seq=position + 1, document_id=position + 1, document=document)


def search_scope() -> Scope:
    """Return the scope that sees every passage of an indexed collection."""
    return Scope(vector_store_ids=frozenset([_STORE]))


def candidates(collection: Collection, embedder: Embedder, index: PassageIndex) -> dict[str, Candidates]:
    """Return the candidates of every query."""
    found = gather(index, embedder, list(collection.queries.values()), scope=search_scope())
    return dict(zip(collection.queries, found, strict=True))

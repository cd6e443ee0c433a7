"""Embedding documents that are there with another model, beside the vectors that they have."""

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Row

from catalog import embeddings
from catalog.embeddings import NewVectors
from ingest.pipeline import Pipeline

# Chunks whose texts are in memory at once, and those whose vectors are written in one transaction: what a kill costs.
_CHUNKS: Final = 4096
_BATCH: Final = 256
# Below the number of any document.
_FRONT: Final = -1

# Number, document, context and text of a chunk.
_BareChunk = Row[int, int, str, str]


def embed_missing(pipeline: Pipeline, *, on_chunks: Callable[[int], None]) -> int:
    """Embed every document that has no vectors of the pipeline's model; return how many chunks were embedded.

    Spans and texts of the chunks stay: windows alone are cut anew, by the model's tokenizer. What is there is not made
    again, and what is published meanwhile counts, unless it is published behind the last look. `on_chunks` is told how
    many chunks each batch had. Raises Conflict when somebody discards the vectors meanwhile.
    """
    done, after = 0, _FRONT
    while True:
        with pipeline.database.read() as session:
            some = embeddings.next_missing(session, pipeline.embedder.identity.key, after=after, chunks=_CHUNKS)
            chunks = session.execute(embeddings.bare_chunks(pipeline.embedder.identity.key, some)).all()
        if not some and after == _FRONT:
            return done
        _embed(pipeline, some, chunks, on_chunks)
        done += len(chunks)
        # At the end once more from the front: numbers are random, and what was published since may have any.
        after = some[-1] if some else _FRONT


def _embed(
    pipeline: Pipeline, document_ids: Sequence[int], chunks: Sequence[_BareChunk], on_chunks: Callable[[int], None]
) -> None:
    left = dict.fromkeys(document_ids, 0)
    for chunk in chunks:
        left[chunk.document_id] += 1
    identity = pipeline.embedder.identity.key
    # Of some documents every vector may be there, and only the note that says so is not.
    if complete := [number for number, count in left.items() if not count]:
        embeddings.put(pipeline.database, identity, [], complete)
    for start in range(0, len(chunks), _BATCH):
        batch = chunks[start : start + _BATCH]
        made = pipeline.embed_texts([chunk.context for chunk in batch], [chunk.text for chunk in batch])
        vectors = [
            NewVectors(chunk_id=chunk.id, vectors=each, embedding_key=key)
            for chunk, (key, each) in zip(batch, made, strict=True)
        ]
        for chunk in batch:
            left[chunk.document_id] -= 1
        complete = [number for number in {chunk.document_id for chunk in batch} if not left[number]]
        embeddings.put(pipeline.database, identity, vectors, complete)
        on_chunks(len(batch))

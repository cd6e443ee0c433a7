"""Nearest-neighbour indexes at 10,000 to 1,000,000 vectors: recall, time, memory; and ours with filters and changes.

`python -m benchmarks.vectors FOLDER…` embeds the passages and queries of judged collections (corpus.jsonl,
queries.jsonl), and fills up to the wanted number with vectors between neighbours of theirs: as near to each other as
real ones are, which random vectors are not.
"""

import argparse
import resource
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from api.models import make_embedder
from api.settings import load_settings
from catalog.feed import DocumentChange, IndexedDocument
from evaluation.collections import load_collection
from retrieval.filters import parse_filter
from retrieval.indexes.base import Scope
from retrieval.indexes.vectors import VectorReplica

_SEED = 11
_STORE = "vs_bench"
# Chunks of one document.
_DOCUMENT = 20
_QUERIES = 300
_LIMIT = 100
_STEP = 50_000
_WORDS = 95

Rows = NDArray[np.float16]
Queries = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--cache", type=Path, help="File that keeps the embeddings for the next run (.npz).")
    parser.add_argument("--skip", nargs="+", default=[], metavar="INDEX", help="leave these out: HNSW takes long")
    parser.add_argument("--alone", action="store_true", help="Measure our index alone, not the others beside it.")
    options = parser.parse_args()
    real, queries = _embeddings(options.folders, options.cache)
    faiss.omp_set_num_threads(1)
    console = Console(highlight=False)
    for size in options.sizes:
        rows = fill(real, size)
        nearest = _nearest(rows, queries)
        if not options.alone:
            console.print(_compare(rows, queries, nearest, options.skip))
        console.print(_ours(rows, queries, nearest))


# --- data -------------------------------------------------------------------------------------------------------------


def _embeddings(folders: Sequence[Path], cache: Path | None) -> tuple[Rows, Queries]:
    if cache and cache.exists():
        with np.load(cache) as kept:
            return kept["rows"], kept["queries"]
    collections = [load_collection(folder) for folder in folders]
    texts = [" ".join(text.split()[:_WORDS]) for c in collections for text in c.corpus.values()]
    questions = [text for c in collections for text in c.queries.values()]
    chosen = np.random.default_rng(_SEED).permutation(len(questions))[:_QUERIES]
    embedder = make_embedder(load_settings(log_level="error"))
    steps = track(range(0, len(texts), 1024), description="Embedding")
    rows = np.concatenate([embedder.embed_documents(texts[i : i + 1024]).astype(np.float16) for i in steps])
    queries = embedder.embed_queries([questions[i] for i in chosen])
    embedder.close()
    if cache:
        np.savez(cache, rows=rows, queries=queries)
    return rows, queries


def fill(real: Rows, size: int) -> Rows:
    """Return `size` vectors: the real ones, and others between each and two of its ten nearest, with some noise."""
    generator = np.random.default_rng(_SEED)
    base = real[generator.permutation(len(real))[:size]].astype(np.float32)
    exact = faiss.IndexFlatIP(base.shape[1])
    exact.add(base)
    neighbours = exact.search(base, 11)[1][:, 1:]
    filled = np.empty((size, base.shape[1]), dtype=np.float16)
    filled[: len(base)] = base
    for start in range(len(base), size, _STEP):
        count = min(_STEP, size - start)
        origin = generator.integers(0, len(base), count)
        one, other = (base[neighbours[origin, generator.integers(0, 10, count)]] for _ in range(2))
        share, bend = generator.uniform(0, 0.7, (count, 1)), generator.uniform(0, 0.6, (count, 1))
        noise = generator.standard_normal((count, base.shape[1])) * (0.25 / np.sqrt(base.shape[1]))
        rows = base[origin] + share * (one - base[origin]) + bend * (other - one) + noise
        filled[start : start + count] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    shuffled: Rows = filled[generator.permutation(size)]
    return shuffled


# --- indexes beside each other ----------------------------------------------------------------------------------------


def _nearest(rows: Rows, queries: Queries) -> list[set[int]]:
    """Return the ten nearest rows of every query."""
    exact = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    for start in range(0, len(rows), _STEP):
        exact.add(rows[start : start + _STEP].astype(np.float32))
    return [set(ids) for ids in exact.search(queries, 10)[1].tolist()]


def _recall(found: Sequence[Collection[int]], nearest: Sequence[set[int]]) -> str:
    return f"{np.mean([len(ten.intersection(some)) / 10 for some, ten in zip(found, nearest, strict=True)]):.3f}"


def _compare(rows: Rows, queries: Queries, nearest: Sequence[set[int]], skipped: Sequence[str]) -> Table:
    table = Table("Index", "build s", "bytes/vector", "recall@10", "p50 ms", "p95 ms", title=f"{len(rows):,} vectors")
    for name, make, parameters, is_compared_exactly in _candidates(rows):
        if name.split()[0] in skipped:
            continue
        started = time.perf_counter()
        index = make()
        if not index.is_trained:
            index.train(rows[:32_768].astype(np.float32))
        for start in range(0, len(rows), _STEP):
            index.add(rows[start : start + _STEP].astype(np.float32))
        seconds = time.perf_counter() - started
        size = len(faiss.serialize_index(index)) / len(rows)
        for label, options in parameters:
            found, times = _search_all(index, rows, queries, options, is_compared_exactly)
            stored = size + (2 * rows.shape[1] if is_compared_exactly else 0)
            table.add_row(
                f"{name} {label}",
                f"{seconds:.1f}",
                f"{stored:,.0f}",
                _recall(found, nearest),
                f"{np.median(times):.2f}",
                f"{np.percentile(times, 95):.2f}",
            )
    return table


def _candidates(rows: Rows) -> Iterator[tuple[str, Callable[[], Any], list[tuple[str, Any]], bool]]:
    """Yield name, how to make it, settings of its search, and whether its best rows are compared exactly afterwards."""
    d, ip = rows.shape[1], faiss.METRIC_INNER_PRODUCT
    lists = 1 << round(np.log2(np.sqrt(len(rows))))
    probes = [max(8, lists // 32), max(16, lists // 16), max(32, lists // 8)]
    fp16, int8 = faiss.ScalarQuantizer.QT_fp16, faiss.ScalarQuantizer.QT_8bit
    by_probes = [(f"{p} of {lists} lists", faiss.SearchParametersIVF(nprobe=p)) for p in probes]
    yield "flat fp16", lambda: faiss.IndexScalarQuantizer(d, fp16, ip), [("", None)], False
    yield "flat int8", lambda: faiss.IndexScalarQuantizer(d, int8, ip), [("", None)], True
    yield "flat RaBitQ", lambda: faiss.IndexRaBitQFastScan(d, ip), [("", None)], True
    yield "IVF fp16", lambda: _ivf(faiss.IndexIVFScalarQuantizer, d, lists, fp16, ip, False), by_probes, False
    yield "IVF PQ 96x4", lambda: _ivf(faiss.IndexIVFPQFastScan, d, lists, d // 4, 4, ip), by_probes, True
    rabitq = [(label, faiss.IVFRaBitQSearchParameters(nprobe=p.nprobe)) for label, p in by_probes]
    yield "IVF RaBitQ", lambda: _ivf(faiss.IndexIVFRaBitQFastScan, d, lists, ip, 32), rabitq, True
    widths = [(f"ef {ef}", faiss.SearchParametersHNSW(efSearch=ef)) for ef in (64, 128, 256)]
    yield "HNSW 32 int8", lambda: faiss.IndexHNSWSQ(d, int8, 32, ip), widths, True


def _ivf(kind: Any, dimension: int, lists: int, *options: Any) -> Any:
    quantizer = faiss.IndexFlatIP(dimension)
    index = kind(quantizer, dimension, lists, *options)
    quantizer.this.disown()
    index.own_fields = True
    index.cp.niter, index.cp.min_points_per_centroid = 8, 1
    return index


def _search_all(
    index: Any, rows: Rows, queries: Queries, options: Any, is_compared_exactly: bool
) -> tuple[list[list[int]], NDArray[np.float64]]:
    found, times = [], []
    for query in queries:
        started = time.perf_counter()
        ids = index.search(query[np.newaxis], 5 * _LIMIT if is_compared_exactly else _LIMIT, params=options)[1][0]
        ids = ids[ids >= 0]
        if is_compared_exactly:
            ids = ids[np.argsort(-(rows[ids].astype(np.float32) @ query), kind="stable")]
        times.append(1000 * (time.perf_counter() - started))
        found.append(ids[:10].tolist())
    return found, np.array(times)


# --- ours -------------------------------------------------------------------------------------------------------------


def _ours(rows: Rows, queries: Queries, nearest: Sequence[set[int]]) -> Table:
    table = Table("Ours", "p50 ms", "p95 ms", "Result", title=f"{len(rows):,} vectors")
    before = _resident()
    vectors = VectorReplica(rows.shape[1])
    started = time.perf_counter()
    documents = len(rows) // _DOCUMENT
    for first in range(0, documents, 1000):
        vectors.apply([_change(rows, n, n) for n in range(first, min(documents, first + 1000))])
    added = time.perf_counter() - started
    vectors.train_due()
    built = f"{added:.1f} s to add, {time.perf_counter() - started - added:.1f} s to train"
    table.add_row("build", "", "", f"{built}, {(_resident() - before) / len(rows):,.0f} bytes/vector resident")
    for name, condition in {
        "no filter": None,
        "10 % of the documents": {"type": "eq", "key": "of 10", "value": 1},
        "1 %": {"type": "eq", "key": "of 100", "value": 1},
        "0.1 %": {"type": "eq", "key": "of 1000", "value": 1},
        "50 %": {"type": "lt", "key": "of 10", "value": 5},
    }.items():
        scope = Scope(vector_store_ids=frozenset([_STORE]), filter=condition and parse_filter(condition))
        times, found = [], []
        for query in queries:
            started = time.perf_counter()
            hits = vectors.search(query, limit=_LIMIT, scope=scope)
            times.append(1000 * (time.perf_counter() - started))
            found.append({hit.chunk_id for hit in hits[:10]})
        result = "" if condition else f"recall@10 {_recall(found, nearest)}"
        table.add_row(name, f"{np.median(times):.2f}", f"{np.percentile(times, 95):.2f}", result)
    for name, changes in {
        "add 20 chunks": [_change(rows, n % documents, documents + n) for n in range(100)],
        "remove them": [DocumentChange(seq=0, document_id=documents + n + 1, document=None) for n in range(100)],
    }.items():
        times = []
        for change in changes:
            started = time.perf_counter()
            vectors.apply([_numbered(change, vectors.position + 1)])
            times.append(1000 * (time.perf_counter() - started))
        table.add_row(name, f"{np.median(times):.2f}", f"{np.percentile(times, 95):.2f}", "")
    return table


def _change(rows: Rows, of: int, number: int) -> DocumentChange:
    """Publish document `number` with the vectors of the `of`-th twenty rows."""
    chunk_ids = np.arange(number * _DOCUMENT, (number + 1) * _DOCUMENT)
    document = IndexedDocument(
        document_id=number + 1,
        vector_store_id=_STORE,
        attributes={
            "of 10": number % 10,
            "of 100": number % 100,
            "of 1000": number % 1000,
            "name": f"document {number}",
        },
        chunk_ids=chunk_ids,
        texts=[],
        vectors=rows[of * _DOCUMENT : (of + 1) * _DOCUMENT],
        window_chunk_ids=chunk_ids,
    )
    return DocumentChange(seq=number + 1, document_id=number + 1, document=document)


def _numbered(change: DocumentChange, seq: int) -> DocumentChange:
    return DocumentChange(seq=seq, document_id=change.document_id, document=change.document)


def _resident() -> int:
    """Return the memory of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()

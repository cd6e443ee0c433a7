"""Lexical search on tantivy and on SQLite's FTS5: speed, size, and the cost of a change, at one number of passages.

.venv/bin/python -m benchmarks.lexical --chunks 10000

Passages are made of sentences of ../shared/eval, 20 to a document, and the questions are that data's. Each back end
runs in a process of its own. Times are p50, p95 and p99 in ms, in brackets those of processor time. Figures with
machine and date go into docs/benchmarks.md.
"""

import argparse
import json
import multiprocessing
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.lexical_corpus import Texts, questions
from benchmarks.lexical_fts5 import Fts5Index
from catalog.feed import DocumentChange, IndexedDocument
from retrieval.indexes.base import Hit
from retrieval.lexical import LexicalIndex
from retrieval.searcher import CANDIDATES

_PER_DOCUMENT: Final = 20
# Documents of a batch while the index is built: what the feed gives at once.
_BATCH: Final = 200
# What is measured of additions and deletions.
_CHANGES: Final = 100
_SHARES: Final = (1.0, 0.5, 0.1, 0.01, 0.001)
_BACK_ENDS: Final[dict[str, Callable[[Path], "Index"]]] = {
    "tantivy": LexicalIndex,
    "fts5": Fts5Index,
    "fts5 without terms in over 20 %": lambda path: Fts5Index(path, frequent=0.2),
    "fts5 without terms in over 5 %": lambda path: Fts5Index(path, frequent=0.05),
}


class Index(Protocol):
    """What is measured."""

    def apply(self, changes: Sequence[DocumentChange]) -> None: ...
    def search(self, query: str, *, limit: int, document_ids: Collection[int] | None) -> list[Hit]: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--data", type=Path, default=Path("../shared/eval"))
    parser.add_argument("--back-ends", nargs="+", choices=_BACK_ENDS, default=list(_BACK_ENDS))
    parser.add_argument("--questions", type=int, default=200, help="how many of 200 are asked")
    parser.add_argument("--keep", type=Path, help="folder for the indexes; one that is there is asked, not changed")
    parser.add_argument("--json", action="store_true", help="print figures as JSON, one object per back end")
    arguments = parser.parse_args()
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="footnote-lexical-bench-"))
    figures = {}
    for name in arguments.back_ends:
        process = multiprocessing.get_context("spawn")
        with process.Pool(1) as pool:
            figures[name] = pool.apply(_measure, (name, folder, arguments.data, arguments.chunks, arguments.questions))
        if arguments.json:
            Console(highlight=False, soft_wrap=True).print_json(json.dumps({name: figures[name]}))
    if not arguments.keep:
        shutil.rmtree(folder)
    table = Table(f"{arguments.chunks:,} passages", *figures, box=None, pad_edge=False)
    for row in dict.fromkeys(row for each in figures.values() for row in each):
        table.add_row(row, *(each.get(row, "") for each in figures.values()))
    Console(highlight=False).print(table)


def _measure(name: str, folder: Path, data: Path, chunks: int, asked: int) -> dict[str, str]:
    """Return the figures of one back end, as texts."""
    path = folder / f"{name.partition(' ')[0]}-{chunks}"
    texts, found = Texts(data, seed=1), dict[str, str]()
    documents = chunks // _PER_DOCUMENT
    is_new = not path.exists()
    if is_new:
        found |= _build(_BACK_ENDS[name](path), texts, documents)
    found["MB on disk"] = f"{_size(path) / 1e6:,.0f}"
    before = psutil.Process().memory_info().rss
    index = _BACK_ENDS[name](path)
    wanted = questions(data, seed=1)[:: max(1, 200 // asked)]
    dice = random.Random(2)
    for share in _SHARES:
        allowed = (
            None if share == 1.0 else frozenset(dice.sample(range(1, documents + 1), max(1, int(documents * share))))
        )
        found[f"query, {share:.1%} of the documents"] = _queries(index, wanted, allowed)
    found["MB resident more than before opening"] = f"{(psutil.Process().memory_info().rss - before) / 1e6:,.0f}"
    if is_new and " " not in name:
        found |= _changes(index, _BACK_ENDS[name], path, texts, documents)
    found["MB resident at most"] = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:,.0f}"
    index.close()
    return found


def _build(index: Index, texts: Texts, documents: int) -> dict[str, str]:
    seconds = 0.0
    for first in range(1, documents + 1, _BATCH):
        changes = [_publication(texts, number) for number in range(first, min(first + _BATCH, documents + 1))]
        started = time.perf_counter()
        index.apply(changes)
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    index.flush()
    index.close()
    seconds += time.perf_counter() - started
    return {"built, passages/s": f"{documents * _PER_DOCUMENT / seconds:,.0f}"}


def _publication(texts: Texts, number: int) -> DocumentChange:
    first = (number - 1) * _PER_DOCUMENT
    chunk_ids = np.arange(first + 1, first + _PER_DOCUMENT + 1, dtype=np.int64)
    document = IndexedDocument(
        document_id=number,
        vector_store_id="vs",
        attributes={},
        chunk_ids=chunk_ids,
        texts=list(texts.passages(_PER_DOCUMENT, first=first)),
        vectors=np.empty((0, 0), dtype=np.float16),
        window_chunk_ids=np.empty(0, dtype=np.int64),
    )
    return DocumentChange(seq=number, document_id=number, document=document)


def _queries(index: Index, wanted: Sequence[str], allowed: frozenset[int] | None) -> str:
    for question in wanted[:5]:
        index.search(question, limit=CANDIDATES, document_ids=allowed)
    ask = partial(index.search, limit=CANDIDATES, document_ids=allowed)
    return _percentiles([_timed(partial(ask, question)) for question in wanted])


def _changes(index: Index, opened: Callable[[Path], Index], path: Path, texts: Texts, documents: int) -> dict[str, str]:
    """Add documents and remove them again, one at a time; each is found, or not, by the very next search."""
    added = [_publication(texts, number) for number in range(documents + 1, documents + 1 + _CHANGES)]
    word = f"k{(added[0].document_id - 1) * _PER_DOCUMENT:07x}"
    before = psutil.Process().io_counters().write_bytes
    adding = [_timed(partial(index.apply, [change])) for change in added]
    index.flush()
    written = psutil.Process().io_counters().write_bytes - before
    assert index.search(word, limit=1, document_ids=None), "an added document is not found"
    other = opened(path)
    assert other.search(word, limit=1, document_ids=None), "another process does not find it"
    other.close()
    removed = [
        DocumentChange(seq=change.seq + _CHANGES, document_id=change.document_id, document=None) for change in added
    ]
    removing = [_timed(partial(index.apply, [change])) for change in removed]
    assert not index.search(word, limit=1, document_ids=None), "a removed document is found"
    flushing = _timed(index.flush)
    return {
        "document added, until it is searched": _percentiles(adding),
        "document removed": _percentiles(removing),
        "100 removals brought to disk, ms": f"{flushing[0] * 1000:.0f}",
        "kB written for a document": f"{written / _CHANGES / 1e3:,.0f}",
    }


def _timed(deed: Callable[[], Any]) -> tuple[float, float]:
    """Return seconds by the wall clock, and of this thread's processor time, which busy neighbours do not stretch."""
    started, worked = time.perf_counter(), time.thread_time()
    deed()
    return time.perf_counter() - started, time.thread_time() - worked


def _percentiles(seconds: Sequence[tuple[float, float]]) -> str:
    wall, processor = (np.percentile(each, [50, 95, 99]) * 1000 for each in zip(*seconds, strict=True))
    return f"{' '.join(f'{value:.1f}' for value in wall)} ({' '.join(f'{value:.1f}' for value in processor)})"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


if __name__ == "__main__":
    main()

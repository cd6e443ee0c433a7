"""What becomes of every file of a folder, and how fast each format is read.

    .venv/bin/python -m benchmarks.formats ../shared/eval/parser_docs/files --expected ../shared/eval/parser_docs

Every file is parsed in a child as the worker does it. Prints two Markdown tables: a row per file with its outcome, then
a row per format. `recall` is the share of the words of a reference text (`NAME.md` below the folder of `--expected`)
that the parsed text holds too, each as often. Speeds count the whole life of the child; chunks are cut by the default
strategy with the tokens of a hashing embedder, or of the configured one with `--model`.
"""

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from api.models import make_embedder
from api.settings import load_settings
from catalog.errors import DocumentRejected
from ingest.chunking import AutoStrategy, Tokenize, chunk
from ingest.documents import ParsedDocument
from ingest.parsers.media_types import suffix_of
from ingest.sandbox import ParseLimits, parse_in_child
from retrieval.embedders.hashing import HashingEmbedder

_SAMPLE = Path(__file__).parent.parent / "data" / "sample"
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: a document or an error."""

    name: str
    seconds: float
    document: ParsedDocument | None = None
    error: DocumentRejected | None = None
    # Share of the reference's words, 0 to 1; None without a reference.
    recall: float | None = None
    chunks: int = 0
    chunk_seconds: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=_SAMPLE)
    parser.add_argument("--expected", type=Path, help="folder that holds reference texts as NAME.md")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds that one file may take")
    parser.add_argument("--model", action="store_true", help="count tokens with the configured embedder")
    parser.add_argument("--texts", type=Path, help="folder that the parsed texts are written to")
    arguments = parser.parse_args()
    embedder = make_embedder(load_settings(log_level="error")) if arguments.model else HashingEmbedder()
    paths = sorted(path for path in arguments.folder.rglob("*") if path.is_file())
    if not paths:
        parser.error(f"{str(arguments.folder)!r} holds no files")
    limits = ParseLimits(timeout_s=arguments.timeout)
    _parse(paths[0], limits)  # Starts the fork server, whose imports are not the first file's.
    outcomes = []
    for path in paths:
        outcome = _chunked(_parse(path, limits), embedder.token_spans)
        outcomes.append(replace(outcome, recall=_recall(outcome, arguments.expected)))
        if arguments.texts and outcome.document:
            arguments.texts.mkdir(parents=True, exist_ok=True)
            (arguments.texts / f"{path.name}.txt").write_text(outcome.document.text, encoding="utf-8")
    print("\n".join([*_file_table(outcomes), "", *_format_table(outcomes)]))  # noqa: T201 - it is the product.


def _parse(path: Path, limits: ParseLimits) -> Outcome:
    started = time.perf_counter()
    document, error = None, None
    try:
        document = parse_in_child(path, filename=path.name, limits=limits)
    except DocumentRejected as exc:
        error = exc
    return Outcome(name=path.name, seconds=time.perf_counter() - started, document=document, error=error)


def _chunked(outcome: Outcome, tokenize: Tokenize) -> Outcome:
    if outcome.document is None:
        return outcome
    started = time.perf_counter()
    chunks = sum(1 for _ in chunk(outcome.document, AutoStrategy(), tokenize))
    return replace(outcome, chunks=chunks, chunk_seconds=time.perf_counter() - started)


def _recall(outcome: Outcome, expected: Path | None) -> float | None:
    reference = next(expected.rglob(f"{outcome.name}.md"), None) if expected else None
    if reference is None or outcome.document is None:
        return None
    words, found = _words(reference.read_text(encoding="utf-8")), _words(outcome.document.text)
    return (words & found).total() / max(words.total(), 1)


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _file_table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    yield "| file | type | characters | pages read | recall | outcome | seconds |"
    yield "|---|---|---:|---:|---:|---|---:|"
    for outcome in outcomes:
        document = outcome.document
        cells = [
            outcome.name,
            document.media_type.rsplit(".", 1)[-1] if document else "",
            f"{len(document.text):,}" if document else "",
            f"{document.pages_read} / {document.pages}" if document and document.pages is not None else "",
            f"{outcome.recall:.3f}" if outcome.recall is not None else "",
            _in_words(outcome),
            f"{outcome.seconds:.2f}",
        ]
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _in_words(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"{outcome.error.code}: {outcome.error.message}"
    warnings = outcome.document.warnings if outcome.document else ()
    return "; ".join(("read", *warnings))


def _format_table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Yield a row per format, over the files that were read."""
    formats: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        formats.setdefault(suffix_of(outcome.name) or outcome.name, []).append(outcome)
    yield "| format | files | read | pages/s | characters/s | chunks | chunks/s |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for suffix, group in sorted(formats.items()):
        read = [outcome for outcome in group if outcome.document]
        seconds = sum(outcome.seconds for outcome in read)
        pages = sum(o.document.pages or 0 for o in read if o.document)
        characters = sum(len(o.document.text) for o in read if o.document)
        chunks, chunk_seconds = sum(o.chunks for o in read), sum(o.chunk_seconds for o in read)
        rates = (_rate(pages, seconds), _rate(characters, seconds), f"{chunks:,}", _rate(chunks, chunk_seconds))
        yield f"| {suffix} | {len(group)} | {len(read)} | {' | '.join(rates)} |"


def _rate(amount: int, seconds: float) -> str:
    return f"{amount / seconds:,.0f}" if amount and seconds else ""


if __name__ == "__main__":
    main()

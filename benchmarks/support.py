"""Precision and recall of finding sentences without support, on judged texts; and of the spans that are cited.

.venv/bin/python -m benchmarks.support ../shared/eval --meaning

begin_wow: a response of one or two sentences and the sentence that it was to draw on. faithbench: summaries, and their
sentences. clapnq: sentences of long answers, each with the passage that they are from and with that of another
question; and the sentences of the passage that people chose as support, against the spans that would be cited.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from api.models import make_embedder
from api.settings import load_settings
from generation.support import Span, SupportFinder, is_claim
from retrieval.sentences import split_sentences

# Shares of a sentence's words at which "by words alone" is measured.
_SHARES: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A text of one or more sentences, what it should rest on, and whether it does."""

    text: str
    source: str
    is_supported: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """How many texts without support were found."""

    # Of those called unsupported the share that is, and of those that are the share that was called so.
    precision: float
    recall: float
    # Mean of the recall of both classes: 0.5 is chance.
    balanced_accuracy: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where begin_wow, faithbench and clapnq are")
    parser.add_argument("--meaning", action="store_true", help="compare in meaning too, with the configured embedder")
    parser.add_argument("--limit", type=int, help="at most so many texts of each set, the first ones")
    arguments = parser.parse_args()
    embedder = make_embedder(load_settings(log_level="error")) if arguments.meaning else None
    sets = {
        "begin_wow, responses": list(begin(arguments.folder / "begin_wow")),
        "faithbench, sentences": list(faithbench_sentences(arguments.folder / "faithbench")),
        "faithbench, summaries": list(faithbench_summaries(arguments.folder / "faithbench")),
        "clapnq, sentences": list(clapnq(arguments.folder / "clapnq")),
    }
    table = Table("set", "texts", "without support", "support by", "precision", "recall", "balanced accuracy")
    for name, samples in sets.items():
        chosen = samples[: arguments.limit]
        unsupported = sum(not sample.is_supported for sample in chosen)
        held = {"words": judged(chosen, SupportFinder())}
        held |= {f"words, share {share}": shares_reached(chosen, share) for share in _SHARES}
        if embedder:
            held["words or meaning"] = judged(chosen, SupportFinder(embedder))
        for way, flags in held.items():
            found = measure(chosen, flags)
            values = (found.precision, found.recall, found.balanced_accuracy)
            table.add_row(name, str(len(chosen)), str(unsupported), way, *(f"{value:.3f}" for value in values))
    console = Console(highlight=False, width=140)
    console.print(table)
    precision, recall = cited_spans(list(rows(arguments.folder / "clapnq"))[: arguments.limit], arguments.folder)
    console.print(f"clapnq, cited spans against chosen sentences: precision {precision:.3f}, recall {recall:.3f}")


def begin(folder: Path) -> Iterator[Sample]:
    """Yield the responses but the generic ones, which claim nothing."""
    for row in rows(folder):
        if row["label"] != "Generic":
            is_supported = row["label"] == "Fully attributable"
            yield Sample(text=row["response"], source=row["knowledge"], is_supported=is_supported)


def faithbench_summaries(folder: Path) -> Iterator[Sample]:
    """Yield whole summaries; one with a span that an annotator calls unwanted has no support."""
    for row in rows(folder):
        yield Sample(text=row["summary"], source=row["source"], is_supported=row["worst"] != "unwanted")


def faithbench_sentences(folder: Path) -> Iterator[Sample]:
    """Yield sentences of summaries; one that an unwanted span touches has no support."""
    for row in rows(folder):
        unwanted = [(a["start"], a["end"]) for a in row["annotations"] if "Unwanted" in a["label"]]
        for start, end in split_sentences(row["summary"]):
            is_touched = any(first < end and start < last for first, last in unwanted)
            yield Sample(text=row["summary"][start:end], source=row["source"], is_supported=not is_touched)


def clapnq(folder: Path) -> Iterator[Sample]:
    """Yield sentences of answers with the passage that they were written from, and with the next question's."""
    passages = {row["_id"]: row["text"] for row in rows(folder, "corpus.jsonl")}
    answered = [row for row in rows(folder) if row["answers"]]
    for row, other in zip(answered, [*answered[1:], answered[0]], strict=True):
        for start, end in split_sentences(row["answers"][0]):
            sentence = row["answers"][0][start:end]
            yield Sample(text=sentence, source=passages[row["context_id"]], is_supported=True)
            yield Sample(text=sentence, source=passages[other["context_id"]], is_supported=False)


def rows(folder: Path, name: str | None = None) -> Iterator[dict[str, Any]]:
    path = folder / (name or ("samples.jsonl" if (folder / "samples.jsonl").exists() else "queries.jsonl"))
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def judged(samples: Sequence[Sample], finder: SupportFinder) -> list[bool]:
    """Return for each text whether all of its sentences are supported, as the service judges it."""
    return [all(finder.locate(each, sample.source) for each in claims(sample.text)) for sample in samples]


def shares_reached(samples: Sequence[Sample], share: float) -> list[bool]:
    """The same by the share of words alone that the best span has to hold."""
    finder = SupportFinder()

    def reaches(sentence: str, source: str) -> bool:
        support = finder.judge(sentence, source)
        return support is not None and support.share >= share

    return [all(reaches(each, sample.source) for each in claims(sample.text)) for sample in samples]


def claims(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text) if is_claim(text[start:end])]


def measure(samples: Sequence[Sample], is_supported: Sequence[bool]) -> Found:
    pairs = list(zip(samples, is_supported, strict=True))
    right = sum(not sample.is_supported and not held for sample, held in pairs)
    called = sum(not held for held in is_supported)
    unsupported = sum(not sample.is_supported for sample in samples)
    kept = sum(sample.is_supported and held for sample, held in pairs)
    recall = right / unsupported
    return Found(
        precision=right / called if called else 1.0,
        recall=recall,
        balanced_accuracy=(recall + kept / (len(samples) - unsupported)) / 2,
    )


def cited_spans(queries: Iterable[dict[str, Any]], folder: Path) -> tuple[float, float]:
    """Return the share of cited spans that touch a chosen sentence, and of chosen sentences that one touches."""
    passages = {row["_id"]: row["text"] for row in rows(folder / "clapnq", "corpus.jsonl")}
    finder = SupportFinder()
    cited = right = wanted = reached = 0
    for row in queries:
        if not row["answers"]:
            continue
        passage = passages[row["context_id"]]
        chosen = [span for each in row["selected_sentences"][0] if (span := _place(each, passage))]
        spans = [span for each in claims(row["answers"][0]) if (span := finder.locate(each, passage))]
        cited += len(spans)
        right += sum(any(_touch(span, other) for other in chosen) for span in spans)
        wanted += len(chosen)
        reached += sum(any(_touch(span, other) for other in spans) for span in chosen)
    return right / cited, reached / wanted


def _place(words: str, text: str) -> Span | None:
    start = text.find(words)
    return (start, start + len(words)) if start >= 0 else None


def _touch(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


if __name__ == "__main__":
    main()

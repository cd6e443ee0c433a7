"""How well the rule of support does on a set that its shares were not chosen on: leave one set out.

.venv/bin/python -m benchmarks.support_choice ../shared/eval --cache vectors.sqlite

The sets are those of `benchmarks.support`; sentences and whole summaries of faithbench are of one family and left out
together. The rule whose balanced accuracy is best in the mean of the other families is measured on the one left out.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from api.models import make_embedder
from api.settings import load_settings
from benchmarks.embedding_cache import CachedEmbedder
from benchmarks.support import Sample, begin, claims, clapnq, faithbench_sentences, faithbench_summaries, measure
from generation.markers import without_markers
from generation.support import MIN_NEARNESS, MIN_SHARE, MIN_SHARE_IF_NEAR, MIN_WORDS, SupportFinder
from retrieval.embedders.base import Embedder

# Above every cosine: meaning never decides.
_NEVER: Final = 2.0
_SHARES: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_SHARES_IF_NEAR: Final = (0.2, 0.3, 0.4, 0.5)
_NEARNESSES: Final = (0.65, 0.7, 0.75, 0.8, 0.85)
_PAIRS_AT_ONCE: Final = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What `Support.is_enough` asks for, with other figures."""

    share: float
    share_if_near: float
    nearness: float

    @property
    def name(self) -> str:
        alone = f"{self.share:.1f}"
        return alone if self.nearness == _NEVER else f"{alone}, or {self.share_if_near:.1f} and {self.nearness:.2f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A sentence beside the span of its source that supports it best."""

    # It stands there word for word.
    is_quoted: bool
    words: int
    share: float
    nearness: float

    def holds(self, rule: Rule) -> bool:
        if self.is_quoted or self.share == 1:
            return True
        is_near = self.share >= rule.share_if_near and self.nearness >= rule.nearness
        return self.words >= MIN_WORDS and (self.share >= rule.share or is_near)


@dataclass(frozen=True, kw_only=True, slots=True)
class Set:
    family: str
    samples: Sequence[Sample]
    # The sentences of each sample.
    compared: Sequence[Sequence[Compared]]

    def balanced_accuracy(self, rule: Rule) -> float:
        flags = [all(each.holds(rule) for each in of_sample) for of_sample in self.compared]
        return measure(self.samples, flags).balanced_accuracy


IN_USE: Final = Rule(share=MIN_SHARE, share_if_near=MIN_SHARE_IF_NEAR, nearness=MIN_NEARNESS)
BY_WORDS: Final = tuple(Rule(share=share, share_if_near=share, nearness=_NEVER) for share in _SHARES)
BY_WORDS_OR_MEANING: Final = (
    *BY_WORDS,
    *(
        Rule(share=share, share_if_near=if_near, nearness=nearness)
        for share, if_near, nearness in product(_SHARES, _SHARES_IF_NEAR, _NEARNESSES)
        if if_near < share
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where begin_wow, faithbench and clapnq are")
    parser.add_argument("--cache", type=Path, required=True, help="SQLite file that keeps vectors for the next run")
    arguments = parser.parse_args()
    embedder = CachedEmbedder(make_embedder(load_settings(log_level="error")), arguments.cache)
    samples = {
        "begin_wow, responses": list(begin(arguments.folder / "begin_wow")),
        "faithbench, sentences": list(faithbench_sentences(arguments.folder / "faithbench")),
        "faithbench, summaries": list(faithbench_summaries(arguments.folder / "faithbench")),
        "clapnq, sentences": list(clapnq(arguments.folder / "clapnq")),
    }
    sets = {
        name: Set(family=name.split(",")[0], samples=found, compared=compare(found, embedder))
        for name, found in samples.items()
    }
    table = Table("left out", "rules", "in use", "chosen on the others", "measured here", "best here", "measured")
    alone = Rule(share=MIN_SHARE, share_if_near=MIN_SHARE, nearness=_NEVER)
    for name, left_out in sets.items():
        others = [each for each in sets.values() if each.family != left_out.family]
        for kind, in_use, rules in (
            ("words", alone, BY_WORDS),
            ("words or meaning", IN_USE, BY_WORDS_OR_MEANING),
        ):
            chosen, best = choose(others, rules), choose([left_out], rules)
            values = [f"{left_out.balanced_accuracy(rule):.3f}" for rule in (in_use, chosen, best)]
            table.add_row(name, kind, values[0], chosen.name, values[1], best.name, values[2])
    Console(highlight=False, width=160).print(table)


def choose(sets: Iterable[Set], rules: Iterable[Rule]) -> Rule:
    """Return the rule with the best balanced accuracy in the mean of the families; of equal ones the first."""
    families: dict[str, list[Set]] = {}
    for each in sets:
        families.setdefault(each.family, []).append(each)

    def quality(rule: Rule) -> float:
        return float(np.mean([np.mean([one.balanced_accuracy(rule) for one in own]) for own in families.values()]))

    return max(rules, key=quality)


def compare(samples: Sequence[Sample], embedder: Embedder) -> list[list[Compared]]:
    """Return the sentences of each sample beside their sources."""
    finder = SupportFinder()
    # Position of sample and sentence → the words to compare in meaning.
    pairs: dict[tuple[int, int], tuple[str, str]] = {}
    found: list[list[Compared]] = []
    for position, sample in enumerate(samples):
        found.append([])
        for sentence in claims(sample.text):
            support = finder.judge(sentence, sample.source)
            is_quoted = (support is None or not support.is_enough) and bool(finder.locate(sentence, sample.source))
            if support is not None and min(_SHARES_IF_NEAR) <= support.share < max(_SHARES):
                start, end = support.span
                pairs[position, len(found[-1])] = (sentence, without_markers(sample.source)[start:end])
            found[-1].append(
                Compared(
                    is_quoted=is_quoted,
                    words=support.words if support else 0,
                    share=support.share if support else 0.0,
                    nearness=0.0,
                )
            )
    for (position, sentence_position), nearness in cosines(pairs, embedder).items():
        one = found[position][sentence_position]
        found[position][sentence_position] = Compared(
            is_quoted=one.is_quoted, words=one.words, share=one.share, nearness=nearness
        )
    return found


def cosines(pairs: Mapping[tuple[int, int], tuple[str, str]], embedder: Embedder) -> dict[tuple[int, int], float]:
    keys, found = list(pairs), {}
    for first in range(0, len(keys), _PAIRS_AT_ONCE):
        some = keys[first : first + _PAIRS_AT_ONCE]
        one, other = (embedder.embed_documents([pairs[key][side] for key in some]) for side in (0, 1))
        found |= dict(zip(some, map(float, np.einsum("ij,ij->i", one, other)), strict=True))
    return found


if __name__ == "__main__":
    main()

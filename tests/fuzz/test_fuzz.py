"""The fuzzer itself, and a short run of it: mutated files are documents that keep the laws, or refused."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from ingest.documents import Category, Element, ParsedDocument
from tests.fuzz.laws import broken_laws
from tests.fuzz.mutations import mutate
from tests.samples import small_samples

ROOT = Path(__file__).parents[2]


def test_three_hundred_mutated_files_end_in_a_stated_outcome() -> None:
    """In a process of its own, as the fuzzer forks and keeps torch from being imported."""
    command = [sys.executable, "-m", "tests.fuzz.fuzz_parsers", "--rounds", "300", "--seed", "20251121"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert (run.returncode, "rounds: 300;" in run.stdout) == (0, True), run.stdout + run.stderr


@pytest.mark.parametrize("name", sorted(small_samples()))
def test_a_mutation_is_the_same_for_the_same_seed(name: str) -> None:
    """And another one for another seed."""
    data, others = small_samples()[name], list(small_samples().values())
    once, again, other = (mutate(random.Random(seed), data, others) for seed in ("1", "1", "2"))
    assert once == again
    assert len({once, other, data}) == 3


@pytest.mark.parametrize(
    ("overrides", "broken"),
    [
        ({}, []),
        ({"text": "a\n\n\x01"}, ["the text holds '\\x01' at 3", "the text is not normalised"]),
        ({"text": "a\n\n "}, ["the text is not normalised", "the element at 3 is blank"]),
        ({"text": "a  b"}, ["between 1 and 3 is not the separator"]),
        ({"warnings": ("",)}, ["a warning is no sentence: ('',)"]),
        ({"title": "\x07"}, ["a warning, the title or a heading holds a control character"]),
        ({"pages": 1, "pages_read": 2}, ["2 of 1 pages are read"]),
        ({"pages": 1}, ["pages and pages_read are not both given"]),
    ],
)
def test_the_laws_are_noticed_when_they_are_broken(overrides: dict[str, object], broken: list[str]) -> None:
    """One at a time."""
    elements = (Element(start=0, end=1, category=Category.TEXT), Element(start=3, end=4, category=Category.TEXT))
    fields: dict[str, object] = {"text": "a\n\nb", "elements": elements, "media_type": "text/plain"}
    assert broken_laws(ParsedDocument(**fields | overrides)) == broken  # type: ignore[arg-type]

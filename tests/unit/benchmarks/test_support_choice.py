"""What is chosen on other sets is measured on the one that was left out."""

import pytest

from generation.support import SupportFinder
from retrieval.embedders.hashing import HashingEmbedder

choice = pytest.importorskip("benchmarks.support_choice", reason="the checkout has the benchmarks, a wheel has not")
support = pytest.importorskip("benchmarks.support", reason="the checkout has the benchmarks, a wheel has not")

SOURCE = "The red pump is checked every spring by Brandt. It weighs 40 kg and stands in the cellar of the house."
TEXTS = (
    "The red pump is checked every spring by Brandt.",
    "The red pump is checked in spring, and it is very loud.",
    "It weighs 40 kg. Brandt checked the pump.",
    "It weighs 50 kg.",
    "The pump sings.",
)


def some_samples() -> list["support.Sample"]:
    return [support.Sample(text=text, source=SOURCE, is_supported=n < 3) for n, text in enumerate(TEXTS)]


def a_set(family: str, *shares: tuple[float, bool]) -> "choice.Set":
    """Build a set of one sentence each, which holds this share of ten words and is supported or not."""
    return choice.Set(
        family=family,
        samples=[support.Sample(text="x", source="x", is_supported=flag) for _, flag in shares],
        compared=[[choice.Compared(is_quoted=False, words=5, share=share, nearness=0.0)] for share, _ in shares],
    )


def test_the_rule_in_use_judges_as_the_service_does(embedder: HashingEmbedder) -> None:
    """Sentence by sentence, by words and by meaning: otherwise its figures would be of another rule."""
    samples = some_samples()
    compared = choice.compare(samples, embedder)
    flags = [all(each.holds(choice.IN_USE) for each in of_sample) for of_sample in compared]
    assert flags == support.judged(samples, SupportFinder(embedder))
    assert len(set(flags)) == 2


def test_the_best_rule_in_the_mean_of_the_families_is_chosen() -> None:
    """Two sets of one family count as one."""
    low = a_set("one", (0.35, True), (0.25, False))
    high = a_set("two", (0.65, True), (0.55, False))
    assert choice.choose([low], choice.BY_WORDS).share == 0.3
    assert choice.choose([high], choice.BY_WORDS).share == 0.6
    other = a_set("three", (0.65, True), (0.55, False))
    assert choice.choose([low, low, low, high, other], choice.BY_WORDS).share == 0.6


def test_meaning_helps_only_a_rule_that_asks_for_it() -> None:
    """And never a sentence that holds too few of the words."""
    near = choice.Compared(is_quoted=False, words=2, share=0.4, nearness=0.9)
    assert near.holds(choice.Rule(share=0.6, share_if_near=0.4, nearness=0.75))
    assert not near.holds(choice.Rule(share=0.6, share_if_near=0.5, nearness=0.75))
    assert not any(near.holds(rule) for rule in choice.BY_WORDS if rule.share > 0.4)

"""The figures of the support benchmark are those of their definitions."""

from pathlib import Path

import pytest

from generation.support import SupportFinder

support = pytest.importorskip("benchmarks.support", reason="the checkout has the benchmarks, a wheel has not")

SOURCE = "The red pump is checked every spring. It weighs 40 kg."


def a_sample(text: str, *, is_supported: bool) -> "support.Sample":
    return support.Sample(text=text, source=SOURCE, is_supported=is_supported)


def test_precision_and_recall_are_of_what_has_no_support() -> None:
    """Found and right, of what was found and of what there is; chance has a balanced accuracy of one half."""
    samples = [a_sample("x", is_supported=flag) for flag in (True, True, False, False)]
    found = support.measure(samples, [True, False, False, True])
    assert (found.precision, found.recall, found.balanced_accuracy) == (0.5, 0.5, 0.5)
    assert support.measure(samples, [True, True, False, False]).balanced_accuracy == 1


def test_a_text_is_supported_when_all_its_sentences_are() -> None:
    """The same holds for a share of words."""
    whole = a_sample("The red pump is checked every spring. It weighs 40 kg.", is_supported=True)
    half = a_sample("The red pump is checked every spring. It sings.", is_supported=False)
    assert support.judged([whole, half], SupportFinder()) == [True, False]
    assert support.shares_reached([whole, half], 0.9) == [True, False]


def test_a_sentence_that_an_unwanted_span_touches_has_no_support(tmp_path: Path) -> None:
    """Annotations of other kinds do not count."""
    line = (
        '{"source": "S.", "summary": "One. Two.", "worst": "unwanted", "annotations": ['
        '{"label": ["Unwanted"], "start": 5, "end": 8}, {"label": ["Benign"], "start": 0, "end": 3}]}'
    )
    (tmp_path / "samples.jsonl").write_text(line, encoding="utf-8")
    found = [(sample.text, sample.is_supported) for sample in support.faithbench_sentences(tmp_path)]
    assert found == [("One.", True), ("Two.", False)]

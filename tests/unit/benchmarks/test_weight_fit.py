"""The weight model is fitted to what each weight would have given, and can leave a family out."""

from typing import Any

import numpy as np
import pytest

from retrieval.fusion import WeightModel

weight_fit = pytest.importorskip("benchmarks.weight_fit", reason="The wheel has no benchmarks.")


def a_part(name: str, *, best: float, prominence: float, family: str = "") -> Any:
    """Twenty queries that are ranked the better, the nearer the weight is to `best`."""
    return weight_fit.Part(
        name=name,
        family=family or name,
        signals=np.tile([prominence, 0.0, 0.0], (20, 1)),
        curves=np.tile(1 - np.abs(weight_fit.GRID - best), (20, 1)),
        reciprocal=np.zeros(20),
    )


WORDS, MEANING = a_part("words", best=0.2, prominence=8.0), a_part("meaning", best=0.9, prominence=2.0)


def test_the_fit_finds_the_weight_of_each_kind_of_query() -> None:
    """Two kinds that a signal tells apart get nearly what is best for each."""
    model = weight_fit.fit([WORDS, MEANING])
    assert WORDS.fused(model).mean() == pytest.approx(1.0, abs=0.05)
    assert MEANING.fused(model).mean() == pytest.approx(1.0, abs=0.05)


def test_a_family_that_is_left_out_teaches_nothing() -> None:
    """Its parts are gone from the fit, all of them."""
    more = a_part("words again", best=0.2, prominence=8.0, family="words")
    assert weight_fit.fit_without([WORDS, more, MEANING], "words") == weight_fit.fit([MEANING])


def test_a_family_has_one_vote_whatever_its_parts() -> None:
    """A collection in many languages does not outvote the others."""
    copies = [a_part(f"words {n}", best=0.2, prominence=8.0, family="words") for n in range(3)]
    once, often = weight_fit.fit([WORDS, MEANING]), weight_fit.fit([*copies, MEANING])
    assert (once.bias, once.prominence) == pytest.approx((often.bias, often.prominence), rel=0.02)


def test_between_grid_points_the_measure_is_interpolated() -> None:
    """A model that always says one half gets what one half gives."""
    half = WeightModel(bias=0, prominence=0, foreignness=0, lead=0)
    assert WORDS.fused(half) == pytest.approx(np.full(20, 0.7))

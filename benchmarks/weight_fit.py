"""Fitting the weight model of the fusion: from what each weight would have given to the model that chooses one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.fusion import WeightModel

# Weights of the dense side at which rankings are measured.
GRID: Final = np.linspace(0, 1, 21)
# nDCG jumps where two passages change places; averaged over neighbouring weights it has a slope. In grid steps.
_BLUR: Final = 1.0
_STEPS: Final = 600
_RATE: Final = 0.05
# Pulls the slopes, in standard deviations of their signals, towards 0 where the collections do not tell them.
_RIDGE: Final = 2e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The queries of one collection, or of one language in it, with their measure at every weight."""

    name: str
    # Parts of one family are left out together, and have one vote together.
    family: str
    # Prominence, foreignness and lead: shape (queries, 3).
    signals: NDArray[np.float64]
    # shape (queries, len(GRID)).
    curves: NDArray[np.float64]
    # The measure by reciprocal ranks: shape (queries,).
    reciprocal: NDArray[np.float64]

    def fused(self, model: WeightModel) -> NDArray[np.float64]:
        """Return each query's measure at the weight that `model` chooses, between grid points by straight lines."""
        position = _weights(_parameters(model), self.signals) * (len(GRID) - 1)
        return _interpolated(self.curves, position)[0]


def fit(parts: Sequence[Part]) -> WeightModel:
    """Return the model with the highest mean measure; each family counts alike, whatever its number of queries.

    Gradient ascent (Adam) from "one half, whatever the signals say"; deterministic.
    """
    families = [part.family for part in parts]
    votes = [1 / families.count(family) / len(set(families)) for family in families]
    blurred = [_blur(part.curves) for part in parts]
    parameters, mean, square = np.zeros(4), np.zeros(4), np.zeros(4)
    spread = np.concatenate([part.signals for part in parts]).std(axis=0)
    for step in range(1, _STEPS + 1):
        slope = -2 * _RIDGE * parameters * np.array([0.0, *spread**2])
        for part, curves, vote in zip(parts, blurred, votes, strict=True):
            weights = _weights(parameters, part.signals)
            _, rise = _interpolated(curves, weights * (len(GRID) - 1))
            change = rise * (len(GRID) - 1) * weights * (1 - weights)
            slope += vote * (change[:, np.newaxis] * _with_bias(part.signals)).mean(axis=0)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope**2
        rate = _RATE * (1 - step / (_STEPS + 1))
        parameters = parameters + rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    bias, prominence, foreignness, lead = parameters.tolist()
    return WeightModel(bias=bias, prominence=prominence, foreignness=foreignness, lead=lead)


def fit_without(parts: Sequence[Part], family: str) -> WeightModel:
    """Return the model that has seen no part of `family`."""
    return fit([part for part in parts if part.family != family])


def _parameters(model: WeightModel) -> NDArray[np.float64]:
    return np.array([model.bias, model.prominence, model.foreignness, model.lead])


def _with_bias(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.ones(len(signals)), signals])


def _weights(parameters: NDArray[np.float64], signals: NDArray[np.float64]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = 1 / (1 + np.exp(-(_with_bias(signals) @ parameters)))
    return weights


def _interpolated(
    curves: NDArray[np.float64], position: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return value and slope of each row of `curves` at `position`, which counts grid steps."""
    row, left = np.arange(len(curves)), np.minimum(position.astype(np.int64), curves.shape[1] - 2)
    start, rise = curves[row, left], curves[row, left + 1] - curves[row, left]
    return start + rise * (position - left), rise


def _blur(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    distance = np.subtract.outer(np.arange(len(GRID)), np.arange(len(GRID)))
    kernel = np.exp(-0.5 * (distance / _BLUR) ** 2)
    blurred: NDArray[np.float64] = curves @ (kernel / kernel.sum(axis=0))
    return blurred

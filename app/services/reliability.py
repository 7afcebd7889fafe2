"""How good probabilities were: calibration error, Brier score and skill, bins for a diagram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BINS = 10
_PER_BIN = 50

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bin:
    """One point of a reliability diagram."""

    predicted: float
    """The mean probability that was given."""
    observed: float
    """The share that came true."""
    labels: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """What became of `labels` predictions, each made before its label was known."""

    labels: int
    base_rate: float | None
    brier: float | None
    skill: float | None
    """1 - brier / brier of the base rate known in hindsight; 0 is no better, None where all labels agree."""
    ece: float | None
    """Expected calibration error: the mean distance of predicted from observed over bins of equal mass."""
    ece_by_chance: float | None
    """The `ece` that faultless probabilities would be expected to show with so few labels in a bin."""
    bins: tuple[Bin, ...]


def reliability(predicted: Sequence[float], came_true: Sequence[bool]) -> Reliability:
    """Judge probabilities against what happened, two sequences of one length.

    Bins hold equally many predictions (Nguyen and O'Connor, EMNLP 2015), at least 50 where there are
    as many, at most 10 bins. Brier, Monthly Weather Review 78, 1950; skill as in Murphy, 1973.
    """
    probabilities = np.asarray(predicted, np.float64)
    labels = np.asarray(came_true, np.float64)
    if not len(labels):
        return Reliability(0, None, None, None, None, None, ())
    base_rate = float(labels.mean())
    brier = float(np.mean((probabilities - labels) ** 2))
    climate = base_rate * (1 - base_rate)
    bins = _bins(probabilities, labels)
    return Reliability(
        labels=len(labels),
        base_rate=base_rate,
        brier=brier,
        skill=1 - brier / climate if climate else None,
        ece=sum(one.labels * abs(one.predicted - one.observed) for one in bins) / len(labels),
        ece_by_chance=_by_chance(probabilities, len(bins)),
        bins=bins,
    )


def _bins(probabilities: Floats, labels: Floats) -> tuple[Bin, ...]:
    return tuple(
        Bin(float(probabilities[rows].mean()), float(labels[rows].mean()), len(rows))
        for rows in _equal_mass(probabilities, _count(len(labels)))
    )


def _count(labels: int) -> int:
    return max(1, min(_BINS, labels // _PER_BIN))


def _equal_mass(probabilities: Floats, count: int) -> list[NDArray[np.intp]]:
    return list(np.array_split(np.argsort(probabilities, kind="stable"), count))


def _by_chance(probabilities: Floats, count: int) -> float:
    """The mean of |N(0, s)| is s * sqrt(2 / pi); s is that of a mean of so many Bernoulli draws."""
    variances = probabilities * (1 - probabilities)
    spread = sum(math.sqrt(variances[rows].sum()) for rows in _equal_mass(probabilities, count))
    return math.sqrt(2 / math.pi) * spread / len(probabilities)

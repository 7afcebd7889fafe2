"""What another order would have been worth, told from answers that this order gave.

Each logged slate weighs P(slate | target) / P(slate | logged). Three estimators of the mean reward:

* IPS: the mean of weight * reward (Horvitz and Thompson, 1952); without bias.
* SNIPS: divided by the mean weight instead (Swaminathan and Joachims, 2015); steadier, little bias.
* DR: a model's forecast for the target, plus the weighted error of its forecast for what was shown
  (Dudik, Langford and Li, 2011); without bias, and steadier the better the model is.

Intervals are normal, from the variance of the summands (SNIPS: of the linearised ratio). They hold for
many events; `effective` says how many there really are (Kish, 1965): below 100 do not trust them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Logged:
    """One answer that was shown and what came of it."""

    log_propensity: float
    """ln P(this slate) under the order that was in force."""
    target: float
    """P(this slate) under the order asked about, 0..1; 0 or 1 for an order without chance."""
    reward: float
    forecast_logged: float = 0.0
    """A model's expectation of the reward of the slate shown; learned from other events than this."""
    forecast_target: float = 0.0
    """The same, of the target's slates."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean reward with its interval."""

    value: float
    low: float
    high: float
    effective: float
    """Events that carry the estimate: (sum of weights)^2 / sum of squared weights."""


def ips(events: Sequence[Logged], confidence: float = 0.95) -> Estimate:
    weights, rewards = _weights(events), _rewards(events)
    return _mean(weights * rewards, weights, confidence)


def snips(events: Sequence[Logged], confidence: float = 0.95) -> Estimate:
    weights, rewards = _weights(events), _rewards(events)
    if not weights.sum():
        return Estimate(math.nan, math.nan, math.nan, 0.0)
    value = float(weights @ rewards / weights.sum())
    errors = weights * (rewards - value) / weights.mean()
    return _around(value, errors, weights, confidence)


def doubly_robust(events: Sequence[Logged], confidence: float = 0.95) -> Estimate:
    weights, rewards = _weights(events), _rewards(events)
    logged = np.array([event.forecast_logged for event in events])
    target = np.array([event.forecast_target for event in events])
    return _mean(target + weights * (rewards - logged), weights, confidence)


def _mean(summands: Floats, weights: Floats, confidence: float) -> Estimate:
    if not len(summands):
        return Estimate(math.nan, math.nan, math.nan, 0.0)
    return _around(float(summands.mean()), summands, weights, confidence)


def _around(value: float, summands: Floats, weights: Floats, confidence: float) -> Estimate:
    error = float(summands.std(ddof=1)) / math.sqrt(len(summands)) if len(summands) > 1 else math.inf
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * error
    return Estimate(value, value - reach, value + reach, _effective(weights))


def _effective(weights: Floats) -> float:
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def _weights(events: Sequence[Logged]) -> Floats:
    return np.array([event.target / math.exp(event.log_propensity) for event in events])


def _rewards(events: Sequence[Logged]) -> Floats:
    return np.array([event.reward for event in events])

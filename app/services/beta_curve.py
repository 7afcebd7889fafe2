"""A rising curve from score to probability with three parameters.

Kull, Silva Filho and Flach, "Beta calibration", AISTATS 2017:
logit P(true | raw) = a * ln(raw) - b * ln(1 - raw) + c, with a, b >= 0, so that a higher score never
means a lower probability. A normal prior on a and b draws them to 0: a score that says nothing is
given the base rate. Platt scaling (1999) is the case a = b on log odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_EDGE = 1e-3
_PRIOR = np.array([0.1, 0.1, 1e-3])
"""Precisions of a, b and c; standard deviations 3.2, 3.2 and 32."""
_STEPS = 30

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BetaCurve:
    a: float
    b: float
    c: float

    @classmethod
    def fit(cls, raw: Floats, truth: Floats, weights: Floats) -> Self:
        """Of largest posterior; where a or b would be negative it is 0 and the rest is fitted again.

        All of shape (n,); truth is 0 or 1.
        """
        rows = _features(raw)
        free = [0, 1, 2]
        while True:
            found = np.zeros(3)
            found[free] = _newton(rows[:, free], truth, weights, _PRIOR[free])
            negative = [column for column in free if column < 2 and found[column] < 0]
            if not negative:
                return cls(*found.tolist())
            free.remove(min(negative, key=lambda column: found[column]))

    def at(self, raw: Floats) -> Floats:
        """Probabilities, of the shape of `raw`."""
        return _sigmoid(_features(raw) @ np.array([self.a, self.b, self.c]))


def _features(raw: Floats) -> Floats:
    """Shape (n, 3): ln raw, -ln(1 - raw), 1."""
    inside = np.clip(raw, _EDGE, 1 - _EDGE)
    return np.column_stack((np.log(inside), -np.log1p(-inside), np.ones_like(inside)))


def _newton(features: Floats, truth: Floats, weights: Floats, precisions: Floats) -> Floats:
    """Penalised logistic regression; halves a step that would not lessen the loss."""
    found = np.zeros(features.shape[1])
    loss = _loss(found, features, truth, weights, precisions)
    for _ in range(_STEPS):
        said = _sigmoid(features @ found)
        slope = features.T @ (weights * (said - truth)) + precisions * found
        curve = (features.T * (weights * said * (1 - said))) @ features + np.diag(precisions)
        step = np.linalg.solve(curve, slope)
        while (lower := _loss(found - step, features, truth, weights, precisions)) > loss + 1e-9:
            step = step / 2
        found, loss = found - step, lower
        if float(np.abs(step).max()) < 1e-8:
            break
    return found


def _loss(found: Floats, features: Floats, truth: Floats, weights: Floats, precisions: Floats) -> float:
    logits = features @ found
    return float(weights @ (np.logaddexp(0, logits) - truth * logits) + 0.5 * precisions @ found**2)


def _sigmoid(logits: Floats) -> Floats:
    return 0.5 * (1 + np.tanh(0.5 * logits))

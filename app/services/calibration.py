"""From a raw score to a probability: a beta curve mended by steps, fitted anew as labels come.

The curve (see beta_curve.py) is right after few labels where the truth is smooth; steps (isotonic
regression: Zadrozny and Elkan, KDD 2002) are right for any truth that rises, but need many. So labels are
sorted by raw score into groups of equal size, each group's rate is drawn to the curve as if that were
`_CURVE_LABELS` labels more, the rates are made to rise, and what lies between is interpolated.

State is a fold over labels in one order, without clock or chance: the same labels give the same state.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.services.beta_curve import BetaCurve
from app.services.reliability import Reliability, reliability

ENOUGH = 50
"""Labels before a probability is given: the base rate is then known to within 0.07 (one standard error)."""
ENOUGH_OF_EACH = 10
"""Labels of the rarer class: ten events for a parameter that matters (Peduzzi et al., 1996)."""
WINDOW = 2000
"""Only the newest so many labels are kept: older ones speak of another playbook and other habits."""
METHOD = "beta, isotonic"

_CURVE_LABELS = 8.0
_GROUP = 25
_REFIT_SHARE = 0.04

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CalibrationKey:
    """What a raw score depends on. Another adapter or prompt is another score and starts with no labels."""

    tenant: str
    producer: str
    model: str
    adapter: str | None
    prompt_version: str
    scorer_version: str


@dataclass(frozen=True, slots=True)
class _Label:
    raw: float
    is_true: bool
    weight: float


class Calibration:
    """The calibration of one key. Bounded: `WINDOW` labels and as many judged predictions."""

    method = METHOD

    def __init__(self) -> None:
        self._window: deque[_Label] = deque(maxlen=WINDOW)
        self._judged: deque[tuple[float, bool]] = deque(maxlen=WINDOW)
        self._clicks = [0, 0]
        self._since_fit = 0
        self._map: tuple[Floats, Floats] | None = None

    @property
    def labels(self) -> int:
        """Labels by a click ever seen (weight 1 or more); silence is not one."""
        return sum(self._clicks)

    def observe(self, raw: float, label: bool, weight: float = 1.0) -> None:
        """Learn one label. A weight below 1 is a weak label: it is fitted, but it opens and judges nothing.

        The probability that stood before is scored first, so that no report judges what it was fitted to.
        """
        if weight >= 1.0:
            if (said := self.probability(raw)) is not None:
                self._judged.append((said, label))
            self._clicks[label] += 1
        self._window.append(_Label(raw, label, weight))
        self._since_fit += 1
        if self._is_due():
            self._map = _fit(self._window)
            self._since_fit = 0

    def probability(self, raw: float) -> float | None:
        """P(true | raw), not decreasing in raw; None before `ENOUGH` labels and `ENOUGH_OF_EACH` kind."""
        return None if self._map is None else float(np.interp(raw, *self._map))

    def report(self) -> Reliability:
        """Of the newest `WINDOW` probabilities given, each judged by a label that came later."""
        return reliability([said for said, _ in self._judged], [label for _, label in self._judged])

    def _is_due(self) -> bool:
        enough = self.labels >= ENOUGH and min(self._clicks) >= ENOUGH_OF_EACH
        return enough and (self._map is None or self._since_fit >= _REFIT_SHARE * len(self._window))


def _fit(labels: deque[_Label]) -> tuple[Floats, Floats]:
    """Raw scores, and the probability at each: both rising, with one point for each group of labels."""
    raw = np.array([one.raw for one in labels])
    truth = np.array([one.is_true for one in labels], np.float64)
    weights = np.array([one.weight for one in labels])
    curve = BetaCurve.fit(raw, truth, weights)
    group = _groups(raw)
    masses: Floats = np.bincount(group, weights).astype(np.float64)
    points = np.bincount(group, weights * raw) / masses
    trues = np.bincount(group, weights * truth)
    drawn: Floats = (trues + _CURVE_LABELS * curve.at(points)) / (masses + _CURVE_LABELS)
    return points, _rising(drawn, masses)


def _groups(raw: Floats) -> NDArray[np.intp]:
    """The number of each label's group, by raw score; equal scores are in one group, however many."""
    _, place, counts = np.unique(raw, return_inverse=True, return_counts=True)
    filled = (np.cumsum(counts) - counts) // _GROUP
    groups: NDArray[np.intp] = np.unique(filled, return_inverse=True)[1][place]
    return groups


def _rising(rates: Floats, masses: Floats) -> Floats:
    """The nearest rates that never fall: neighbours that do are pooled (Ayer et al., 1955)."""
    pools: list[tuple[float, float, int]] = []
    for rate, mass in zip(rates.tolist(), masses.tolist(), strict=True):
        pools.append((rate, mass, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (left, left_mass, left_count), (right, right_mass, right_count) = pools[-2:]
            both = left_mass + right_mass
            pools[-2:] = [((left * left_mass + right * right_mass) / both, both, left_count + right_count)]
    return np.repeat([rate for rate, _, _ in pools], [count for _, _, count in pools])

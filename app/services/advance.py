"""When an option may be assumed without asking: a threshold on its score, earned by labels.

Learn then test (Angelopoulos, Bates, Candès, Jordan and Lei, 2021): each threshold of a fixed grid is a
hypothesis "of what scores so high, a share of alpha or more is wrong"; a threshold is used once its
hypothesis is rejected. The bound is asked after every label, so the tests must hold at all times at
once: each is an e-process (Ramdas, Grünwald, Vovk and Shafer, 2023; for learn then test, Zecchin and
Simeone, 2024), a mixture of likelihood ratios of smaller error rates to alpha. By Ville's inequality a
true hypothesis ever reaches 1 / level with probability `level` at most. Thresholds are tested in fixed
sequences, strictest first, from each of `_STARTS` with an equal part of delta. What was rejected once may
stay rejected, by the same inequality; here it does until the evidence speaks for the hypothesis (below 1):
undos count in full and silences hardly, so that what was earned would else be lost with every other undo.

What may loosen the bound is a click alone, and a click that is not chosen by the score:

* before anything is advanced every question is asked, and every click counts;
* while something is advanced, a share of requests (`is_audited`) is asked all the same, by a coin that
  knows nothing of the score, and only their clicks count, so that they stand for all requests;
* an undo counts as wrong; silence after an advance is taken as right with weight 0.3, as if three
  wrong advances of ten were taken back, but never beyond the share at which undos and silences
  together weigh exactly alpha. Such a block lowers every likelihood ratio (by the Kullback-Leibler
  divergence): silence can only win back part of what undos took, never what clicks did not earn.

Habits change. The errors of what stands above the threshold are watched by an e-detector of the CUSUM
kind (Shin, Ramdas and Rinaldo, 2022): while the error rate is alpha or less, a false alarm comes once
in `PATIENCE` watched events or more seldom. On alarm all evidence is dropped and must be earned anew,
with the same delta each time it is earned.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

AUDIT_SHARE = 0.2
SILENCE_WEIGHT = 0.3
PATIENCE = 1000
GRID = tuple(round(0.94 - 0.02 * place, 2) for place in range(23))
"""Thresholds on the score, strictest first: 0.94 to 0.50. Too few scores are higher to prove anything."""
_THRESHOLDS = np.array(GRID)
_CLICKS, _ADVANCES = 0, 1
_STARTS = (0.94, 0.86, 0.76)
_BETTER = (0.05, 0.25, 0.5, 0.75)
"""Error rates, as shares of alpha, whose likelihood is held against alpha's."""
_WORSE = (1.5, 3.0, 6.0)
"""The same for the detector."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bound:
    """At most a share `alpha` of what is advanced is wrong, with probability 1 - `delta`."""

    alpha: float
    delta: float
    labels: int
    """Clicks that count, since the last standing down."""
    threshold: float | None
    """Scores from here on are advanced; None: nothing is."""


class AdvanceBound:
    """The bound of one tenant: a fold over answered, undone and silent events; counts only."""

    def __init__(self, alpha: float = 0.05, delta: float = 0.1) -> None:
        self.alpha, self.delta = alpha, delta
        self._better = _ratios(alpha, _BETTER)
        self._worse = _ratios(alpha, _WORSE)
        self.stood_down = 0
        self._threshold: float | None = None
        self._start_over()

    @property
    def bound(self) -> Bound:
        return Bound(self.alpha, self.delta, self._labels, self._threshold)

    def allows(self, score: float) -> bool:
        return self._threshold is not None and score >= self._threshold

    def answered(self, score: float, right: bool, *, advancing: bool = False, audited: bool = False) -> None:
        """A click told whether the predicted option was right.

        `advancing`: a threshold stood when the question was shown; `audited`: `is_audited` of its request.
        """
        if advancing and not audited:
            return
        self._labels += 1
        reached = score >= _THRESHOLDS
        self._clicks[reached, int(right)] += 1
        self._watch(_CLICKS, score, right)
        self._settle()

    def undone(self, score: float) -> None:
        """An advance was taken back: wrong for certain."""
        self._advanced[score >= _THRESHOLDS, 0] += 1
        self._watch(_ADVANCES, score, right=False)
        self._settle()

    def silent(self, score: float) -> None:
        """An advance stood until it could not be undone any more."""
        self._advanced[score >= _THRESHOLDS, 1] += 1
        self._watch(_ADVANCES, score, right=True, weight=SILENCE_WEIGHT)
        self._settle()

    def _settle(self) -> None:
        if self._alarm():
            self.stood_down += 1
            self._start_over()
        else:
            self._threshold = self._lowest_proved()

    def _start_over(self) -> None:
        self._labels = 0
        self._threshold = None
        self._proved = np.zeros(len(GRID), np.bool_)
        self._clicks: Floats = np.zeros((len(GRID), 2))
        self._advanced: Floats = np.zeros((len(GRID), 2))
        self._watched: Floats = np.zeros((2, len(_WORSE)))

    def _evidence(self) -> Floats:
        """The logarithm of the e-value of each threshold, shape (len(GRID),)."""
        silences = np.minimum(
            SILENCE_WEIGHT * self._advanced[:, 1], self._advanced[:, 0] * (1 / self.alpha - 1)
        )
        counted = self._clicks + np.column_stack((self._advanced[:, 0], silences))
        logs = counted @ self._better
        highest = logs.max(axis=1)
        mixed: Floats = highest + np.log(np.mean(np.exp(logs - highest[:, None]), axis=1))
        return mixed

    def _lowest_proved(self) -> float | None:
        evidence = self._evidence()
        self._proved = (self._proved & (evidence >= 0)) | (evidence >= np.log(len(_STARTS) / self.delta))
        lowest = max(_end_of_run(self._proved, GRID.index(start)) for start in _STARTS)
        return None if lowest < 0 else GRID[lowest]

    def _watch(self, kind: int, score: float, right: bool, weight: float = 1.0) -> None:
        """Clicks and advances apart, so that the silence of users who undo nothing hides no errors."""
        if self.allows(score):
            before = np.maximum(0.0, self._watched[kind])
            self._watched[kind] = before + weight * self._worse[int(right)]

    def _alarm(self) -> bool:
        return bool(np.mean(np.exp(np.minimum(self._watched, 50.0))) >= PATIENCE)


def is_audited(request_id: str) -> bool:
    """The coin of a request: heads for `AUDIT_SHARE` of all ids, known before anything else is."""
    digest = hashlib.sha256(f"audit\x1f{request_id}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8]) < AUDIT_SHARE * 2**64


def _ratios(alpha: float, shares: tuple[float, ...]) -> Floats:
    """Log likelihood ratio to alpha of a wrong (row 0) and a right event (row 1), one column a rate."""
    rates = np.minimum(alpha * np.array(shares), 0.99)
    ratios: Floats = np.log(np.array([rates / alpha, (1 - rates) / (1 - alpha)]))
    return ratios


def _end_of_run(proved: NDArray[np.bool_], start: int) -> int:
    """The last index of the unbroken run of proofs from `start`; -1 where there is none."""
    if not proved[start]:
        return -1
    failed = np.flatnonzero(~proved[start:])
    return start + int(failed[0]) - 1 if len(failed) else len(proved) - 1

"""The order shown: now and then another than the best, by chance that is known and kept.

With probability 1 - `EXPLORED` the best come in order. Else the slate is drawn from a Plackett-Luce
model (Luce, 1959; Plackett, 1975) by Gumbel noise (Yellott, 1977): each place is given to one of those left
in proportion to exp(utility / TEMPERATURE). So at most a share `EXPLORED` of the answers differs from
the best order, and every slate has a probability above 0, which is stored with the answer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXPLORED = 0.15
TEMPERATURE = 1.0
_HIGHEST_GAP = 2.0
"""Utilities further below the best count as so far below: whatever is on offer is first now and then."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slate:
    """Indices in the order shown, and the natural logarithm of the chance of just this order."""

    order: tuple[int, ...]
    log_propensity: float


def show(utilities: Sequence[float], count: int, request_id: str) -> Slate:
    """The slate of a request: the same id draws the same one."""
    best = best_order(utilities, count)
    rng = np.random.Generator(np.random.PCG64(_seed(request_id)))
    if rng.random() >= EXPLORED:
        return Slate(best, log_propensity(utilities, best))
    noisy = _tempered(utilities) + rng.gumbel(size=len(utilities))
    drawn = best_order(noisy.tolist(), count)
    return Slate(drawn, log_propensity(utilities, drawn))


def best_order(utilities: Sequence[float], count: int) -> tuple[int, ...]:
    """The `count` of highest utility, ties by index."""
    return tuple(sorted(range(len(utilities)), key=lambda index: (-utilities[index], index))[:count])


def log_propensity(utilities: Sequence[float], order: Sequence[int]) -> float:
    """The natural logarithm of P(`show` gives this slate); sums to 1 over all slates of one length."""
    chance = EXPLORED * math.exp(_log_plackett_luce(_tempered(utilities), order))
    if tuple(order) == best_order(utilities, len(order)):
        chance += 1 - EXPLORED
    return math.log(chance)


def _tempered(utilities: Sequence[float]) -> Floats:
    scaled = np.asarray(utilities, np.float64) / TEMPERATURE
    floored: Floats = np.maximum(scaled, scaled.max(initial=-math.inf) - _HIGHEST_GAP)
    return floored


def _log_plackett_luce(strengths: Floats, order: Sequence[int]) -> float:
    left = np.exp(strengths - strengths.max(initial=0.0))
    total = 0.0
    for index in order:
        total += math.log(left[index] / left.sum())
        left[index] = 0.0
    return total


def _seed(request_id: str) -> int:
    digest = hashlib.sha256(f"show\x1f{request_id}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8])

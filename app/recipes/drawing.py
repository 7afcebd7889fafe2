"""Rows as often as their weight says: an epoch stays as long, what it is made of follows the weights."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Any

from app.errors import InvalidInput

WEIGHT = "weight"
"""The column; a row without it weighs 1."""


def weight_of(row: Mapping[str, Any]) -> float:
    """Raises InvalidInput for what is no weight."""
    weight = row.get(WEIGHT, 1.0)
    if type(weight) not in (int, float) or not math.isfinite(weight) or weight < 0:
        raise InvalidInput(f"{WEIGHT} must be a number from 0, not {weight!r}")
    return float(weight)


def parted(count: int, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Places to learn from and to evaluate on, each in order; with a share one at least is evaluated on."""
    if not share or count < 2:
        return list(range(count)), []
    held = set(random.Random(seed).sample(range(count), min(count - 1, math.ceil(count * share))))
    return [place for place in range(count) if place not in held], sorted(held)


def drawn(weights: Sequence[float], seed: int) -> list[int]:
    """As many places as there are weights, in order, each as often as its share of the weights says.

    Systematic sampling (Madow 1949): n ticks one apart, begun by chance, on a line where each row takes
    n w / sum(w). A row is drawn the whole part of that or once more, in the mean just that; equal weights
    draw each row once. Exact, in fractions. Raises InvalidInput where nothing weighs anything.
    """
    ends = list(accumulate(map(Fraction, weights)))
    if not ends or not ends[-1]:
        raise InvalidInput("no row weighs anything")
    start = Fraction(random.Random(seed).random())
    step = ends[-1] / len(ends)
    return [bisect_right(ends, (start + tick) * step) for tick in range(len(ends))]

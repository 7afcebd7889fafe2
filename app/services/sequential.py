"""Is one arm better than the other? A test for two arms that may be read after every user.

Each user brings one value in 0..1 and was put into an arm by a coin of known chance, whatever came
before. The inverse-probability contrast of a user,

    x = a - b + z (y - a) / share - (1 - z) (y - b) / (1 - share),

with z = 1 for the candidate and a, b any guess of the arms' means made before this user, has as its mean
exactly the lift (candidate's mean less control's), given everything before. So the wealth of a gambler who
bets a fraction l of it on "x is above m", the product of 1 + l (x - m), is a non-negative supermartingale
wherever the lift is m or less: an e-value. By Ville's inequality it ever reaches 1 / alpha with chance
alpha at most, however often and for whatever reason somebody looks, and stops.

Betting: Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting" (JRSS B
86(1)), here with the mixture over fixed alternatives of Howard et al. 2021 ("Time-uniform, nonparametric,
nonasymptotic confidence sequences"); the contrast is the one of augmented inverse propensity weighting. As
quick as the two-sample e-variables of Turner, Ly and Gruenwald 2024, and it bounds the lift by the same
formula (docs/why.md has the figures).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Side = Literal["above", "below"]

LIFTS = (0.02, 0.05, 0.1, 0.2)
"""The lifts that are bet on side by side."""
WEIGHTS = (0.15, 0.5, 0.25, 0.1)
"""The share of the stake on each: most on the lift that is worth waiting for."""
_GUESSED = 10.0
"""Users that the first guesses of means and variance weigh."""
_LARGEST = 700.0
"""exp() of more is no float."""
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the users so far say of the lift, in the unit of their values."""

    users: int
    estimate: float | None
    """Candidate's mean less control's; None while an arm has no user."""
    low: float
    high: float
    """Each end holds at every moment with chance 1 - alpha: low > 0 just where `better` >= 1 / alpha."""
    better: float
    """The e-value against "the candidate is not better"."""
    worse: float
    """The e-value against "the candidate is not worse"."""


def evidence(candidate: NDArray[np.bool_], values: Floats, share: float, alpha: float) -> Evidence:
    """`candidate` (n,) says whose arm, `values` (n,) is in 0..1, in the order in which they came to count."""
    lifts = contrasts(candidate, values, share)
    low, high = interval(lifts, share, alpha)
    both = len(values) and candidate.any() and not candidate.all()
    return Evidence(
        users=len(values),
        estimate=float(values[candidate].mean() - values[~candidate].mean()) if both else None,
        low=low,
        high=high,
        better=e_value(lifts, share, 0.0, "above"),
        worse=e_value(lifts, share, 0.0, "below"),
    )


def contrasts(candidate: NDArray[np.bool_], values: Floats, share: float) -> Floats:
    """One number a user, with the lift as its mean; (n,)."""
    before = (np.cumsum(values) - values + 1) / (np.arange(len(values)) + 2)
    own = _guess(np.where(candidate, values, 0.0), candidate, before)
    other = _guess(np.where(candidate, 0.0, values), ~candidate, before)
    seen = np.where(candidate, (values - own) / share, -(values - other) / (1 - share))
    return own - other + seen


def log_wealth(lifts: Floats, share: float, margin: float, side: Side) -> Floats:
    """The logarithm of the e-value after each user, (n,), against "the lift is not `side` of `margin`"."""
    sign = 1.0 if side == "above" else -1.0
    gains = np.log1p(_bets(lifts, share) * (sign * (lifts - margin)))
    paths = np.cumsum(gains, axis=1)
    most = paths.max(axis=0)
    mixed: Floats = most + np.log(np.array(WEIGHTS) @ np.exp(paths - most))
    return mixed


def e_value(lifts: Floats, share: float, margin: float, side: Side) -> float:
    """After the last user; 1 before the first."""
    return math.exp(min(float(log_wealth(lifts, share, margin, side)[-1]), _LARGEST)) if len(lifts) else 1.0


def interval(lifts: Floats, share: float, alpha: float) -> tuple[float, float]:
    """The margins that the lift is not known to be above, or below; (-1, 1) at first."""
    if not len(lifts):
        return -1.0, 1.0
    return _edge(lifts, share, alpha, "above"), _edge(lifts, share, alpha, "below")


def _guess(values: Floats, mine: NDArray[np.bool_], before: Floats) -> Floats:
    """An arm's mean before each user, drawn to that of both arms while it has few."""
    total = np.cumsum(values) - values
    users: Floats = np.cumsum(mine, dtype=float) - mine
    guess: Floats = (total + _GUESSED * before) / (users + _GUESSED)
    return guess


def _bets(lifts: Floats, share: float) -> Floats:
    """(lifts, n): of the wealth, what is staked on each user; lift / variance grows fastest."""
    first = _GUESSED * 0.25 / (share * (1 - share))
    squares = lifts**2
    variance = (first + np.cumsum(squares) - squares) / (_GUESSED + np.arange(len(lifts)))
    widest = 1 + 1 / min(share, 1 - share)
    bets: Floats = np.minimum(np.array(LIFTS)[:, None] / variance, 0.5 / widest)
    return bets


def _edge(lifts: Floats, share: float, alpha: float, side: Side) -> float:
    """The last margin of which "the lift is `side` of it" is proven: the wealth falls along the way."""
    proven, open_ = (-1.0, 1.0) if side == "above" else (1.0, -1.0)
    for _ in range(_HALVINGS):
        middle = (proven + open_) / 2
        if log_wealth(lifts, share, middle, side)[-1] >= -math.log(alpha):
            proven = middle
        else:
            open_ = middle
    return proven

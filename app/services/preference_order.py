"""In which order to put questions: by the probability that this user picks each.

A conditional logit with "none of these" (McFadden, 1974): of what was shown, candidate i at place k is
picked in proportion to exp(w.x_i + b_k), none of them to exp(u). The place has weights b of its own,
learned beside the rest and left out when scoring, so that being first is not taken for being right
(the examination model; Guo et al., PAL, RecSys 2019). They can be told apart because what is shown
is shuffled a little (see showing.py).

Learning is one Newton step for each selection on a normal posterior (Laplace's approximation, kept up
online: Spiegelhalter and Lauritzen, 1990; Chapelle and Li, 2011). Its prior mean gives the present
order, so that nothing changes before something is learned; own and tenant's history weigh from
the first pick on, for they are 0 without one.

State is a fold over selections in one order, without clock or chance; its size is that of the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

PLACES: Final = 5
PRODUCERS: Final = ("local", "vllm", "http")
_HISTORY_PRIOR = (1.0, 3.0)
"""Picks and shows added to each history: an entry never shown is taken for one picked once in three."""
_ANNOYANCE = 0.2
"""What asking a user costs who never answers, against a question on which all depends (1)."""
_FADING = 0.999
"""What all that was learned weighs after the next selection: about a thousand selections count."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a question before it is shown."""

    raw: float
    """The score of the present order, 0..1."""
    rank: int
    """Its place in the present order, from 0."""
    importance: float
    """1..3."""
    producer: str
    persona_match: float = 0.0
    """How well the persona speaks for it, -1..1."""
    agreement: float = 0.0
    """The share of the other lists that propose it as well, 0..1."""
    own_picks: float = 0.0
    own_shows: float = 0.0
    """How often this user was shown the like, and picked it."""
    tenant_picks: float = 0.0
    tenant_shows: float = 0.0


# Each feature with the mean and the standard deviation of its weight before anything is learned.
_PRIORS: Final[dict[str, tuple[float, float]]] = {
    "rank": (-0.5, 0.25),
    "raw": (0.0, 1.0),
    "importance": (0.0, 0.5),
    **{f"producer {name}": (0.0, 0.5) for name in PRODUCERS},
    "persona": (0.0, 1.0),
    "agreement": (0.0, 0.5),
    "own history": (3.0, 1.5),
    "tenant history": (2.0, 1.5),
}
_SCORING: Final = len(_PRIORS)
_NONE: Final = _SCORING + PLACES
_MEANS = np.array([mean for mean, _ in _PRIORS.values()] + [0.0] * PLACES + [-0.5])
_DEVIATIONS = np.array([sd for _, sd in _PRIORS.values()] + [1e-3] + [0.5] * (PLACES - 1) + [1.0])
"""The first place is the measure of the others: its weight stays 0."""


def features(candidate: Candidate) -> Floats:
    """Shape (features,); 0 where nothing is known."""
    return np.array(
        [
            float(candidate.rank),
            candidate.raw - 0.5,
            (candidate.importance - 2) / 2,
            *(float(candidate.producer == name) for name in PRODUCERS),
            candidate.persona_match,
            candidate.agreement,
            _history(candidate.own_picks, candidate.own_shows),
            _history(candidate.tenant_picks, candidate.tenant_shows),
        ]
    )


class PreferenceOrder:
    """The weights of one tenant."""

    def __init__(self) -> None:
        self._mean = _MEANS.copy()
        self._precision = np.diag(_DEVIATIONS**-2.0)
        self.labels = 0

    def utilities(self, candidates: Sequence[Candidate]) -> Floats:
        """What they are ordered by, shape (candidates,), without regard to place."""
        rows = np.array([features(one) for one in candidates]).reshape(-1, _SCORING)
        scores: Floats = rows @ self._mean[:_SCORING]
        return scores

    def probabilities(self, candidates: Sequence[Candidate]) -> Floats:
        """P(picked | shown alone, in the first place): the raw score of a hypothesis."""
        odds: Floats = np.exp(self.utilities(candidates) - self._mean[_NONE])
        return odds / (1 + odds)

    def shares(self, shown: Sequence[Candidate]) -> Floats:
        """P(picked) of each in the order shown, and last P(none of these); shape (shown + 1,)."""
        return _softmax(_design(shown) @ self._mean)

    def selected(self, shown: Sequence[Candidate], picked: int | None, weight: float = 1.0) -> None:
        """Learn from one answer: candidates in the order shown, and the index picked; None: none of these."""
        rows = _design(shown)
        shares = _softmax(rows @ self._mean)
        chosen = len(shown) if picked is None else picked
        expected = shares @ rows
        spread = (rows.T * shares) @ rows - np.outer(expected, expected)
        prior = np.diag(_DEVIATIONS**-2.0)
        self._precision = _FADING * self._precision + (1 - _FADING) * prior + weight * spread
        pull = weight * (rows[chosen] - expected) - (1 - _FADING) * prior @ (self._mean - _MEANS)
        self._mean = self._mean + np.linalg.solve(self._precision, pull)
        self.labels += 1

    def weights(self) -> dict[str, float]:
        """The weight of each feature, for people to read."""
        names = [*_PRIORS, *(f"place {place + 1}" for place in range(PLACES)), "none"]
        return dict(zip(names, map(float, self._mean), strict=True))


def value_of_information(importance: float, relevance: float, regret: float, skip_rate: float) -> float:
    """What asking is worth: (importance / 3) * relevance * regret - 0.2 * skip_rate.

    The first part is the expected value of perfect information under 0-1 loss (Raiffa and Schlaifer,
    1961): how much is lost with a wrong guess, times how likely the user cares, times how likely the
    best guess is wrong (`Prediction.regret`). The second is the annoyance: a user who lets questions
    lie (`Habits.skip_rate`) is asked only where much depends on it.
    All inputs but importance (1..3) are in 0..1; below 0 a question is not worth asking.
    """
    return importance / 3 * relevance * regret - _ANNOYANCE * skip_rate


def _history(picks: float, shows: float) -> float:
    """The smoothed share of picks above that of an entry never shown; 0 without history."""
    prior_picks, prior_shows = _HISTORY_PRIOR
    return (picks + prior_picks) / (shows + prior_shows) - prior_picks / prior_shows


def _design(shown: Sequence[Candidate]) -> Floats:
    """A row for each candidate and a last one for "none": features, place one-hot, none."""
    rows: Floats = np.zeros((len(shown) + 1, _NONE + 1))
    for place, candidate in enumerate(shown):
        rows[place, :_SCORING] = features(candidate)
        rows[place, _SCORING + min(place, PLACES - 1)] = 1.0
    rows[-1, _NONE] = 1.0
    return rows


def _softmax(utilities: Floats) -> Floats:
    raised = np.exp(utilities - utilities.max())
    shares: Floats = raised / raised.sum()
    return shares

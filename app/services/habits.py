"""Which option would this user pick? Told by what they, and others of their tenant, picked before.

Each past pick votes for the options now on offer: its weight is how near its detail is to the one
asked (cosine), how near its option is, and how recent it is. A user's own votes form a Dirichlet
posterior over the options, whose prior is formed in the same way from the tenant's picks, whose
prior is even.
How far a user follows own habits at all is itself learned: who always does, who mostly does, and who
picks as the tenant does are three experts, mixed by Bayes' rule, with a fixed share that lets the best
one change (Herbster and Warmuth, "Tracking the best expert", 1998).

State is a fold over events in one order, without clock or chance.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Vectors

OWN_PICKS, TENANT_PICKS, USERS = 64, 256, 1000
"""Kept of a user, of a tenant, and how many users: the oldest pick goes, and the user unseen for longest."""
_FAR_DETAIL, _FAR_OPTION = 0.7, 0.6
"""Cosines from which on there is any likeness: to take one habit for another costs more than to ask."""
_OWN_PRIOR, _TENANT_PRIOR = 0.4, 2.0
"""So many votes the prior is worth."""
_FADING = 0.97
"""What a pick weighs against the next newer one of the same concern."""
_UNDO_WEIGHT = -3.0
_SHARE = 0.01
_FIRST_TRUST = np.array([0.25, 0.25, 0.5])
"""In: always own habits, own habits in three of four cases, the tenant's."""
_MOSTLY = 0.75
_LEAST = 1e-3
_EVIDENCE = 0.5
"""Votes below which own habits are not judged by an event."""
_SKIP_MEMORY = 0.98
_SKIP_PRIOR, _SHOWN_PRIOR = 1.0, 10.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Offer:
    """A detail and its options as vectors: shapes (d,) and (n, d), unit rows; n is 1 or more."""

    detail: Vectors
    options: Vectors


@dataclass(frozen=True, slots=True)
class Prediction:
    """P(option) of each option, and the one held most probable."""

    probabilities: tuple[float, ...]
    evidence: float
    """Votes of the user's own; 0 where nothing like this was picked before."""

    @property
    def option(self) -> int:
        return max(range(len(self.probabilities)), key=lambda index: (self.probabilities[index], -index))

    @property
    def score(self) -> float:
        """What is held against the threshold of auto-advance, 0..1."""
        return self.probabilities[self.option]

    @property
    def regret(self) -> float:
        """The chance that the best guess is wrong; before anything is learned, 1 - 1 / options."""
        return 1 - self.score


class _Picks:
    """The newest `size` picks, as rows of a ring."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._next = 0
        self._details: Vectors = np.zeros((0, 0), np.float32)
        self._options: Vectors = np.zeros((0, 0), np.float32)
        self._weights: Vectors = np.zeros(0, np.float32)

    def add(self, detail: Vectors, option: Vectors, weight: float) -> None:
        if len(self._weights) < self._size and self._next == len(self._weights):
            self._grow(len(detail))
        self._details[self._next], self._options[self._next] = detail, option
        self._weights[self._next] = weight
        self._next = (self._next + 1) % self._size

    def votes(self, offer: Offer) -> Floats:
        """One number for each option, 0 or more."""
        like = _sharpened(self._details @ offer.detail, _FAR_DETAIL) if len(self._weights) else self._weights
        rows = like.nonzero()[0]
        if not len(rows):
            return np.zeros(len(offer.options))
        rows = np.concatenate((rows[rows >= self._next], rows[rows < self._next]))
        like = like[rows]
        newer = like.sum() - like.cumsum()
        matches = _sharpened(self._options[rows] @ offer.options.T, _FAR_OPTION)
        votes: Floats = np.maximum(0.0, (self._weights[rows] * like * _FADING**newer) @ matches)
        return votes.astype(np.float64)

    def _grow(self, dimensions: int) -> None:
        """Room for twice as many; rows of zeros are like nothing."""
        room = min(self._size, max(4, 2 * len(self._weights)))
        grown = [np.zeros((room, dimensions), np.float32) for _ in range(2)]
        for new, old in zip(grown, (self._details, self._options), strict=True):
            new[: len(old)] = old.reshape(-1, dimensions)
        self._details, self._options = grown
        self._weights = np.concatenate((self._weights, np.zeros(room - len(self._weights), np.float32)))


class _User:
    """Picks, trust in own habits, and patience."""

    def __init__(self) -> None:
        self.picks = _Picks(OWN_PICKS)
        self.trust = _FIRST_TRUST
        self.shown = 0.0
        self.skipped = 0.0


class Habits:
    """The habits of one tenant's users."""

    def __init__(self) -> None:
        self._users: OrderedDict[str, _User] = OrderedDict()
        self._tenant = _Picks(TENANT_PICKS)

    def predict(self, user_id: str, offer: Offer) -> Prediction:
        """Changes nothing, so that asking twice is the same as asking once."""
        experts, votes = self._experts(user_id, offer)
        user = self._users.get(user_id)
        trust = _FIRST_TRUST if user is None else user.trust
        return Prediction(tuple((trust @ experts).tolist()), votes)

    def picked(self, user_id: str, offer: Offer, option: int, weight: float = 1.0) -> None:
        """The user picked `option`; a weight below 1 is a weaker sign, such as silence."""
        experts, votes = self._experts(user_id, offer)
        user = self._seen(user_id)
        if votes >= _EVIDENCE:
            user.trust = _judged(user.trust, experts[:, option], weight)
        user.picks.add(offer.detail, offer.options[option], weight)
        self._tenant.add(offer.detail, offer.options[option], weight)

    def undone(self, user_id: str, offer: Offer, option: int) -> None:
        """The user took `option` back: it weighs against it as three picks weigh for it."""
        experts, _ = self._experts(user_id, offer)
        user = self._seen(user_id)
        user.trust = _judged(user.trust, 1 - experts[:, option], 1.0)
        for picks in (user.picks, self._tenant):
            picks.add(offer.detail, offer.options[option], _UNDO_WEIGHT)

    def answered(self, user_id: str, skipped: bool) -> None:
        """The user answered what was shown, or let it lie."""
        user = self._seen(user_id)
        user.shown = _SKIP_MEMORY * user.shown + 1
        user.skipped = _SKIP_MEMORY * user.skipped + skipped

    def skip_rate(self, user_id: str) -> float:
        """The share of questions that this user lets lie, newer ones weighing more; 0.1 at first."""
        user = self._users.get(user_id)
        shown, skipped = (user.shown, user.skipped) if user is not None else (0.0, 0.0)
        return (skipped + _SKIP_PRIOR) / (shown + _SHOWN_PRIOR)

    def trust(self) -> dict[str, list[float]]:
        """How far each user is thought to follow own habits: the shares of the three experts."""
        return {user_id: user.trust.tolist() for user_id, user in self._users.items()}

    def _experts(self, user_id: str, offer: Offer) -> tuple[Floats, float]:
        """P(option) by each expert, shape (3, options), and how many votes the user's own are."""
        even = 1 / len(offer.options)
        tenant = _posterior(self._tenant.votes(offer), even, _TENANT_PRIOR)
        user = self._users.get(user_id)
        votes = np.zeros(len(offer.options)) if user is None else user.picks.votes(offer)
        own = _posterior(votes, tenant, _OWN_PRIOR)
        return np.array([own, _MOSTLY * own + (1 - _MOSTLY) * even, tenant]), float(votes.sum())

    def _seen(self, user_id: str) -> _User:
        user = self._users.setdefault(user_id, _User())
        self._users.move_to_end(user_id)
        if len(self._users) > USERS:
            self._users.popitem(last=False)
        return user


def _posterior(votes: Floats, prior: Floats | float, worth: float) -> Floats:
    mean: Floats = (votes + worth * prior) / (votes.sum() + worth)
    return mean


def _sharpened(cosines: Vectors, floor: float) -> Vectors:
    """0 at `floor` and below, 1 at 1, the square between."""
    above = np.maximum(cosines - np.float32(floor), np.float32(0)) * np.float32(1 / (1 - floor))
    squared: Vectors = above * above
    return squared


def _judged(trust: Floats, likelihoods: Floats, weight: float) -> Floats:
    """Bayes' rule, then the fixed share."""
    after = trust * np.maximum(likelihoods, _LEAST) ** weight
    mixed: Floats = (1 - _SHARE) * after / after.sum() + _SHARE * _FIRST_TRUST
    return mixed

"""Which concerns are worth the few questions there are."""

from __future__ import annotations

import numpy as np

from app.clients.slm.rules.concerns import Concern, Concerns
from app.clients.slm.rules.known import Known

_SAME = 0.5
"""Probability above which a second question would be felt as the first again."""


def select(concerns: Concerns, known: Known, count: int) -> list[Concern]:
    """Up to `count`, greedily: each the one that settles most of what is still open.

    What a question settles is the weight of all members, each times the probability that it is the
    same concern, as far as no earlier question settled it: maximum coverage, whose greedy answer is
    within 1 - 1/e of the best (Nemhauser, Wolsey, Fisher 1978).
    """
    if not concerns.members:
        return []
    weights = np.array([member.weight for member in concerns.members], np.float32)
    weights /= weights.sum() or 1.0
    settled = np.zeros_like(weights)
    gains = concerns.same @ weights
    open_ = np.ones(len(weights), bool)
    taken: list[Concern] = []
    while len(taken) < count and open_.any():
        row = int(np.argmax(np.where(open_, gains, -1.0)))
        open_[row] = False
        concern = concerns.concern(row, float(gains[row]))
        if known.answers(concern) or any(_repeats(concern, other) for other in taken):
            continue
        taken.append(concern)
        settled = np.maximum(settled, concerns.same[row])
        gains = np.maximum(0.0, concerns.same - settled) @ weights
        open_ &= concerns.same[row] < _SAME
    return taken


def _repeats(one: Concern, other: Concern) -> bool:
    """Whether most of the words of one are the other's."""
    fewer = min(len(one.core), len(other.core))
    return len(one.core & other.core) * 2 > fewer

"""Which concerns are worth the few questions there are: the best, different, and not answered yet."""

from __future__ import annotations

from collections.abc import Sequence

from app.clients.slm.rules.concerns import Concern
from app.clients.slm.rules.known import Known

_REDUNDANCY = 0.2
_FREE = 0.3
"""Details of one request are about this much alike without asking the same."""
_SAME = 0.72
"""Cosine above which a second question would be felt as the first again."""


def select(concerns: Sequence[Concern], known: Known, count: int) -> list[Concern]:
    """Up to `count`, greedily: the score less what the concern shares with those already taken."""
    left = [concern for concern in concerns if not known.answers(concern)]
    taken: list[Concern] = []
    while left and len(taken) < count:
        best = max(left, key=lambda concern: _gain(concern, taken))
        taken.append(best)
        left = [concern for concern in left if not _same(concern, best)]
    return taken


def _gain(concern: Concern, taken: Sequence[Concern]) -> float:
    nearest = max((float(concern.vector @ other.vector) for other in taken), default=0.0)
    return concern.score - _REDUNDANCY * max(0.0, nearest - _FREE)


def _same(one: Concern, other: Concern) -> bool:
    if float(one.vector @ other.vector) > _SAME:
        return True
    fewer = min(len(one.core), len(other.core))
    return len(one.core & other.core) * 2 > fewer

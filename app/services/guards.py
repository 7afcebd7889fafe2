"""What a canary must not make worse, however much is picked from it: undos, degraded answers, slow ones.

Each guard is a sequential test of its own over users, with what is allowed in place of zero. An answer that
was not valid comes from the backend behind, hence is degraded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from app.models import Outcome
from app.services.outcomes import Sitting, columns, mean
from app.services.sequential import Floats, contrasts, e_value


@dataclass(frozen=True, slots=True)
class GuardRules:
    alpha: float = 0.01
    """The chance that one guard rolls back a harmless candidate, over the whole run."""
    more_undone: float = 0.02
    more_degraded: float = 0.05
    more_slow: float = 0.15
    """So much larger than the control's share may be the candidate's."""
    times_slower: float = 2.0
    """Slow is what takes so many times the control's median."""
    timed: int = 50
    """Answers of the control by which its median is known, once and for all."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A rate that must not be `allowed` or more above the control's."""

    name: str
    control: float | None
    candidate: float | None
    allowed: float
    e_value: float
    """Against "it is not"."""
    tripped: bool


def read_guards(
    shown: Sequence[Outcome],
    share: float,
    rules: GuardRules,
    settle: Callable[[Sequence[Outcome]], list[Sitting]],
) -> tuple[Guard, ...]:
    """`shown` in order of time; `settle` says which users count by now, and with what."""
    answered = [one for one in shown if not one.exposure.degraded]
    limit, timed = _slow_after(answered, rules)
    asked: tuple[tuple[str, Sequence[Outcome], Callable[[Outcome], float], float], ...] = (
        ("undone", answered, lambda one: float(one.undone), rules.more_undone),
        ("degraded", shown, lambda one: float(one.exposure.degraded), rules.more_degraded),
        ("slow", timed, lambda one: float(one.exposure.milliseconds > limit), rules.more_slow),
    )
    return tuple(
        _guard(name, *columns(settle(among), rate), allowed, share, rules.alpha)
        for name, among, rate, allowed in asked
    )


def _slow_after(answered: Sequence[Outcome], rules: GuardRules) -> tuple[float, Sequence[Outcome]]:
    """What is slow, in milliseconds, and the answers it is asked of: those that came after it was known."""
    first = [one.exposure for one in answered if one.exposure.arm == "control"][: rules.timed]
    if len(first) < rules.timed:
        return math.inf, ()
    limit = rules.times_slower * median(one.milliseconds for one in first)
    return limit, [one for one in answered if one.exposure.at > first[-1].at]


def _guard(
    name: str, candidate: NDArray[np.bool_], rates: Floats, allowed: float, share: float, alpha: float
) -> Guard:
    found = e_value(contrasts(candidate, rates, share), share, allowed, "above")
    return Guard(
        name, mean(rates[~candidate]), mean(rates[candidate]), allowed, found, tripped=found >= 1 / alpha
    )

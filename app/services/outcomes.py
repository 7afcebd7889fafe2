"""What users made of what they were shown, one value a user.

A user is the unit, not a request: the arm is the user's, requests of one user resemble each other, and a
test that took them for independent would promise more than it keeps. A user counts once, with the mean of
the exposures of one sitting (those within a window of their first), when all of it is so old that what came
of it is known. That time is the same for everybody and for both arms: who answers sooner does not count
sooner. Later requests of a user show in the arm's counts and do not enter the test. Once counted a value is
fixed: what is said later than a window after its exposure is not read (`within`, Experiments.outcomes).

The outcome of an exposure is 1 where something shown was selected, or the rating is above zero; 0 where the
user said "none of these", undid an assumption, rated below zero, or did nothing at all: silence counts
against both arms alike. At which place the pick stood is not known here and does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from app.models import ArmName, Outcome
from app.services.sequential import Floats


@dataclass(frozen=True, slots=True)
class Sitting:
    """The exposures with which one user counts."""

    arm: ArmName
    exposures: tuple[Outcome, ...]


def success(outcome: Outcome) -> float:
    """1 or 0; the module says when."""
    rating = outcome.rating or 0.0
    if outcome.undone or outcome.none_fitted or rating < 0:
        return 0.0
    return float(outcome.selected or rating > 0)


def sittings(outcomes: Sequence[Outcome], window_seconds: float, now: datetime) -> list[Sitting]:
    """In the order in which users came, which is that in which they come to count."""
    window = timedelta(seconds=window_seconds)
    first: dict[str, Outcome] = {}
    sitting: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        began = first.setdefault(outcome.exposure.user_id, outcome).exposure
        if began.at + 2 * window <= now and outcome.exposure.at <= began.at + window:
            sitting.setdefault(began.user_id, []).append(outcome)
    return [Sitting(first[user].exposure.arm, tuple(found)) for user, found in sitting.items()]


def columns(
    sittings: Sequence[Sitting], value: Callable[[Outcome], float]
) -> tuple[NDArray[np.bool_], Floats]:
    """Of each user: is it the candidate's, and the mean of `value`."""
    candidate = np.array([one.arm == "candidate" for one in sittings], dtype=bool)
    means = [sum(map(value, one.exposures)) / len(one.exposures) for one in sittings]
    return candidate, np.array(means, dtype=float)


def mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None

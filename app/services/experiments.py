"""A candidate adapter before users: who gets it, what counts as success, and what the figures say.

Users are the unit (app/services/outcomes.py says how one counts). Degraded exposures were not answered by
their arm; they stand in the guard alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

import numpy as np

from app.models import ArmName, Experiment, Outcome
from app.services.guards import Guard, GuardRules, read_guards
from app.services.outcomes import Sitting, columns, mean, sittings, success
from app.services.sequential import Evidence, evidence

Decision = Literal["running", "promote", "roll back", "futile"]


@dataclass(frozen=True, slots=True)
class Rules:
    """When a canary ends. Shares and lifts are in 0..1, seconds are seconds."""

    worth: float = 0.02
    """The smallest lift worth having. A candidate surely below it is given up: users need not bear it until
    it is proven to be worse than nothing."""
    most_users: int = 20_000
    most_days: float = 60.0
    """From when its first users got it."""
    window_seconds: float = 900.0
    """One sitting, and the time after it until it counts; longer than an assumption can be undone."""
    guards: GuardRules = field(default_factory=GuardRules)


@dataclass(frozen=True, slots=True)
class Arm:
    """What happened in one arm; rates over its exposures, times over those that were not degraded."""

    name: ArmName
    adapter: str | None
    users: int
    exposures: int
    selected: int
    undone: int
    none_fitted: int
    rated: int
    rating: float | None
    degraded: int
    p50_ms: float | None
    p95_ms: float | None
    counted: int
    """Users in the test."""
    success: float | None
    """Mean outcome of these."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An experiment as it stands at one moment."""

    arms: tuple[Arm, Arm]
    evidence: Evidence
    guards: tuple[Guard, ...]
    decision: Decision
    reason: str


def assign(experiment_id: str, user_id: str, share: float) -> ArmName:
    """The arm of this user, the same for ever; `share` of the users get the candidate."""
    drawn = hashlib.sha256(f"{experiment_id}\0{user_id}".encode("utf-8", "surrogatepass")).digest()
    return "candidate" if int.from_bytes(drawn[:8], "big") < share * 2**64 else "control"


def read(experiment: Experiment, outcomes: Sequence[Outcome], rules: Rules, now: datetime) -> Reading:
    """What the canary says at `now`; outcomes in order of time, those of the shadow phase are left out."""
    shown = [one for one in outcomes if one.exposure.shadow is None]
    settle = partial(sittings, window_seconds=rules.window_seconds, now=now)
    counted = settle([one for one in shown if not one.exposure.degraded])
    found = evidence(*columns(counted, success), experiment.share, experiment.alpha)
    guards = read_guards(shown, experiment.share, rules.guards, settle)
    decision, reason = _decide(found, guards, experiment, rules, now)
    arms = (
        _arm("control", experiment.control, shown, counted),
        _arm("candidate", experiment.candidate, shown, counted),
    )
    return Reading(arms, found, guards, decision, reason)


def _decide(
    found: Evidence, guards: Iterable[Guard], experiment: Experiment, rules: Rules, now: datetime
) -> tuple[Decision, str]:
    """Harm first, then gain, then whether waiting is worth it."""
    if tripped := [guard.name for guard in guards if guard.tripped]:
        return "roll back", f"guard: more answers are {' and '.join(tripped)} than the control's"
    if found.better >= 1 / experiment.alpha:
        return "promote", f"users pick more from it: {_said(found)}"
    if found.high < rules.worth and (found.estimate or 0.0) <= -rules.worth:
        return "roll back", f"not worth having, and worse as it looks: {_said(found)}"
    if why := _futile(found, experiment, rules, now):
        return "futile", f"{why}: {_said(found)}"
    return "running", f"{found.users} users so far"


def _futile(found: Evidence, experiment: Experiment, rules: Rules, now: datetime) -> str:
    """Why waiting on is not worth it; "" where it is."""
    if found.high < rules.worth:
        return f"a lift of {rules.worth:.3f} is out of reach"
    if found.users >= rules.most_users:
        return "that many users and no answer"
    if now >= (experiment.canary_since or experiment.started_at) + timedelta(days=rules.most_days):
        return f"{rules.most_days:g} days and no answer"
    return ""


def _said(found: Evidence) -> str:
    lift = "unknown" if found.estimate is None else f"{found.estimate:+.3f}"
    return f"lift {lift} [{found.low:+.3f}, {found.high:+.3f}] after {found.users} users"


def _arm(name: ArmName, adapter: str | None, shown: Sequence[Outcome], counted: Sequence[Sitting]) -> Arm:
    mine = [one for one in shown if one.exposure.arm == name]
    ratings = [one.rating for one in mine if one.rating is not None]
    times = np.array([one.exposure.milliseconds for one in mine if not one.exposure.degraded])
    in_test = [one for one in counted if one.arm == name]
    return Arm(
        name=name,
        adapter=adapter,
        users=len({one.exposure.user_id for one in mine}),
        exposures=len(mine),
        selected=sum(one.selected for one in mine),
        undone=sum(one.undone for one in mine),
        none_fitted=sum(one.none_fitted for one in mine),
        rated=len(ratings),
        rating=mean(np.array(ratings)),
        degraded=sum(one.exposure.degraded for one in mine),
        p50_ms=float(np.quantile(times, 0.5)) if len(times) else None,
        p95_ms=float(np.quantile(times, 0.95)) if len(times) else None,
        counted=len(in_test),
        success=mean(columns(in_test, success)[1]),
    )

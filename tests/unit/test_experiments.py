"""Arms, outcomes, guards and decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from app.models import ArmName, Experiment, Exposure, Outcome
from app.services.experiments import Reading, Rules, assign, read
from app.services.outcomes import sittings, success
from tests.nouns import NOON, at

RULES = Rules(window_seconds=60)
LATER = NOON + timedelta(days=1)
A_CANARY = Experiment(
    id="x1",
    tenant="default",
    task="hypotheses",
    control=None,
    candidate="hypotheses-aaa",
    phase="canary",
    share=0.5,
    alpha=0.05,
    verdict="running",
    reason="",
    started_at=NOON,
)


def an_outcome(user_id: str, arm: ArmName = "control", seconds: float = 0.0, **said: Any) -> Outcome:
    exposure = Exposure(
        "default",
        "x1",
        f"{user_id}-{seconds}",
        user_id,
        arm,
        at(seconds),
        shadow=said.pop("shadow", None),
        degraded=said.pop("degraded", False),
        milliseconds=said.pop("milliseconds", 100.0),
    )
    silent: dict[str, Any] = {"selected": False, "none_fitted": False, "undone": False, "rating": None}
    return Outcome(exposure, **(silent | said))


def crowd(users: int, said: Callable[[ArmName, np.random.Generator], dict[str, Any]]) -> list[Outcome]:
    """One request of each user, a second apart, in the arm that the hash says."""
    rng = np.random.default_rng(3)
    arms = [assign("x1", f"u{number}", 0.5) for number in range(users)]
    return [an_outcome(f"u{number}", arm, number, **said(arm, rng)) for number, arm in enumerate(arms)]


def picks(control: float, candidate: float) -> Callable[[ArmName, np.random.Generator], dict[str, Any]]:
    rates = {"control": control, "candidate": candidate}
    return lambda arm, rng: {"selected": bool(rng.random() < rates[arm])}


def reading(outcomes: list[Outcome], rules: Rules = RULES) -> Reading:
    return read(A_CANARY, outcomes, rules, LATER)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_the_share_of_users_gets_the_candidate_and_keeps_it(share: float) -> None:
    arms = [assign("x1", f"user {number}", share) for number in range(20_000)]
    assert arms == [assign("x1", f"user {number}", share) for number in range(20_000)]
    assert arms.count("candidate") / 20_000 == pytest.approx(share, abs=0.01)


def test_the_arms_of_two_experiments_have_nothing_to_do_with_each_other() -> None:
    users = [f"user {number}" for number in range(20_000)]
    one, other = (
        np.array([assign(name, user, 0.5) == "candidate" for user in users]) for name in ("x1", "x2")
    )
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02


def test_a_user_id_and_an_experiment_are_not_run_together() -> None:
    pairs = [assign("x1", f"2{number}", 0.5) == assign("x12", str(number), 0.5) for number in range(2000)]
    assert 800 < sum(pairs) < 1200


def test_a_larger_share_takes_nobody_s_candidate_away() -> None:
    for number in range(1000):
        if assign("x1", f"u{number}", 0.2) == "candidate":
            assert assign("x1", f"u{number}", 0.4) == "candidate"


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ({}, 0.0),
        ({"selected": True}, 1.0),
        ({"rating": 0.5}, 1.0),
        ({"rating": 0.0}, 0.0),
        ({"selected": True, "undone": True}, 0.0),
        ({"selected": True, "rating": -1.0}, 0.0),
        ({"none_fitted": True}, 0.0),
    ],
)
def test_what_counts_as_success(said: dict[str, Any], value: float) -> None:
    assert success(an_outcome("ann", **said)) == value


def test_a_user_counts_once_with_the_first_sitting_when_it_is_over() -> None:
    outcomes = [an_outcome("ann", seconds=moment) for moment in (0, 30, 60, 61, 900)]
    assert sittings(outcomes, 60, at(119)) == []
    (sitting,) = sittings(outcomes, 60, at(120))
    assert [one.exposure.at for one in sitting.exposures] == [at(0), at(30), at(60)]
    assert sittings(outcomes, 60, LATER) == [sitting]


def test_who_came_first_counts_first() -> None:
    outcomes = [an_outcome("ann"), an_outcome("bob", seconds=5), an_outcome("ann", seconds=10)]
    assert [one.exposures[0].exposure.user_id for one in sittings(outcomes, 60, LATER)] == ["ann", "bob"]
    assert len(sittings(outcomes, 60, at(121))) == 1


def test_a_better_candidate_is_promoted() -> None:
    found = reading(crowd(1500, picks(0.5, 0.65)))
    assert found.decision == "promote"
    assert found.evidence.low > 0
    assert "lift +0." in found.reason


def test_a_bad_one_is_rolled_back_soon() -> None:
    found = reading(crowd(150, picks(0.6, 0.05)))
    assert found.decision == "roll back"
    assert found.evidence.estimate is not None
    assert found.evidence.estimate < -0.4


def test_a_few_users_decide_nothing() -> None:
    found = reading(crowd(20, picks(0.5, 0.5)))
    assert (found.decision, found.reason) == ("running", "20 users so far")


def test_waiting_ends_with_the_users_the_days_or_the_hope() -> None:
    outcomes = crowd(400, picks(0.5, 0.5))
    assert reading(outcomes, replace(RULES, most_users=400)).decision == "futile"
    assert reading(outcomes, replace(RULES, most_days=1)).decision == "futile"
    hopeless = reading(outcomes, replace(RULES, worth=0.5))
    assert hopeless.decision == "futile"
    assert "a lift of 0.500 is out of reach" in hopeless.reason


def harms() -> dict[str, dict[str, Any]]:
    return {"undone": {"undone": True}, "degraded": {"degraded": True}, "slow": {"milliseconds": 500.0}}


@pytest.mark.parametrize("name", harms())
def test_a_guard_stops_what_users_pick_more_from(name: str) -> None:
    def said(arm: ArmName, rng: np.random.Generator) -> dict[str, Any]:
        harmed = arm == "candidate" and rng.random() < 0.6
        picked = {"selected": bool(rng.random() < (0.9 if arm == "candidate" else 0.3))}
        return picked | (harms()[name] if harmed else {})

    found = reading(crowd(400, said))
    assert [guard.name for guard in found.guards if guard.tripped] == [name]
    assert found.decision == "roll back"
    assert name in found.reason


def test_guards_leave_alike_arms_alone() -> None:
    def said(arm: ArmName, rng: np.random.Generator) -> dict[str, Any]:
        return {
            "undone": bool(rng.random() < 0.1),
            "degraded": bool(rng.random() < 0.1),
            "milliseconds": float(rng.lognormal(5, 0.6)),
        }

    assert not any(guard.tripped for guard in reading(crowd(2000, said)).guards)


def test_time_is_judged_only_when_the_control_s_is_known() -> None:
    found = reading(crowd(60, lambda arm, rng: {"milliseconds": 1e6 if arm == "candidate" else 1.0}))
    slow = found.guards[2]
    assert (slow.name, slow.control, slow.e_value, slow.tripped) == ("slow", None, 1.0, False)


def test_the_arms_are_counted() -> None:
    outcomes = [
        an_outcome("ann", selected=True, rating=1.0, milliseconds=10),
        an_outcome("ann", seconds=500, undone=True, rating=0.0, milliseconds=30),
        an_outcome("bob", "candidate", none_fitted=True),
        an_outcome("cem", "candidate", degraded=True),
        an_outcome("dan", shadow={"valid": True}),
    ]
    control, candidate = reading(outcomes).arms
    assert (control.adapter, control.users, control.exposures, control.selected) == (None, 1, 2, 1)
    assert (control.undone, control.rated, control.rating, control.p50_ms) == (1, 2, 0.5, 20.0)
    assert (control.counted, control.success) == (1, 1.0)
    assert (candidate.adapter, candidate.users, candidate.degraded) == ("hypotheses-aaa", 2, 1)
    assert (candidate.counted, candidate.success, candidate.none_fitted) == (1, 0.0, 1)


def test_a_degraded_answer_is_not_the_arm_s() -> None:
    outcomes = [
        an_outcome("ann", "candidate", degraded=True),
        an_outcome("ann", "candidate", 100, selected=True),
    ]
    assert reading(outcomes).arms[1].success == 1.0

"""The test of two arms: what it promises, computed exactly where that is possible."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.services.sequential import Floats, Side, contrasts, e_value, evidence, log_wealth

USERS = 6
ARMS = arrays(bool, 40)
VALUES = arrays(float, 40, elements=st.floats(0, 1))
SHARES = st.sampled_from([0.1, 0.3, 0.5])


def expected_e_value(share: float, control: float, candidate: float, margin: float, side: Side) -> float:
    """Over every course that USERS users can take."""
    total = 0.0
    for arms in itertools.product([True, False], repeat=USERS):
        for values in itertools.product([0.0, 1.0], repeat=USERS):
            chance = 1.0
            for mine, value in zip(arms, values, strict=True):
                mean = candidate if mine else control
                chance *= (share if mine else 1 - share) * (mean if value else 1 - mean)
            lifts = contrasts(np.array(arms), np.array(values), share)
            total += chance * e_value(lifts, share, margin, side)
    return total


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize(
    ("control", "candidate", "margin"), [(0.6, 0.6, 0.0), (0.2, 0.2, 0.0), (0.5, 0.7, 0.2)]
)
def test_where_the_lift_is_the_margin_nothing_can_be_won(
    share: float, control: float, candidate: float, margin: float
) -> None:
    for side in ("above", "below"):
        assert expected_e_value(share, control, candidate, margin, side) == pytest.approx(1.0, abs=1e-12)


def test_against_a_false_claim_something_is_won_and_against_a_true_one_lost() -> None:
    assert expected_e_value(0.5, 0.2, 0.8, 0.0, "above") > 1.0
    assert expected_e_value(0.5, 0.2, 0.8, 0.0, "below") < 1.0


@given(ARMS, VALUES, SHARES, st.integers(1, 40))
def test_what_was_read_stands_when_more_users_come(
    arms: Floats, values: Floats, share: float, users: int
) -> None:
    whole = log_wealth(contrasts(arms.astype(bool), values, share), share, 0.0, "above")
    part = log_wealth(contrasts(arms[:users].astype(bool), values[:users], share), share, 0.0, "above")
    assert whole[users - 1] == pytest.approx(part[-1])


@given(ARMS, VALUES, SHARES)
def test_the_interval_and_the_e_values_say_the_same(arms: Floats, values: Floats, share: float) -> None:
    found = evidence(arms.astype(bool), values, share, alpha=0.4)
    assert -1 <= found.low <= found.high <= 1
    assert (found.low > 0) == (found.better > 1 / 0.4)
    assert (found.high < 0) == (found.worse > 1 / 0.4)


@given(ARMS, VALUES)
def test_with_even_shares_swapping_the_arms_turns_it_round(arms: Floats, values: Floats) -> None:
    mine = arms.astype(bool)
    one, other = evidence(mine, values, 0.5, 0.05), evidence(~mine, values, 0.5, 0.05)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert (one.better, one.worse) == pytest.approx((other.worse, other.better))


def test_nobody_yet_is_no_evidence() -> None:
    found = evidence(np.array([], bool), np.array([], float), 0.5, 0.05)
    assert (found.users, found.estimate, found.low, found.high) == (0, None, -1.0, 1.0)
    assert (found.better, found.worse) == (1.0, 1.0)


def test_overwhelming_evidence_is_still_a_number() -> None:
    arms = np.arange(20_000) % 2 == 0
    found = evidence(arms, arms.astype(float), 0.5, 0.05)
    assert found.estimate == 1.0
    assert found.low > 0.9
    assert math.isfinite(found.better)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_few_are_promoted_by_chance_and_most_of_the_better_ones_are(share: float) -> None:
    rng = np.random.default_rng(5)
    ends = {0.0: 0, 0.1: 0}
    for lift in ends:
        for _ in range(100):
            arms = rng.random(4000) < share
            values = (rng.random(4000) < np.where(arms, 0.6 + lift, 0.6)).astype(float)
            ends[lift] += log_wealth(contrasts(arms, values, share), share, 0.0, "above").max() >= math.log(
                20
            )
    assert ends[0.0] <= 10
    assert ends[0.1] >= 90

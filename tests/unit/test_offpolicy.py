"""The value of another order, from the log of this one: true in worlds where the truth is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.offpolicy import Estimate, Logged, doubly_robust, ips, snips

ESTIMATORS: list[Callable[[Sequence[Logged]], Estimate]] = [ips, snips, doubly_robust]
REWARDS = (0.2, 0.7, 0.4)
LOGGING, TARGET = (0.7, 0.1, 0.2), (0.1, 0.8, 0.1)
TRUTH = sum(chance * reward for chance, reward in zip(TARGET, REWARDS, strict=True))


def log(count: int, seed: int, forecasts: tuple[float, ...] = (0.0, 0.0, 0.0)) -> list[Logged]:
    rng = random.Random(seed)
    target_forecast = sum(chance * one for chance, one in zip(TARGET, forecasts, strict=True))
    events = []
    for _ in range(count):
        slate = rng.choices(range(3), LOGGING)[0]
        reward = float(rng.random() < REWARDS[slate])
        chance = math.log(LOGGING[slate])
        events.append(Logged(chance, TARGET[slate], reward, forecasts[slate], target_forecast))
    return events


@pytest.mark.parametrize("estimate", ESTIMATORS)
def test_the_interval_holds_the_truth_as_often_as_it_says(
    estimate: Callable[[Sequence[Logged]], Estimate],
) -> None:
    found = [estimate(log(1000, seed, (0.3, 0.6, 0.3))) for seed in range(150)]
    covered = sum(one.low <= TRUTH <= one.high for one in found)
    assert covered >= 150 * 0.95 - 9
    assert sum(one.value for one in found) / 150 == pytest.approx(TRUTH, abs=0.01)


def test_the_plain_mean_of_the_log_is_not_the_value_of_the_other_order() -> None:
    events = log(2000, 0)
    mean = sum(event.reward for event in events) / len(events)
    assert not ips(events).low <= mean <= ips(events).high


def test_a_good_forecast_narrows_the_interval_and_a_bad_one_does_not_bend_it() -> None:
    plain, good = doubly_robust(log(2000, 1)), doubly_robust(log(2000, 1, REWARDS))
    assert good.high - good.low < plain.high - plain.low
    bad = [doubly_robust(log(2000, seed, (1.0, 0.0, 1.0))) for seed in range(40)]
    assert sum(one.value for one in bad) / 40 == pytest.approx(TRUTH, abs=0.02)


def test_without_a_forecast_doubly_robust_is_ips() -> None:
    events = log(300, 2)
    assert doubly_robust(events) == ips(events)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50))
def test_the_value_of_the_logging_order_itself_is_the_mean(rewards: list[float]) -> None:
    events = [Logged(math.log(0.5), 0.5, reward) for reward in rewards]
    for estimate in ESTIMATORS:
        found = estimate(events)
        assert found.value == pytest.approx(sum(rewards) / len(rewards))
        assert found.low <= found.value <= found.high
        assert found.effective == pytest.approx(len(rewards))


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=40))
def test_snips_stays_within_the_rewards_seen(rows: list[tuple[float, float, float]]) -> None:
    events = [Logged(math.log(chance), target, reward) for chance, target, reward in rows]
    found = snips(events)
    if found.effective:
        assert -1e-9 <= found.value <= 1 + 1e-9
        assert found.effective <= len(rows) + 1e-6


def test_where_the_other_order_was_never_shown_nothing_is_known() -> None:
    never = [Logged(math.log(0.5), 0.0, 1.0)] * 10
    assert math.isnan(snips(never).value)
    assert ips(never).effective == 0
    for estimate in ESTIMATORS:
        assert math.isnan(estimate([]).value)


def test_one_event_has_no_interval() -> None:
    assert ips([Logged(0.0, 1.0, 1.0)]).high == math.inf

"""The learned order: unchanged without labels, personal after a few, blind to where a pick stood."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.preference_order import Candidate, PreferenceOrder, value_of_information
from app.services.showing import EXPLORED, best_order, log_propensity, show

candidates = st.lists(
    st.builds(
        Candidate,
        raw=st.floats(0, 1),
        rank=st.just(0),
        importance=st.floats(1, 3),
        producer=st.sampled_from(["local", "vllm", "http", "other"]),
        persona_match=st.floats(-1, 1),
        agreement=st.floats(0, 1),
    ),
    min_size=1,
    max_size=6,
).map(lambda found: [replace(one, rank=rank) for rank, one in enumerate(found)])
utilities = st.lists(st.floats(-20, 20), min_size=1, max_size=5)


def plain(count: int = 3) -> list[Candidate]:
    return [Candidate(raw=0.5, rank=rank, importance=2, producer="local") for rank in range(count)]


@given(st.integers(1, 6))
def test_with_no_labels_the_present_order_stands(count: int) -> None:
    """Equal but for rank: best first."""
    order = PreferenceOrder()
    assert best_order(order.utilities(plain(count)).tolist(), count) == tuple(range(count))


@given(candidates)
def test_with_no_labels_nothing_but_rank_decides(found: list[Candidate]) -> None:
    order = PreferenceOrder()
    assert best_order(order.utilities(found).tolist(), len(found)) == tuple(range(len(found)))


@given(candidates)
def test_probabilities_and_shares_are_probabilities(found: list[Candidate]) -> None:
    order = PreferenceOrder()
    assert all(0 < p < 1 for p in order.probabilities(found).tolist())
    assert order.shares(found).sum() == pytest.approx(1.0)
    assert order.shares(found).shape == (len(found) + 1,)


def test_what_is_picked_gains_and_what_is_passed_over_loses() -> None:
    order = PreferenceOrder()
    shown = [replace(one, producer=name) for one, name in zip(plain(2), ("local", "vllm"), strict=True)]
    before = order.utilities(shown)
    order.selected(shown, 1)
    after = order.utilities(shown)
    assert after[1] > before[1]
    assert after[0] < before[0]


def test_two_users_of_opposite_picks_get_opposite_orders_at_once() -> None:
    order = PreferenceOrder()
    first, second, _ = plain()
    for_ann = [replace(first, own_shows=3, own_picks=0), replace(second, own_shows=3, own_picks=3)]
    for_bob = [replace(first, own_shows=3, own_picks=3), replace(second, own_shows=3, own_picks=0)]
    assert best_order(order.utilities(for_ann).tolist(), 2) == (1, 0)
    assert best_order(order.utilities(for_bob).tolist(), 2) == (0, 1)


def test_own_history_weighs_more_than_the_tenants() -> None:
    order = PreferenceOrder()
    own = replace(plain()[0], own_shows=5, own_picks=5)
    tenant = replace(plain()[0], tenant_shows=5, tenant_picks=5)
    assert order.utilities([own])[0] > order.utilities([tenant])[0]


def test_being_first_is_not_taken_for_being_right() -> None:
    """Users who always pick what stands first teach the weight of the place, not of who stood there."""
    order, rng = PreferenceOrder(), random.Random(0)
    for _ in range(600):
        shown = [replace(plain()[0], producer=name) for name in rng.sample(["local", "vllm", "http"], 3)]
        order.selected(shown, 0)
    weights = order.weights()
    assert abs(weights["producer local"] - weights["producer vllm"]) < 0.3
    assert weights["place 2"] < -1
    assert weights["place 3"] < -1


def test_it_finds_what_users_care_for_behind_the_places() -> None:
    rng = np.random.default_rng(0)
    order = PreferenceOrder()
    for _ in range(800):
        shown = [replace(one, persona_match=float(rng.uniform(-1, 1))) for one in plain()]
        pull = np.array([2 * one.persona_match - place for place, one in enumerate(shown)] + [-1.0])
        chances = np.exp(pull) / np.exp(pull).sum()
        picked = int(rng.choice(4, p=chances))
        order.selected(shown, picked if picked < 3 else None)
    assert order.weights()["persona"] == pytest.approx(2.0, abs=0.5)


@given(st.lists(st.one_of(st.none(), st.integers(0, 2)), max_size=30))
def test_folding_again_gives_the_same(picked: list[int | None]) -> None:
    first, again = PreferenceOrder(), PreferenceOrder()
    for order in (first, again):
        for one in picked:
            order.selected(plain(), one)
    assert first.weights() == again.weights()
    assert first.labels == len(picked)


@given(utilities, st.integers(1, 3))
def test_the_chances_of_all_slates_sum_to_one(found: list[float], count: int) -> None:
    slates = itertools.permutations(range(len(found)), min(count, len(found)))
    assert sum(math.exp(log_propensity(found, slate)) for slate in slates) == pytest.approx(1.0)


@given(utilities, st.text(max_size=8))
def test_the_slate_of_a_request_is_always_the_same_and_carries_its_chance(
    found: list[float], name: str
) -> None:
    slate = show(found, 3, name)
    assert slate == show(found, 3, name)
    assert slate.log_propensity == log_propensity(found, slate.order)
    assert sorted(set(slate.order)) == sorted(slate.order)
    assert len(slate.order) == min(3, len(found))


def test_slates_come_as_often_as_their_chance_says() -> None:
    found = [1.0, 0.3, 0.0]
    drawn = [show(found, 2, f"request {number}").order for number in range(6000)]
    for slate in itertools.permutations(range(3), 2):
        assert drawn.count(slate) / 6000 == pytest.approx(math.exp(log_propensity(found, slate)), abs=0.012)


def test_so_many_answers_at_most_differ_from_the_best_order() -> None:
    level = [0.0] * 4
    differing = sum(show(level, 3, str(number)).order != best_order(level, 3) for number in range(4000))
    assert differing / 4000 <= EXPLORED + 0.015


@given(st.floats(1, 3), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_question_is_worth_more_the_more_depends_on_it(
    importance: float, relevance: float, regret: float, skip_rate: float
) -> None:
    worth = value_of_information(importance, relevance, regret, skip_rate)
    assert worth <= value_of_information(3, relevance, regret, skip_rate)
    assert worth <= value_of_information(importance, relevance, 1, skip_rate)
    assert worth <= value_of_information(importance, relevance, regret, 0)
    assert -0.2 <= worth <= 1


def test_what_is_known_already_is_not_worth_asking() -> None:
    known, unknown = (value_of_information(3, 0.6, regret, 0.1) for regret in (0.02, 1.0))
    assert known < 0.05 < unknown
    assert value_of_information(1, 0.3, 0.5, 1.0) < 0

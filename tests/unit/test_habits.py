"""What a user picks again: own habits first, the tenant's behind them, and no certainty without evidence."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.habits import OWN_PICKS, USERS, Habits, Offer

_RNG = np.random.default_rng(0)
_VECTORS = _RNG.standard_normal((60, 64)).astype(np.float32)
_VECTORS /= np.linalg.norm(_VECTORS, axis=1, keepdims=True)
OFFERS = [Offer(_VECTORS[4 * n], _VECTORS[4 * n + 1 : 4 * n + 4]) for n in range(12)]
"""Twelve unlike details with three unlike options each."""
LANGUAGE, BUDGET = OFFERS[:2]

picks = st.lists(
    st.tuples(st.sampled_from(["ann", "bob"]), st.integers(0, 11), st.integers(0, 2), st.booleans()),
    max_size=40,
)


def folded(events: list[tuple[str, int, int, bool]]) -> Habits:
    habits = Habits()
    for user, detail, option, is_undo in events:
        if is_undo:
            habits.undone(user, OFFERS[detail], option)
        else:
            habits.picked(user, OFFERS[detail], option)
    return habits


def test_with_no_history_every_option_is_as_likely() -> None:
    said = Habits().predict("ann", LANGUAGE)
    assert said.probabilities == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert said.evidence == 0
    assert said.regret == pytest.approx(2 / 3)


def test_what_was_picked_before_is_expected_again_and_surer_each_time() -> None:
    habits, scores = Habits(), []
    for _ in range(8):
        habits.picked("ann", LANGUAGE, 2)
        said = habits.predict("ann", LANGUAGE)
        assert said.option == 2
        scores.append(said.score)
    assert scores == sorted(scores)
    assert scores[0] < 0.8 < scores[-1] < 1.0


def test_two_users_of_opposite_habits_are_told_apart() -> None:
    habits = Habits()
    for _ in range(4):
        habits.picked("ann", LANGUAGE, 0)
        habits.picked("bob", LANGUAGE, 1)
    assert habits.predict("ann", LANGUAGE).option == 0
    assert habits.predict("bob", LANGUAGE).option == 1


def test_a_new_user_is_expected_to_pick_as_the_tenant_does_with_less_certainty() -> None:
    habits = Habits()
    for number in range(10):
        habits.picked(f"user {number}", LANGUAGE, 1)
    new, old = habits.predict("new", LANGUAGE), habits.predict("user 3", LANGUAGE)
    assert new.option == 1
    assert new.evidence == 0
    assert 1 / 3 < new.score < old.score


def test_a_habit_says_nothing_of_another_detail() -> None:
    habits = Habits()
    for _ in range(6):
        habits.picked("ann", LANGUAGE, 0)
    assert habits.predict("ann", BUDGET).evidence == 0


def test_options_in_another_order_are_the_same_options() -> None:
    habits = Habits()
    for _ in range(3):
        habits.picked("ann", LANGUAGE, 0)
    turned = Offer(LANGUAGE.detail, LANGUAGE.options[::-1])
    assert habits.predict("ann", turned).option == 2


def test_an_undo_outweighs_a_pick_and_a_few_picks_win_it_back() -> None:
    habits = Habits()
    for _ in range(3):
        habits.picked("ann", LANGUAGE, 0)
    sure = habits.predict("ann", LANGUAGE).probabilities[0]
    habits.undone("ann", LANGUAGE, 0)
    doubted = habits.predict("ann", LANGUAGE).probabilities[0]
    assert doubted < sure - 0.2
    for _ in range(8):
        habits.picked("ann", LANGUAGE, 0)
    assert habits.predict("ann", LANGUAGE).probabilities[0] > doubted


def test_who_picks_at_random_is_not_trusted_with_a_habit() -> None:
    rng = random.Random(0)
    habits = Habits()
    for _ in range(150):
        detail = OFFERS[rng.randrange(12)]
        habits.picked("steady", detail, 0)
        habits.picked("fickle", detail, rng.randrange(3))
    steady = [habits.predict("steady", detail).score for detail in OFFERS]
    fickle = [habits.predict("fickle", detail).score for detail in OFFERS]
    assert min(steady) > max(fickle)


def test_new_habits_replace_old_ones() -> None:
    habits = Habits()
    for option in (0, 1):
        for _ in range(20):
            habits.picked("ann", LANGUAGE, option)
    assert habits.predict("ann", LANGUAGE).option == 1


@given(picks)
def test_probabilities_are_a_distribution_and_folding_again_gives_the_same(
    events: list[tuple[str, int, int, bool]],
) -> None:
    first, again = folded(events), folded(events)
    for offer in OFFERS[:4]:
        said = first.predict("ann", offer)
        assert sum(said.probabilities) == pytest.approx(1.0)
        assert all(p >= 0 for p in said.probabilities)
        assert -1e-9 <= said.regret <= 2 / 3 + 1e-9
        assert said == again.predict("ann", offer)


@given(picks)
def test_predicting_teaches_nothing(events: list[tuple[str, int, int, bool]]) -> None:
    asked = folded(events)
    for offer in OFFERS:
        asked.predict("ann", offer)
        asked.predict("stranger", offer)
    assert asked.predict("ann", LANGUAGE) == folded(events).predict("ann", LANGUAGE)


def test_only_the_newest_picks_are_kept() -> None:
    kept, flooded = Habits(), Habits()
    for habits in (kept, flooded):
        habits.picked("ann", LANGUAGE, 0)
    for number in range(OWN_PICKS):
        flooded.picked("ann", OFFERS[2 + number % 10], 0)
    assert kept.predict("ann", LANGUAGE).evidence > 0
    assert flooded.predict("ann", LANGUAGE).evidence == 0


def test_the_user_unseen_for_longest_is_forgotten_first() -> None:
    habits = Habits()
    for number in range(USERS + 1):
        habits.answered(f"user {number}", skipped=True)
    assert habits.skip_rate("user 0") == habits.skip_rate("nobody")
    assert habits.skip_rate("user 1") > habits.skip_rate("nobody")


def test_a_text_without_words_has_no_history() -> None:
    nothing = Offer(np.zeros(64, np.float32), np.zeros((2, 64), np.float32))
    habits = Habits()
    habits.picked("ann", nothing, 0)
    assert habits.predict("ann", nothing).probabilities == pytest.approx((0.5, 0.5))


def test_skips_raise_the_skip_rate_and_answers_lower_it() -> None:
    habits = Habits()
    rates = [habits.skip_rate("ann")]
    for _ in range(5):
        habits.answered("ann", skipped=True)
        rates.append(habits.skip_rate("ann"))
    assert rates == sorted(rates)
    for _ in range(60):
        habits.answered("ann", skipped=False)
    assert habits.skip_rate("ann") < 0.1 < rates[-1] < 1.0

"""The bound on what is assumed without asking: earned by clicks, lost by undos, never widened by silence."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.advance import AUDIT_SHARE, GRID, AdvanceBound, is_audited

Kind = Literal["right", "wrong", "undo", "silence"]
Event = tuple[Kind, float]

unit = st.floats(0, 1)
kinds = st.sampled_from(["right", "right", "right", "wrong", "undo", "silence"])
events = st.lists(st.tuples(kinds, unit), max_size=60)
GOOD: list[Event] = [("right", 0.95)] * 100


def times(count: int, kind: Kind, score: float) -> list[Event]:
    return [(kind, score)] * count


def tell(bound: AdvanceBound, event: Event) -> None:
    kind, score = event
    if kind == "undo":
        bound.undone(score)
    elif kind == "silence":
        bound.silent(score)
    else:
        bound.answered(score, kind == "right")


def folded(told: Sequence[Event], alpha: float = 0.1, delta: float = 0.1) -> AdvanceBound:
    bound = AdvanceBound(alpha, delta)
    for event in told:
        tell(bound, event)
    return bound


def looseness(bound: AdvanceBound) -> float:
    """How much of the scale is advanced: 0 where nothing is."""
    return 0.0 if bound.bound.threshold is None else 1.0 - bound.bound.threshold


def test_nothing_is_advanced_before_it_is_earned() -> None:
    assert AdvanceBound().bound.threshold is None
    assert not AdvanceBound().allows(1.0)
    assert folded([("right", 0.95)] * 20).bound.threshold is None


def test_enough_right_guesses_earn_it_and_the_bound_says_how_many() -> None:
    bound = folded(GOOD)
    assert bound.bound.threshold is not None
    assert bound.bound.labels == len(GOOD)
    assert bound.allows(0.95)


def test_a_stricter_alpha_takes_more_labels() -> None:
    def needed(alpha: float) -> int:
        bound = AdvanceBound(alpha, 0.1)
        while bound.bound.threshold is None:
            bound.answered(0.99, True)
        return bound.bound.labels

    assert needed(0.1) < needed(0.05) < needed(0.01)
    # No test can prove an error rate below alpha with fewer faultless labels: (1 - alpha)^n > delta.
    assert 0.95 ** needed(0.05) < 0.1


@given(events, unit)
def test_what_is_advanced_scores_at_least_the_threshold(told: list[Event], score: float) -> None:
    bound = folded([*GOOD, *told])
    threshold = bound.bound.threshold
    assert bound.allows(score) == (threshold is not None and score >= threshold)
    assert threshold is None or threshold in GRID


@given(events)
def test_folding_again_gives_the_same(told: list[Event]) -> None:
    first, again = folded([*GOOD, *told]), folded([*GOOD, *told])
    assert (first.bound, first.stood_down) == (again.bound, again.stood_down)


@given(events, st.integers(0, 500), unit)
def test_silence_never_loosens_the_bound(told: list[Event], silences: int, score: float) -> None:
    """Whatever happened, the bound after any number of silent advances allows no more than without any."""
    clicks = [event for event in told if event[0] in {"right", "wrong"}]
    advanced = [event for event in told if event not in clicks]
    plain = folded([*GOOD, *clicks])
    with_silence = folded([*GOOD, *clicks, *advanced, *times(silences, "silence", score)])
    if not plain.stood_down and not with_silence.stood_down:
        assert looseness(with_silence) <= looseness(plain)


def test_silence_alone_never_earns_anything() -> None:
    assert folded([("silence", 0.99)] * 5000).bound.threshold is None


def test_undos_take_it_away_and_silence_wins_part_of_it_back() -> None:
    assert folded([*GOOD, *times(10, "undo", 0.95)]).bound.threshold is None
    some = folded([*GOOD, *times(60, "silence", 0.95), ("undo", 0.95)])
    assert looseness(some) > 0


def test_what_was_earned_stands_until_the_evidence_speaks_against_it() -> None:
    undos = times(3, "undo", 0.95)
    assert folded([*undos, *GOOD]).bound.threshold is None
    assert folded([*GOOD, *undos]).bound.threshold is not None


def test_an_undo_is_never_better_than_none() -> None:
    for undos in range(4):
        fewer, more = (folded([*GOOD, *times(n, "undo", 0.8)]) for n in (undos, undos + 1))
        assert looseness(more) <= looseness(fewer)


def test_clicks_that_the_score_chose_do_not_count() -> None:
    """While high scores are advanced, the clicks that are left are those of low scores: no fair sample."""
    bound = folded(GOOD)
    before = bound.bound
    for _ in range(200):
        bound.answered(0.6, True, advancing=True, audited=False)
    assert bound.bound == before
    bound.answered(0.6, True, advancing=True, audited=True)
    assert bound.bound.labels == before.labels + 1


def test_a_shift_of_habits_is_noticed_and_all_must_be_earned_anew() -> None:
    bound = folded([("right", 0.95)] * 2000)
    noticed = 0
    while not bound.stood_down:
        tell(bound, ("undo", 0.95) if noticed % 2 else ("silence", 0.95))
        noticed += 1
    assert noticed < 30
    assert (bound.bound.threshold, bound.bound.labels) == (None, 0)
    for event in GOOD:
        tell(bound, event)
    assert bound.allows(0.95)


def test_users_who_never_undo_hide_no_shift() -> None:
    """Eight of ten requests are advanced in silence; the clicks of the audited ones tell."""
    bound = folded([("right", 0.95)] * 500)
    for round_ in range(60):
        for event in times(4, "silence", 0.95):
            tell(bound, event)
        bound.answered(0.95, round_ % 2 == 0, advancing=True, audited=True)
        if bound.stood_down:
            break
    assert bound.stood_down == 1


def test_no_shift_is_seen_where_errors_stay_below_alpha() -> None:
    rng = random.Random(0)
    bound = folded(GOOD)
    for _ in range(2000):
        bound.answered(0.95, rng.random() >= 0.05, advancing=True, audited=True)
    assert bound.stood_down == 0


def test_a_wrong_start_is_as_rare_as_promised() -> None:
    """Errors of exactly alpha at every score; the bound is asked after each of 400 labels, in 150 runs."""
    rng = random.Random(7)
    started = 0
    for _run in range(150):
        bound = AdvanceBound(0.2, 0.1)
        for _event in range(400):
            bound.answered(rng.random(), rng.random() >= 0.2)
            if bound.bound.threshold is not None:
                started += 1
                break
    assert started <= 150 * 0.1 + 8


def test_a_score_that_is_right_only_below_advances_nothing_above() -> None:
    """High scores are wrong and low ones right: a bound on what is advanced must not average them away."""
    rng = random.Random(3)
    bound = AdvanceBound(0.1, 0.1)
    for _ in range(3000):
        score = rng.uniform(0.5, 1.0)
        bound.answered(score, rng.random() < (0.6 if score > 0.9 else 1.0))
        if bound.bound.threshold is not None:
            assert 0.4 * 0.1 / (1.0 - bound.bound.threshold) <= 0.1


def test_the_audit_coin_is_fixed_and_fair() -> None:
    ids = [f"request-{number}" for number in range(4000)]
    audited = [one for one in ids if is_audited(one)]
    assert audited == [one for one in ids if is_audited(one)]
    assert len(audited) / len(ids) == pytest.approx(AUDIT_SHARE, abs=0.02)

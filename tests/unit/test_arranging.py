"""What is shown, in which order: as before until something is learned, and never by chance alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.clients.embedding.static import StaticEmbedder
from app.errors import BackendUnavailable
from app.models import Confidence, Hypothesis
from app.services.advance import is_audited
from app.services.answers import hypothesis_body
from app.services.arranging import Arranged, Occasion, Proposal, arrange
from app.services.learned import LearnedStates
from app.services.learned_choices import LearnedChoices
from app.services.preference_order import value_of_information
from app.services.showing import log_propensity
from tests.fakes import MemoryStore
from tests.nouns import a_selection, an_advance, an_interaction, at
from tests.unit.test_learned import Clock
from tests.unit.test_lessons import WORDING

EMBEDDER = StaticEmbedder()
ORIGIN: dict[str, Any] = {
    "backend": "local",
    "model": "rules-1",
    "adapter": None,
    "prompt_version": "",
    "messages": [],
}
DETAILS = {
    "programming language": ("Python", "Go", "Java"),
    "database": ("PostgreSQL", "SQLite"),
    "deadline": (),
    "audience": ("developers", "children"),
    "budget": ("small", "large"),
}
PROPOSALS = tuple(
    Proposal(
        Hypothesis(
            f"h{rank}", detail, f"Which {detail}?", "", 3 - rank // 2, options, Confidence(0.5), "local"
        )
    )
    for rank, (detail, options) in enumerate(DETAILS.items())
)
Step = tuple[str, str, str, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["pick", "type", "none", "undo", "silence", "erase", "look"]),
        st.sampled_from(["us", "them"]),
        st.sampled_from(["ann", "bob"]),
        st.integers(0, 2),
    ),
    max_size=20,
)


class Down(StaticEmbedder):
    async def embed(self, texts: Any) -> Any:
        raise BackendUnavailable


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def occasion(request_id: str = "r", user_id: str = "ann", tenant: str = "us") -> Occasion:
    return Occasion(tenant, user_id, request_id, 3, ORIGIN)


async def arranged(learned: LearnedChoices, on: Occasion) -> Arranged:
    return await arrange(PROPOSALS, learned, EMBEDDER, on)


async def play(store: MemoryStore, learned: LearnedStates, step: Step, number: int) -> None:
    """Show what the service would show, then answer it."""
    kind, tenant, user, place = step
    if kind in ("erase", "look"):
        if kind == "erase":
            await store.erase_user(tenant, user)
        learned.touched(tenant)
        await learned.get(tenant)
        return
    learned.touched(tenant)
    found = await arranged((await learned.get(tenant)).choices, occasion(f"r{number}", user, tenant))
    answer = {"hypotheses": [hypothesis_body(one) for one in found.hypotheses]}
    owner = {"tenant": tenant, "user_id": user}
    asked = an_interaction(
        f"r{number}", answer=answer, record={**ORIGIN, "shown": found.shown.kept()}, **owner
    )
    await store.add_interaction(asked)
    one = found.hypotheses[place]
    if kind in ("undo", "silence"):
        advance = an_advance(
            f"t{number}", request_id=asked.id, hypothesis_id=one.id, option="Python", **owner
        )
        await store.open_advance(advance)
        if kind == "undo":
            await store.undo_advance(tenant, advance.token, at(number))
        await store.lapse_advances(tenant, advance.expires_at + timedelta(seconds=number))
        return
    option = one.options[0] if kind == "pick" and one.options else None
    typed = "something else" if kind == "type" else None
    picked = None if kind == "none" else one.id
    said = a_selection(asked.id, hypothesis_id=picked, option=option, free_text=typed, **owner)
    for _ in range(2):
        await store.add_selection(said)


async def state_of(learned: LearnedStates, tenant: str) -> dict[str, Any]:
    """The fold, and what it makes of the next requests."""
    state = await learned.get(tenant)
    next_ = [await arranged(state.choices, occasion(f"next{n}", "ann", tenant)) for n in range(3)]
    return {"snapshot": state.choices.snapshot(), "next": next_}


def states(store: MemoryStore) -> LearnedStates:
    return LearnedStates(store, EMBEDDER, WORDING, Clock())


def test_before_anything_is_learned_the_order_is_the_one_given() -> None:
    async def check() -> None:
        for number in range(30):
            found = await arranged(LearnedChoices(), occasion(f"r{number}"))
            assert [one.id for one in found.hypotheses] == ["h0", "h1", "h2"]
            assert found.shown.log_propensity == 0.0
            assert found.assumed is None
            raws = [one.confidence.raw for one in found.hypotheses]
            assert raws == sorted(raws, reverse=True)
            assert {one.confidence.calibrated for one in found.hypotheses} == {None}

    run(check())


def test_nothing_to_ask_is_nothing_shown() -> None:
    found = run(arrange((), LearnedChoices(), EMBEDDER, occasion()))
    assert found.hypotheses == found.shown.questions == ()


def test_chance_changes_the_order_and_says_how_likely_it_was() -> None:
    async def check() -> None:
        store = MemoryStore()
        learned = states(store)
        await play(store, learned, ("none", "us", "ann", 0), 0)
        choices = (await states(store).get("us")).choices
        orders = set()
        for number in range(100):
            shown = (await arranged(choices, occasion(f"r{number}", "bob"))).shown
            values = [one.value for one in sorted(shown.questions, key=lambda one: one.id)]
            places = [("h0", "h1", "h2").index(one.id) for one in shown.questions]
            assert shown.log_propensity == log_propensity(values, places)
            orders.add(tuple(places))
        assert len(orders) > 1

    run(check())


def test_who_has_habits_is_asked_what_is_worth_asking_and_others_what_they_likely_want() -> None:
    async def check() -> None:
        store = MemoryStore()
        learned = states(store)
        for number in range(8):
            await play(store, learned, ("pick", "us", "ann", 0), number)
        choices = (await states(store).get("us")).choices
        own, other = [(await arranged(choices, occasion("r99", user))).shown for user in ("ann", "bob")]
        (known,) = (one for one in own.questions if one.guess and one.guess.score > 0.7)
        regret, skips = 1 - known.guess.score, choices.habits.skip_rate("ann")  # type: ignore[union-attr]
        (raw,) = choices.order.probabilities([known.candidate])
        worth = value_of_information(known.candidate.importance, raw, regret, skips)
        assert known.value == pytest.approx(worth)
        utilities = choices.order.utilities(other.candidates)
        assert [one.value for one in other.questions] == pytest.approx(utilities.tolist())

    run(check())


def test_without_vectors_nothing_is_guessed() -> None:
    found = run(arrange(PROPOSALS, LearnedChoices(), Down(), occasion()))
    assert [one.guess for one in found.shown.questions] == [None] * 3
    assert len(found.hypotheses) == 3


def test_a_request_that_is_audited_assumes_nothing() -> None:
    async def check() -> None:
        learned = LearnedChoices()
        for _ in range(300):
            learned.bound.answered(0.95, right=True)
        assert learned.bound.allows(0.95)
        for number in range(20):
            on = occasion(f"r{number}")
            assert (await arranged(learned, on)).shown.audited == is_audited(on.request_id)
            assert (await arranged(learned, on)).shown.advancing

    run(check())


@given(steps)
@settings(max_examples=25, deadline=None)
def test_going_on_equals_starting_over(history: list[Step]) -> None:
    async def check() -> None:
        store = MemoryStore()
        learned = states(store)
        for number, step in enumerate(history):
            await play(store, learned, step, number)
        for tenant in ("us", "them"):
            learned.touched(tenant)
            going_on = (await learned.get(tenant)).fingerprint()
            for page in (1, 3, 200):
                assert (await learned.refolded(tenant, page)).fingerprint() == going_on

    run(check())


@given(steps)
@settings(max_examples=15, deadline=None)
def test_a_tenant_is_shown_what_it_would_be_shown_alone(history: list[Step]) -> None:
    async def check() -> None:
        both, alone = MemoryStore(), MemoryStore()
        learned, learned_alone = states(both), states(alone)
        for number, step in enumerate(history):
            await play(both, learned, step, number)
            if step[1] == "us":
                await play(alone, learned_alone, step, number)
        learned.touched("us")
        learned_alone.touched("us")
        assert await state_of(learned, "us") == await state_of(learned_alone, "us")

    run(check())


@given(steps)
@settings(max_examples=15, deadline=None)
def test_erasing_a_user_leaves_the_fold_over_what_remains(history: list[Step]) -> None:
    async def check() -> None:
        store = MemoryStore()
        learned = states(store)
        for number, step in enumerate(history):
            await play(store, learned, step, number)
        await store.erase_user("us", "bob")
        learned.touched("us")
        remains = [event for event in await store.events_after("us", 0, 100) if event.user_id != "bob"]
        fresh = states(MemoryStore())
        expected = await fresh.get("us")
        await expected.apply(remains)
        assert (await learned.get("us")).fingerprint() == expected.fingerprint()

    run(check())

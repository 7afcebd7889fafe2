"""What was learned is a fold: the same from the same events, whoever reads them and when."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.clients.embedding.static import StaticEmbedder
from app.errors import BackendUnavailable, StorageError
from app.models import Example
from app.services.learned import LearnedState, LearnedStates
from tests.fakes import MemoryStore
from tests.nouns import a_choice, a_feedback, a_selection, an_edit
from tests.unit.test_lessons import WORDING, shown, typed

T = TypeVar("T")
EMBEDDER = StaticEmbedder()
REQUESTS = ["Plan a trip to Lisbon", "Plan a journey to Rome", "Build an API in Python", "Bake a cake"]
QUESTIONS = ["What is your budget?", "Which season suits you?", "How many people are coming?"]
Step = tuple[str, str, int, int]

steps = st.lists(
    st.tuples(
        st.sampled_from(["type", "pick", "choice", "feedback", "edit", "erase", "look"]),
        st.sampled_from(["ann", "bob"]),
        st.integers(0, 3),
        st.integers(0, 2),
    ),
    max_size=25,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def states(store: MemoryStore, clock: Clock | None = None) -> LearnedStates:
    return LearnedStates(store, EMBEDDER, WORDING, clock or Clock())


async def teach(
    store: MemoryStore, request_id: str, user: str = "ann", tenant: str = "default", **fields: Any
) -> None:
    """A user asks for a trip, and types what should have been asked."""
    asked = shown("budget", "season", id=request_id, user_id=user, tenant=tenant, **fields)
    await store.add_interaction(asked)
    question = typed("How many people are coming?")
    await store.add_selection(
        a_selection(
            request_id,
            user_id=user,
            tenant=tenant,
            hypothesis_id=None,
            option=None,
            free_text=question.free_text,
        )
    )


async def teach_enough(store: MemoryStore, request_id: str, **fields: Any) -> None:
    """So many users type the same that nobody's words are theirs alone."""
    for user in ("ann", "cyd", "dan"):
        await teach(store, f"{request_id}-{user}", user, **fields)


async def play(store: MemoryStore, learned: LearnedStates, step: Step, number: int, tenant: str) -> None:
    kind, user, request, question = step
    fields: dict[str, Any] = {"tenant": tenant, "user_id": user}
    match kind:
        case "type" | "pick":
            asked = shown(
                "budget", "season", "guests", id=f"r{number}", input_text=REQUESTS[request], **fields
            )
            await store.add_interaction(asked)
            said = {"hypothesis_id": f"h{question}", "free_text": None}
            if kind == "type":
                said = {"hypothesis_id": None, "free_text": QUESTIONS[question]}
            await store.add_selection(a_selection(f"r{number}", option=None, **said, **fields))
        case "choice":
            await store.add_choice(a_choice(f"c{number}", **fields))
        case "feedback":
            await store.add_feedback(a_feedback(f"b{number}", request_id=None, **fields))
        case "edit":
            state = await learned.get(tenant)
            for entry in state.playbook.entries(user)[:1]:
                weight = None if question == 2 else float(question)
                await store.add_playbook_edit(
                    an_edit(f"p{number}", entry_id=entry.id, weight=weight, **fields)
                )
        case "erase":
            await store.erase_user(tenant, user)
        case _:
            await learned.get(tenant)
    learned.touched(tenant)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@given(steps)
@settings(max_examples=40, deadline=None)
def test_going_on_equals_starting_over(history: list[Step]) -> None:
    async def check() -> None:
        store = MemoryStore()
        learned = states(store)
        for number, step in enumerate(history):
            await play(store, learned, step, number, "default")
        incremental = await learned.get("default")
        for page in (1, 7, 200):
            refolded = await learned.refolded("default", page)
            assert refolded.snapshot() == incremental.snapshot()
            assert refolded.fingerprint() == incremental.fingerprint()

    run(check())


@given(steps)
@settings(max_examples=20, deadline=None)
def test_after_erasure_it_is_as_if_the_user_had_never_come(history: list[Step]) -> None:
    async def check() -> None:
        both, without = MemoryStore(), MemoryStore()
        kept = [
            (number, step) for number, step in enumerate(history) if step[0] in ("type", "pick", "choice")
        ]
        for number, step in kept:
            await play(both, states(both), step, number, "default")
            if step[1] != "ann":
                await play(without, states(without), step, number, "default")
        learned = states(both)
        await learned.get("default")
        await both.erase_user("default", "ann")
        learned.touched("default")
        assert (await learned.get("default")).snapshot() == (await states(without).get("default")).snapshot()

    run(check())


@given(steps, st.sampled_from(REQUESTS))
@settings(max_examples=20, deadline=None)
def test_a_tenant_learns_nothing_from_another(history: list[Step], request_: str) -> None:
    async def check() -> None:
        store = MemoryStore()
        learned = states(store)
        await teach_enough(store, "first", tenant="other")
        before = await found(learned, request_, tenant="other")
        for number, step in enumerate(history):
            await play(store, learned, step, number, "default")
        learned.touched("other")
        assert await found(learned, request_, tenant="other") == before

    run(check())


async def found(
    learned: LearnedStates, text: str, user: str = "new", tenant: str = "default"
) -> list[Example]:
    return await (await learned.get(tenant)).resembling(text, user, 10)


async def test_what_one_user_taught_another_is_asked_without_the_words() -> None:
    store = MemoryStore()
    learned = states(store)
    await teach(store, "r1")
    assert await found(learned, "Plan a trip to Porto", user="bob") == []
    await teach(store, "r2", "cyd")
    await teach(store, "r3", "dan")
    learned.touched("default")
    (example,) = await found(learned, "Plan a trip to Porto", user="bob")
    assert (example.origin, example.text, example.vague) == ("tenant", None, True)
    assert example.details[0].description == "number of people"
    own, *_ = await found(learned, "Plan a trip to Porto", user="cyd")
    assert (own.origin, own.text) == ("user", "Plan a trip to Lisbon for my wife Rosalind")
    assert own.weight > example.weight


async def test_the_same_selection_twice_is_learned_once() -> None:
    store = MemoryStore()
    learned = states(store)
    await teach(store, "r1")
    before = (await learned.get("default")).snapshot()
    said = typed("How many people are coming?")
    await store.add_selection(a_selection("r1", hypothesis_id=None, option=None, free_text=said.free_text))
    learned.touched("default")
    assert (await learned.get("default")).snapshot() == before


async def test_what_another_process_stored_shows_within_a_second() -> None:
    store, clock = MemoryStore(), Clock()
    learned = states(store, clock)
    assert await found(learned, "Plan a trip") == []
    await teach_enough(store, "r1")
    clock.now = 0.5
    assert await found(learned, "Plan a trip") == []
    clock.now = 1.0
    assert len(await found(learned, "Plan a trip")) == 1


async def test_a_request_is_no_example_for_itself() -> None:
    store = MemoryStore()
    learned = states(store)
    await teach_enough(store, "r1", input_text="Plan a trip")
    state = await learned.get("default")
    assert len(await state.resembling("Plan a trip", "new", 5)) == 1
    assert await state.resembling("Plan a trip", "new", 5, exclude_same=True) == []


async def test_a_failure_is_told_and_made_good_the_next_time() -> None:
    store = MemoryStore()
    learned = states(store)
    await teach_enough(store, "r1")
    store.broken = True
    with pytest.raises(StorageError):
        await learned.get("default")
    store.broken = False
    assert len(await found(learned, "Plan a trip")) == 1


class AwayEmbedder(StaticEmbedder):
    """A server that comes back when told."""

    away = True

    async def embed(self, texts: Any) -> Any:
        if self.away:
            raise BackendUnavailable
        return await super().embed(texts)


async def test_without_vectors_nothing_is_lost_of_what_was_said() -> None:
    store, embedder = MemoryStore(), AwayEmbedder()
    learned = LearnedStates(store, embedder, WORDING, Clock())
    await teach_enough(store, "r1")
    with pytest.raises(BackendUnavailable):
        await learned.get("default")
    embedder.away = False
    assert len(await found(learned, "Plan a trip")) == 1


async def test_of_many_at_once_each_sees_the_whole_state() -> None:
    store = MemoryStore()
    learned = states(store)
    for number in range(30):
        await teach(store, f"r{number}")
    seen: list[LearnedState] = await asyncio.gather(*(learned.get("default") for _ in range(10)))
    assert {state.events for state in seen} == {30}
    assert len({id(state) for state in seen}) == 1


async def test_a_skipped_question_fades_for_the_tenant_and_the_user() -> None:
    store = MemoryStore()
    learned = states(store)
    await store.add_interaction(shown("season", id="a", input_text="Plan a trip"))
    await store.add_selection(a_selection("a", hypothesis_id="h0", option=None))
    (first,) = await found(learned, "Plan a trip")
    await store.add_interaction(shown("season", "budget", id="b", input_text="Plan a trip"))
    await store.add_selection(a_selection("b", hypothesis_id="h1", option=None))
    learned.touched("default")
    weights = {one.details[0].description: one.weight for one in await found(learned, "Plan a trip")}
    assert weights["season"] < min(first.weight, weights["budget"])
    await store.add_feedback(a_feedback("f", request_id="a", not_useful=("h0",)))
    learned.touched("default")
    again = {one.details[0].description: one.weight for one in await found(learned, "Plan a trip")}
    assert again["season"] < weights["season"]

"""What every store promises of requests and of what people made of them."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from app.errors import Conflict, InvalidInput, NotFound
from app.models import Choice, Interaction
from app.storage.base import Store
from app.storage.cursors import encode_cursor
from tests.nouns import (
    NOON,
    a_choice,
    a_feedback,
    a_selection,
    an_interaction,
    at,
)

NASTY = "Robert'); DROP TABLE users;-- é漢🦄 \u0085 \\ \" % _"


class TestInteractions:
    async def test_what_is_added_is_got_back_whole(self, store: Store) -> None:
        interaction = an_interaction(input_text=NASTY, answer={"x": [None, 1.5, NASTY]})
        await store.add_interaction(interaction)
        assert await store.get_interaction("default", "r1") == interaction
        assert await store.get_interaction("other", "r1") is None

    async def test_an_id_is_used_once_in_a_tenant(self, store: Store) -> None:
        await store.add_interaction(an_interaction())
        await store.add_interaction(an_interaction(tenant="other"))
        with pytest.raises(Conflict):
            await store.add_interaction(an_interaction(input_text="else"))

    async def test_lists_are_newest_first_by_user_and_kind(self, store: Store) -> None:
        asked = [an_interaction(f"r{n}", created_at=at(n)) for n in range(5)]
        others = [an_interaction("q", kind="search"), an_interaction("p", user_id="bob", created_at=at(9))]
        for interaction in (*asked, *others):
            await store.add_interaction(interaction)
        page, cursor = await store.list_interactions("default", "ann", "hypothesize", 3, None)
        rest, end = await store.list_interactions("default", "ann", "hypothesize", 3, cursor)
        assert page + rest == asked[::-1]
        assert end is None
        everyone, _ = await store.list_interactions("default", None, None, 10, None)
        assert [one.id for one in everyone] == ["p", "r4", "r3", "r2", "r1", "r0", "q"]
        assert await store.list_interactions("other", None, None, 10, None) == ([], None)

    async def test_times_come_back_in_utc(self, store: Store) -> None:
        local = datetime(2026, 3, 1, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        await store.add_interaction(an_interaction(created_at=local))
        held = await store.get_interaction("default", "r1")
        assert held is not None
        assert held.created_at == local
        assert held.created_at.utcoffset() == timedelta(0)
        assert await store.list_interactions("default", "ann", None, 5, encode_cursor((local, "r1"))) == (
            [],
            None,
        )

    async def test_a_time_without_zone_is_invalid(self, store: Store) -> None:
        with pytest.raises(InvalidInput):
            await store.add_interaction(an_interaction(created_at=NOON.replace(tzinfo=None)))

    @pytest.mark.parametrize(
        "interaction", [an_interaction(input_text="\ud800"), an_interaction(answer={"text": "\udfff"})]
    )
    async def test_half_a_character_is_invalid_and_harms_nothing(
        self, store: Store, interaction: Interaction
    ) -> None:
        with pytest.raises(InvalidInput):
            await store.add_interaction(interaction)
        assert await store.get_interaction("default", "r1") is None
        await store.add_interaction(an_interaction())

    async def test_a_thread_is_its_rounds_with_what_was_picked(self, store: Store) -> None:
        first, second = an_interaction("r1"), an_interaction("r2", round=2, created_at=at(7))
        for interaction in (
            second,
            first,
            an_interaction("r3", session_id="s2"),
            an_interaction("r4", user_id="bob"),
        ):
            await store.add_interaction(interaction)
        await store.add_selection(a_selection("r1"))
        assert await store.thread("default", "ann", "s1") == [(first, a_selection("r1")), (second, None)]

    async def test_the_source_of_truth_is_oldest_first(self, store: Store) -> None:
        later, first = an_interaction("r1", created_at=at(1)), an_interaction("r2")
        foreign = an_interaction("r1", tenant="other", created_at=at(2))
        for interaction in (later, first, foreign):
            await store.add_interaction(interaction)
        await store.add_selection(a_selection("r1"))
        assert list(await store.iterate_interactions("default")) == [
            (first, None),
            (later, a_selection("r1")),
        ]
        assert list(await store.iterate_interactions(None, since=at(1))) == [
            (later, a_selection("r1")),
            (foreign, None),
        ]


class TestSelections:
    async def test_the_same_twice_is_stored_once(self, store: Store) -> None:
        await store.add_interaction(an_interaction())
        assert await store.add_selection(a_selection()) == (a_selection(), True)
        again = a_selection(created_at=at(60))
        assert await store.add_selection(again) == (a_selection(), False)
        assert await store.get_selection("default", "r1") == a_selection()
        assert await store.get_selection("other", "r1") is None

    @pytest.mark.parametrize("change", [{"option": "Go"}, {"hypothesis_id": None}, {"user_id": "bob"}])
    async def test_another_one_is_a_conflict(self, store: Store, change: dict[str, Any]) -> None:
        await store.add_interaction(an_interaction())
        await store.add_selection(a_selection())
        with pytest.raises(Conflict):
            await store.add_selection(a_selection(**change))
        assert await store.get_selection("default", "r1") == a_selection()

    async def test_none_without_a_request(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.add_selection(a_selection())
        assert await store.get_selection("default", "r1") is None

    async def test_the_first_outcome_stands(self, store: Store) -> None:
        await store.add_interaction(an_interaction())
        await store.add_selection(a_selection())
        assert await store.set_outcome("default", "r1", {"learned": ["a"]}) == {"learned": ["a"]}
        assert await store.set_outcome("default", "r1", {"learned": []}) == {"learned": ["a"]}
        stands, added = await store.add_selection(a_selection())
        assert (stands.outcome, added) == ({"learned": ["a"]}, False)

    async def test_an_outcome_needs_a_selection(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.set_outcome("default", "r1", {})

    async def test_of_many_at_once_one_is_made(self, store: Store) -> None:
        await store.add_interaction(an_interaction())
        made = await asyncio.gather(*(store.add_selection(a_selection()) for _ in range(20)))
        assert sum(added for _, added in made) == 1


class TestChoicesAndFeedback:
    async def test_lists_are_per_user_oldest_first(self, store: Store) -> None:
        late, early = a_choice("c1", created_at=at(2)), a_choice("c2", input_text=NASTY)
        for choice in (late, early, a_choice("c3", user_id="bob"), a_choice("c1", tenant="other")):
            await store.add_choice(choice)
        assert await store.list_choices("default", "ann") == [early, late]
        held: list[Choice] = await store.list_choices("other", "ann")
        assert [choice.id for choice in held] == ["c1"]

    async def test_feedback_keeps_every_word(self, store: Store) -> None:
        full = a_feedback("b1", comment=NASTY, correction="", useful=("m1",), not_useful=("m2", "m3"))
        bare = a_feedback("b2", request_id=None, rating=-0.25, created_at=at(10))
        for item in (bare, full):
            await store.add_feedback(item)
        assert await store.list_feedback("default", "ann") == [full, bare]
        with pytest.raises(Conflict):
            await store.add_feedback(bare)

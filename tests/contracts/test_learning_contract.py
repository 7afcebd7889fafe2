"""What every store promises of events: one order, nothing twice, nothing of the erased."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import NotFound
from app.storage.base import Event, LearningHead, Store
from tests.nouns import a_choice, a_feedback, a_selection, an_edit, an_interaction


async def say_everything(store: Store, user: str, suffix: str = "") -> None:
    """A selection, a choice, a feedback, an edit: in this order."""
    await store.add_interaction(an_interaction(f"r{suffix}", user_id=user))
    await store.add_selection(a_selection(f"r{suffix}", user_id=user))
    await store.add_choice(a_choice(f"c{suffix}", user_id=user))
    await store.add_feedback(a_feedback(f"b{suffix}", user_id=user, request_id=f"r{suffix}"))
    await store.add_playbook_edit(an_edit(f"p{suffix}", user_id=user))


async def test_a_tenant_without_events_is_at_the_beginning(store: Store) -> None:
    assert await store.learning_head("default") == LearningHead(0, 0)
    assert await store.events_after("default", 0, 10) == []


async def test_everything_said_is_an_event_with_its_records(store: Store) -> None:
    await say_everything(store, "ann")
    events = await store.events_after("default", 0, 10)
    asked = an_interaction("r")
    assert [(event.kind, event.record, event.interaction) for event in events] == [
        ("selection", a_selection("r"), asked),
        ("choice", a_choice("c"), None),
        ("feedback", a_feedback("b", request_id="r"), asked),
        ("playbook_edit", an_edit("p"), None),
    ]
    assert {(event.tenant, event.user_id) for event in events} == {("default", "ann")}
    assert [event.at for event in events] == [event.record.created_at for event in events]
    assert await store.learning_head("default") == LearningHead(0, events[-1].seq)


async def test_pages_together_are_the_whole_order(store: Store) -> None:
    await say_everything(store, "ann", "1")
    await store.add_choice(a_choice("elsewhere", tenant="other"))
    await say_everything(store, "bob", "2")
    whole = await store.events_after("default", 0, 100)
    assert [event.seq for event in whole] == sorted({event.seq for event in whole})
    seq, paged = 0, list[Event]()
    while page := await store.events_after("default", seq, 3):
        paged += page
        seq = page[-1].seq
    assert paged == whole
    assert len(whole) == 8


async def test_the_same_selection_twice_is_one_event(store: Store) -> None:
    await store.add_interaction(an_interaction())
    for _ in range(2):
        await store.add_selection(a_selection())
    assert len(await store.events_after("default", 0, 10)) == 1
    await store.set_outcome("default", "r1", {"learned": []})
    (event,) = await store.events_after("default", 0, 10)
    assert event.record == a_selection(outcome={"learned": []})


async def test_what_was_refused_is_no_event(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.add_selection(a_selection())
    assert await store.learning_head("default") == LearningHead(0, 0)


async def test_erasure_takes_the_events_along_and_begins_an_epoch(store: Store) -> None:
    await say_everything(store, "ann", "1")
    await say_everything(store, "bob", "2")
    before = await store.learning_head("default")
    await store.erase_user("default", "bob")
    assert {event.user_id for event in await store.events_after("default", 0, 100)} == {"ann"}
    assert (await store.learning_head("default")).epoch == before.epoch + 1
    await store.erase_user("default", "nobody")
    assert (await store.learning_head("default")).epoch == before.epoch + 1
    await store.add_choice(a_choice("later"))
    (newest,) = await store.events_after("default", before.seq, 10)
    assert newest.seq > before.seq


async def test_an_edit_of_the_tenants_entry_is_about_no_person(store: Store) -> None:
    await store.add_playbook_edit(an_edit(user_id=""))
    (event,) = await store.events_after("default", 0, 10)
    assert event.user_id == ""
    assert await store.list_users("default") == []


async def test_many_writers_leave_one_order(store: Store) -> None:
    await asyncio.gather(*(store.add_choice(a_choice(f"c{n}")) for n in range(20)))
    events = await store.events_after("default", 0, 100)
    assert sorted(event.record.id for event in events if event.kind == "choice") == sorted(  # type: ignore[union-attr]
        f"c{n}" for n in range(20)
    )
    assert len({event.seq for event in events}) == 20

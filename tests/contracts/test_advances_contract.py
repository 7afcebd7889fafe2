"""What every store promises of advances: one outcome, one event, nothing of another tenant."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import NotFound
from app.storage.base import Store
from tests.nouns import an_advance, an_interaction, at


async def test_an_undo_in_time_is_one_event_however_often_it_is_said(store: Store) -> None:
    await store.add_interaction(an_interaction())
    await store.open_advance(an_advance())
    assert await store.get_advance("default", "t1") == an_advance()
    undone = replace(an_advance(), outcome="undone", settled_at=at(30))
    assert await store.undo_advance("default", "t1", at(30)) == undone
    assert await store.undo_advance("default", "t1", at(700)) == undone
    (event,) = await store.events_after("default", 0, 10)
    assert (event.kind, event.at, event.record) == ("undo", at(30), undone)
    assert event.interaction == an_interaction()
    assert await store.list_advances("default", "ann") == [undone]
    assert await store.list_advances("default", "bob") == []


async def test_silence_to_the_end_is_one_event_and_no_undo_comes_after_it(store: Store) -> None:
    await store.add_interaction(an_interaction())
    await store.open_advance(an_advance())
    await store.lapse_advances("default", at(599))
    assert await store.events_after("default", 0, 10) == []
    assert await store.undo_advance("default", "t1", at(600)) == an_advance()
    for _ in range(2):
        await store.lapse_advances("default", at(601))
    (event,) = await store.events_after("default", 0, 10)
    silent = replace(an_advance(), outcome="silent", settled_at=at(601))
    assert (event.kind, event.record) == ("silence", silent)
    assert await store.undo_advance("default", "t1", at(30)) == silent


async def test_the_token_of_another_tenant_is_unknown(store: Store) -> None:
    await store.open_advance(an_advance(tenant="other"))
    assert await store.get_advance("default", "t1") is None
    with pytest.raises(NotFound):
        await store.undo_advance("default", "t1", at(1))
    await store.lapse_advances("default", at(900))
    assert await store.events_after("other", 0, 10) == []


async def test_erasure_takes_advances_along(store: Store) -> None:
    await store.add_interaction(an_interaction())
    await store.open_advance(an_advance())
    held = await store.export_user("default", "ann")
    assert [row["option"] for row in held["advances"]] == ["Python"]
    assert (await store.erase_user("default", "ann"))["advances"] == 1
    with pytest.raises(NotFound):
        await store.undo_advance("default", "t1", at(1))

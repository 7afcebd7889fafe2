"""What every store promises of adapters: names once and for all, one live, a history, and erasure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.errors import Conflict, NotFound
from app.models import SERVED, AdapterMove
from app.storage.base import Store
from app.text import pseudonym
from tests.nouns import an_adapter, at

FIRST, SECOND = "hypotheses-000000000001", "hypotheses-000000000002"


async def make_live(store: Store, name: str, seconds: float = 1) -> None:
    await store.move_adapter("default", name, "live", allowed={"registered", "retired"}, at=at(seconds))


async def test_whom_a_tainted_one_was_trained_on_is_forgotten(store: Store) -> None:
    adapter = an_adapter()
    await store.add_adapter(adapter, ["ann"])
    await store.move_adapter("default", adapter.name, "tainted", allowed=["registered"], at=at(1))
    assert await store.adapters_trained_on("default", "ann") == []
    assert await store.list_users("default") == []


async def test_what_is_added_is_found_in_its_tenant_alone(store: Store) -> None:
    added = an_adapter(lineage={"job": "j1", "records": ["r1"]}, created_at=at(0).astimezone())
    assert await store.add_adapter(added) == added
    assert await store.get_adapter("default", FIRST) == added
    assert await store.get_adapter(None, FIRST) == added
    assert await store.get_adapter("other", FIRST) is None
    assert await store.get_adapter("default", "x' OR 1=1") is None
    assert await store.adapter_moves("default", FIRST) == []


async def test_the_same_again_changes_nothing(store: Store) -> None:
    await store.add_adapter(an_adapter())
    await make_live(store, FIRST)
    again = await store.add_adapter(an_adapter(path="/elsewhere", created_at=at(9)))
    assert again == replace(an_adapter(), state="live")
    assert await store.list_adapters("default") == [again]


@pytest.mark.parametrize("other", [an_adapter(digest="other"), an_adapter(tenant="other")])
async def test_a_name_stands_for_one_content_of_one_tenant(store: Store, other: object) -> None:
    await store.add_adapter(an_adapter())
    with pytest.raises(Conflict):
        await store.add_adapter(other, ["eve"])  # type: ignore[arg-type]
    assert await store.list_adapters(None) == [an_adapter()]
    assert await store.adapters_trained_on("other", "eve") == []


async def test_lists_are_by_tenant_task_and_state_oldest_first(store: Store) -> None:
    second = an_adapter(SECOND, created_at=at(-1))
    ranking = an_adapter("ranking-000000000003", task="ranking", created_at=at(1))
    foreign = an_adapter("hypotheses-000000000004", tenant="other", created_at=at(2), state="canary")
    for adapter in (an_adapter(), second, ranking, foreign):
        await store.add_adapter(adapter)
    assert await store.list_adapters("default") == [second, an_adapter(), ranking]
    assert await store.list_adapters("default", "ranking") == [ranking]
    assert await store.list_adapters(None) == [second, an_adapter(), ranking, foreign]
    assert await store.list_adapters(None, states=SERVED) == [foreign]
    assert await store.list_adapters("default", states=SERVED) == []


async def test_a_move_is_kept_with_its_reason_and_the_gates(store: Store) -> None:
    await store.add_adapter(an_adapter())
    gates = {"offline": {"passed": True, "nll": 0.5}}
    gated = await store.move_adapter(
        "default", FIRST, "gated", allowed={"registered"}, at=at(1), reason="all passed", gates=gates
    )
    assert gated == replace(an_adapter(), state="gated", gates=gates)
    loaded = await store.move_adapter("default", FIRST, "loaded", allowed={"gated", "live"}, at=at(2))
    assert loaded == replace(gated, state="loaded")
    assert await store.adapter_moves("default", FIRST) == [
        AdapterMove(FIRST, "registered", "gated", at(1), "all passed"),
        AdapterMove(FIRST, "gated", "loaded", at(2), ""),
    ]
    assert await store.adapter_moves("other", FIRST) == []


async def test_a_move_that_is_not_allowed_changes_nothing(store: Store) -> None:
    await store.add_adapter(an_adapter())
    with pytest.raises(Conflict):
        await store.move_adapter("default", FIRST, "live", allowed={"canary"}, at=at(1), gates={"a": {}})
    with pytest.raises(NotFound):
        await store.move_adapter("other", FIRST, "live", allowed={"registered"}, at=at(1))
    assert await store.get_adapter("default", FIRST) == an_adapter()
    assert await store.adapter_moves("default", FIRST) == []


async def test_what_goes_live_retires_what_was(store: Store) -> None:
    other_task = an_adapter("ranking-000000000003", task="ranking")
    foreign = an_adapter("hypotheses-000000000004", tenant="other", state="live")
    for adapter in (an_adapter(), an_adapter(SECOND), other_task, foreign):
        await store.add_adapter(adapter)
    for name in (other_task.name, FIRST, SECOND):
        await make_live(store, name)
    live = {adapter.name for adapter in await store.list_adapters(None, states={"live"})}
    assert live == {SECOND, other_task.name, foreign.name}
    assert (await store.adapter_moves("default", FIRST))[-1] == AdapterMove(
        FIRST, "live", "retired", at(1), f"{SECOND} took its place"
    )
    await make_live(store, FIRST, 2)
    (back,) = await store.list_adapters("default", "hypotheses", {"live"})
    assert back.name == FIRST


async def test_two_cannot_be_added_as_live(store: Store) -> None:
    await store.add_adapter(an_adapter(state="live"))
    with pytest.raises(Conflict):
        await store.add_adapter(an_adapter(SECOND, state="live"))
    assert await store.list_adapters("default") == [an_adapter(state="live")]


@pytest.mark.parametrize("written", ["ann", pseudonym("ann")])
async def test_erasing_a_user_taints_what_was_trained_on_them(store: Store, written: str) -> None:
    tainted_before = an_adapter("hypotheses-000000000003", state="tainted")
    await store.add_adapter(an_adapter(), [written, "bob"])
    await store.add_adapter(an_adapter(SECOND), ["bob"])
    await store.add_adapter(tainted_before, [written])
    await make_live(store, FIRST)
    assert [one.name for one in await store.adapters_trained_on("default", "ann")] == [
        FIRST,
        tainted_before.name,
    ]
    held = (await store.export_user("default", "ann"))["adapter_users"]
    assert [row["name"] for row in held] == [FIRST, tainted_before.name]
    assert await store.erase_user("other", "ann") == {}
    assert await store.erase_user("default", "ann") == {"adapter_users": 2, "adapters_tainted": 1}
    assert await store.adapters_trained_on("default", "ann") == []
    assert [one.name for one in await store.adapters_trained_on("default", "bob")] == [FIRST, SECOND]
    assert [one.state for one in await store.list_adapters("default")] == ["tainted", "registered", "tainted"]
    (_, last) = await store.adapter_moves("default", FIRST)
    assert (last.before, last.after) == ("live", "tainted")
    assert "ann" not in last.reason.split()
    assert last.at - at(0) > timedelta(days=-1)
    assert await store.adapter_moves("default", tainted_before.name) == []
    assert await store.erase_user("default", "ann") == {}

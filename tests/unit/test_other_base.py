"""After VLLM_MODEL_NAME changed: adapters of the base before are neither loaded, nor live, nor restored."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from app.clients.slm.replicas import VLLMReplica
from app.errors import Conflict
from app.models import AdapterState
from app.services.arms import Arms, Route
from app.services.keeper import Timing
from app.services.promotion import Promotion
from app.services.reconciler import Reconciler
from tests.contracts.test_trials import Shelf
from tests.fake_vllm import FakeVLLM
from tests.fakes import MemoryStore
from tests.nouns import NOON, an_adapter, an_experiment, at

GATED: tuple[AdapterState] = ("gated",)
OLD, NEW, THIRD = "hypotheses-00000000000a", "hypotheses-00000000000b", "hypotheses-00000000000c"
BASE = "unsloth/Small-bnb-4bit"
"""Another name of `small`, the base of an_adapter."""


def promotion(store: MemoryStore) -> Promotion:
    return Promotion(store, Shelf(store), Path("/outputs"), base_model=BASE, now=lambda: NOON)


async def test_it_is_not_loaded_and_its_standing_says_why() -> None:
    store, server = MemoryStore(), FakeVLLM(adapters={OLD: "/adapters/old"})
    await store.add_adapter(an_adapter(OLD, state="live", base_model="large"))
    await store.add_adapter(an_adapter(NEW, state="canary"))
    async with AsyncExitStack() as stack:
        replica = VLLMReplica("http://r", transport=httpx.ASGITransport(app=server))
        stack.push_async_callback(replica.aclose)
        reconciler = Reconciler(store, [replica], Timing(grace=0), base_model=BASE)
        await reconciler.reconcile()
        assert set(server.adapters) == {NEW}
        assert (reconciler.ready(OLD), reconciler.ready(NEW)) == (False, True)
        told = {one["name"]: (one["phase"], one["error"]) for one in reconciler.report()[0]["adapters"]}
    assert told == {OLD: ("failed", "trained for another base model: large"), NEW: ("verified", "")}


@pytest.mark.parametrize("forced", [False, True])
async def test_it_neither_goes_live_nor_on_trial(forced: bool) -> None:
    store = MemoryStore()
    await store.add_adapter(an_adapter(OLD, state="gated", base_model="large"))
    for move in (
        promotion(store).promote("default", OLD, forced=forced),
        promotion(store).start_canary("default", OLD, 0.5, forced=forced),
    ):
        with pytest.raises(Conflict, match="another base model: large"):
            await move


async def test_a_trial_is_not_held_against_it() -> None:
    store = MemoryStore()
    await store.add_adapter(an_adapter(OLD, state="live", base_model="large"))
    await store.add_adapter(an_adapter(NEW, state="gated"))
    with pytest.raises(Conflict, match="roll it back first"):
        await promotion(store).start_canary("default", NEW, 0.5)
    assert await promotion(store).rollback("default", "hypotheses") is None
    assert (await promotion(store).start_canary("default", NEW, 0.5)).control is None


async def test_a_rollback_passes_it_over() -> None:
    store = MemoryStore()
    for number, (name, base) in enumerate([(OLD, "small"), (THIRD, "large"), (NEW, "small")]):
        await store.add_adapter(an_adapter(name, state="gated", base_model=base))
        await store.move_adapter("default", name, "live", allowed=GATED, at=at(number))
    restored = await promotion(store).rollback("default", "hypotheses")
    assert restored is not None
    assert restored.name == OLD


@pytest.mark.parametrize("state", ["loaded", "retired", "rolled_back", "tainted"])
async def test_once_an_adapter_was_put_before_users_the_base_is_asked_by_its_name(
    state: AdapterState,
) -> None:
    store = MemoryStore()
    arms = Arms(store, lambda name: False, base=BASE, seconds=0)
    assert await arms.route("default", "hypotheses", "ann") == Route()
    await store.add_adapter(an_adapter(OLD, state="gated"))
    assert await arms.route("default", "hypotheses", "ann") == Route()
    await store.move_adapter("default", OLD, state, allowed=GATED, at=NOON)
    assert await arms.route("default", "hypotheses", "ann") == Route(BASE)
    assert await arms.route("other", "hypotheses", "ann") == Route()


async def test_where_what_is_live_is_missing_and_in_the_control_the_base_is_asked_by_its_name() -> None:
    store = MemoryStore()
    arms = Arms(store, lambda name: False, base=BASE, seconds=0)
    await store.add_adapter(an_adapter(NEW, state="canary"))
    await store.add_experiment(an_experiment(control=None, candidate=NEW, phase="canary"))
    routes = [await arms.route("default", "hypotheses", f"u{number}") for number in range(40)]
    assert {(route.adapter, route.arm) for route in routes} == {(BASE, "control"), (BASE, "candidate")}
    await store.add_adapter(an_adapter(OLD, state="live", tenant="other"))
    assert await arms.route("other", "hypotheses", "ann") == Route(BASE, degraded=True)

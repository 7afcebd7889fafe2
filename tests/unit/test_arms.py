"""Where a request goes: live, in an arm, in the shadow, or to the base model."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import pytest

from app.errors import StorageError
from app.models import Adapter, AdapterState, Experiment
from app.services.arms import Arms, Route
from app.services.experiments import assign
from tests.fakes import MemoryStore
from tests.nouns import NOON, an_adapter, an_experiment, an_interaction, at

LIVE, CANDIDATE = "hypotheses-00000000000a", "hypotheses-00000000000b"
USERS = [f"u{number}" for number in range(40)]


class CountingStore(MemoryStore):
    """Counts what is read of adapters."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    async def list_adapters(
        self, tenant: str | None, task: str | None = None, states: Collection[AdapterState] = ()
    ) -> list[Adapter]:
        self.reads += 1
        return await super().list_adapters(tenant, task, states)


class World:
    """A store with a live adapter and a candidate, a clock that is set, replicas that have both."""

    def __init__(self) -> None:
        self.store, self.time, self.ready = CountingStore(), 0.0, {LIVE, CANDIDATE}
        self.arms = Arms(
            self.store, self.ready.__contains__, seconds=5, clock=lambda: self.time, now=self.now
        )

    def now(self) -> datetime:
        return at(self.time)

    async def trial(self, state: AdapterState, experiment: Experiment) -> None:
        await self.store.add_adapter(an_adapter(LIVE, state="live"))
        await self.store.add_adapter(an_adapter(CANDIDATE, state=state))
        await self.store.add_experiment(experiment)

    async def canary(self) -> None:
        await self.trial("canary", an_experiment(control=LIVE, candidate=CANDIDATE, phase="canary"))

    async def shadow(self) -> None:
        await self.trial("loaded", an_experiment(control=LIVE, candidate=CANDIDATE))

    async def move(self, name: str, before: AdapterState, after: AdapterState) -> None:
        await self.store.move_adapter("default", name, after, allowed=(before,), at=NOON)

    async def route(self, user_id: str = "ann", tenant: str = "default") -> Route:
        return await self.arms.route(tenant, "hypotheses", user_id)


@pytest.fixture
def world() -> World:
    return World()


async def test_without_an_adapter_the_base_model_answers(world: World) -> None:
    assert await world.route() == Route()


async def test_what_is_live_answers_its_own_tenant(world: World) -> None:
    await world.store.add_adapter(an_adapter(LIVE, state="live"))
    assert await world.route() == Route(LIVE)
    assert await world.route(tenant="other") == Route()
    assert await world.arms.route("default", "ranking", "ann") == Route()


async def test_what_is_live_and_not_on_every_replica_is_not_routed_to(world: World) -> None:
    await world.store.add_adapter(an_adapter(LIVE, state="live"))
    world.ready.clear()
    assert await world.route() == Route(degraded=True)
    world.ready.add(LIVE)
    assert await world.route() == Route(LIVE)


async def test_in_a_canary_every_user_stays_in_their_arm(world: World) -> None:
    await world.canary()
    for user in USERS * 2:
        arm = assign("x1", user, 0.5)
        adapter = CANDIDATE if arm == "candidate" else LIVE
        assert await world.route(user) == Route(adapter, arm, "x1")


async def test_a_candidate_that_is_not_ready_leaves_its_users_to_the_control(world: World) -> None:
    await world.canary()
    world.ready.discard(CANDIDATE)
    routes = [await world.route(user) for user in USERS]
    assert {(one.adapter, one.arm, one.degraded) for one in routes} == {
        (LIVE, "candidate", True),
        (LIVE, "control", False),
    }


async def test_in_the_shadow_every_fourth_request_asks_the_candidate_too(world: World) -> None:
    await world.shadow()
    routes = [await world.route(user) for user in USERS]
    assert [one.shadow for one in routes].count(CANDIDATE) == 10
    assert {one.adapter for one in routes} == {LIVE}
    assert {one.experiment_id for one in routes if one.shadow is None} == {None}


@pytest.mark.parametrize("away", [LIVE, CANDIDATE])
async def test_nothing_is_compared_while_one_of_them_is_not_ready(world: World, away: str) -> None:
    await world.shadow()
    world.ready.discard(away)
    assert {(await world.route(user)).shadow for user in USERS} == {None}


async def test_a_trial_against_what_is_no_longer_live_is_left_alone(world: World) -> None:
    await world.canary()
    third = an_adapter("hypotheses-00000000000c")
    await world.store.add_adapter(third)
    await world.move(third.name, "registered", "live")
    world.ready.add(third.name)
    assert {await world.route(user) for user in USERS} == {Route(third.name)}


@pytest.mark.parametrize("after", ["rolled_back", "tainted"])
async def test_what_was_taken_back_answers_nobody_although_its_trial_runs(
    world: World, after: AdapterState
) -> None:
    await world.canary()
    await world.move(CANDIDATE, "canary", after)
    assert {await world.route(user) for user in USERS} == {Route(LIVE)}


async def test_a_request_reads_nothing_for_some_seconds(world: World) -> None:
    await world.canary()
    for user in USERS:
        await world.route(user)
    assert world.store.reads == 1
    world.time = 5.0
    await world.store.end_experiment("default", "x1", "stopped", "", NOON)
    assert await world.route() == Route(LIVE)
    assert world.store.reads == 2


async def test_while_the_store_is_away_the_others_go_by_what_was_read(world: World) -> None:
    await world.store.add_adapter(an_adapter(LIVE, state="live"))
    await world.route()
    world.time, world.store.broken = 5.0, True
    with pytest.raises(StorageError):
        await world.route()
    assert await world.route() == Route(LIVE)


async def test_what_was_shown_is_recorded_with_its_arm(world: World) -> None:
    await world.canary()
    world.time = 3.0
    for request_id in ("r1", "r2"):
        await world.store.add_interaction(an_interaction(request_id))
    route = await world.route("ann")
    await world.arms.expose("default", route, "r1", "ann", milliseconds=12.5)
    await world.arms.expose("default", route, "r2", "ann", milliseconds=1.0, degraded=True)
    first, second = [one.exposure for one in await world.store.outcomes("default", "x1")]
    assert (first.arm, first.at, first.milliseconds, first.degraded) == (route.arm, at(3), 12.5, False)
    assert second.degraded


async def test_a_comparison_is_recorded_once_it_was_made(world: World) -> None:
    await world.shadow()
    routes = [await world.route() for _ in range(4)]
    for number, route in enumerate(routes):
        await world.store.add_interaction(an_interaction(f"r{number}"))
        await world.arms.expose("default", route, f"r{number}", "ann", milliseconds=1.0)
    assert await world.store.outcomes("default", "x1") == []
    figures = {"valid": True, "agreement": 1.0, "milliseconds": 2.0}
    await world.arms.expose("default", routes[3], "r3", "ann", milliseconds=1.0, shadow=figures)
    (only,) = await world.store.outcomes("default", "x1")
    assert (only.exposure.shadow, only.exposure.arm) == (figures, "control")


async def test_outside_of_experiments_nothing_is_recorded(world: World) -> None:
    await world.arms.expose("default", Route(LIVE), "r1", "ann", milliseconds=1.0)
    assert await world.store.outcomes("default", "x1") == []

"""An adapter's way from its gates to the users and back, on every store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict, InvalidInput, NotFound
from app.models import Adapter, AdapterState, Experiment, Verdict
from app.services.canaries import Canaries, TrialRules
from app.services.experiments import Rules, assign
from app.services.gates import Gate, GateReport
from app.services.promotion import Promotion
from app.services.shadowing import ShadowRules
from app.storage.base import Store
from tests.fakes import MemoryStore
from tests.nouns import NOON, a_feedback, a_selection, an_adapter, an_experiment, an_exposure, an_interaction

OLD, NEW, THIRD = (f"hypotheses-00000000000{letter}" for letter in "abc")
PASSED = GateReport((Gate("offline", passed=True, figures={"nll_gain": 0.2}),))
FAILED = GateReport((Gate("offline", passed=False, figures={}, reason="no better"),))
RULES = TrialRules(ShadowRules(comparisons=3), Rules(window_seconds=60))


class Shelf:
    """Registers without files: the directory's name is the adapter's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def publish(
        self, source: Path, *, tenant: str, task: str, lineage: Mapping[str, Any], users: Sequence[str]
    ) -> Adapter:
        adapter = an_adapter(source.name, tenant=tenant, task=task, lineage=lineage)
        return await self._store.add_adapter(adapter, users)


class Loop:
    """The conductors over one store, with a clock that is set and replicas that are told."""

    def __init__(self, store: Store) -> None:
        self.store, self.at, self.ready = store, NOON, {OLD, NEW, THIRD}
        self.promotion = Promotion(store, Shelf(store), Path("/outputs"), now=self.now)
        self.canaries = Canaries(
            store, self.ready.__contains__, RULES, now=self.now, why_not="no replica has {}".format
        )

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at

    async def gated(self, *names: str, report: GateReport = PASSED) -> None:
        for name in names:
            await self.promotion.register("default", Path(name), "hypotheses", {"job": "j1"})
            await self.promotion.gate("default", name, report)

    async def state(self, name: str) -> str:
        return (await self.promotion.track("default", name)).adapter.state

    async def move(self, name: str, after: AdapterState, reason: str = "") -> None:
        """As somebody else would."""
        stands = (await self.promotion.track("default", name)).adapter.state
        await self.store.move_adapter("default", name, after, allowed=(stands,), at=self.now(), reason=reason)

    async def experiment(self, started: Experiment) -> Experiment:
        return (await self.canaries.look("default", started.id)).experiment

    async def compare(self, experiment: Experiment, valid: bool = True) -> None:
        """All that the shadow phase asks for."""
        for number in range(3):
            figures = {"valid": valid, "agreement": None, "milliseconds": 1.0}
            shadow = an_exposure(
                f"s{number}",
                experiment_id=experiment.id,
                arm="control",
                at=self.now(),
                shadow=figures,
                milliseconds=1.0,
            )
            await self.store.add_interaction(an_interaction(shadow.request_id))
            await self.store.add_exposure(shadow)

    async def canary(self, name: str) -> Experiment:
        """On to the users."""
        started = await self.promotion.start_canary("default", name, 0.5)
        await self.compare(started)
        (changed,) = await self.canaries.tick()
        assert (changed.id, changed.phase) == (started.id, "canary")
        return started

    async def users(self, experiment: Experiment, pickers: str, count: int) -> None:
        """One request of each; those in the arm `pickers` select."""
        for number in range(count):
            user, request = f"u{number}", f"{experiment.id}-{number}"
            arm = assign(experiment.id, user, experiment.share)
            await self.store.add_interaction(an_interaction(request, user_id=user))
            await self.store.add_exposure(
                an_exposure(
                    request,
                    experiment_id=experiment.id,
                    user_id=user,
                    arm=arm,
                    at=self.now(),
                    milliseconds=5.0,
                )
            )
            if arm == pickers:
                await self.store.add_selection(a_selection(request, user_id=user))
        self.at += timedelta(hours=1)


@pytest.fixture
def loop(store: Store) -> Loop:
    return Loop(store)


async def test_the_gates_say_who_may_go_on_and_their_figures_are_kept(loop: Loop) -> None:
    await loop.gated(OLD)
    await loop.gated(NEW, report=FAILED)
    assert await loop.state(OLD) == "gated"
    tracked = await loop.promotion.track("default", NEW)
    assert tracked.adapter.state == "rejected"
    assert tracked.adapter.gates["offline"]["reason"] == "no better"
    assert [(move.after, move.reason) for move in tracked.moves][-1] == ("rejected", "offline: no better")


async def test_callers_name_what_is_their_tenant_s(loop: Loop) -> None:
    named = await loop.promotion.register_named("default", NEW, "hypotheses", {})
    assert (named.name, named.state) == (NEW, "registered")
    for said in ("../other/" + NEW, "/outputs/other/" + NEW, ".", "a\nb"):
        with pytest.raises(InvalidInput):
            await loop.promotion.register_named("default", said, "hypotheses", {})


async def test_a_rejected_one_goes_on_by_force_alone_and_that_is_written_down(loop: Loop) -> None:
    await loop.gated(NEW, report=FAILED)
    with pytest.raises(Conflict):
        await loop.promotion.start_canary("default", NEW, 0.5)
    with pytest.raises(Conflict):
        await loop.promotion.promote("default", NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5, forced=True)
    moves = (await loop.promotion.track("default", NEW)).moves
    assert "forced" in started.reason
    assert "forced" in moves[-1].reason


async def test_tainted_is_for_ever(loop: Loop) -> None:
    await loop.gated(NEW)
    await loop.move(NEW, "tainted")
    with pytest.raises(Conflict):
        await loop.promotion.start_canary("default", NEW, 0.5, forced=True)
    with pytest.raises(Conflict):
        await loop.promotion.promote("default", NEW, forced=True)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.6, 1.0, float("nan")])
async def test_a_share_that_teaches_nothing_is_refused(loop: Loop, share: float) -> None:
    await loop.gated(NEW)
    with pytest.raises(InvalidInput):
        await loop.promotion.start_canary("default", NEW, share)


async def test_one_trial_at_a_time_and_the_second_leaves_no_trace(loop: Loop) -> None:
    await loop.gated(OLD, NEW)
    starts = [loop.promotion.start_canary("default", name, 0.5) for name in (OLD, NEW)]
    done = await asyncio.gather(*starts, return_exceptions=True)
    assert [type(one) for one in done if isinstance(one, Exception)] == [Conflict]
    assert sorted([await loop.state(OLD), await loop.state(NEW)]) == ["gated", "loaded"]
    tracks = [(await loop.promotion.track("default", name)).moves for name in (OLD, NEW)]
    assert sorted(len(moves) for moves in tracks) == [1, 2]


async def test_a_trial_and_its_candidate_begin_in_one_step(loop: Loop) -> None:
    """Whoever is killed in between leaves neither."""
    await loop.gated(OLD, NEW)
    await loop.store.add_experiment(an_experiment("x9", candidate=OLD))
    with pytest.raises(Conflict):
        await loop.store.add_experiment(an_experiment("x8", candidate=NEW), load_from="gated")
    assert await loop.state(NEW) == "gated"
    await loop.store.end_experiment("default", "x9", "stopped", "", loop.now())
    with pytest.raises(Conflict):
        await loop.store.add_experiment(an_experiment("x8", candidate=NEW), load_from="registered")
    assert await loop.store.get_experiment("default", "x8") is None


async def test_other_tenants_see_nothing_of_it(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    for call in (
        loop.promotion.track("other", NEW),
        loop.promotion.promote("other", NEW),
        loop.promotion.start_canary("other", NEW, 0.5),
        loop.canaries.look("other", started.id),
    ):
        with pytest.raises(NotFound):
            await call
    assert await loop.promotion.adapters("other") == []
    assert await loop.canaries.recent("other") == []


async def test_a_better_candidate_goes_all_the_way(loop: Loop) -> None:
    await loop.gated(OLD, NEW)
    await loop.promotion.promote("default", OLD)
    started = await loop.canary(NEW)
    assert started.control == OLD
    await loop.users(started, "candidate", 80)
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, await loop.state(NEW), await loop.state(OLD)) == ("promoted", "live", "retired")
    assert "users pick more from it" in ended.reason
    look = await loop.canaries.look("default", started.id)
    assert look.reading.evidence.users == 80
    assert look.reading.evidence.low > 0
    assert await loop.canaries.tick() == []
    moves = (await loop.promotion.track("default", NEW)).moves
    assert [move.after for move in moves] == ["gated", "loaded", "canary", "live"]


async def test_a_bad_one_is_taken_back_and_what_is_live_stays(loop: Loop) -> None:
    await loop.gated(OLD, NEW)
    await loop.promotion.promote("default", OLD)
    started = await loop.canary(NEW)
    await loop.users(started, "control", 80)
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, await loop.state(NEW), await loop.state(OLD)) == (
        "rolled_back",
        "rolled_back",
        "live",
    )


async def test_invalid_answers_in_the_shadow_reach_no_user(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    await loop.compare(started, valid=False)
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, ended.phase) == ("rolled_back", "shadow")
    assert await loop.state(NEW) == "rolled_back"


async def test_nobody_gets_what_is_not_on_every_replica(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    await loop.compare(started)
    loop.ready.discard(NEW)
    assert await loop.canaries.tick() == []
    loop.ready.add(NEW)
    assert [one.phase for one in await loop.canaries.tick()] == ["canary"]


async def test_a_quiet_tenant_s_trial_ends_and_makes_room_for_another(loop: Loop) -> None:
    await loop.gated(OLD, NEW)
    await loop.promotion.start_canary("default", NEW, 0.5)
    loop.at += timedelta(days=6)
    assert await loop.canaries.tick() == []
    loop.at += timedelta(days=1)
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, await loop.state(NEW)) == ("rolled_back", "rolled_back")
    assert ended.reason == "7 days in the shadow and no further: 0 of 3 answers compared"
    await loop.promotion.start_canary("default", OLD, 0.5)


async def test_what_never_loads_is_given_up_and_the_reason_is_told(loop: Loop) -> None:
    await loop.gated(NEW)
    await loop.promotion.start_canary("default", NEW, 0.5)
    loop.ready.discard(NEW)
    loop.at += timedelta(days=7)
    (ended,) = await loop.canaries.tick()
    assert ended.verdict == "rolled_back"
    assert ended.reason.endswith(f"; no replica has {NEW}")


async def test_the_days_of_a_canary_count_from_its_first_user(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    loop.at += timedelta(days=6)
    await loop.compare(started)
    (begun,) = await loop.canaries.tick()
    assert begun.canary_since is not None
    loop.at = begun.canary_since + timedelta(days=59)
    assert await loop.canaries.tick() == []
    loop.at = begun.canary_since + timedelta(days=60)
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, ended.reason.split(":")[0]) == ("futile", "60 days and no answer")


async def test_what_a_user_says_late_no_longer_changes_what_they_count(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.canary(NEW)
    await loop.users(started, "candidate", 2)
    counted = (await loop.canaries.look("default", started.id)).reading
    for number in range(2):
        rating = a_feedback(
            f"b{number}", user_id=f"u{number}", request_id=f"{started.id}-{number}", rating=1.0
        )
        await loop.store.add_feedback(replace(rating, created_at=loop.now()))
    assert (await loop.canaries.look("default", started.id)).reading == counted


async def test_one_odd_trial_holds_up_no_other(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    await loop.compare(started)
    for tenant in ("before", "zeal"):
        name = f"hypotheses-{tenant}"
        await loop.store.add_adapter(an_adapter(name, tenant=tenant, state="loaded"))
        odd = an_experiment(f"x-{tenant}", tenant=tenant, candidate=name, started_at=loop.now())
        await loop.store.add_experiment(odd)
        await loop.store.add_interaction(an_interaction(tenant=tenant))
        exposure = an_exposure(tenant=tenant, experiment_id=odd.id, shadow={"of": "another version"})
        await loop.store.add_exposure(exposure)
    assert [one.id for one in await loop.canaries.tick()] == [started.id]
    assert {"experiment x-before could not be read", "experiment x-zeal could not be read"} <= set(
        caplog.messages
    )


async def test_when_another_goes_live_the_trial_ends_and_may_be_had_anew(loop: Loop) -> None:
    await loop.gated(OLD, NEW)
    started = await loop.canary(NEW)
    await loop.promotion.promote("default", OLD)
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, await loop.state(NEW)) == ("stopped", "gated")
    assert (await loop.promotion.start_canary("default", NEW, 0.5)).control == OLD
    assert ended.id == started.id


async def test_a_forced_one_whose_trial_was_stopped_is_rejected_as_before(loop: Loop) -> None:
    await loop.gated(NEW, report=FAILED)
    await loop.gated(OLD)
    await loop.promotion.start_canary("default", NEW, 0.5, forced=True)
    await loop.promotion.promote("default", OLD)
    await loop.canaries.tick()
    assert await loop.state(NEW) == "rejected"


async def test_promoted_by_hand_its_trial_says_so(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    await loop.promotion.promote("default", NEW)
    await loop.promotion.promote("default", NEW)
    (ended,) = await loop.canaries.tick()
    assert (ended.id, ended.verdict, ended.reason) == (started.id, "promoted", "by hand")


@pytest.mark.parametrize(("after", "verdict"), [("tainted", "stopped"), ("rolled_back", "rolled_back")])
async def test_a_trial_follows_its_adapter(loop: Loop, after: AdapterState, verdict: str) -> None:
    """So does it after a kill between the adapter's move and the verdict."""
    await loop.gated(NEW)
    await loop.canary(NEW)
    await loop.move(NEW, after, "told so")
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, ended.reason) == (verdict, "told so")


async def test_a_kill_on_the_way_to_the_users_is_mended(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    await loop.compare(started)
    await loop.move(NEW, "canary")
    assert [one.phase for one in await loop.canaries.tick()] == ["canary"]


async def test_of_several_processes_one_makes_the_move(loop: Loop) -> None:
    await loop.gated(NEW)
    started = await loop.canary(NEW)
    await loop.users(started, "candidate", 80)
    others = [Canaries(loop.store, loop.ready.__contains__, RULES, now=loop.now) for _ in range(4)]
    await asyncio.gather(*(one.tick() for one in others))
    moves = (await loop.promotion.track("default", NEW)).moves
    assert [move.after for move in moves].count("live") == 1
    assert (await loop.experiment(started)).verdict == "promoted"


async def test_a_rollback_restores_what_was_live_before(loop: Loop) -> None:
    await loop.gated(OLD, NEW, THIRD)
    for name in (THIRD, OLD, NEW):
        await loop.promotion.promote("default", name)
    restored = await loop.promotion.rollback("default", "hypotheses")
    assert restored is not None
    assert (restored.name, await loop.state(OLD), await loop.state(NEW)) == (OLD, "live", "rolled_back")
    with pytest.raises(Conflict):
        await loop.promotion.rollback("default", "hypotheses", NEW)


async def test_a_kill_in_a_rollback_leaves_nothing_half_taken_back(loop: Loop) -> None:
    """In one step: what is taken back is at no moment retired, from where it would be restored."""
    await loop.gated(OLD, NEW)
    for name in (OLD, NEW):
        await loop.promotion.promote("default", name)
    await loop.promotion.rollback("default", "hypotheses")
    moves = (await loop.promotion.track("default", NEW)).moves
    assert [move.after for move in moves] == ["gated", "live", "rolled_back"]


async def test_a_rollback_takes_back_what_it_saw_and_nothing_else(loop: Loop) -> None:
    await loop.gated(OLD, NEW, THIRD)
    for name in (OLD, NEW, THIRD):
        await loop.promotion.promote("default", name)
    with pytest.raises(Conflict):
        await loop.store.move_adapter(
            "default", OLD, "live", allowed=["retired"], at=loop.now(), instead_of=NEW
        )
    assert [await loop.state(name) for name in (OLD, NEW, THIRD)] == ["retired", "retired", "live"]


async def test_a_tainted_one_is_not_restored(loop: Loop) -> None:
    await loop.gated(OLD, NEW, THIRD)
    for name in (THIRD, OLD, NEW):
        await loop.promotion.promote("default", name)
    await loop.move(OLD, "tainted")
    restored = await loop.promotion.rollback("default", "hypotheses", NEW)
    assert restored is not None
    assert restored.name == THIRD


async def test_after_the_only_one_comes_the_base_model(loop: Loop) -> None:
    await loop.gated(NEW)
    await loop.promotion.promote("default", NEW)
    assert await loop.promotion.rollback("default", "hypotheses") is None
    with pytest.raises(Conflict):
        await loop.promotion.rollback("default", "hypotheses")


async def test_a_trial_is_taken_back_by_its_name_and_what_is_live_stays(loop: Loop) -> None:
    await loop.gated(OLD, NEW)
    await loop.promotion.promote("default", OLD)
    await loop.canary(NEW)
    still = await loop.promotion.rollback("default", "hypotheses", NEW)
    assert still is not None
    assert (still.name, await loop.state(NEW)) == (OLD, "rolled_back")
    (ended,) = await loop.canaries.tick()
    assert (ended.verdict, ended.reason) == ("rolled_back", "by hand")


class OnceOdd(MemoryStore):
    """Its first list of experiments fails for no reason that the service knows."""

    odd = True

    async def list_experiments(
        self, tenant: str | None, verdict: Verdict | None = None, limit: int = 100
    ) -> list[Experiment]:
        if self.odd and verdict == "running" and tenant is None:
            self.odd = False
            raise RuntimeError("odd")
        return await super().list_experiments(tenant, verdict, limit)


async def test_the_watch_outlives_what_nobody_foresaw() -> None:
    store = OnceOdd()
    loop = Loop(store)
    await loop.gated(NEW)
    await loop.compare(await loop.promotion.start_canary("default", NEW, 0.5))
    async with loop.canaries.watching(0.0):
        for _ in range(1000):
            await asyncio.sleep(0.001)
            if await loop.state(NEW) == "canary":
                break
    assert not store.odd
    assert await loop.state(NEW) == "canary"


async def test_the_watch_ticks_and_outlives_a_database_that_is_away() -> None:
    store = MemoryStore()
    loop = Loop(store)
    await loop.gated(NEW)
    started = await loop.promotion.start_canary("default", NEW, 0.5)
    await loop.compare(started)
    store.broken = True
    watch = asyncio.create_task(loop.canaries.watch(0.0))
    for _ in range(5):
        await asyncio.sleep(0)
    store.broken = False
    for _ in range(1000):
        await asyncio.sleep(0.001)
        if await loop.state(NEW) == "canary":
            break
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    assert (await loop.experiment(started)).phase == "canary"

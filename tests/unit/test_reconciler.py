"""Replicas kept to what they are to serve: restarts, failures, a replica that hangs, what is taken away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, get_args

import httpx
import pytest

from app.clients.slm.replicas import VLLMReplica
from app.errors import BackendUnavailable, UnknownAdapter
from app.models import SERVED, AdapterState
from app.services.keeper import Timing
from app.services.reconciler import Reconciler
from tests.fake_vllm import FakeVLLM
from tests.fakes import MemoryStore
from tests.nouns import an_adapter, at
from tests.scripted import Clock

NAME, OTHER = "hypotheses-000000000001", "hypotheses-000000000002"
ANY: frozenset[AdapterState] = frozenset({"registered", "loaded", "live", "canary", "retired", "tainted"})
PATIENT = Timing(asking=0.2, loading=0.4)


class Scene:
    """A store, replicas behind fakes, and a reconciler that looks when it is told to."""

    def __init__(self, stack: AsyncExitStack, replicas: int, timing: Timing) -> None:
        self.store, self.clock = MemoryStore(), Clock()
        self.servers = [FakeVLLM() for _ in range(replicas)]
        hosts = [
            VLLMReplica(f"http://r{number}", transport=httpx.ASGITransport(app=server))
            for number, server in enumerate(self.servers)
        ]
        for host in hosts:
            stack.push_async_callback(host.aclose)
        self.reconciler = Reconciler(self.store, hosts, timing, self.clock)

    async def add(self, name: str = NAME, state: AdapterState = "loaded", **fields: Any) -> None:
        await self.store.add_adapter(an_adapter(name, state=state, **fields))

    async def move(self, name: str, after: AdapterState) -> None:
        await self.store.move_adapter("default", name, after, allowed=ANY, at=at(1))

    async def look(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        await self.reconciler.reconcile()

    def phases(self, name: str = NAME) -> list[str]:
        found = [one for replica in self.reconciler.report() for one in replica["adapters"]]
        return [one["phase"] for one in found if one["name"] == name]

    def errors(self) -> list[str]:
        return [one["error"] for replica in self.reconciler.report() for one in replica["adapters"]]


@asynccontextmanager
async def scene(replicas: int = 1, timing: Timing = PATIENT) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as stack:
        yield Scene(stack, replicas, timing)


def loaded(servers: Sequence[FakeVLLM]) -> list[set[str]]:
    return [set(server.adapters) for server in servers]


async def test_what_is_served_is_loaded_listed_and_tried_on_every_replica() -> None:
    async with scene(replicas=2) as s:
        for state in get_args(AdapterState):
            await s.add(f"hypotheses-{state}", state, tenant=f"of-{state}")
        assert not s.reconciler.ready("hypotheses-live")
        await s.look()
        served = {f"hypotheses-{state}" for state in SERVED}
        assert loaded(s.servers) == [served, served]
        assert all(s.reconciler.ready(name) for name in served)
        assert not s.reconciler.ready("hypotheses-gated")
        tried = s.servers[0].asked("/chat/completions")
        assert {body["model"] for body in tried} == served
        assert all(body["max_tokens"] == 1 for body in tried)
        assert [replica["up"] for replica in s.reconciler.report()] == [True, True]


async def test_a_second_look_asks_for_nothing_that_is_verified() -> None:
    async with scene() as s:
        await s.add()
        await s.look()
        asked = len(s.servers[0].requests)
        await s.look()
        assert len(s.servers[0].requests) == asked


async def test_after_a_restart_everything_is_back_before_it_is_ready() -> None:
    async with scene(replicas=2) as s:
        await s.add()
        await s.look()
        s.servers[1].adapters.clear()
        s.servers[1].fail("status", path="/v1/load_lora_adapter", times=1)
        seen: list[bool] = []
        s.servers[1].fail("status", path="/chat/completions", times=1)
        await s.look()
        seen.append(s.reconciler.ready(NAME))
        assert s.phases() == ["verified", "failed"]
        await s.look(1000)
        seen.append(s.reconciler.ready(NAME))
        assert seen == [False, True]
        assert loaded(s.servers) == [{NAME}, {NAME}]


async def test_a_replica_that_is_away_is_not_waited_for_and_starts_anew() -> None:
    async with scene(replicas=2) as s:
        await s.add()
        await s.look()
        s.servers[1].fail("reset", path="/v1/models")
        await s.look()
        assert s.reconciler.ready(NAME)
        assert s.phases() == ["verified", "pending"]
        assert [replica["up"] for replica in s.reconciler.report()] == [True, False]
        s.servers[0].fail("reset", path="/v1/models")
        await s.look()
        assert not s.reconciler.ready(NAME)
        for server in s.servers:
            server.heal()
        await s.look()
        assert s.reconciler.ready(NAME)


async def test_a_call_that_is_told_404_flips_it_at_once() -> None:
    async with scene() as s:
        await s.add()
        await s.look()
        s.servers[0].adapters.clear()
        s.reconciler.missed("nobody's")
        assert s.reconciler.ready(NAME)
        s.reconciler.missed(NAME)
        assert not s.reconciler.ready(NAME)
        assert s.phases() == ["pending"]
        await s.look()
        assert s.reconciler.ready(NAME)
        assert s.errors() == [""]


async def test_a_failure_keeps_its_reason_and_rests_longer_each_time() -> None:
    async with scene() as s:
        await s.add(path="/missing/one")
        await s.look()
        assert s.phases() == ["failed"]
        assert "No adapter found" in s.errors()[0]
        for seconds, tries in ((9.9, 1), (0.2, 2), (19.0, 2), (1.1, 3)):
            await s.look(seconds)
            assert len(s.servers[0].asked("/load_lora_adapter")) == tries
        s.reconciler.wake()
        await s.look()
        assert len(s.servers[0].asked("/load_lora_adapter")) == 4


async def test_one_that_fails_does_not_hold_up_another() -> None:
    async with scene() as s:
        await s.add(path="/missing/one")
        await s.add(OTHER)
        await s.look()
        assert (s.phases(NAME), s.phases(OTHER)) == (["failed"], ["verified"])


async def test_what_is_listed_but_does_not_answer_is_not_ready() -> None:
    async with scene() as s:
        await s.add()
        s.servers[0].fail("status", path="/chat/completions")
        await s.look()
        assert loaded(s.servers) == [{NAME}]
        assert s.phases() == ["failed"]
        assert not s.reconciler.ready(NAME)


async def test_a_replica_that_hangs_holds_up_no_other() -> None:
    async with scene(replicas=2) as s:
        await s.add()
        s.servers[0].fail("hang", path="/v1/models")
        async with s.reconciler:
            await s.reconciler.until_ready(NAME, 10)
        assert loaded(s.servers) == [set(), {NAME}]


async def test_a_hanging_load_ends_and_is_told() -> None:
    async with scene(timing=Timing(asking=0.05, loading=0.05)) as s:
        await s.add()
        s.servers[0].fail("hang", path="/chat/completions")
        await s.look()
        assert s.phases() == ["failed"]
        assert "no answer" in s.errors()[0]


async def test_what_left_service_goes_after_a_grace_and_foreign_names_stay() -> None:
    async with scene() as s:
        s.servers[0].adapters = {"by-hand": "/x", "hypotheses-registered": "/y"}
        await s.add("hypotheses-registered", "registered")
        await s.add()
        await s.look()
        await s.move(NAME, "retired")
        await s.look()
        assert not s.reconciler.ready(NAME)
        await s.look(59)
        assert NAME in s.servers[0].adapters
        await s.look(1)
        assert loaded(s.servers) == [{"by-hand", "hypotheses-registered"}]


async def test_one_that_comes_back_within_the_grace_stays() -> None:
    async with scene() as s:
        await s.add()
        await s.look()
        await s.move(NAME, "retired")
        await s.look()
        await s.move(NAME, "live")
        await s.look(100)
        assert s.reconciler.ready(NAME)
        await s.move(NAME, "retired")
        await s.look()
        assert NAME in s.servers[0].adapters


async def test_the_loop_brings_back_what_a_restart_took() -> None:
    async with scene(timing=Timing(every=0.01)) as s:
        await s.add()
        async with s.reconciler:
            await s.reconciler.until_ready(NAME, 10)
            s.servers[0].took.clear()
            s.servers[0].adapters.clear()
            await asyncio.wait_for(s.servers[0].took.wait(), 10)
            await s.reconciler.until_ready(NAME, 10)
        assert loaded(s.servers) == [{NAME}]


async def test_a_database_that_is_away_leaves_everything_as_it_is() -> None:
    async with scene(timing=Timing(every=0.01)) as s:
        await s.add()
        await s.look()
        s.store.broken = True
        s.reconciler.wake()
        await s.look()
        assert s.reconciler.ready(NAME)
        assert loaded(s.servers) == [{NAME}]


async def test_waiting_in_vain_says_why() -> None:
    async with scene() as s:
        await s.add(path="/missing/one")
        async with s.reconciler:
            with pytest.raises(BackendUnavailable, match="No adapter found"):
                await s.reconciler.until_ready(NAME, 0.2)
            with pytest.raises(BackendUnavailable, match="in no state that is served"):
                await s.reconciler.until_ready(OTHER, 0.05)


async def test_without_replicas_nothing_is_ready() -> None:
    async with scene(replicas=0) as s:
        await s.add()
        async with s.reconciler:
            await s.look()
        assert not s.reconciler.ready(NAME)
        assert s.reconciler.report() == []


async def test_a_canary_that_another_model_answers_is_no_canary() -> None:
    async with scene() as s:
        host = VLLMReplica("http://r", transport=httpx.ASGITransport(app=s.servers[0]))
        with pytest.raises(UnknownAdapter):
            await host.canary(NAME)
        s.servers[0].adapters[NAME] = "/x"
        await host.canary(NAME)
        await host.aclose()

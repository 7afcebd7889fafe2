"""Candidates asked in the background: few at a time, in nobody's way, and timed as what is live is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.clients.slm.base import Call, Completion
from app.clients.slm.wrappers.limited import Limited
from app.services.arms import Arms, Route
from app.services.background import Background
from app.services.trials import Trials
from tests.fakes import MemoryStore
from tests.nouns import an_interaction
from tests.scripted import ASK, Clock, Scripted

SHADOW = Route("live", None, "x1", shadow="candidate")
ANSWER: dict[str, Any] = {"hypotheses": [{}], "backend": {"degraded": False}}


class Odd(Scripted):
    """Fails as no backend is to fail."""

    async def run(self, task: Any, call: Call) -> Completion[Any]:
        raise RuntimeError("odd")


class House:
    """Trials over a store and a backend that waits for its gates."""

    def __init__(self, *gates: asyncio.Event, slm: Scripted | None = None) -> None:
        self.store, self.clock, self.slm = MemoryStore(), Clock(), slm or Scripted(*gates)
        self.background = Background(drain_seconds=1)
        arms = Arms(self.store, lambda name: True)
        limited = Limited(self.slm, at_once=9, clock=self.clock)
        self.trials = Trials(arms, limited, self.background, at_once=2)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with self.background, self.trials:
            yield

    async def note(self, request_id: str, route: Route = SHADOW) -> None:
        await self.store.add_interaction(an_interaction(request_id))
        await self.trials.note(route, "ann", Call(request_id=request_id), ANSWER, ASK, [], 12.0)

    async def exposed(self) -> dict[str, Any]:
        found = await self.store.outcomes("default", "x1")
        return {one.exposure.request_id: one.exposure for one in found}


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_more_than_a_few_shadows_are_dropped_and_counted() -> None:
    gate = asyncio.Event()
    house = House(gate, gate)
    async with house.opened():
        for number in range(5):
            await house.note(f"r{number}")
        await settled()
        assert (len(house.slm.calls), house.trials.dropped) == (2, 3)
        gate.set()
        await settled()
        assert set(await house.exposed()) == {"r0", "r1"}
        await house.note("r5")
        await settled()
        assert set(await house.exposed()) == {"r0", "r1", "r5"}


async def test_what_is_learned_does_not_stand_behind_a_shadow() -> None:
    house = House(asyncio.Event(), asyncio.Event())
    async with house.opened():
        for number in range(5):
            await house.note(f"r{number}")
        await house.note("shown", Route("candidate", "candidate", "x1"))
        await settled()
        assert set(await house.exposed()) == {"shown"}


async def test_closing_waits_for_no_shadow() -> None:
    house = House(asyncio.Event())
    async with house.opened():
        await house.note("r0")
        await settled()
    assert len(house.slm.calls) == 1
    assert await house.exposed() == {}


async def test_both_are_timed_by_what_their_model_took() -> None:
    gate = asyncio.Event()
    house = House(gate)
    async with house.opened():
        await house.note("r0")
        await settled()
        house.clock.now = 0.25
        gate.set()
        await settled()
        exposure = (await house.exposed())["r0"]
    assert (exposure.milliseconds, exposure.shadow["milliseconds"]) == (12.0, 250.0)


async def test_what_nobody_foresaw_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    house = House(slm=Odd())
    async with house.opened():
        await house.note("r0")
        await settled()
    assert "a candidate could not be compared" in caplog.messages

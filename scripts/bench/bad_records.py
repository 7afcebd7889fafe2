"""Simulated users of IN3's requests: what they type where nothing fits, and what of an answer they pick."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.config import Settings
from app.main import create_app
from app.services.bundle import Services
from app.text import stems
from scripts.bench.loop_records import first_question
from scripts.bench.simulated_users import Task, tasks

_COMMON = 0.02
"""A stem in a larger share of the requests says nothing of what a request is about."""
_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Wish:
    """One user's request."""

    text: str
    missed: str
    """The question that matters most to whoever asks it."""
    about: frozenset[str]
    """Stems by which they know that a question is about their request."""

    def fits(self, hypothesis: dict[str, Any]) -> bool:
        return bool(self.about & set(stems(f"{hypothesis['detail']} {hypothesis['question']}")))


@dataclass(frozen=True, slots=True)
class Door:
    """The service over HTTP, and its rooms."""

    client: httpx.AsyncClient
    services: Services

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        reply = await self.client.post(path, json=body)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()
        return found

    async def ask(self, user_id: str, wish: Wish) -> dict[str, Any]:
        return await self.post("/v1/hypothesize", user_id=user_id, input_text=wish.text, count=1)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Door]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://bench", timeout=_SECONDS
        ) as client:
            yield Door(client, app.state.services)


def wishes(count: int, seed: int) -> list[Wish]:
    """So many different requests, drawn from IN3."""
    found = tasks()
    stated = [_stems(task) for task in found]
    often = Counter(stem for one in stated for stem in one)
    common = {stem for stem, times in often.items() if times > _COMMON * len(found)}
    chosen = np.random.default_rng(seed).permutation(len(found))[:count]
    return [
        Wish(found[row].text, first_question(found[row].details[0].question), stated[row] - common)
        for row in chosen
    ]


async def record(door: Door, wanted: Sequence[Wish]) -> None:
    """Each asks once; none of what is shown is taken, the question that was missed is typed.

    All ask before one answers, so that nobody is shown what another typed.
    """
    asked = [await door.ask(f"writer-{place}", wish) for place, wish in enumerate(wanted)]
    for answer, wish in zip(asked, wanted, strict=True):
        await door.post(
            "/v1/selections", request_id=answer["request_id"], hypothesis_id=None, free_text=wish.missed
        )


async def sit_down(door: Door, user_id: str, wish: Wish) -> None:
    """Ask, and pick the first question that is about the request, or none."""
    answer = await door.ask(user_id, wish)
    if answer["hypotheses"]:
        fitting = next((one["id"] for one in answer["hypotheses"] if wish.fits(one)), None)
        await door.post("/v1/selections", request_id=answer["request_id"], hypothesis_id=fitting)


async def sit_down_together(door: Door, users: Sequence[tuple[str, Wish]]) -> None:
    await asyncio.gather(*(sit_down(door, user_id, wish) for user_id, wish in users))


def shuffled(dataset: Path, target: Path, seed: int) -> Path:
    """The same rows, each with the answer of another one."""
    rows = [json.loads(line) for line in dataset.read_text(encoding="utf-8").splitlines()]
    order = np.random.default_rng(seed).permutation(len(rows))
    answers = {
        int(here): rows[int(there)]["completion"]
        for here, there in zip(order, np.roll(order, 1), strict=True)
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({**row, "completion": answers[place]}) for place, row in enumerate(rows)]
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _stems(task: Task) -> frozenset[str]:
    details = [f"{one.description} {one.question}" for one in task.details]
    return frozenset(stems(" ".join([task.text, *details])))
